"""kill -9 at random moments: of the host during create-tar, of a runner while it brings an environment up to date.

RIVERBOX_KILL_MOMENTS (default 12; scripts/test --soak takes 100) says how many moments of each are tried. They are spread over the time that the work takes, one at
random in each part of it; RIVERBOX_KILL_SEED repeats a run.
"""
import hashlib
import io
import json
import os
import random
import sqlite3
import subprocess
import sys
import tarfile
import time
import unittest
from pathlib import Path

import images
from cluster import Host, Runner, bin_dir, shared
from engine import Engine, EngineError
from process import PATIENCE, wait_until, work_dir

sys.path.insert(0, str(Path(__file__).resolve().parent))
from test_archives import layer, oci  # noqa: E402

MOMENTS = int(os.environ.get("RIVERBOX_KILL_MOMENTS", "12"))
SEED = int(os.environ.get("RIVERBOX_KILL_SEED", time.time_ns() % 1_000_000))


def moments(duration):
    """MOMENTS delays, at random, and yet none of the parts of the work left out."""
    chance = random.Random(SEED)
    delays = [duration * 1.25 * (part + chance.random()) / MOMENTS for part in range(MOMENTS)]
    chance.shuffle(delays)  # what one leaves behind meets any other
    return delays


def summary(outcomes):
    return ", ".join(f"{outcomes.count(o)} x {o}" for o in dict.fromkeys(outcomes))


