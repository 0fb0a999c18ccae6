"""Docker is restarted under a task, a node reboots, disks are full: nothing that was acknowledged is lost, and it is said what is wrong."""
import subprocess
import time
import unittest

from cluster import OwnCluster, Runner, shared
from engine import Engine
from process import wait_until, work_dir

COUNT = "for i in 1 2 3 4 5 6 7 8 9 10; do echo $i; sleep 0.4; done; exit 5"


class Docker(OwnCluster):
    """The runner has an Engine of its own, which may come to harm."""
    NAME = "faults"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.runner.stop()
        cls.engine = Engine("flt", ["--live-restore"])
        cls.addClassCleanup(cls.engine.wipe)
        cls.host.wait_offline(cls.node)
        cls.host.cli("riverbox", "node", "rm", cls.node, check=True)
        cls.node = "faults-own"
        cls.runner = Runner(cls.host, cls.engine, cls.node)

    def submit(self, command=COUNT, **fields):
        task = self.host.submit(command, container_name=self.environment, required_cores=0, **fields)
        self.addCleanup(lambda: self.host.http("POST", f"/kill/{task}"))
        self.host.wait_task(task, ("running",))
        wait_until(lambda: self.host.client("logs", task).out.startswith("1\n"), 10, "the first line")
        return task

    def restart(self, live):
        self.engine.extra_flags = [f for f in self.engine.extra_flags if f != "--live-restore"] + (["--live-restore"] if live else [])
        self.engine.process.end(30)
        self.engine.start()

    def containers_of(self, task):
        return [c for c in self.engine.containers() if f"/hakuriver-task-{task}" in c["Names"]]

    # fault: docker-restarts
    def test_docker_restarts_and_the_task_lives_on(self):
        self.restart(live=True)
        task = self.submit()
        self.restart(live=True)
        done = self.host.wait_task(task)
        self.assertEqual((done["status"], done["exit_code"]), ("failed", 5), done)
        self.assertEqual(self.host.client("logs", task).out, "".join(f"{n}\n" for n in range(1, 11)))
        wait_until(lambda: not self.containers_of(task), 10, "the container to be removed")

    # fault: docker-restarts
    def test_docker_restarts_and_the_task_dies_with_it(self):
        self.restart(live=False)
        task, again = self.submit(), self.submit("echo 1; test -e /shared/again || { touch /shared/again; sleep 60; }", retries=1)
        self.restart(live=False)
        done = self.host.wait_task(task)
        self.assertEqual((done["status"], done["exit_code"]), ("failed", 143), done)
        self.assertIn("SIGTERM", done["error_message"])
        done = self.host.wait_task(again)
        self.assertEqual((done["status"], done["attempt"]), ("completed", 2), done)

    # fault: node-reboots
    def test_a_node_reboots(self):
        self.restart(live=False)
        task, again = self.submit("echo 1; sleep 300"), self.submit("echo 1; test -e /shared/reboot || { touch /shared/reboot; sleep 300; }", retries=1)
        self.runner.kill()
        self.engine.crash()
        self.host.wait_offline(self.node)
        self.assertEqual(self.host.status(task)["status"], "running", "nobody knows yet")
        self.engine.start()
        self.runner.start()
        done = self.host.wait_task(task)
        self.assertEqual(done["status"], "failed", done)
        self.assertNotEqual(done["error_message"], "")
        self.assertEqual(self.host.client("logs", task).out, "1\n")
        done = self.host.wait_task(again)
        self.assertEqual((done["status"], done["attempt"]), ("completed", 2), done)
        wait_until(lambda: not self.containers_of(task) and not self.containers_of(again), 10, "no container to be left")

    # fault: node-reboots
    def test_a_node_comes_back_with_an_empty_docker(self):
        task = self.submit("echo 1; sleep 300")
        self.runner.kill()
        for container in self.containers_of(task):
            self.engine.api("DELETE", f"/containers/{container['Id']}?force=1")
        self.runner.start()
        done = self.host.wait_task(task)
        self.assertEqual(done["status"], "failed", done)
        self.assertIn("removed while the runner was away", done["error_message"])
        self.assertEqual(self.host.client("logs", task).out, "1\n")


