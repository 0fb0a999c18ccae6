"""Tasks that are tried again, ended in time, run once more; and commands for several of them."""
import time
import unittest

from cluster import OwnCluster, Runner, shared
from process import PATIENCE

# Fails so many times. What it has counted lies on the share.
FAILS = "n=$(cat /shared/{0} 2>/dev/null || echo 0); echo $((n + 1)) > /shared/{0}; echo try $n; echo error $n >&2; test $n -ge {1}"


class Attempts(OwnCluster):
    NAME = "attempts"

    def submit(self, command="sleep 300", **fields):
        task = self.host.submit(command, container_name=self.environment, required_cores=0, **fields)
        self.addCleanup(lambda: self.host.http("POST", f"/kill/{task}"))
        return task

    def client(self, *args):
        return self.host.client("--container", self.environment, "--cores", "0", *args)

    def test_one_that_fails_is_tried_again_and_nothing_of_its_output_is_lost(self):
        result = self.client("--retry", "3", "--wait", "--", FAILS.format("twice", 2))
        self.assertEqual((result.code, result.out, result.err), (0, "try 0\ntry 1\ntry 2\n", "error 0\nerror 1\nerror 2\n"), result)
        task = self.host.http("GET", "/tasks?limit=1")[2][0]
        self.assertEqual((task["status"], task["attempt"], task["retries"], task["exit_code"]), ("completed", 3, 3, 0))
        outputs = self.host.share / "task_outputs"
        self.assertEqual([(outputs / f"{task['task_id']}{n}.out").read_text() for n in ("", ".2", ".3")], ["try 0\n", "try 1\n", "try 2\n"])
        self.assertEqual(task["stdout_path"], str(outputs / f"{task['task_id']}.3.out"))

    def test_many_attempts_in_a_row_do_not_get_in_each_others_way(self):
        result = self.client("--retry", "12", "--wait", "--", FAILS.format("often", 12))
        self.assertEqual((result.code, result.out), (0, "".join(f"try {n}\n" for n in range(13))), result)

    def test_the_last_attempt_decides(self):
        result = self.client("--retry", "1", "--wait", "--", FAILS.format("always", 99))
        self.assertEqual((result.code, result.out), (1, "try 0\ntry 1\n"), result)
        task = self.host.http("GET", "/tasks?limit=1")[2][0]
        self.assertEqual((task["status"], task["attempt"], task["exit_code"]), ("failed", 2, 1))

    def test_one_that_is_killed_is_not_tried_again(self):
        task = self.submit(retries=5)
        self.host.wait_task(task, ("running",))
        self.host.client("kill", task, check=True)
        time.sleep(1)
        done = self.host.wait_task(task)
        self.assertEqual((done["status"], done["attempt"]), ("killed", 1))

    # fault: attempt-replaced
    def test_one_that_is_lost_runs_on_another_node(self):
        other = Runner(self.host, shared().host_engine, "attempts-other")
        self.addCleanup(other.stop)
        self.host.wait_online("attempts-other")
        self.host.cli("riverbox", "node", "drain", self.node, check=True)
        task = self.submit(retries=1)
        self.assertEqual(self.host.wait_task(task, ("running",))["assigned_node"], "attempts-other")
        other.kill()
        self.host.cli("riverbox", "node", "resume", self.node, check=True)
        self.host.wait_offline("attempts-other")
        self.host.cli("riverbox", "node", "rm", "attempts-other", "--force", check=True)
        again = self.host.wait_task(task, ("running",))
        self.assertEqual((again["assigned_node"], again["attempt"]), (self.node, 2))
        other.start()  # with the old attempt, which must not speak for the new one
        self.host.wait_online("attempts-other")
        time.sleep(1)
        self.assertEqual((self.host.status(task)["status"], self.host.status(task)["assigned_node"]), ("running", self.node))
        self.host.client("kill", task, check=True)

    def test_a_time_limit_ends_it_and_is_no_reason_to_try_again(self):
        start = time.monotonic()
        result = self.client("--time", "2s", "--retry", "3", "--wait", "--", "echo begun; sleep 60")
        self.assertEqual((result.code, result.out), (143, "begun\n"), result)
        self.assertLess(time.monotonic() - start, 12 * PATIENCE)
        self.assertIn("its time limit of 2 s", result.err)
        task = self.host.http("GET", "/tasks?limit=1")[2][0]
        self.assertEqual((task["status"], task["attempt"], task["time_limit_seconds"]), ("failed", 1, 2))
        quick = self.client("--time", "1m", "--wait", "--", "true")
        self.assertEqual(quick.code, 0, quick)

    def test_a_time_limit_counts_from_the_start_also_when_the_runner_was_restarted(self):
        task = self.submit(time_limit_seconds=4)
        started = time.monotonic()
        self.host.wait_task(task, ("running",))
        self.runner.kill()
        self.runner.start()
        done = self.host.wait_task(task)
        self.assertEqual(done["status"], "failed", done)
        self.assertIn("time limit", done["error_message"])
        self.assertLess(time.monotonic() - started, 12 * PATIENCE)

    def test_rerun(self):
        task = self.submit("echo once more", env_vars={"WHO": "me"})
        self.host.wait_task(task)
        result = self.host.cli("riverbox", "task", "rerun", task, "--wait")
        self.assertEqual((result.code, result.out), (0, "once more\n"), result)
        again = self.host.http("GET", "/tasks?limit=1")[2][0]
        self.assertNotEqual(again["task_id"], task)
        self.assertEqual((again["command"], again["env_vars"], again["attempt"]), ("echo once more", {"WHO": "me"}, 1))
        self.assertEqual(self.host.cli("riverbox", "task", "rerun", "1").code, 1)

    def test_watch_tells_each_state(self):
        task = self.submit(FAILS.format("watch", 1), retries=1, time_limit_seconds=60)
        result = self.host.cli("riverbox", "task", "watch", task)
        self.assertEqual(result.code, 0, result)
        self.assertTrue(result.out.splitlines()[-1].startswith(f"completed on {self.node}"), result.out)
        self.assertNotIn("try", result.out.replace("tries", ""))

    # fault: pause-restart-kill
    def test_pause_and_resume(self):
        task = self.submit()
        self.host.wait_task(task, ("running",))
        self.host.cli("riverbox", "task", "pause", task, check=True)
        self.host.wait_task(task, ("paused",))
        self.host.cli("riverbox", "task", "resume", task, check=True)
        self.host.wait_task(task, ("running",))

    def test_a_batch_is_killed_at_once(self):
        answer = self.host.http("POST", "/submit", {"command": "sleep 300", "container_name": self.environment, "required_cores": 0, "targets": [self.node] * 3})[2]
        tasks = answer["task_ids"]
        self.assertEqual(len(tasks), 3)
        self.host.wait_task(tasks[2], ("running",))
        killed = self.host.cli("riverbox", "task", "kill", "--batch", tasks[1], check=True).json()
        self.assertEqual(killed["task_ids"], tasks)
        self.assertEqual({self.host.wait_task(t)["status"] for t in tasks}, {"killed"})
        self.assertEqual(self.host.cli("riverbox", "task", "kill", "--batch", tasks[1]).code, 1)

    # fault: amounts-odd
    def test_wrong_values(self):
        for fields in ({"retries": -1}, {"retries": 5000}, {"time_limit_seconds": "long"}, {"time_limit_seconds": 10**12}):
            status, _, body = self.host.http("POST", "/submit", {"command": "true", "container_name": self.environment, **fields})
            self.assertEqual(status, 400, (fields, body))
        for args in (("--time", "2"), ("--time", "soon"), ("--retry", "x")):
            self.assertEqual(self.client(*args, "--", "true").code, 64, args)


if __name__ == "__main__":
    unittest.main()
