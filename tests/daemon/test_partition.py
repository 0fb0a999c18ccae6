"""Host and node cannot reach each other: what is to run on does, what is to stop stops, and afterwards the truth is told."""
import os
import signal
import time
import unittest

from cluster import OwnCluster, Runner, shared
from island import Island
from process import wait_until


# fault: partition
class Partition(OwnCluster):
    NAME = "part"
    HOST = {"network": {"host_bind_ip": "0.0.0.0"},
            "timing": {"heartbeat_interval": 1, "heartbeat_timeout_factor": 2, "lost_after": 5, "cleanup_check_interval": 1, "lease": 4}}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.island = Island("part")
        cls.runner.stop()
        cls.host.wait_offline(cls.node)
        cls.host.cli("riverbox", "node", "rm", cls.node, check=True)
        cls.runner = Runner(cls.host, shared().runner_engine, "island", island=cls.island)

    @classmethod
    def tearDownClass(cls):
        cls.island.heal()
        super().tearDownClass()

    def submit(self, command="sleep 300", **fields):
        task = self.host.submit(command, container_name=self.environment, required_cores=0, **fields)
        self.addCleanup(lambda: self.host.http("POST", f"/kill/{task}"))
        return task

    def runs(self, task):
        found = [c for c in shared().runner_engine.containers() if f"/hakuriver-task-{task}" in c["Names"]]
        return bool(found) and found[0]["State"] == "running"

    def wait_gone(self, task, seconds=15):
        wait_until(lambda: not self.runs(task), seconds, f"the container of {task} to end")

    def test_stop_ends_keep_runs_on_and_the_truth_is_told_when_the_network_is_back(self):
        stops = self.submit("trap 'echo asked; exit 7' TERM; sleep 300 & wait", on_partition="stop")
        again, keeps, ends = self.submit(on_partition="stop", retries=1), self.submit(), self.submit("sleep 4; echo done")
        for task in (stops, again, keeps, ends):
            self.host.wait_task(task, ("running",))
        self.assertEqual([self.host.status(t)["on_partition"] for t in (stops, keeps)], ["stop", "keep"])
        self.island.cut()  # shorter than the lease: nothing happens
        time.sleep(0.3)
        self.island.heal()
        time.sleep(2)
        self.assertTrue(self.runs(stops))
        self.island.cut()
        try:
            start = time.monotonic()
            self.wait_gone(stops)
            self.assertGreater(time.monotonic() - start, 2.5, "not before the lease was over")
            self.wait_gone(again)
            self.assertTrue(self.runs(keeps))
            self.host.wait_task(keeps, ("lost",), 20)
            self.assertEqual(self.host.status(stops)["status"], "running", "what stops by itself is not called lost before it surely has")
        finally:
            self.island.heal()
        done = self.host.wait_task(stops, ("stopped",), 30)
        self.assertIn("could not reach the host for", done["error_message"])
        self.assertEqual(done["exit_code"], 7)
        self.assertEqual(self.host.client("logs", stops).out, "asked\n")
        self.host.wait_task(keeps, ("running",), 30)
        self.assertEqual(self.host.wait_task(ends, ("completed",), 30)["exit_code"], 0)
        self.assertEqual(self.host.wait_task(again, ("running",), 30)["attempt"], 2)
        self.assertIn("stopped", self.host.status(again)["error_message"])

    def test_a_host_that_is_frozen_calls_nobody_lost(self):
        stops, keeps = self.submit(on_partition="stop"), self.submit(retries=1)
        for task in (stops, keeps):
            self.host.wait_task(task, ("running",))
        os.kill(self.host.process.pid, signal.SIGSTOP)
        try:
            self.wait_gone(stops)
            time.sleep(5)
        finally:
            os.kill(self.host.process.pid, signal.SIGCONT)
        self.assertEqual(self.host.wait_task(stops, ("stopped",), 30)["status"], "stopped")
        time.sleep(2)
        kept = self.host.status(keeps)
        self.assertEqual((kept["status"], kept["attempt"]), ("running", 1))

    def test_wrong_policies_are_refused(self):
        status, _, body = self.host.http("POST", "/submit", {"command": "true", "container_name": self.environment, "on_partition": "panic"})
        self.assertEqual(status, 400, body)
        refused = self.host.client("--container", self.environment, "--on-partition", "panic", "--", "true")
        self.assertEqual(refused.code, 64, refused)
        task = self.host.client("--container", self.environment, "--cores", "0", "--on-partition", "stop", "--", "sleep 30", check=True).json()["task_ids"][0]
        self.assertEqual(self.host.status(task)["on_partition"], "stop")
        self.host.client("kill", task, check=True)


if __name__ == "__main__":
    unittest.main()
