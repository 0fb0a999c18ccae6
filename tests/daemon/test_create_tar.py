"""create-tar: what lies on the share afterwards, what the Engine has, what happens to the container."""
import hashlib
import json
import os
import tarfile
import threading
import time
import unittest
from datetime import datetime, timezone

import images
from cluster import Host, shared
from process import PATIENCE, wait_until, work_dir


def created_seconds(text):
    """floor() of an RFC 3339 time with nanoseconds, as unix seconds."""
    whole = text.split(".")[0].rstrip("Z")
    return int(datetime.fromisoformat(whole).replace(tzinfo=timezone.utc).timestamp())


def config_of(path):
    """(manifest entry, config, config digest) of an archive."""
    with tarfile.open(path) as tar:
        manifest = json.load(tar.extractfile("manifest.json"))[0]
        raw = tar.extractfile(manifest["Config"]).read()
        return manifest, json.loads(raw), "sha256:" + hashlib.sha256(raw).hexdigest()


class CreateTar(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.c = shared()
        cls.host, cls.engine, cls.other = cls.c.host, cls.c.host_engine, cls.c.runner_engine

    def setUp(self):
        self.name = "t-" + self._testMethodName[5:].replace("_", "-")[:40].rstrip("-.")
        self.host.docker("create-container", "busybox:latest", self.name, check=True)
        self.addCleanup(lambda: self.host.docker("delete-container", self.name))

    def publish(self):
        result = self.host.docker("create-tar", self.name, check=True)
        self.assertEqual(result.err, "")
        return self.host.tars / self.host.tars_of(self.name)[0], result

    def test_an_ordinary_docker_load_takes_it(self):
        self.host.shell(self.name, "echo hello > /etc/made-here\n", check=True)
        tar, result = self.publish()
        self.assertEqual(result.json()["tarball_path"], str(tar))
        out = self.other.docker("load", "-i", tar)
        self.addCleanup(lambda: self.other.docker("rmi", "-f", f"hakuriver/{self.name}:base"))
        self.assertIn(f"hakuriver/{self.name}:base", out)
        self.assertEqual(self.other.docker("run", "--rm", "--network", "none", f"hakuriver/{self.name}:base", "cat", "/etc/made-here"), "hello")
        image = self.other.image(f"hakuriver/{self.name}:base")
        self.assertEqual(image["Id"], config_of(tar)[2], "graph-driver store: the image ID is the config's digest")

    def test_the_name_carries_the_created_second_of_the_image(self):
        tar, _ = self.publish()
        manifest, config, _ = config_of(tar)
        self.assertEqual(tar.name, f"{self.name}-{created_seconds(config['created'])}.tar")
        self.assertEqual(manifest["RepoTags"], [f"hakuriver/{self.name}:base"])

    def test_every_layer_has_the_digest_of_the_config(self):
        self.host.shell(self.name, "head -c 3000000 /dev/urandom > /root/blob\n", check=True)
        tar, _ = self.publish()
        manifest, config, _ = config_of(tar)
        with tarfile.open(tar) as archive:
            digests = ["sha256:" + hashlib.sha256(archive.extractfile(layer).read()).hexdigest() for layer in manifest["Layers"]]
        self.assertEqual(digests, config["rootfs"]["diff_ids"])

    def test_a_new_version_replaces_the_old_and_is_strictly_newer(self):
        first, _ = self.publish()
        second, _ = self.publish()  # within the same second or not
        self.assertNotEqual(first.name, second.name)
        version = lambda path: int(path.stem.rsplit("-", 1)[1])
        self.assertGreater(version(second), version(first))
        self.assertEqual(self.host.tars_of(self.name), [second.name], "keep_versions is 1")
        self.assertEqual(version(second), created_seconds(config_of(second)[1]["created"]))
        indexes = [p.name for p in (self.host.tars / ".riverbox").glob(f"{self.name}-*")]
        self.assertEqual(indexes, [second.stem + ".json"], "the index lies beside it, that of the old one is gone")

    def test_keep_versions(self):
        host = Host(self.engine, work_dir() / "keep-share", name="keep-host", docker={"keep_versions": 2})
        self.addCleanup(host.stop)
        for _ in range(4):
            host.docker("create-tar", self.name, check=True)
        self.assertEqual(len(host.tars_of(self.name)), 2)

    def test_only_its_own_versions_are_pruned(self):
        neighbours = [f"{self.name}-x-1700000000.tar", f"{self.name}x-1700000000.tar", f"{self.name}.tar", f"{self.name}-notes.txt",
                      f"{self.name}-1700000000.tar.gz"]
        for name in neighbours:
            (self.host.tars / name).write_bytes(b"not ours")
            self.addCleanup((self.host.tars / name).unlink, missing_ok=True)
        self.publish()
        for name in neighbours:
            self.assertEqual((self.host.tars / name).read_bytes(), b"not ours")

    def test_a_running_container_runs_again_a_stopped_one_stays_stopped(self):
        self.host.shell(self.name, "echo kept > /root/kept\n", check=True)
        self.publish()
        self.assertTrue(self.engine.container(self.name)["State"]["Running"])
        self.assertEqual(self.host.shell(self.name, "cat /root/kept\n").out, "kept\n")
        self.host.docker("stop-container", self.name, check=True)
        self.publish()
        self.assertFalse(self.engine.container(self.name)["State"]["Running"])

    def test_the_temporary_image_tag_is_gone(self):
        self.publish()
        self.assertFalse([t for t in self.engine.tags() if t.startswith(f"hakuriver/{self.name}")], self.engine.tags())

    def test_nothing_hidden_is_left(self):
        self.publish()
        stray = [p.name for p in self.host.tars.iterdir() if p.name.startswith(".") and p.name != ".riverbox"]
        self.assertEqual(stray, [])

    def test_changes_and_removals_travel(self):
        self.host.shell(self.name, "mkdir -p /opt/a; echo 1 > /opt/a/f; echo x > /opt/gone\n", check=True)
        self.publish()
        self.host.shell(self.name, "rm /opt/gone; echo 2 > /opt/a/f; ln -s f /opt/a/l; chmod 700 /opt/a\n", check=True)
        tar, _ = self.publish()
        self.other.docker("load", "-i", tar)
        self.addCleanup(lambda: self.other.docker("rmi", "-f", f"hakuriver/{self.name}:base"))
        seen = self.other.docker("run", "--rm", "--network", "none", f"hakuriver/{self.name}:base", "sh", "-c",
                                 "cat /opt/a/l; ls /opt; stat -c %a /opt/a")
        self.assertEqual(seen.split(), ["2", "a", "700"])

    def test_volumes_of_the_image_stay_and_go_with_the_container(self):
        before = self.engine.docker("volume", "ls", "-q").split()
        self.engine.docker("commit", "--change", "VOLUME /data", f"hakuriver-env-{self.name}", "t-with-volume:1")
        self.addCleanup(lambda: self.engine.docker("rmi", "-f", "t-with-volume:1"))
        self.host.docker("delete-container", self.name, check=True)
        self.host.docker("create-container", "t-with-volume:1", self.name, check=True)
        self.host.shell(self.name, "echo kept > /data/file\n", check=True)
        for _ in range(2):
            self.publish()
            self.assertIn("kept", self.host.shell(self.name, "cat /data/file\n", check=True).out)
        self.assertEqual(len(self.engine.docker("volume", "ls", "-q").split()), len(before) + 1)
        self.host.docker("delete-container", self.name, check=True)
        self.assertEqual(self.engine.docker("volume", "ls", "-q").split(), before)

    # fault: publish-at-once
    def test_two_at_once_come_one_after_the_other(self):
        results = []
        threads = [threading.Thread(target=lambda: results.append(self.host.docker("create-tar", self.name))) for _ in range(3)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual([r.code for r in results], [0, 0, 0], results)
        self.assertEqual(len({r.json()["tarball_path"] for r in results}), 3, "three versions were made")
        self.assertEqual(len(self.host.tars_of(self.name)), 1)
        self.assertTrue(self.engine.container(self.name)["State"]["Running"])

    def test_nobody_but_the_next_one_waits_for_what_a_big_one_leaves(self):
        self.host.shell(self.name, "mkdir /many; cd /many; for d in $(seq 24); do mkdir $d; (cd $d; seq 500 | xargs touch); done\n", check=True, timeout=60)
        first, _ = self.publish()
        self.assertTrue(self.engine.container(self.name)["State"]["Running"])
        second, _ = self.publish()
        self.assertNotEqual(first.name, second.name)
        self.host.docker("delete-container", self.name, check=True)
        self.assertEqual(self.engine.containers(f"hakuriver.environment={self.name}"), [])

    # fault: publish-killed
    def test_a_host_that_ended_before_it_had_tidied_up_does_it_at_its_start(self):
        aside = f"hakuriver-previous-{self.name}"
        labels = ["--label", "hakuriver.managed=true", "--label", f"hakuriver.environment={self.name}"]
        self.engine.docker("create", "--name", aside, *labels, "busybox:latest", "true")
        listed = [c["name"] for c in self.host.docker("list-containers", "--json", check=True).json() if self.name in c["name"]]
        self.assertEqual(listed, [self.name], "what stands aside is not shown")
        host = Host(self.engine, work_dir() / "tidy-share", name="tidy-host")
        self.addCleanup(host.stop)
        ours = lambda: [c["Names"][0] for c in self.engine.containers(f"hakuriver.environment={self.name}")]
        wait_until(lambda: ours() == [f"/hakuriver-env-{self.name}"], 10, "the one that stood aside to be gone")

    # fault: share-write-fails
    def test_a_share_that_cannot_be_written(self):
        host = Host(self.engine, work_dir() / "ro-share", name="ro-host")
        self.addCleanup(host.stop)
        if os.geteuid() == 0:  # root writes everywhere: a read-only mount is what stops it
            import subprocess
            subprocess.run(["mount", "--bind", host.share, host.share], check=True)
            self.addCleanup(lambda: subprocess.run(["umount", host.share]))
            subprocess.run(["mount", "-o", "remount,bind,ro", host.share], check=True)
        else:
            host.share.chmod(0o555)
        result = host.docker("create-tar", self.name)
        self.assertEqual((result.code, result.out), (1, ""), result)
        self.assertRegex(result.err.lower(), "read-only|permission")
        self.assertTrue(self.engine.container(self.name)["State"]["Running"], "the container runs again")
        self.assertFalse([t for t in self.engine.tags() if t.startswith(f"hakuriver/{self.name}")])

    # fault: client-killed
    def test_a_client_that_goes_does_not_leave_a_mess(self):
        import subprocess
        self.host.shell(self.name, "head -c 60000000 /dev/urandom > /root/blob\n", check=True)
        self.publish()
        from cluster import bin_dir
        client = subprocess.Popen([bin_dir() / "hakuriver.docker", "create-tar", self.name], env=self.host.env,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(0.4)
        client.kill()
        client.communicate()
        def settled():
            container = self.engine.container(self.name)
            hidden = [p for p in self.host.tars.iterdir() if p.name.startswith(".") and p.is_file()]
            tags = [t for t in self.engine.tags() if t.startswith(f"hakuriver/{self.name}")]
            return container and container["State"]["Running"] and not hidden and not tags and len(self.host.tars_of(self.name)) == 1
        wait_until(settled, 30, "the environment to be itself again, with one version", step=0.2)
        config_of(self.host.tars / self.host.tars_of(self.name)[0])


class Progress(unittest.TestCase):
    def test_progress_only_on_a_terminal_and_only_on_stderr(self):
        host = shared().host
        self.addCleanup(lambda: host.docker("delete-container", "progress-env"))
        host.docker("create-container", "busybox:latest", "progress-env", check=True)
        host.shell("progress-env", "head -c 100000000 /dev/zero > /root/blob\n", check=True)
        shown = host.tty("hakuriver.docker", "create-tar", "progress-env")
        self.assertEqual(shown.code, 0, shown)
        self.assertRegex(shown.out, r"[0-9.]+ [kMG]B", "bytes are shown")
        piped = host.docker("create-tar", "progress-env", check=True)
        self.assertEqual(piped.err, "")


class ListTars(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # a host without any Engine: listing needs the share alone
        cls.host = Host(None, work_dir() / "list-share", name="list-host")
        cls.dir = cls.host.tars
        cls.dir.mkdir(exist_ok=True)

    @classmethod
    def tearDownClass(cls):
        cls.host.stop()

    def setUp(self):
        for file in self.dir.iterdir():
            if file.is_file():
                file.unlink()

    def listing(self):
        return self.host.docker("list-tars", check=True).json()

    def test_groups_and_sorts(self):
        for name in ("b-1700000002.tar", "b-1700000010.tar", "b-1700000009.tar", "a-1-2.tar", "c.d_e-5.tar"):
            (self.dir / name).write_bytes(b"x" * 10)
        listing = self.listing()
        self.assertEqual(list(listing), ["a-1", "b", "c.d_e"])
        self.assertEqual(listing["b"]["latest_timestamp"], 1700000010)
        self.assertEqual([v["timestamp"] for v in listing["b"]["all_versions"]], [1700000010, 1700000009, 1700000002])
        self.assertEqual(listing["a-1"]["latest_tarball"], "a-1-2.tar")

    def test_ignores_what_is_not_a_version(self):
        for name in ("Upper-1700000000.tar", "x-17.tar.gz", "x-.tar", "-17.tar", ".x-17.tar.part", "notes.txt", "x-1a.tar", "x.tar", "é-17.tar"):
            (self.dir / name).write_bytes(b"x")
        (self.dir / "folder-1700000000.tar").mkdir(exist_ok=True)
        self.addCleanup((self.dir / "folder-1700000000.tar").rmdir)
        self.assertEqual(self.listing(), {})

    # fault: share-crowded
    def test_ten_thousand_files_in_well_under_a_second(self):
        for i in range(10000):
            (self.dir / f"env{i % 500:03}-{1700000000 + i}.tar").write_bytes(b"x")
        seconds = []
        for _ in range(3):  # the best: other work on the machine is not the point
            start = time.monotonic()
            listing = self.listing()
            seconds.append(time.monotonic() - start)
        self.assertEqual(len(listing), 500)
        self.assertEqual(sum(len(e["all_versions"]) for e in listing.values()), 10000)
        self.assertLess(min(seconds), 1.0 * PATIENCE, seconds)

    def test_a_missing_folder(self):
        import shutil
        shutil.rmtree(self.dir)
        self.addCleanup(self.dir.mkdir, exist_ok=True)
        status, _, body = self.host.http("GET", "/docker/list")
        if status == 200:
            self.assertEqual(body, {})
        else:
            self.assertIn(str(self.dir), body["detail"])


if __name__ == "__main__":
    unittest.main()
