"""What somebody who can write to the share plants there: links that lead out of it, FIFOs, folders in the place of files. Nothing outside of the share is read, written or removed,
nobody waits, and the reason is said."""
import os
import shutil
import sys
import unittest
from pathlib import Path

import images
from cluster import Host, Runner
from engine import Engine
from process import work_dir

sys.path.insert(0, str(Path(__file__).resolve().parent))
from test_archives import layer, oci  # noqa: E402

CREATED = 1795000000


# fault: link-planted
class Planted(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.engine = Engine("planted")
        (work_dir() / "planted-real").mkdir()
        (work_dir() / "planted-share").symlink_to("planted-real")  # the administrator's own link is one
        cls.host = Host(cls.engine, work_dir() / "planted-share", name="planted-host", docker={"preload": False})
        cls.runner = Runner(cls.host, cls.engine, name="planted-node")
        cls.outside = work_dir() / "outside"
        cls.outside.mkdir()
        images.busybox(cls.engine)
        cls.host.docker("create-container", "busybox:latest", "plant", check=True)
        cls.host.docker("create-tar", "plant", check=True)
        assert cls.run_task("echo fine").out == "fine\n"

    @classmethod
    def tearDownClass(cls):
        cls.runner.stop()
        cls.host.stop()
        cls.engine.wipe()

    def setUp(self):
        self.secret = self.outside / "shadow"
        self.secret.write_text("root:secret\n")
        self.before = sorted(p.name for p in self.outside.iterdir())

    def tearDown(self):
        self.assertEqual(sorted(p.name for p in self.outside.iterdir()), self.before, "something was written or removed outside")
        self.assertEqual(self.secret.read_text(), "root:secret\n")

    @classmethod
    def run_task(cls, script, *more):
        return cls.host.client("--target", "planted-node", "--container", "plant", "--cores", "0", "--wait", *more, "--", "sh", "-c", script)

    def exchange(self, path, make):
        """`path` is what `make` makes of it, until the end of the test."""
        aside = path.with_name(path.name + ".aside")
        path.rename(aside)
        make(path)

        def back():
            path.unlink() if path.is_symlink() or not path.is_dir() else shutil.rmtree(path)
            aside.rename(path)
        self.addCleanup(back)

    def test_archives_that_are_links_or_pipes(self):
        tars = self.host.tars
        good = oci([images.busybox_rootfs(), layer({"etc/which": b"outside"})], CREATED, ["hakuriver/planted-env:base"])
        (self.outside / "image.tar").write_bytes(good)
        self.addCleanup((self.outside / "image.tar").unlink)
        self.before = sorted(p.name for p in self.outside.iterdir())
        planted = [tars / f"planted-env-{CREATED + n}.tar" for n in range(3)]
        planted[0].symlink_to(self.outside / "image.tar")
        os.mkfifo(planted[1])
        planted[2].mkdir()
        for path in planted:
            self.addCleanup(path.rmdir if path.is_dir() and not path.is_symlink() else path.unlink)
        self.assertNotIn("planted-env", self.host.docker("list-tars", check=True).out)
        for path in planted:
            task = self.host.client("--target", "planted-node", "--container", f"planted-env@{path.stem.rsplit('-', 1)[1]}", "--cores", "0", "--wait", "--", "true")
            self.assertNotEqual(task.code, 0, path)
        self.assertIsNone(self.engine.image("hakuriver/planted-env:base"))
        self.assertNotEqual(self.host.docker("versions", "planted-env").code, 0)

    def test_indexes_and_pins(self):
        tar = self.host.tars_of("plant")[0]
        index = self.host.tars / ".riverbox" / (tar[:-4] + ".json")
        for make in (lambda p: p.symlink_to(self.secret), os.mkfifo, Path.mkdir):
            with self.subTest(make):
                self.exchange(index, make)
                self.assertIn(tar, self.host.docker("versions", "plant", "--json", check=True).out)
                self.assertEqual(self.run_task("echo fine").out, "fine\n")
                self.doCleanups()
        pin = self.host.tars / ".riverbox" / (tar[:-4] + ".pin")
        pin.symlink_to(self.secret)
        self.host.docker("unpin", "plant", "newest", check=True)  # removes the link
        self.assertFalse(pin.is_symlink())

    def test_the_folder_beside_the_archives_leads_elsewhere(self):
        self.exchange(self.host.tars / ".riverbox", lambda p: p.symlink_to(self.outside))
        done = self.run_task("echo fine")
        self.assertEqual((done.code, done.out), (0, "fine\n"), done)  # without a lease, and from what the archive itself says
        self.assertNotEqual(self.host.docker("pin", "plant", "newest").code, 0)
        refused = self.host.docker("create-tar", "plant")
        self.assertNotEqual(refused.code, 0, refused)
        self.assertIn("no symbolic link is followed", refused.err)

    def test_the_folder_of_the_archives_leads_elsewhere(self):
        self.exchange(self.host.tars, lambda p: p.symlink_to(self.outside))
        for command in (("create-tar", "plant"), ("list-tars",), ("versions", "plant"), ("delete-tar", "plant", "--all", "--force")):
            result = self.host.docker(*command)
            self.assertNotEqual(result.code, 0, result)
            self.assertIn("symbolic link", result.err)

    def test_the_output_of_a_task(self):
        done = self.run_task("echo first")
        self.assertEqual(done.out, "first\n")
        task = self.host.http("GET", "/tasks?limit=1")[2][0]
        folder = Path(task["stdout_path"]).parent
        top = self.host.share / folder.relative_to(self.host.share).parts[0]
        (self.outside / "0.out").write_text("outside\n")
        self.addCleanup((self.outside / "0.out").unlink)
        self.before = sorted(p.name for p in self.outside.iterdir())
        self.exchange(top, lambda p: p.symlink_to(self.outside))
        done = self.host.submit("sh", arguments=["-c", "echo second"], targets=["planted-node"], container_name="plant", required_cores=0)
        state = self.host.wait_task(done)
        self.assertEqual(state["status"], "completed", state)  # a share that fails never stops a task
        self.assertIn("output", state["error_message"])
        for path in (f"/task/{task['task_id']}/stdout", f"/task/{done}/stdout"):
            status, _, text = self.host.http("GET", path)
            self.assertNotIn("outside", str(text))
            self.assertNotEqual(status, 200, text)

    def test_files_of_output_that_are_links_or_pipes(self):
        self.run_task("echo first")
        task = self.host.http("GET", "/tasks?limit=1")[2][0]
        path = Path(task["stdout_path"])
        for make in (lambda p: p.symlink_to(self.secret), os.mkfifo, Path.mkdir):
            with self.subTest(make):
                self.exchange(path, make)
                status, _, text = self.host.http("GET", f"/task/{task['task_id']}/stdout", timeout=60)
                self.assertNotEqual(status, 200, text)
                self.assertNotIn("secret", str(text))
                self.doCleanups()

    def test_what_every_task_has_mounted_leads_elsewhere(self):
        self.exchange(self.host.share / "shared_data", lambda p: p.symlink_to(self.outside))
        done = self.run_task("cat /shared/shadow")
        self.assertNotEqual(done.code, 0)
        self.assertNotIn("secret", done.out)
        self.assertIn("no symbolic link is followed", done.err)


if __name__ == "__main__":
    unittest.main()
