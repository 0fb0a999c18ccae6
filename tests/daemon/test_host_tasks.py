"""Tasks without a container: commands of the node, which no restart of the runner ends."""
import json
import os
import signal
import time
import unittest
from pathlib import Path

from cluster import Host, Runner, shared
from process import is_alive, wait_until, work_dir


class HostTasks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        engine = shared().runner_engine
        cls.host = Host(shared().host_engine, work_dir() / "bare-share", name="bare-host")
        cls.runner = Runner(cls.host, engine, "bare-node", runner={"allow_host_tasks": True}, docker={"tasks_pids_limit": 200})
        cls.folders = cls.runner.home / "state/host-tasks/bare-node"
        cls.data = cls.host.share / "shared_data"

    @classmethod
    def tearDownClass(cls):
        cls.runner.stop()
        cls.host.stop()

    def submit(self, command, **fields):
        task = self.host.submit(command, container_name="NULL", **{"required_cores": 0, **fields})
        self.addCleanup(lambda: self.host.http("POST", f"/kill/{task}"))
        return task

    def client(self, *args, **options):
        return self.host.client("--container", "NULL", "--cores", "0", *args, **options)

    def output(self, task):
        return (self.host.share / f"task_outputs/{task}.out").read_text()

    def first_line(self, task):
        """Once it is there: what the runner has seen of the output."""
        return wait_until(lambda: (p := self.host.share / f"task_outputs/{task}.out").exists() and "\n" in p.read_text() and p.read_text().splitlines()[0], 10, "a line of output")

    def restart(self, between=lambda: None):
        self.runner.kill()
        between()
        self.runner.start()
        self.host.wait_online(self.runner.name)

    def test_it_runs_on_the_node_and_its_output_goes_where_all_output_goes(self):
        result = self.client("--env", "COLOUR=blue", "--wait", "--", "pwd; echo $COLOUR $HAKURIVER_TASK_ID; echo oops >/dev/stderr; echo again >&2; exit 3")
        self.assertEqual(result.code, 3, result)
        task = self.host.http("GET", "/tasks?limit=1")[2][0]
        self.assertEqual(result.out, f"{self.data}\nblue {task['task_id']}\n")
        self.assertTrue(result.err.startswith("oops\nagain\n"), result.err)
        self.assertEqual((task["status"], task["exit_code"], task["container_name"], task["error_message"]), ("failed", 3, "NULL", "Exit code 3."))
        self.assertTrue(task["started_at"] <= task["completed_at"])
        self.assertEqual(self.output(task["task_id"]), result.out)
        wait_until(lambda: not any(self.folders.iterdir()), 5, "nothing to be left")
        self.assertTrue(self.host.nodes()["bare-node"]["host_tasks"])

    def test_what_is_no_command_says_so(self):
        for command, code, words in (("no-such-program-here", 127, "no-such-program-here"), ("/etc/passwd", 126, "/etc/passwd")):
            done = self.host.wait_task(self.submit(command))
            self.assertEqual((done["status"], done["exit_code"]), ("failed", code), done)
            self.assertIn(words, done["error_message"])

    def test_its_output_is_followed_while_it_runs(self):
        task = self.submit("echo begun; sleep 1; echo done")
        result = self.host.client("logs", "-f", task)
        self.assertEqual((result.code, result.out), (0, "begun\ndone\n"), result)

    def test_a_kill_ends_all_of_it(self):
        task = self.submit("setsid sh -c 'trap \"\" TERM HUP; echo $$; sleep 300' & sleep 0.3; echo $$; wait")
        pids = wait_until(lambda: self.first_line(task) and len(lines := self.output(task).splitlines()) == 2 and [int(p) for p in lines], 10, "two lines")
        self.assertTrue(all(is_alive(p) for p in pids))
        self.host.client("kill", task, check=True)
        self.assertEqual(self.host.wait_task(task)["status"], "killed")
        wait_until(lambda: not any(is_alive(p) for p in pids), 15, "the daemon to end too")

    def test_grace_then_force(self):
        task = self.submit("trap 'echo tidying up; exit 0' TERM; echo ready; while :; do sleep 0.1; done")
        self.first_line(task)
        self.host.client("kill", task, check=True)
        wait_until(lambda: "tidying up" in self.output(task), 5, "it to be asked first")

    # fault: task-unruly
    def test_what_it_leaves_behind_ends_with_it(self):
        task = self.submit("setsid sleep 300 & echo $!")
        done = self.host.wait_task(task)
        self.assertEqual((done["status"], done["exit_code"]), ("completed", 0))
        self.assertFalse(is_alive(int(self.output(task))))

    # fault: pause-restart-kill
    def test_pause_and_resume(self):
        task = self.submit("i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done")
        self.first_line(task)
        self.host.cli("riverbox", "task", "pause", task, check=True)
        self.assertEqual(self.host.status(task)["status"], "paused")
        time.sleep(0.3)  # what was in the pipe
        size = len(self.output(task))
        time.sleep(0.4)
        self.assertEqual(len(self.output(task)), size)
        self.restart()  # it stays paused
        self.host.wait_task(task, ("paused",))
        self.host.cli("riverbox", "task", "resume", task, check=True)
        wait_until(lambda: len(self.output(task)) > size, 5, "it to go on")
        self.host.cli("riverbox", "task", "pause", task, check=True)
        self.host.client("kill", task, check=True)
        self.assertEqual(self.host.wait_task(task)["status"], "killed")
        wait_until(lambda: not any(self.folders.iterdir()), 15, "its end although it was paused")

    def test_a_time_limit(self):
        result = self.client("--time", "1s", "--wait", "--", "echo begun; sleep 60")
        self.assertEqual((result.code, result.out), (143, "begun\n"), result)
        self.assertIn("its time limit of 1 s", result.err)

    # fault: runner-killed
    def test_the_runner_is_killed_while_it_runs(self):
        task = self.submit("echo $$; sleep 2; echo end; exit 5")
        pid = int(self.first_line(task))
        self.restart(between=lambda: self.assertTrue(is_alive(pid)))
        done = self.host.wait_task(task)
        self.assertEqual((done["status"], done["exit_code"], done["attempt"]), ("failed", 5, 1))
        self.assertEqual(self.output(task), f"{pid}\nend\n")

    def test_it_ends_while_the_runner_is_away(self):
        task = self.submit("echo $$; sleep 1; echo end; echo error >&2; exit 6")
        pid = int(self.first_line(task))
        self.restart(between=lambda: (wait_until(lambda: not is_alive(pid), 10, "its end"), time.sleep(1)))
        done = self.host.wait_task(task)
        self.assertEqual((done["status"], done["exit_code"]), ("failed", 6))
        self.assertEqual(self.output(task), f"{pid}\nend\n")
        self.assertEqual((self.host.share / f"task_errors/{task}.err").read_text(), "error\n")

    def test_killed_while_the_runner_is_away(self):
        task = self.submit("echo $$; sleep 300")
        pid = int(self.first_line(task))
        self.restart(between=lambda: self.host.client("kill", task, check=True))
        wait_until(lambda: not is_alive(pid), 15, "its end")
        self.assertEqual(self.host.status(task)["status"], "killed")

    def test_a_supervisor_that_is_killed_is_told(self):
        task = self.submit("echo $PPID $$; sleep 300")
        supervisor, pid = map(int, self.first_line(task).split())
        os.kill(supervisor, signal.SIGKILL)
        done = self.host.wait_task(task)
        self.assertEqual(done["status"], "failed")
        self.assertIn("supervisor", done["error_message"])
        wait_until(lambda: not is_alive(pid), 5, "the command to end with it")

    # fault: node-reboots, place-taken
    def test_after_a_restart_of_the_machine_it_has_failed(self):
        task = self.submit("echo $PPID $$; sleep 300")
        supervisor, _ = map(int, self.first_line(task).split())

        def reboot():
            started = next(self.folders.glob(f"*{task}-1")) / "started.json"
            os.kill(supervisor, signal.SIGKILL)
            started.write_text(started.read_text().replace(Path("/proc/sys/kernel/random/boot_id").read_text().strip(), "another"))

        self.restart(between=reboot)
        done = self.host.wait_task(task)
        self.assertEqual(done["status"], "failed")
        self.assertIn("the machine was restarted", done["error_message"])
        self.assertTrue(self.output(task))

    # fault: task-unruly
    def test_one_that_forks_for_ever_fails_alone(self):
        result = self.client("--wait", "--", "for i in $(seq 400); do sleep 60 & done; echo never")
        if "Its number of processes is not limited" in self.runner.log():
            self.skipTest("no control groups for processes here")
        self.assertNotIn("never", result.out)
        self.assertIn("fork", result.err)

    # fault: task-unruly
    def test_memory_has_a_limit_and_the_kernel_says_so(self):
        eat = "python3 -c 'x = bytearray(300 << 20); print(len(x))'"
        done = self.host.wait_task(self.submit(eat, required_memory_bytes=64 << 20))
        if "is not enforced: there is no control group for memory" in self.runner.log():
            self.skipTest("no control groups for memory here")
        self.assertEqual((done["status"], done["exit_code"]), ("killed_oom", 137), done)
        self.assertEqual(self.host.wait_task(self.submit(eat, required_memory_bytes=900 << 20))["status"], "completed")

    def test_cores_and_numa_nodes(self):
        if not self.host.nodes()["bare-node"]["numa_topology"]:
            self.skipTest("this machine tells of no NUMA nodes")
        task = self.submit("grep -c . /proc/self/numa_maps; echo $HAKURIVER_TARGET_NUMA_NODE; grep Mems_allowed_list /proc/self/status; sleep 300", targets=["bare-node:0"], required_cores=1)
        wait_until(lambda: self.first_line(task) and len(self.output(task).splitlines()) == 3, 10, "three lines")
        self.assertEqual(self.output(task).split()[1:], ["0", "Mems_allowed_list:", "0"])
        groups = json.loads((next(self.folders.glob(f"*{task}-1")) / "started.json").read_text())["groups"]
        if "is not enforced: there is no control group for processor time" not in self.runner.log():
            quotas = [file.read_text().split()[0] for group in groups for file in Path(group).glob("cpu.*") if file.name in ("cpu.max", "cpu.cfs_quota_us")]
            self.assertIn("100000", quotas)
        self.host.client("kill", task, check=True)
        wait_until(lambda: not any(Path(g).exists() for g in groups), 15, "its control groups to be removed")

    def test_as_another_user(self):
        other = Runner(self.host, shared().runner_engine, "bare-nobody", runner={"allow_host_tasks": True}, environment={"runner_user": "nobody"})
        self.addCleanup(other.stop)
        result = self.client("--target", "bare-nobody", "--wait", "--", "id -un; echo $HOME $USER; echo fine >/dev/stderr; touch /root/x || echo no")
        self.assertEqual(result.code, 0, result)
        self.assertEqual(result.out, "nobody\n/nonexistent nobody\nno\n")
        self.assertTrue(result.err.startswith("fine\n"), result.err)
        self.assertEqual(self.client("--target", "bare-nobody", "--wait", "--", "true").code, 0)

    def test_nothing_runs_where_it_is_not_allowed(self):
        other = Runner(self.host, shared().runner_engine, "bare-not")
        self.addCleanup(other.stop)
        refused = self.client("--target", "bare-not", "--", "true")
        self.assertEqual(refused.code, 1, refused)
        self.assertIn("bare-not: Node runs no tasks without a container", refused.err)
        self.assertEqual(self.host.wait_task(self.submit("true"))["assigned_node"], "bare-node")
        self.host.cli("riverbox", "node", "drain", "bare-node", check=True)
        self.addCleanup(lambda: self.host.cli("riverbox", "node", "resume", "bare-node", check=True))
        task = self.submit("true")
        reasons = {r["node"]: r["reason"] for r in self.host.cli("riverbox", "task", "explain", task, check=True).json()["reasons"]}
        self.assertIn("allow_host_tasks", reasons["bare-not"])
        self.assertEqual(reasons["bare-node"], "Node is being drained")

    def test_what_only_a_container_has_is_refused(self):
        for fields, word in (({"privileged": True}, "privileged"), ({"additional_mounts": ["/a:/b"]}, "mounts"), ({"container_name": "NULL@1"}, "version")):
            status, _, body = self.host.http("POST", "/submit", {"command": "true", "container_name": "NULL", **fields})
            self.assertEqual(status, 400, body)
            self.assertIn(word, body["detail"])


if __name__ == "__main__":
    unittest.main()
