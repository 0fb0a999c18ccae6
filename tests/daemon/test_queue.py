"""What does not fit waits in a durable queue, says why, and starts when there is room."""
import os
import unittest

from cluster import OwnCluster
from process import wait_until

ALL = os.cpu_count()


class Queue(OwnCluster):
    NAME = "queue"

    def submit(self, command="sleep 300", cores=ALL, **fields):
        task = self.host.submit(command, container_name=self.environment, required_cores=cores, **fields)
        self.addCleanup(lambda: self.host.http("POST", f"/kill/{task}"))
        return task

    def explain(self, task):
        return self.host.cli("riverbox", "task", "explain", task, check=True).json()

    def test_what_does_not_fit_waits_and_starts_when_there_is_room(self):
        first = self.submit()
        self.host.wait_task(first, ("running",))
        second = self.submit("echo it was my turn", targets=[self.node])
        third = self.submit("true")
        self.assertEqual(self.host.status(second)["status"], "pending")
        why = self.explain(second)
        self.assertEqual((why["position"], why["reasons"]), (1, [{"node": self.node, "reason": f"Insufficient available cores (0 of {ALL} free)"}]))
        self.assertEqual(self.explain(third)["position"], 2)
        there = self.explain(first)
        self.assertEqual((there["status"], there["node"]), ("running", self.node))
        self.assertIn(there["placement"], ("It has the environment already.", "It has the most free cores of those that can take it."))
        small = self.submit("true", cores=0)  # takes nothing: it passes them
        self.assertEqual(self.host.wait_task(small)["status"], "completed")
        self.host.client("kill", first, check=True)
        self.assertEqual(self.host.wait_task(second)["status"], "completed")
        self.assertEqual(self.host.client("logs", second).out, "it was my turn\n")
        self.assertEqual(self.host.wait_task(third)["status"], "completed")

    def test_higher_priority_first_and_one_that_is_killed_never_starts(self):
        first = self.submit()
        self.host.wait_task(first, ("running",))
        low, high, killed = self.submit("true"), self.submit("true", priority=10), self.submit("true", priority=20)
        self.host.client("kill", killed, check=True)
        self.host.client("kill", first, check=True)
        done = {task: self.host.wait_task(task) for task in (low, high)}
        self.assertLess(done[high]["started_at"], done[low]["started_at"])
        self.assertEqual(self.host.status(killed)["status"], "killed")
        self.assertIsNone(self.host.status(killed)["started_at"])

    def test_no_wait(self):
        first = self.submit()
        result = self.host.client("--no-wait", "--container", self.environment, "--cores", ALL, "--", "true")
        self.assertEqual((result.code, result.out), (1, ""), result)
        self.assertIn(f"Insufficient available cores (0 of {ALL} free)", result.err)
        self.host.client("kill", first, check=True)

    def test_the_answer_says_who_waits(self):
        first = self.submit()
        answer = self.host.http("POST", "/submit", {"command": "true", "container_name": self.environment, "required_cores": ALL})[2]
        self.addCleanup(lambda: self.host.http("POST", f"/kill/{answer['task_ids'][0]}"))
        self.assertEqual(answer["waiting"], answer["task_ids"])
        self.assertNotIn("assigned_node", answer)
        self.host.client("kill", first, check=True)
        answer = self.host.http("POST", "/submit", {"command": "true", "container_name": self.environment, "required_cores": 0, "targets": [self.node, "ghost"]})[2]
        self.assertNotIn("waiting", answer)

    def test_waiting_with_wait(self):
        first = self.submit("sleep 2")
        result = self.host.client("--wait", "--container", self.environment, "--cores", ALL, "--", "echo", "done")
        self.assertEqual((result.code, result.out), (0, "done\n"), result)
        self.assertEqual(self.host.status(first)["status"], "completed")

    # fault: host-killed
    def test_the_queue_survives_a_host_that_is_killed(self):
        first = self.submit()
        self.host.wait_task(first, ("running",))
        second = self.submit("echo still here")
        self.host.kill()
        self.host.start()
        self.host.wait_online(self.node)
        self.assertEqual(self.host.status(second)["status"], "pending")
        self.host.client("kill", first, check=True)
        self.assertEqual(self.host.wait_task(second)["status"], "completed")

    def test_a_node_that_is_away_is_waited_for(self):
        self.runner.stop()
        wait_until(lambda: self.host.nodes()[self.node]["status"] == "offline", 15, "the node to be offline", step=0.2)
        task = self.submit("true", targets=[self.node])
        self.assertEqual(self.explain(task)["reasons"], [{"node": self.node, "reason": "Node status is offline"}])
        self.runner.start()
        self.assertEqual(self.host.wait_task(task)["status"], "completed")

    def test_tasks_that_follow_others(self):
        first = self.submit("sleep 1", cores=0)
        second = self.submit("echo second", cores=0, after=[first])
        self.assertEqual(self.explain(second)["after"][0]["task_id"], first)
        result = self.host.client("--wait", "--after", second, "--container", self.environment, "--cores", "0", "--", "echo", "third")
        self.assertEqual((result.code, result.out), (0, "third\n"), result)
        order = [self.host.status(t) for t in (first, second)]
        self.assertLessEqual(order[0]["completed_at"], order[1]["started_at"])
        bad = self.submit("sleep 1; exit 3", cores=0)
        never = self.submit("true", cores=0, after=[bad])
        done = self.host.wait_task(never)
        self.assertEqual((done["status"], done["started_at"]), ("failed", None), done)
        self.assertIn(bad, done["error_message"])
        status, _, body = self.host.http("POST", "/submit", {"command": "true", "container_name": self.environment, "after": [bad]})
        self.assertEqual(status, 409, body)

    # fault: dispatch-repeated
    def test_a_repeated_submission_makes_no_second_task(self):
        first = self.submit("true", cores=0, client_id="queue-1")
        self.assertEqual(self.submit("true", cores=0, client_id="queue-1"), first)
        self.host.wait_task(first)
        self.host.kill()
        self.host.start()
        self.assertEqual(self.submit("true", cores=0, client_id="queue-1"), first)
        self.assertNotEqual(self.submit("true", cores=0, client_id="queue-2"), first)

    def test_a_batch_is_taken_whole_or_not_at_all(self):
        one = {"command": "true", "container_name": self.environment, "required_cores": 0}
        before = len(self.host.http("GET", "/tasks?limit=100000")[2])
        for bad, status in (({"command": ""}, 400), ({"priority": "x"}, 400), ({"client_id": "x"}, 400), ({"no_wait": True}, 400), ({"targets": ["ghost"]}, 503), ({"container_name": "ghost-env"}, 404)):
            code, _, body = self.host.http("POST", "/api/submit/batch", {"tasks": [one, {**one, **bad}]})
            self.assertEqual(code, status, (bad, body))
            if status == 400:
                self.assertIn("task 1 of the batch", body["detail"])
        for bad in ({}, {"tasks": []}, {"tasks": {}}, {"tasks": [1]}, {"tasks": [one] * 10001}):
            self.assertEqual(self.host.http("POST", "/api/submit/batch", bad)[0], 400)
        self.assertEqual(len(self.host.http("GET", "/tasks?limit=100000")[2]), before)
        status, _, answer = self.host.http("POST", "/api/submit/batch", {"tasks": [{**one, "command": f"echo {n}"} for n in range(20)], "client_id": "many"})
        self.assertEqual((status, len(answer["task_ids"])), (202, 20), answer)
        self.assertEqual(self.host.http("POST", "/api/submit/batch", {"tasks": [one], "client_id": "many"})[2]["task_ids"], answer["task_ids"])
        for n, task in enumerate(answer["task_ids"]):
            self.assertEqual(self.host.wait_task(task)["status"], "completed")
            self.assertEqual(self.host.client("logs", task).out, f"{n}\n")

    # fault: amounts-odd
    def test_wrong_fields(self):
        for fields in ({"priority": "high"}, {"priority": 5000}, {"priority": 2**64 - 1}, {"priority": -2**63}, {"priority": 0.5}, {"no_wait": "yes"}, {"gpu_count": -1}, {"gpu_count": 1, "targets": [self.node], "required_gpus": [[0]]}):
            status, _, body = self.host.http("POST", "/submit", {"command": "true", "container_name": self.environment, **fields})
            self.assertEqual(status, 400, (fields, body))
        status, _, body = self.host.http("POST", "/submit", {"command": "true", "container_name": self.environment, "gpu_count": 1})
        self.assertEqual(status, 503, body)
        self.assertIn("Not enough GPUs", body["detail"])
        self.assertEqual(self.host.http("GET", "/api/tasks/1/explain")[0], 404)
        self.assertEqual(self.host.client("--gpus", "two", "--container", self.environment, "--", "true").code, 64)


if __name__ == "__main__":
    unittest.main()
