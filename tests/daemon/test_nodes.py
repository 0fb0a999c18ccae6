"""Nodes are looked at, emptied, and forgotten."""
import os
import signal
import unittest

from cluster import OwnCluster


class Nodes(OwnCluster):
    NAME = "nodes"

    def command(self, *args, check=True):
        return self.host.cli("riverbox", "node", *args, check=check)

    def submit(self, command="sleep 300", **fields):
        task = self.host.submit(command, container_name=self.environment, **fields)
        self.addCleanup(lambda: self.host.http("POST", f"/kill/{task}"))
        return task

    def drain(self):
        answer = self.command("drain", self.node).json()
        self.addCleanup(lambda: self.command("resume", self.node))
        return answer

    def test_show(self):
        task = self.submit(required_cores=1, required_memory_bytes=64 << 20)
        self.host.wait_task(task, ("running",))
        shown = self.command("show", self.node).json()
        self.assertEqual((shown["hostname"], shown["status"], shown["draining"], shown["cores_in_use"]), (self.node, "online", False, 1))
        self.assertEqual(shown["memory_promised_bytes"], 64 << 20)
        self.assertEqual([t["task_id"] for t in shown["tasks"]], [task])
        self.assertIn(self.environment, shown["environments"])
        people = self.host.tty("riverbox", "node", "show", self.node).out
        for word in (self.node, "online", task, self.environment):
            self.assertIn(word, people)
        ghost = self.command("show", "ghost", check=False)
        self.assertEqual((ghost.code, ghost.out), (1, ""))
        self.assertIn(self.node, ghost.err, "those there are")

    def test_a_node_that_is_drained_starts_nothing_new(self):
        first = self.submit("sleep 3; echo to the end")
        self.host.wait_task(first, ("running",))
        self.assertEqual(self.drain()["running"], 1)
        second = self.submit("true", targets=[self.node])
        self.assertEqual(self.host.status(second)["status"], "pending")
        self.assertEqual(self.host.cli("riverbox", "task", "explain", second, check=True).json()["reasons"], [{"node": self.node, "reason": "Node is being drained"}])
        self.assertIn("draining", self.host.tty("riverbox", "node", "list").out)
        self.host.stop()
        self.host.start()
        self.host.wait_online(self.node)
        self.assertTrue(self.host.nodes()[self.node]["draining"], "also after a restart of the host")
        self.command("drain", self.node, "--wait")
        self.assertEqual(self.host.status(first)["status"], "completed")
        self.assertEqual(self.host.client("logs", first).out, "to the end\n")
        self.assertEqual(self.host.status(second)["status"], "pending")
        self.command("resume", self.node)
        self.assertEqual(self.host.wait_task(second)["status"], "completed")

    def test_a_node_that_is_connected_is_not_removed(self):
        refused = self.command("rm", self.node, check=False)
        self.assertEqual((refused.code, refused.out), (1, ""))
        self.assertIn("connected", refused.err)

    def test_a_node_that_is_gone_is_removed_and_its_tasks_are_given_up(self):
        from cluster import Runner, shared
        runner = Runner(self.host, shared().runner_engine, "nodes-gone")
        self.addCleanup(runner.stop)
        self.host.wait_online("nodes-gone")
        running, waiting = self.submit(targets=["nodes-gone"]), self.submit(targets=["nodes-gone"], required_cores=self.host.nodes()["nodes-gone"]["total_cores"])
        self.host.wait_task(running, ("running",))
        runner.kill()
        self.host.wait_offline("nodes-gone")
        refused = self.command("rm", "nodes-gone", check=False)
        self.assertEqual(refused.code, 1)
        self.assertIn("--force", refused.err)
        self.assertIn("2 unfinished tasks", refused.err)
        self.command("rm", "nodes-gone", "--force")
        self.assertNotIn("nodes-gone", self.host.nodes())
        self.assertEqual({self.host.status(t)["status"] for t in (running,)}, {"lost"})
        self.assertEqual(self.host.status(waiting)["status"], "failed")
        self.assertIn("removed", self.host.status(waiting)["error_message"])
        runner.start()  # it is back, and tells the truth
        self.host.wait_online("nodes-gone")
        self.host.client("kill", running)


class Silent(OwnCluster):
    NAME = "silent"
    HOST = {"timing": {"heartbeat_interval": 1, "heartbeat_timeout_factor": 2, "lost_after": 3, "cleanup_check_interval": 1}}

    def test_what_is_on_a_silent_node_is_lost_until_it_speaks_again(self):
        task = self.host.submit("sleep 300", container_name=self.environment, required_cores=0)
        self.addCleanup(lambda: self.host.http("POST", f"/kill/{task}"))
        self.host.wait_task(task, ("running",))
        pid = self.runner.process.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            lost = self.host.wait_task(task, ("lost",), seconds=20)
            self.assertIn(f"Nothing has been heard of node {self.node}", lost["error_message"])
            self.assertEqual(self.host.nodes()[self.node]["status"], "offline")
        finally:
            os.kill(pid, signal.SIGCONT)
        self.host.wait_task(task, ("running",), seconds=30)
        self.assertEqual(self.host.nodes()[self.node]["status"], "online")
        self.host.client("kill", task, check=True)
        self.assertEqual(self.host.wait_task(task)["status"], "killed")


if __name__ == "__main__":
    unittest.main()
