"""kill -9 of the host in the middle of create-tar. Whatever the moment: no partial version is ever visible, the old one stays usable,
and after a restart the container runs, no tag and no temporary file is left, and create-tar works again.

RIVERBOX_KILL_MOMENTS (default 20) says how many moments are tried, spread evenly over the time that one create-tar takes.
"""
import hashlib
import json
import os
import subprocess
import tarfile
import time
import unittest

from cluster import Host, bin_dir, shared
from process import wait_until, work_dir

MOMENTS = int(os.environ.get("RIVERBOX_KILL_MOMENTS", "20"))
NAME = "kill-env"


class KillTheHost(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        c = shared()
        cls.engine, cls.other = c.host_engine, c.runner_engine
        cls.host = Host(cls.engine, work_dir() / "kill-share", name="kill-host")
        cls.host.docker("create-container", "busybox:latest", NAME, check=True)
        # large enough that every step takes a while
        cls.host.shell(NAME, "head -c 150000000 /dev/urandom > /root/blob; echo 0 > /root/generation\n", check=True, timeout=120)
        cls.host.docker("create-tar", NAME, check=True)
        start = time.monotonic()
        cls.host.docker("create-tar", NAME, check=True)
        cls.duration = time.monotonic() - start

    @classmethod
    def tearDownClass(cls):
        cls.host.docker("delete-container", NAME)
        cls.host.stop()

    def visible(self):
        return sorted(p for p in self.host.tars.glob("*.tar") if not p.name.startswith("."))

    def check_complete(self, path):
        """Every layer that the manifest names is there and has the digest that the config says."""
        with tarfile.open(path) as tar:
            manifest = json.load(tar.extractfile("manifest.json"))[0]
            diff_ids = json.load(tar.extractfile(manifest["Config"]))["rootfs"]["diff_ids"]
            for layer, wanted in zip(manifest["Layers"], diff_ids):
                digest = hashlib.sha256()
                data = tar.extractfile(layer)
                while block := data.read(1 << 20):
                    digest.update(block)
                self.assertEqual("sha256:" + digest.hexdigest(), wanted, path)

    def test_at_every_moment(self):
        print(f"(create-tar takes {self.duration:.2f} s; {MOMENTS} moments)", flush=True)
        outcomes = []
        for moment in range(MOMENTS):
            delay = self.duration * 1.05 * moment / (MOMENTS - 1)
            with self.subTest(f"after {delay:.3f} s"):
                before = self.visible()
                self.assertTrue(before)
                client = subprocess.Popen([bin_dir() / "hakuriver.docker", "create-tar", NAME], env=self.host.env,
                                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                time.sleep(delay)
                self.host.kill()
                client.communicate(timeout=20)

                # at once, with no host alive: what others see on the share
                after = self.visible()
                self.assertTrue(after, "some version is always there")
                for path in after:
                    self.check_complete(path)
                if not set(before) & set(after):
                    self.assertEqual(len(after), 1)  # replaced by a newer, complete one
                outcomes.append("old" if after == before else "both" if len(after) > 1 else "new")

                # a new host puts everything right by itself
                self.host.start()
                container = wait_until(lambda: (c := self.engine.container(NAME)) and c["State"]["Running"] and c, 15,
                                       "the container to run again", step=0.1)
                self.assertEqual(container["Name"], "/hakuriver-env-" + NAME)
                def tidy():
                    hidden = [p.name for p in self.host.tars.iterdir() if p.name.startswith(".") and p.is_file()]
                    tags = [t for t in self.engine.tags() if t.startswith(f"hakuriver/{NAME}")]
                    strays = [c["Names"] for c in self.engine.containers(f"hakuriver.environment={NAME}")]
                    return not hidden and not tags and len(strays) == 1
                wait_until(tidy, 15, "no tag, no temporary file and one container", step=0.1)
                self.assertEqual(self.host.shell(NAME, "cat /root/generation\n").out, "0\n", "the container's content is intact")
        print("after the kill the share had: " + ", ".join(f"{outcomes.count(o)} x {o}" for o in dict.fromkeys(outcomes)), flush=True)

        # and the whole chain still works
        self.host.shell(NAME, "echo 1 > /root/generation\n", check=True)
        self.host.docker("create-tar", NAME, check=True)
        versions = self.visible()
        self.assertEqual(len(versions), 1)
        self.other.docker("load", "-i", versions[0])
        self.addCleanup(lambda: self.other.docker("rmi", "-f", f"hakuriver/{NAME}:base"))
        self.assertEqual(self.other.docker("run", "--rm", "--network", "none", f"hakuriver/{NAME}:base", "cat", "/root/generation"), "1")


if __name__ == "__main__":
    unittest.main()
