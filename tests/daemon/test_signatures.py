"""Signatures of versions: whoever can write to the share does not own the nodes. One Engine, three runners that require signatures, warn, and do not look."""
import json
import os
import shutil
import sys
import time
import unittest
from pathlib import Path

import images
from cluster import Host, Runner
from engine import Engine
from process import wait_until, work_dir

sys.path.insert(0, str(Path(__file__).resolve().parent))
from test_archives import config, digest, layer, legacy, oci  # noqa: E402

POLICIES = ("require", "warn", "off")
CREATED = 1795000000


# fault: version-forged
class Signatures(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.engine = Engine("sig", ["--debug"])  # then it logs every call
        cls.host = Host(cls.engine, work_dir() / "sig-share", name="sig-host", docker={"preload": False, "keep_versions": 9})
        cls.runners = {policy: Runner(cls.host, cls.engine, name=f"sig-{policy}", security={"signatures": policy}) for policy in POLICIES}
        cls.base = images.busybox_rootfs()
        cls.host.tars.mkdir(exist_ok=True)

    @classmethod
    def tearDownClass(cls):
        for runner in cls.runners.values():
            runner.stop()
        cls.host.stop()
        cls.engine.wipe()

    def setUp(self):
        self.name = "sig-" + self._testMethodName[5:].replace("_", "-")[:40].rstrip("-")
        self.tag = f"hakuriver/{self.name}:base"
        self.number = CREATED
        self.addCleanup(lambda: self.host.docker("delete-tar", self.name, "--all", "--force"))

    # ---- what lies on the share

    def layers(self, text):
        return [self.base, layer({"etc/which": text.encode()})]

    def archive(self, text, form=oci, created=None):
        return form(self.layers(text), created or self.number + 1, [self.tag])

    def put(self, content):
        """The newest version, as anybody who can write to the share may put it there."""
        self.number += 1
        path = self.host.tars / f"{self.name}-{self.number}.tar"
        path.write_bytes(content)
        return path

    def index(self, path):
        return path.parent / ".riverbox" / (path.stem + ".json")

    def write_index(self, path, content):
        """Younger than its archive."""
        self.index(path).parent.mkdir(exist_ok=True)
        self.index(path).write_text(json.dumps(content, indent=1))
        later = path.stat().st_mtime + 1
        os.utime(self.index(path), (later, later))

    def put_signed(self, text, form=oci):
        path = self.put(self.archive(text, form))
        done = self.host.docker("sign", self.name, str(self.number), check=True)
        self.assertIn("is signed by this host", done.out)
        return path

    def state(self, path):
        versions = self.host.docker("versions", self.name, "--json", check=True).json()
        return next(v["signature"] for v in versions if v["tarball"] == path.name)

    # ---- what the nodes do

    def run_on(self, policy):
        return self.host.client("--target", f"sig-{policy}", "--container", self.name, "--cores", "0", "--wait", "--", "cat", "/etc/which")

    def uploads(self):
        return [l for l in self.engine.process.output().splitlines() if "Calling POST" in l and "/images/load" in l]

    def images(self):
        """A tag under which an earlier image came goes a moment later (Syncer::tidy_up)."""
        return {(i["Id"], t) for i in self.engine.api("GET", "/images/json?all=1") for t in i["RepoTags"] or [""] if ":loading-" not in t}

    def refused(self, path, reason):
        before, images_before = len(self.uploads()), self.images()
        result = self.run_on("require")
        self.assertEqual((result.code != 0, result.out), (True, ""), result)
        self.assertRegex(result.err, reason)
        self.assertIn(path.name, result.err)
        self.assertEqual(self.uploads()[before:], [], "the Engine was given something")
        self.assertEqual(self.images() - images_before, set())

    def runs(self, policy, text):
        result = self.run_on(policy)
        self.assertEqual((result.code, result.out), (0, text), result)

    def attack(self, path, reason, text="evil"):
        """Refused where signatures are required, loaded with a line in the log where a warning is wanted, and silently where nobody looks."""
        self.refused(path, reason)
        for policy in ("warn", "off"):
            self.runs(policy, text)
            self.forget_image()
            said = [l for l in self.runners[policy].log().splitlines() if "nobody vouches" in l and path.name in l]
            self.assertEqual(bool(said), policy == "warn", said)

    def forget_image(self):
        for tag in self.engine.tags():
            if tag.startswith(f"hakuriver/{self.name}:"):
                self.engine.docker("rmi", "-f", tag)

    # ---- tests

    def test_a_version_that_create_tar_made_runs_everywhere(self):
        images.busybox(self.engine)
        self.host.environment_from("busybox:latest", self.name)
        self.addCleanup(lambda: self.host.docker("delete-container", self.name))
        self.host.shell(self.name, "echo made > /etc/which\n")
        self.host.docker("create-tar", self.name, check=True)
        tar = self.host.tars / self.host.tars_of(self.name)[0]
        self.assertEqual(self.state(tar), "valid")
        for policy in POLICIES:
            self.runs(policy, "made\n")
            self.forget_image()
        keys = self.host.http("GET", "/docker/keys")[2]
        signature = json.loads(self.index(tar).read_text())["signature"]
        self.assertEqual(signature["key"], keys["signing"]["id"])
        self.assertIn(keys["signing"], keys["believed"])
        secret = self.host.home / "state/signing.key"
        self.assertEqual(secret.stat().st_mode & 0o777, 0o600)
        self.assertNotIn(secret.read_text().strip(), self.host.log())
        kept = (self.runners["require"].home / "state/runner-sig-require.keys").read_text()
        self.assertIn(keys["signing"]["public"], kept)
        # Going back is a version of its own, of which the host says the same.
        self.host.shell(self.name, "echo later > /etc/which\n")
        self.host.docker("create-tar", self.name, check=True)
        self.runs("require", "later\n")
        self.host.docker("rollback", self.name, "previous", check=True)
        self.assertEqual(self.state(self.host.tars / self.host.tars_of(self.name)[0]), "valid")
        self.runs("require", "made\n")

    def test_a_classic_archive(self):
        for form in (legacy, oci):
            tar = self.put(self.archive("evil", form))
            self.attack(tar, "is not signed by the host")
            self.assertEqual(self.state(tar), "none")
            self.assertIn("not signed", self.host.tty("hakuriver.docker", "versions", self.name).out)
            # The operator has looked at it.
            self.host.docker("sign", self.name, "newest", check=True)
            self.assertEqual(self.state(tar), "valid")
            self.runs("require", "evil")
            again = self.host.docker("sign", self.name, "newest", check=True)
            self.assertIn("was signed by this host already", again.out)
            told = [e["message"] for e in self.host.http("GET", "/api/events?type=environment&limit=1000")[2] if e["action"] == "signed"]
            self.assertEqual(told.count(tar.name), 1)
            self.assertEqual(self.host.docker("verify", self.name, "--json", check=True).json()["versions"][0]["signature"], "valid")
            self.assertEqual(self.state(tar), "valid")

    def test_an_archive_exchanged_under_its_name(self):
        tar = self.put_signed("good")
        self.runs("require", "good")
        index = json.loads(self.index(tar).read_text())
        tar.write_bytes(self.archive("evil"))
        self.attack(tar, "changed, renamed or exchanged")
        self.write_index(tar, {**index, "size_bytes": tar.stat().st_size})  # an index that fits the file and says what was signed
        # What is up to date by the index stays what it is; where the image has gone, what the archive really is counts.
        self.forget_image()
        self.refused(tar, "changed, renamed or exchanged|cannot be used")

    def test_archive_and_index_exchanged(self):
        good = self.put_signed("good")
        evil = self.put(self.archive("evil"))
        self.host.docker("verify", self.name)  # writes a right index of it
        index = json.loads(self.index(evil).read_text())
        self.assertNotIn("signature", index)
        self.write_index(evil, {**index, "signature": json.loads(self.index(good).read_text())["signature"]})
        self.attack(evil, "changed, renamed or exchanged")
        self.assertEqual(self.state(evil), "wrong")
        for bad in (5, None, {}, {"key": 7, "ed25519": "x"}, {"key": "0" * 16, "ed25519": "0" * 128}, {"ed25519": "a" * 100000}):
            self.write_index(evil, {**index, "signature": bad})
            self.refused(evil, "refused")

    def test_an_old_version_under_a_newer_name(self):
        old = self.put_signed("old")
        self.put_signed("new")
        self.runs("require", "new")
        again = self.put(old.read_bytes())
        self.write_index(again, {**json.loads(self.index(old).read_text()), "tarball": again.name})
        self.attack(again, "changed, renamed or exchanged", "old")
        other = self.host.tars / f"{self.name}.other-{self.number}.tar"  # another environment's name
        self.addCleanup(lambda: self.host.docker("delete-tar", self.name + ".other", "--all", "--force"))
        shutil.copy(old, other)
        self.write_index(other, {**json.loads(self.index(old).read_text()), "tarball": other.name})
        result = self.host.client("--target", "sig-require", "--container", self.name + ".other", "--cores", "0", "--wait", "--", "cat", "/etc/which")
        self.assertEqual((result.code != 0, result.out), (True, ""), result)

    def test_a_layer_added_and_a_config_changed(self):
        good = self.put_signed("good")
        signature = json.loads(self.index(good).read_text())["signature"]
        stamp = self.number
        more = self.put(oci([*self.layers("good"), layer({"etc/which": b"evil"})], stamp, [self.tag]))
        self.host.docker("verify", self.name)
        self.write_index(more, {**json.loads(self.index(more).read_text()), "signature": signature})
        self.attack(more, "changed, renamed or exchanged")
        # The same layers and the same date: only what is run is another. The image of before counts as present nowhere.
        conf = json.loads(config(self.layers("good"), stamp))
        conf["config"]["Env"].append("LD_PRELOAD=/shared/evil.so")
        text = json.dumps(conf).encode()
        names = [f"{digest(l)}/layer.tar" for l in self.layers("good")]
        evil = self.put(self.tar([*zip(names, self.layers("good")), (digest(text) + ".json", text),
                                  ("manifest.json", json.dumps([{"Config": digest(text) + ".json", "RepoTags": [self.tag], "Layers": names}]).encode())]))
        self.host.docker("verify", self.name)
        self.write_index(evil, {**json.loads(self.index(evil).read_text()), "signature": signature})
        self.refused(evil, "changed, renamed or exchanged")

    def test_an_image_from_before_signatures_were_required(self):
        """Its files are right, what it runs is not: it is loaded anew."""
        good = self.put_signed("good", legacy)
        conf = json.loads(config(self.layers("good"), self.number))
        conf["config"]["Env"].append("EVIL=1")
        text = json.dumps(conf).encode()
        names = [f"{digest(l)}/layer.tar" for l in self.layers("good")]
        evil = self.tar([*zip(names, self.layers("good")), (digest(text) + ".json", text),
                         ("manifest.json", json.dumps([{"Config": digest(text) + ".json", "RepoTags": [self.tag], "Layers": names}]).encode())])
        self.engine.api("POST", "/images/load?quiet=1", evil, {"Content-Type": "application/x-tar"})
        self.assertIn("EVIL=1", self.engine.image(self.tag)["Config"]["Env"])
        self.runs("require", "good")
        self.assertNotIn("EVIL=1", self.engine.image(self.tag)["Config"]["Env"])
        self.assertTrue(good.exists())

    def test_members_that_nobody_signed_reach_no_engine(self):
        import io
        import tarfile
        tar = self.put_signed("good")
        index = json.loads(self.index(tar).read_text())
        with tarfile.open(tar, "a") as more:
            for name, data in (("repositories", b'{"evil":{"latest":"x"}}'), ("blobs/sha256/" + digest(b"evil"), b"evil"), ("evil.json", b"{}")):
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                more.addfile(entry, io.BytesIO(data))
        self.write_index(tar, {**index, "size_bytes": tar.stat().st_size})
        self.forget_image()
        before = set(self.engine.tags())
        self.runs("require", "good")
        self.assertEqual({t for t in set(self.engine.tags()) - before if ":loading-" not in t}, {self.tag})

    def test_a_stranger_signs(self):
        """With a key of his own, which he even calls the host's."""
        from subprocess import run
        key = work_dir() / "stranger.pem"
        run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True, capture_output=True)
        tar = self.put(self.archive("evil"))
        self.host.docker("verify", self.name)
        index = json.loads(self.index(tar).read_text())
        statement = "".join([f"riverbox version 1\nenvironment {self.name}\nversion {self.number}\nconfig {index['config_digest']}\n",
                             f"manifest {index.get('manifest_digest', 'none')}\n", *(f"layer {l['diff_id']}\n" for l in index["layers"])])
        text = work_dir() / "statement"
        text.write_text(statement)
        value = run(["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", key, "-in", text], check=True, capture_output=True).stdout.hex()
        self.write_index(tar, {**index, "signature": {"key": "0123456789abcdef", "ed25519": value}})
        self.attack(tar, "signed with the key 0123456789abcdef, which is not the host's")
        own = self.host.http("GET", "/docker/keys")[2]["signing"]["id"]
        self.write_index(tar, {**index, "signature": {"key": own, "ed25519": value}})
        self.refused(tar, "changed, renamed or exchanged")
        # The other way round: what the host signs, others can check with nothing but the documentation.
        self.host.docker("sign", self.name, "newest", check=True)
        public = bytes.fromhex("302a300506032b6570032100" + self.host.http("GET", "/docker/keys")[2]["signing"]["public"].removeprefix("ed25519:"))
        (work_dir() / "host.der").write_bytes(public)
        (work_dir() / "signature").write_bytes(bytes.fromhex(json.loads(self.index(tar).read_text())["signature"]["ed25519"]))
        run(["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-keyform", "DER", "-inkey", work_dir() / "host.der", "-in", text, "-sigfile", work_dir() / "signature"], check=True,
            capture_output=True)

    def test_going_back_to_what_nobody_vouches_for(self):
        evil = self.put(self.archive("evil"))
        self.put_signed("good")
        done = self.host.docker("rollback", self.name, str(self.number - 1), check=True)
        self.assertIn("does not vouch for it", done.out)
        newest = self.host.tars / self.host.tars_of(self.name)[0]
        self.assertNotEqual(newest.name, evil.name)
        self.assertEqual(self.state(newest), "none")
        self.refused(newest, "is not signed by the host")

    def test_a_node_without_the_share_gets_the_same_from_the_host(self):
        (work_dir() / "sig-elsewhere").mkdir(exist_ok=True)
        away = Runner(self.host, self.engine, name="sig-away", security={"signatures": "require"}, paths={"shared_dir": work_dir() / "sig-elsewhere"})
        self.addCleanup(away.stop)

        def loads():
            answer = self.host.docker("sync", self.name, "--node", "sig-away", "--json").json()["nodes"][0]
            return answer["ok"], answer["message"] or ""
        for form in (oci, legacy):  # of a legacy archive the host makes the manifest up
            self.put_signed("good", form)
            self.assertEqual(loads(), (True, ""))
            self.forget_image()
        self.put(self.archive("evil"))
        ok, message = loads()
        self.assertFalse(ok)
        self.assertIn("is not signed by the host", message)

    # fault: key-changes
    def test_the_keys_change(self):
        state = self.host.home / "state"
        old = self.put_signed("old")
        first = self.host.http("GET", "/docker/keys")[2]["signing"]
        self.host.stop()
        (state / "signing.key").unlink()
        self.host.start()
        keys = self.host.http("GET", "/docker/keys")[2]
        self.assertNotEqual(keys["signing"], first)
        self.assertEqual({k["id"] for k in keys["believed"]} >= {keys["signing"]["id"], first["id"]}, True)
        runner_keys = self.runners["require"].home / "state/runner-sig-require.keys"
        wait_until(lambda: keys["signing"]["public"] in runner_keys.read_text(), 30, "the runner to learn the new key")
        self.runs("require", "old")
        # The old key has become known to others: it is believed no longer.
        self.host.stop()
        lines = (state / "version-keys").read_text().splitlines()
        (state / "version-keys").write_text("\n".join(l for l in lines if first["public"] not in l) + "\n")
        self.host.start()
        wait_until(lambda: first["public"] not in runner_keys.read_text(), 30, "the runner to forget the old key")
        self.refused(old, f"signed with the key {first['id']}, which is not the host's")
        self.host.docker("sign", self.name, "newest", check=True)
        self.runs("require", "old")

    def tar(self, members):
        import io
        import tarfile
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            for name, data in members:
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode, entry.mtime = len(data), 0o644, time.time()
                tar.addfile(entry, io.BytesIO(data))
        return out.getvalue()


if __name__ == "__main__":
    unittest.main()
