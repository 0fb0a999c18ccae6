"""Versions at work: a task in an older one, going back, nodes that are made ready before a task asks, readers that hold a lease."""
import json
import os
import time
import unittest
from pathlib import Path

from cluster import Host, Runner, shared
from process import wait_until, work_dir


class Place:
    """An environment on a cluster: its container says which version it is."""

    def __init__(self, host, name):
        self.host, self.name = host, name
        host.docker("create-container", "busybox:latest", name, check=True)

    def publish(self, text):
        """Writes `text` into the container and packages it, pinned; the number of the version."""
        self.host.shell(self.name, f"echo {text} > /which\n", check=True)
        answer = self.host.docker("create-tar", self.name, check=True).json()
        number = int(answer["tarball_path"].rsplit("-", 1)[1][:-4])
        self.host.docker("pin", self.name, str(number), check=True)
        return number

    def says(self, version=""):
        """What a task finds, and the task."""
        result = self.host.cli("hakuriver.client", "--json", "--container", self.name + version, "--wait", "--", "cat", "/which")
        if result.code:
            raise AssertionError(result)
        newest = self.host.http("GET", "/tasks?limit=1")[2][0]
        return result.out.strip(), newest

    def rows(self):
        return {row["timestamp"]: row for row in self.host.docker("versions", self.name, check=True).json()}

    def remove(self):
        self.host.docker("delete-tar", self.name, "--all", "--force")
        self.host.docker("delete-container", self.name)