class Full(OwnCluster):
    """State of the host and share are small disks of their own."""
    NAME = "full"

    @classmethod
    def setUpClass(cls):
        shared()
        cls.state, share = work_dir() / "full-state", work_dir() / "full-share"
        for folder, size in ((cls.state, "2m"), (share, "40m")):
            folder.mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0755", "riverbox-test", str(folder)], check=True)
            cls.addClassCleanup(subprocess.run, ["umount", "-l", str(folder)], stderr=subprocess.DEVNULL)
        cls.HOST = {"paths": {"state_dir": cls.state}, "timing": {"heartbeat_interval": 1}}
        super().setUpClass()

    def fill(self, folder):
        """Not a byte is left."""
        filler = folder / "filler"
        with open(filler, "wb", buffering=0) as out:
            for size in (1 << 16, 4096, 1):
                try:
                    while True:
                        out.write(b"x" * size)
                except OSError:
                    pass
        self.addCleanup(filler.unlink, missing_ok=True)
        return filler

    def submission(self, command="true", **fields):
        return self.host.http("POST", "/submit", {"command": command, "container_name": self.environment, "required_cores": 0, **fields})

    # fault: state-fails
    def test_the_disk_of_the_state_is_full(self):
        ends = self.host.submit("sleep 3; exit 4", container_name=self.environment, required_cores=0)
        waits = self.host.submit("true", container_name=self.environment, required_cores=0, after=[ends], retries=0)
        last = self.host.submit("true", container_name=self.environment, required_cores=0)
        self.host.wait_task(last)
        self.host.wait_task(ends, ("running",))
        filler = self.fill(self.state)
        answers = [self.submission("sleep 60") for _ in range(40)]  # a page or two may still have been free
        refused = [a for a in answers if a[0] != 202]
        self.assertTrue(refused)
        self.assertEqual({a[0] for a in refused}, {507}, refused)
        self.assertIn("full", refused[-1][2]["detail"])
        self.assertIn("Free some space", refused[-1][2]["detail"])
        taken = [a[2]["task_ids"][0] for a in answers if a[0] == 202]
        self.assertEqual(self.host.http("GET", "/nodes")[0], 200)
        self.assertEqual(self.host.status(last)["status"], "completed")
        time.sleep(3)  # the task ends, and that cannot be written down
        self.assertIn(self.host.status(ends)["status"], ("running", "failed"))
        self.host.kill()  # and then the power fails
        self.host.start(wait=False)
        time.sleep(1)
        filler.unlink()
        if not self.host.process.running():
            self.assertIn("full", self.host.log())
            self.host.start()
        wait_until(self.host.answers, 20, "the host to answer")
        self.host.wait_online(self.node)
        done = self.host.wait_task(ends)
        self.assertEqual((done["status"], done["exit_code"]), ("failed", 4), done)
        self.assertEqual(self.host.wait_task(waits)["status"], "failed")
        for task in taken:
            self.assertIn(self.host.status(task)["status"], ("assigning", "syncing", "running"), "what was acknowledged is there")
            self.host.http("POST", f"/kill/{task}")
        self.assertEqual(len(self.host.http("GET", "/tasks?limit=1000")[2]), 3 + len(taken), "what was refused is not")
        status, _, answer = self.submission()
        self.assertEqual(status, 202, answer)
        self.assertEqual(self.host.wait_task(answer["task_ids"][0])["status"], "completed")

    # fault: share-full
    def test_the_share_is_full(self):
        version = self.host.tars_of(self.environment)
        quiet = self.host.submit("echo begun; sleep 2; echo ended", container_name=self.environment, required_cores=0)
        self.host.wait_task(quiet, ("running",))
        filler = self.fill(self.host.share)
        done = self.host.wait_task(quiet)
        self.assertEqual((done["status"], done["exit_code"]), ("completed", 0), done)
        loud = self.host.submit("seq 1 200000; exit 3", container_name=self.environment, required_cores=0)
        done = self.host.wait_task(loud)
        self.assertEqual((done["status"], done["exit_code"]), ("failed", 3), done)
        self.assertIn("The stored output is incomplete", done["error_message"])
        self.assertIn("No space left", done["error_message"])
        self.host.shell(self.environment, "dd if=/dev/urandom of=/more bs=1M count=2", check=True)
        refused = self.host.docker("create-tar", self.environment)
        self.assertEqual((refused.code, refused.out), (1, ""), refused)
        self.assertIn("No space left", refused.err)
        self.assertEqual(self.host.tars_of(self.environment), version, "the version before is untouched")
        self.assertEqual([p.name for p in self.host.tars.glob(".riverbox-*.part")], [])
        filler.unlink()
        self.host.docker("create-tar", self.environment, check=True)
        self.assertNotEqual(self.host.tars_of(self.environment), version)
        again = self.host.client("--container", self.environment, "--cores", "0", "--wait", "--", "sh", "-c", "seq 1 1000; ls /more")
        self.assertEqual((again.code, again.out), (0, "".join(f"{n}\n" for n in range(1, 1001)) + "/more\n"))


if __name__ == "__main__":
    unittest.main()