# fault: publish-killed, host-killed
class KillTheHost(unittest.TestCase):
    """Whatever the moment: no partial version is ever visible, the old one stays usable, and after a restart the container runs with all that was in it, no
    tag, no image, no second container and no temporary file is left, and create-tar works again."""

    NAME = "kill-env"

    @classmethod
    def setUpClass(cls):
        c = shared()
        cls.engine, cls.other = c.host_engine, c.runner_engine
        cls.host = Host(cls.engine, work_dir() / f"{cls.NAME}-share", name=f"{cls.NAME}-host", docker={"max_layers": 6})  # it also squashes, now and then
        cls.host.docker("create-container", "busybox:latest", cls.NAME, check=True)
        cls.host.shell(cls.NAME, "head -c 40000000 /dev/urandom > /root/kept\n", check=True, timeout=120)
        cls.host.docker("create-tar", cls.NAME, check=True)
        cls.change(0)
        start = time.monotonic()
        cls.host.docker("create-tar", cls.NAME, check=True)
        cls.duration = time.monotonic() - start

    @classmethod
    def tearDownClass(cls):
        cls.host.docker("delete-container", cls.NAME)
        cls.host.stop()

    @classmethod
    def change(cls, generation):
        """Large enough that every step takes a while; a version holds all the generations before it."""
        cls.host.shell(cls.NAME, f"echo {generation} >> /root/generations; head -c 20000000 /dev/urandom > /root/blob\n", check=True, timeout=120)

    def runs(self):
        try:
            return self.engine.api("GET", f"/containers/hakuriver-env-{self.NAME}/json")["State"]["Running"]
        except EngineError as error:
            if error.status != 404:
                raise
            return False

    def in_flight(self, container):
        return container["Names"] == [f"/hakuriver-next-{self.NAME}"] and container["State"] == "created"

    def recovered(self):
        """Nothing is noted as begun any more."""
        with sqlite3.connect(f"file:{self.host.home}/state/host.db?mode=ro", uri=True) as database:
            return database.execute("SELECT count(*) FROM publications").fetchone() == (0,)

    def visible(self):
        return sorted(p for p in self.host.tars.glob("*.tar") if not p.name.startswith("."))

    def check_complete(self, path):
        """Every layer that the manifest names is there and has the digest that the config says. Returns the generations in it."""
        generations = []
        with tarfile.open(path) as tar:
            manifest = json.load(tar.extractfile("manifest.json"))[0]
            diff_ids = json.load(tar.extractfile(manifest["Config"]))["rootfs"]["diff_ids"]
            for name, wanted in zip(manifest["Layers"], diff_ids):
                content = tar.extractfile(name).read()
                self.assertEqual("sha256:" + hashlib.sha256(content).hexdigest(), wanted, path)
                with tarfile.open(fileobj=io.BytesIO(content)) as files:
                    if "root/generations" in files.getnames():
                        generations = files.extractfile("root/generations").read().decode().split()
        return generations

    def leftovers(self):
        """What nobody needs: images that have neither a tag nor a container nor a child."""
        used = {c["ImageID"] for c in self.engine.containers()}
        dangling = self.engine.api("GET", "/images/json?filters=" + json.dumps({"dangling": ["true"]}).replace(" ", ""))
        return sorted(i["Id"] for i in dangling if i["Id"] not in used)

    def test_at_random_moments(self):
        print(f"(create-tar takes {self.duration:.2f} s; {MOMENTS} moments, seed {SEED})", flush=True)
        outcomes, written, before_all = [], [0], self.leftovers()
        for delay in moments(self.duration):
            with self.subTest(f"after {delay:.3f} s"):
                written.append(written[-1] + 1)
                self.change(written[-1])
                before = self.visible()
                self.assertTrue(before)
                client = subprocess.Popen([bin_dir() / "hakuriver.docker", "create-tar", self.NAME], env=self.host.env,
                                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                time.sleep(delay)
                self.host.kill()
                client.communicate(timeout=20)

                # at once, with no host alive: what others see on the share
                after = self.visible()
                self.assertTrue(after, "some version is always there")
                newer = [path for path in after if path not in before]
                for path in newer:
                    self.assertEqual(self.check_complete(path), [str(n) for n in written])
                if not set(before) & set(after):
                    self.assertEqual(len(after), 1)  # replaced by a newer, complete one
                elsewhere = [c["Names"][0].split("-")[1] for c in self.engine.containers(f"hakuriver.environment={self.NAME}")]
                outcomes.append(("old" if after == before else "both" if len(after) > 1 else "new") +
                                (" (in the middle of the renewal)" if elsewhere != ["env"] else ""))

                # a new host puts everything right by itself
                self.host.start()
                wait_until(self.recovered, 30, "the host to put right what was cut short", step=0.1)
                wait_until(self.runs, 15, "the container to run again", step=0.1)
                left = {}

                def tidy():
                    left["files"] = [p.name for p in self.host.tars.iterdir() if p.name.startswith(".") and p.is_file()]
                    left["tags"] = [t for t in self.engine.tags() if t.startswith(f"hakuriver/{self.NAME}")]
                    # what the engine went on with after its host was gone goes with the next create-tar: a clone, an image
                    left["containers"] = [c["Names"] for c in self.engine.containers(f"hakuriver.environment={self.NAME}") if not self.in_flight(c)][1:]
                    left["images"] = [i for i in self.leftovers() if i not in before_all][1:]
                    return not any(left.values())
                if not wait_until(tidy, 15 * PATIENCE, step=0.1, raising=False):
                    self.fail(f"left behind: {left}")
                self.assertEqual(self.host.shell(self.NAME, "cat /root/generations\n").out.split(), [str(n) for n in written],
                                 "the container's content is intact")
        print("after the kill the share had: " + summary(outcomes), flush=True)

        # and the whole chain still works
        self.change("last")
        self.host.docker("create-tar", self.NAME, check=True)
        versions = self.visible()
        self.assertEqual(len(versions), 1)
        self.check_complete(versions[0])
        wait_until(lambda: not [i for i in self.leftovers() if i not in before_all], 15, "images that nobody needs to go")  # the answer does not wait for the tidying up
        self.other.docker("load", "-i", versions[0])
        self.addCleanup(lambda: self.other.docker("rmi", "-f", f"hakuriver/{self.NAME}:base"))
        self.assertEqual(self.other.docker("run", "--rm", "--network", "none", f"hakuriver/{self.NAME}:base", "cat", "/root/generations").split(),
                         [*map(str, written), "last"])


# fault: runner-killed
class KillTheRunner(unittest.TestCase):
    """Whatever the moment: the environment's tag leads to the old image or to the new one, whole; and after a restart the same task runs once, in the new one.
    Every second load is of an Engine that has nothing of the environment."""

    NAME, SIZE = "kill-sync", 15_000_000

    @classmethod
    def setUpClass(cls):
        cls.host = Host(shared().host_engine, work_dir() / "kill-sync-share", name="kill-sync-host")
        cls.host.tars.mkdir(exist_ok=True)
        cls.engine = Engine("kr")
        cls.runner = Runner(cls.host, cls.engine, name="kill-node", docker={"remove_superseded_images": True})
        cls.image = f"hakuriver/{cls.NAME}:base"
        cls.lower = [images.busybox_rootfs(), layer({"etc/lower": os.urandom(cls.SIZE)})]
        cls.published = 0
        cls.publish()
        cls.run_one()

    @classmethod
    def tearDownClass(cls):
        cls.runner.stop()
        cls.host.stop()
        cls.engine.wipe()

    @classmethod
    def publish(cls):
        """The next version: the same layers and a new one on top of them. Only the newest is kept."""
        cls.published += 1
        top = layer({"etc/which": f"{cls.published}\n".encode(), "etc/upper": os.urandom(1000) * (cls.SIZE // 1000),
                     **{f"etc/small/{n}": b"%d" % n for n in range(300)}})
        before = list(cls.host.tars.glob("*.tar"))
        path = cls.host.tars / f"{cls.NAME}-{1795000000 + cls.published}.tar"
        hidden = path.with_name("." + path.name)
        hidden.write_bytes(oci([*cls.lower, top], 1795000000 + cls.published, [cls.image]))
        hidden.rename(path)
        for old in before:
            old.unlink()

    @classmethod
    def submit(cls):
        return cls.host.submit("sh", arguments=["-c", "cat /etc/which; ls /etc/small | wc -l; wc -c < /etc/lower; echo once"], targets=["kill-node"],
                               container_name=cls.NAME, required_cores=0)

    @classmethod
    def run_one(cls):
        start = time.monotonic()
        status = cls.host.wait_task(cls.submit())
        assert status["status"] == "completed", status
        return time.monotonic() - start

    def expected(self):
        return f"{self.published}\n300\n{self.SIZE}\nonce\n"

    def forget(self):
        self.engine.docker("rmi", "-f", self.image, check=False)
        self.engine.docker("image", "prune", "-af")

    def what_the_tag_leads_to(self):
        """The version in the image as a container sees it, complete; None: there is no image."""
        if self.engine.image(self.image) is None:
            return None
        out = self.engine.docker("run", "--rm", "--network", "none", self.image, "sh", "-c", "cat /etc/which; ls /etc/small | wc -l; wc -c < /etc/lower").split()
        self.assertEqual(out[1:], ["300", str(self.SIZE)], "an image with parts missing")
        return int(out[0])

    def test_at_random_moments(self):
        durations = {}
        for cold in (False, True):
            self.publish()
            if cold:
                self.forget()
            durations[cold] = self.run_one()
        print(f"(the task takes {durations[False]:.2f} s with a thin load, {durations[True]:.2f} s with a full one; {MOMENTS} moments, seed {SEED})", flush=True)
        outcomes = []
        for number, share in enumerate(moments(1)):
            cold = bool(number % 2)
            delay = share * durations[cold]
            with self.subTest(f"{'full' if cold else 'thin'}, after {delay:.3f} s"):
                old = self.published
                self.publish()
                if cold:
                    self.forget()
                task = self.submit()
                time.sleep(delay)
                self.runner.kill()

                # at once, with no runner alive
                found = self.what_the_tag_leads_to()
                self.assertIn(found, (None if cold else old, self.published))
                started = [c for c in self.engine.containers() if str(task) in c["Names"][0]]
                outcomes.append(f"{'full' if cold else 'thin'}: " + ("task's container" if started else "new" if found == self.published else "old or none"))

                self.runner.start()
                status = self.host.wait_task(task)
                self.assertEqual((status["status"], self.host.http("GET", f"/task/{task}/stdout")[2]), ("completed", self.expected()), status)
                self.assertEqual(self.what_the_tag_leads_to(), self.published)
                wait_until(lambda: not self.engine.containers(), 15, "the task's container to go", step=0.1)
                for image in self.engine.api("GET", "/images/json"):  # nothing is listed that cannot be used
                    self.assertIsNotNone(self.engine.image(image["Id"]))
        print("after the kill there was: " + summary(outcomes), flush=True)
        # What an interrupted load leaves is a tag of its own, which a later load removes when it is an hour old; and no files in the Engine's temporary folder.
        strays = [t for t in self.engine.tags() if t != self.image]
        print(f"left behind: {len(strays)} tags of unfinished loads", flush=True)
        self.assertTrue(all(":loading-" in t for t in strays), strays)
        wait_until(lambda: not self.engine.left_unpacked(), 15, "the Engine to remove what it unpacked", step=0.2)


if __name__ == "__main__":
    unittest.main()