class Warm(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.c = shared()
        cls.host = cls.c.host

    def setUp(self):
        self.place = Place(self.host, "w-" + self._testMethodName[5:].replace("_", "-")[:40].rstrip("-."))
        self.addCleanup(self.place.remove)

    # ---- the next load

    def test_after_a_load_the_engine_waits_for_the_next_one(self):
        """An Engine before 23 starts a program for every load: the next load finds it running."""
        engine = self.c.runner_engine
        if tuple(int(n) for n in engine.api("GET", "/version")["ApiVersion"].split(".")) >= (1, 42):
            self.skipTest("this Engine starts none")
        waiting = lambda: [pid for thread in os.listdir(f"/proc/{engine.process.pid}/task")
                           for pid in Path(f"/proc/{engine.process.pid}/task/{thread}/children").read_text().split()
                           if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"docker-untar")]
        self.place.publish("one")
        self.assertEqual(self.place.says()[0], "one")
        before = wait_until(waiting, 10, "a program that waits for a load")
        self.place.publish("two")
        self.assertEqual(self.place.says()[0], "two")
        after = wait_until(lambda: [p for p in waiting() if p not in before], 10, "one that waits for the load after it")
        self.assertFalse(set(before) & set(waiting()))
        os.kill(int(after[0]), 9)  # whatever becomes of it
        self.place.publish("three")
        self.assertEqual(self.place.says()[0], "three")

    # ---- NAME@VERSION

    def test_a_task_runs_in_the_version_it_names(self):
        one, two = self.place.publish("one"), self.place.publish("two")
        for version, says, number in (("", "two", two), (f"@{one}", "one", one), ("@previous", "one", one), (f"@{two}", "two", two), ("", "two", two)):
            said, task = self.place.says(version)
            self.assertEqual((said, task["version"], task["container_name"]), (says, number, self.place.name), version)
            self.assertEqual(task["tarball"], f"{self.place.name}-{number}.tar")
            self.assertRegex(task["image_id"], "^sha256:[0-9a-f]{64}$")
        rows = self.place.rows()
        wait_until(lambda: [self.place.rows()[n]["nodes"] for n in (one, two)] == [["node1"], ["node1"]], 10, "the node to say what it holds")
        self.assertEqual(rows[two]["image_id"], self.c.runner_engine.image(f"hakuriver/{self.place.name}:base")["Id"])
        self.assertEqual(rows[one]["image_id"], self.c.runner_engine.image(f"hakuriver/{self.place.name}:{one}")["Id"])

    def test_a_version_that_is_not_there(self):
        self.place.publish("one")
        for version in ("@1", "@nonsense", "@"):
            result = self.host.cli("hakuriver.client", "--container", self.place.name + version, "--wait", "--", "true")
            self.assertEqual(result.code, 1, (version, result))
            self.assertIn("version", result.err)

    # ---- rollback

    def test_rollback(self):
        one, two = self.place.publish("one"), self.place.publish("two")
        before = (self.host.tars / f"{self.place.name}-{one}.tar").stat()
        answer = self.host.docker("rollback", self.place.name, "previous", check=True).json()
        third = answer["timestamp"]
        self.assertGreater(third, two)
        self.assertEqual(answer["from"]["timestamp"], one)
        after = (self.host.tars / answer["tarball"]).stat()
        self.assertEqual(after.st_ino, before.st_ino, "not copied where there are hard links")
        self.assertEqual(self.place.says()[0], "one")
        self.assertEqual(self.host.shell(self.place.name, "cat /which\n", check=True).out.strip().splitlines()[-1], "two", "the container stays as it is")
        again = self.host.docker("rollback", self.place.name, "newest", check=True).json()
        self.assertIn("already", again["message"])
        self.assertEqual(len([t for t in self.host.tars.iterdir() if t.name.startswith(self.place.name)]), 3)

    def test_rollback_of_the_container_too(self):
        one = self.place.publish("one")
        self.place.publish("two")
        self.host.shell(self.place.name, "echo never packaged > /which\n", check=True)
        self.host.docker("rollback", self.place.name, str(one), "--container", check=True)
        self.assertEqual(self.host.shell(self.place.name, "cat /which\n", check=True).out.strip().splitlines()[-1], "one")
        names = self.c.host_engine.docker("ps", "-a", "--format", "{{.Names}} {{.State}}")
        self.assertIn(f"hakuriver-env-{self.place.name} running", names)
        self.assertNotIn(f"-next-{self.place.name}", names)
        self.assertNotIn(f"-previous-{self.place.name}", names)
        self.assertNotIn("rollback", self.c.host_engine.docker("images", "--format", "{{.Repository}}:{{.Tag}}"))
        self.assertEqual(self.place.publish("three") > one, True)
        self.assertEqual(self.place.says()[0], "three")

    def test_rollback_of_a_container_that_stands(self):
        one = self.place.publish("one")
        self.place.publish("two")
        self.host.docker("stop-container", self.place.name, check=True)
        self.host.docker("rollback", self.place.name, str(one), "--container", check=True)
        self.host.docker("create-tar", self.place.name, check=True)  # of what it stands with
        self.assertEqual(self.place.says()[0], "one")
        self.host.docker("start-container", self.place.name, check=True)
        self.place.publish("three")
        wait_until(lambda: "rollback" not in self.c.host_engine.docker("images", "--format", "{{.Repository}}:{{.Tag}}"), 10, "its tag to go")

    def test_rollback_to_what_is_damaged_changes_nothing(self):
        one, two = self.place.publish("one"), self.place.publish("two")
        with open(self.host.tars / f"{self.place.name}-{one}.tar", "r+b") as tar:
            tar.truncate(2000)
        for words in ((), ("--container",)):
            result = self.host.docker("rollback", self.place.name, str(one), *words)
            self.assertEqual(result.code, 1, result)
            self.assertIn("damaged", result.err)
        self.assertEqual(max(self.place.rows()), two)
        self.assertEqual(self.host.shell(self.place.name, "cat /which\n", check=True).out.strip().splitlines()[-1], "two")

    # ---- sync

    def test_sync_makes_nodes_ready(self):
        one, two = self.place.publish("one"), self.place.publish("two")
        answer = self.host.docker("sync", self.place.name, check=True).json()
        self.assertEqual(answer["failed"], 0)
        self.assertEqual([(n["hostname"], n["ok"], n["loaded"], n["tarball"]) for n in answer["nodes"]], [("node1", True, True, f"{self.place.name}-{two}.tar")])
        again = self.host.docker("sync", self.place.name, "--node", "node1", check=True).json()
        self.assertFalse(again["nodes"][0]["loaded"])
        older = self.host.docker("sync", self.place.name, str(one), check=True).json()
        self.assertEqual((older["nodes"][0]["way"], older["nodes"][0]["tarball"]), ("thin", f"{self.place.name}-{one}.tar"))
        wait_until(lambda: self.place.rows()[one]["nodes"] == ["node1"], 10, "the node to say what it holds")
        self.assertEqual(self.host.docker("verify", self.place.name, check=True).json()["versions"][0]["nodes"], ["node1"])
        unknown = self.host.docker("sync", self.place.name, "--node", "nowhere")
        self.assertEqual(unknown.code, 1)
        self.assertIn("nowhere", unknown.err)

    def test_a_node_that_fails_says_why(self):
        version = self.place.publish("one")
        tar = self.host.tars / f"{self.place.name}-{version}.tar"
        with open(tar, "r+b") as file:
            file.truncate(tar.stat().st_size - 1500)
        os.utime(tar, (time.time() + 5, time.time() + 5))
        result = self.host.docker("sync", self.place.name)
        self.assertEqual(result.code, 1, result)
        (node,) = json.loads(result.out)["nodes"]
        self.assertFalse(node["ok"])
        self.assertIn(tar.name, node["message"])

    # ---- leases

    def lease(self, version, age=0):
        folder = self.host.tars / ".riverbox/leases"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.place.name}-{version}.tar.node7-4711.00c0ffee"
        path.touch()
        os.utime(path, (time.time() - age, time.time() - age))
        self.addCleanup(lambda: path.unlink(missing_ok=True))
        return path

    # fault: publish-while-read
    def test_what_is_being_read_is_not_deleted(self):
        version = self.place.publish("one")
        self.host.docker("unpin", self.place.name, str(version), check=True)
        lease = self.lease(version, age=14 * 60)
        refused = self.host.docker("delete-tar", self.place.name)
        self.assertEqual(refused.code, 1)
        self.assertIn("node7-4711", refused.err)
        number = self.place.publish("two")
        self.assertIn(version, self.place.rows(), "create-tar does not prune it")
        os.utime(lease, (time.time() - 16 * 60,) * 2)
        self.place.publish("three")
        self.assertNotIn(version, self.place.rows(), "its reader has died")
        self.assertIn(number, self.place.rows())
        self.assertFalse(lease.exists())

    def test_a_load_leaves_no_lease(self):
        self.place.publish("one")
        self.place.says()
        folder = self.host.tars / ".riverbox/leases"
        self.assertEqual([f for f in folder.iterdir() if f.name.startswith(self.place.name)], [])
        self.assertEqual(folder.stat().st_mode & 0o7777, 0o1777)


class Preload(unittest.TestCase):
    def test_nodes_that_used_the_environment_lately_are_ready_before_the_next_task(self):
        c = shared()
        host = Host(c.host_engine, work_dir() / "share-preload", name="host-preload", docker={"prefix": "kohakuriver"})
        runner = Runner(host, c.runner_engine, name="node-preload", docker={"prefix": "kohakuriver"})
        self.addCleanup(host.stop)
        self.addCleanup(runner.stop)
        place = Place(host, "warm")
        self.addCleanup(place.remove)
        place.publish("one")
        self.assertNotIn("loaded on request", runner.log(), "it never used it")
        self.assertEqual(place.says()[0], "one")
        two = place.publish("two")
        wait_until(lambda: place.rows()[two]["nodes"] == ["node-preload"], 20, "the node to have the new version")
        self.assertIn("a node has the new version", host.log())
        loads = runner.log().count("environment loaded on request")
        self.assertEqual(place.says()[0], "two")
        self.assertEqual((loads, runner.log().count("environment brought up to date")), (1, 1), "the second task found it there")


if __name__ == "__main__":
    unittest.main()
