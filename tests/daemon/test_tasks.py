"""Tasks: a runner syncs an environment by itself, runs a command in it, and its output and exit code come back."""
import os
import time
import unittest

from cluster import Host, OwnCluster, Runner, shared
from process import PATIENCE, wait_until, work_dir


class WithEnvironment(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.c = shared()
        cls.host, cls.engine = cls.c.host, cls.c.runner_engine
        cls.host.environment_from("busybox:latest", "task-env")
        if not cls.host.tars_of("task-env"):
            cls.host.docker("create-tar", "task-env", check=True)

    def client(self, *arguments, options=(), **keywords):
        return self.host.client("--target", "node1", "--container", "task-env", "--wait", *options, "--", *arguments, **keywords)


class Running(WithEnvironment):
    def test_output_and_exit_code(self):
        result = self.client("sh", "-c", "echo to stdout; echo to stderr >&2; exit 7")
        self.assertEqual((result.code, result.out), (7, "to stdout\n"), result)
        self.assertIn("to stderr", result.err)

    def test_the_runner_syncs_the_changed_environment_by_itself(self):
        self.host.environment_from("busybox:latest", "sync-env")
        self.addCleanup(lambda: self.host.docker("delete-container", "sync-env"))
        for generation in ("first", "second"):
            self.host.shell("sync-env", f"echo {generation} > /etc/generation\n", check=True)
            self.host.docker("create-tar", "sync-env", check=True)
            result = self.host.client("--target", "node1", "--container", "sync-env", "--wait", "--", "cat", "/etc/generation")
            self.assertEqual((result.code, result.out), (0, generation + "\n"), result)

    # fault: commands-odd
    def test_arguments_arrive_as_they_were_typed(self):
        words = ["a b", "", "$HOME", "*", "'", '"', "é漢", "-n", "--", "new\nline", ";", "&&"]
        result = self.client("sh", "-c", 'for w; do printf "%s|" "$w"; done', "sh", *words)
        self.assertEqual(result.out, "".join(w + "|" for w in words), result)

    def test_a_shell_line_means_what_a_shell_user_expects(self):
        self.assertEqual(self.client("echo a && echo b; echo c").out, "a\nb\nc\n")
        self.assertEqual(self.client("false && echo b; echo c").out, "c\n")
        self.assertEqual(self.client("echo one | tr o 0").out, "0ne\n")
        task = self.host.submit("echo a && echo b; exit 3", targets=["node1"], container_name="task-env")
        done = self.host.wait_task(task)
        self.assertEqual((done["status"], done["exit_code"]), ("failed", 3), done)

    # fault: variables-odd
    def test_environment_variables(self):
        result = self.client("env", options=["--env", "COLOUR=deep blue", "--env", "EMPTY=", "--env", "EQ=a=b", "--cores", "1"])
        lines = result.out.splitlines()
        for line in ("COLOUR=deep blue", "EMPTY=", "EQ=a=b"):
            self.assertIn(line, lines)
        self.assertTrue(any(l.startswith("HAKURIVER_TASK_ID=") for l in lines), result.out)

    def test_mounts(self):
        folder = work_dir() / "extra data"
        folder.mkdir(exist_ok=True)
        (folder / "in.txt").write_text("from outside\n")
        result = self.client("sh", "-c", "cat /data/in.txt && echo back > /data/out.txt && pwd", options=["--mount", f"{folder}:/data"])
        self.assertEqual((result.code, result.out), (0, "from outside\n/shared\n"), result)
        self.assertEqual((folder / "out.txt").read_text(), "back\n")
        read_only = self.client("sh", "-c", "echo x > /data/in.txt", options=["--mount", f"{folder}:/data:ro"])
        self.assertNotEqual(read_only.code, 0)
        self.assertEqual((folder / "in.txt").read_text(), "from outside\n")

    def test_shared_and_local_temp(self):
        self.assertEqual(self.client("sh", "-c", "echo x > /shared/from-task && echo y > /local_temp/f && cat /shared/from-task").code, 0)
        self.assertTrue(list(self.host.share.rglob("from-task")), "what a task writes to /shared is on the share")

    def test_limits(self):
        task = self.host.client("--target", "node1", "--container", "task-env", "--cores", "1", "--memory", "200M", "--",
                                "sleep", "30", check=True).json()["task_ids"][0]
        self.addCleanup(lambda: self.host.client("kill", task))
        self.host.wait_task(task, ("running",))
        container = self.engine.containers(f"hakuriver.task_id={task}")[0]
        limits = self.engine.api("GET", f"/containers/{container['Id']}/json")["HostConfig"]
        self.assertEqual(limits["Memory"], 200_000_000)
        self.assertTrue(limits["NanoCpus"] == 1_000_000_000 or limits["CpuQuota"] == limits["CpuPeriod"] or limits["CpusetCpus"], limits)
        self.assertEqual(limits["Privileged"], False)
        self.assertEqual(container["Labels"]["hakuriver.managed"], "true")
        self.assertEqual(container["Names"], [f"/hakuriver-task-{task}"])

    def test_privileged(self):
        mount = ("sh", "-c", "mkdir -p /mnt && mount -t tmpfs none /mnt && echo mounted")
        self.assertNotEqual(self.client(*mount).code, 0)
        allowed = self.client(*mount, options=["--privileged"])
        self.assertEqual((allowed.code, allowed.out), (0, "mounted\n"), allowed)

    def test_a_command_that_is_not_there(self):
        result = self.client("no-such-program")
        self.assertEqual(result.code, 127, result)
        self.assertIn("no-such-program", result.err)

    def test_killed_by_a_signal(self):
        self.assertEqual(self.client("sh", "-c", "kill -9 $$").code, 137)

    def test_much_output_is_complete(self):
        result = self.client("sh", "-c", "seq 1 200000", timeout=120)
        self.assertEqual(result.code, 0, result.err)
        self.assertEqual(len(result.out), sum(len(str(i)) + 1 for i in range(1, 200001)))
        self.assertTrue(result.out.endswith("199999\n200000\n"))

    def test_output_comes_while_the_task_runs(self):
        import subprocess
        from cluster import bin_dir
        client = subprocess.Popen([bin_dir() / "hakuriver.client", "--target", "node1", "--container", "task-env", "--wait", "--",
                                   "sh", "-c", "echo early; sleep 5; echo late"], env=self.host.env, stdout=subprocess.PIPE, text=True)
        self.assertEqual(client.stdout.readline(), "early\n")
        self.assertIsNone(client.poll(), "the task still runs")
        rest = client.communicate(timeout=30)[0]
        self.assertEqual((client.returncode, rest), (0, "late\n"))

    def test_without_wait_the_id_is_printed(self):
        result = self.host.client("--target", "node1", "--container", "task-env", "--", "echo", "hi", check=True)
        answer = result.json()
        task = answer["task_ids"][0]
        self.assertIsInstance(task, str)
        self.assertEqual(self.host.wait_task(task)["status"], "completed")
        self.assertEqual(self.host.client("logs", task).out, "hi\n")

    def test_the_container_is_removed_afterwards(self):
        task = self.host.submit("true", targets=["node1"], container_name="task-env")
        self.host.wait_task(task)
        wait_until(lambda: not self.engine.containers(f"hakuriver.task_id={task}"), 10, "the task container to go")

    def test_fifty_short_tasks(self):
        ids = [self.host.submit("true", targets=["node1"], container_name="task-env", required_cores=0) for _ in range(50)]
        self.assertEqual(len(set(ids)), 50)
        states = {self.host.wait_task(i, seconds=120)["status"] for i in ids}
        self.assertEqual(states, {"completed"})


class Control(WithEnvironment):
    def start(self, command="sleep 60"):
        task = self.host.submit(command, targets=["node1"], container_name="task-env", required_cores=0)
        self.addCleanup(lambda: self.host.client("kill", task))
        self.host.wait_task(task, ("running",))
        return task

    def test_kill(self):
        task = self.start()
        result = self.host.client("kill", task, check=True)
        self.assertIn(task, result.out)
        self.assertEqual(self.host.wait_task(task)["status"], "killed")
        wait_until(lambda: not self.engine.containers(f"hakuriver.task_id={task}"), 10, "the container to go")
        again = self.host.client("kill", task)
        self.assertEqual(again.code, 1)

    def test_pause_and_resume(self):
        task = self.start("i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done")
        self.assertEqual(self.host.client("command", task, "pause").code, 0)
        self.assertEqual(self.host.wait_task(task, ("paused",))["status"], "paused")
        first = self.host.client("logs", task).out
        time.sleep(0.6)
        self.assertEqual(self.host.client("logs", task).out, first)
        self.assertEqual(self.host.client("command", task, "resume").code, 0)
        self.host.wait_task(task, ("running",))
        wait_until(lambda: len(self.host.client("logs", task).out) > len(first), 10, "output to go on")

    def test_status(self):
        task = self.host.submit("exit 4", targets=["node1"], container_name="task-env")
        self.host.wait_task(task)
        status = self.host.client("status", task, check=True).json()
        self.assertEqual((status["task_id"], status["status"], status["exit_code"], status["assigned_node"]), (task, "failed", 4, "node1"))
        for key in ("batch_id", "command", "arguments", "env_vars", "required_cores", "stdout_path", "stderr_path", "submitted_at",
                    "started_at", "completed_at", "error_message", "target_numa_node_id"):
            self.assertIn(key, status)
        unknown = self.host.client("status", "1")
        self.assertEqual((unknown.code, unknown.out), (1, ""))
        self.assertEqual(self.host.client("status", "not-a-number").code, 64)

    def test_the_output_is_in_files_on_the_share(self):
        task = self.host.submit("echo out; echo err >&2", targets=["node1"], container_name="task-env")
        status = self.host.wait_task(task)
        from pathlib import Path
        read = lambda p: wait_until(lambda: Path(p).exists() and Path(p).read_text(), 5, p)
        self.assertEqual(read(status["stdout_path"]), "out\n")
        self.assertEqual(read(status["stderr_path"]), "err\n")
        self.assertEqual(self.host.http("GET", f"/task/{task}/stdout")[2], "out\n")
        self.assertEqual(self.host.http("GET", f"/api/tasks/{task}/stderr")[2], "err\n")

    def test_nodes_and_health(self):
        nodes = self.host.client("nodes", check=True).json()
        self.assertEqual([(n["hostname"], n["status"]) for n in nodes if n["hostname"] == "node1"], [("node1", "online")])
        self.assertEqual(nodes[0]["total_cores"], os.cpu_count())
        self.assertEqual(self.host.client("health", check=True).code, 0)
        self.assertEqual(self.host.client("health", "node1", check=True).code, 0)
        self.assertEqual(self.host.client("health", "no-such-node").code, 1)

    def test_the_old_flat_flags(self):
        old, new = ([(node["hostname"], sorted(node)) for node in self.host.client(word, check=True).json()] for word in ("--list-nodes", "nodes"))
        self.assertEqual(old, new)  # not the loads: a heartbeat may come between
        task = self.start()
        self.assertEqual(self.host.client("--status", task, check=True).json()["task_id"], task)
        self.assertEqual(self.host.client("--health").code, 0)
        self.assertEqual(self.host.client("--kill", task).code, 0)
        self.assertEqual(self.host.wait_task(task)["status"], "killed")


class Refused(WithEnvironment):
    def test_a_missing_environment_lists_the_existing_ones_and_asks_no_registry(self):
        result = self.host.client("--target", "node1", "--container", "no-such-env", "--wait", "--", "true")
        self.assertNotEqual(result.code, 0)
        self.assertIn("no-such-env", result.err)
        self.assertIn("task-env", result.err, "what there is, is named")
        self.assertFalse([t for t in self.engine.tags() if "no-such-env" in t])

    def test_a_missing_node(self):
        result = self.host.client("--target", "nowhere", "--container", "task-env", "--", "true")
        self.assertEqual((result.code, result.out), (1, ""), result)
        self.assertIn("nowhere", result.err)

    # fault: amounts-odd, variables-odd
    def test_wrong_command_lines(self):
        for wrong in (["--target", "node1", "--container", "task-env", "--"], ["--target", "node1::a", "--", "true"],
                      ["--target", "node1:x", "--", "true"], ["--target", "node1", "--cores", "-1", "--", "true"],
                      ["--target", "node1", "--memory", "lots", "--", "true"], ["--target", "node1", "--env", "NOEQUALS", "--", "true"],
                      ["--target", "node1", "--mount", "nocolon", "--", "true"], ["command", "1", "dance"], ["stauts", "1"]):
            result = self.host.client(*wrong)
            self.assertEqual((result.code, result.out), (64, ""), (wrong, result))
            self.assertTrue(result.err.strip(), wrong)

    def test_more_than_the_node_has(self):
        for options in (["--cores", "100000"], ["--memory", "100000G"]):
            result = self.host.client("--target", "node1", "--container", "task-env", *options, "--", "true")
            self.assertEqual((result.code, result.out), (1, ""), (options, result))
        result = self.host.client("--target", "node1::99", "--container", "task-env", "--", "true")
        self.assertEqual(result.code, 1, result)
        result = self.host.client("--target", "node1:77", "--container", "task-env", "--", "true")
        self.assertEqual(result.code, 1, result)

    def test_a_mount_whose_source_is_missing(self):
        result = self.client("true", options=["--mount", "/nonexistent-folder:/data"])
        self.assertNotEqual(result.code, 0)
        self.assertIn("/nonexistent-folder", result.err)
        self.assertFalse(os.path.exists("/nonexistent-folder"), "Docker must not make it up")


class Restarts(OwnCluster):
    NAME = "restart"

    def submit(self, command):
        return self.host.submit(command, targets=[self.node], container_name=self.environment, required_cores=0)

    # fault: host-killed
    def test_a_task_outlives_a_restart_of_the_host(self):
        task = self.submit("echo before; sleep 4; echo after; exit 5")
        self.host.wait_task(task, ("running",))
        self.host.kill()
        time.sleep(1)
        self.host.start()
        self.host.wait_online(self.node)
        done = self.host.wait_task(task)
        self.assertEqual((done["status"], done["exit_code"]), ("failed", 5), done)
        self.assertEqual(self.host.client("logs", task).out, "before\nafter\n")

    # fault: host-killed
    def test_a_task_that_ends_while_the_host_is_away(self):
        task = self.submit("sleep 1; exit 6")
        self.host.wait_task(task, ("running",))
        self.host.kill()
        time.sleep(2.5)
        self.host.start()
        done = self.host.wait_task(task, seconds=30)
        self.assertEqual((done["status"], done["exit_code"]), ("failed", 6), done)

    # fault: runner-killed
    def test_a_task_outlives_a_restart_of_the_runner(self):
        task = self.submit("echo before; sleep 4; echo after; exit 8")
        self.host.wait_task(task, ("running",))
        self.runner.kill()
        time.sleep(1)
        self.runner.start()
        self.host.wait_online(self.node)
        done = self.host.wait_task(task, seconds=30)
        self.assertEqual((done["status"], done["exit_code"]), ("failed", 8), done)
        self.assertEqual(self.host.client("logs", task).out, "before\nafter\n")

    def test_a_runner_that_is_gone_is_shown_offline(self):
        self.runner.stop()
        self.addCleanup(lambda: self.host.wait_online(self.node))
        self.addCleanup(self.runner.start)
        wait_until(lambda: self.host.nodes()[self.node]["status"] == "offline", 15, "the node to be offline", step=0.2)
        result = self.host.client("--no-wait", "--target", self.node, "--container", self.environment, "--", "true")
        self.assertEqual(result.code, 1)
        self.assertIn(self.node, result.err)

    def test_a_runner_with_a_wrong_token_says_so(self):
        wrong = Runner(self.host, shared().runner_engine, "intruder", token="0" * 64, start=False).start()
        self.addCleanup(wrong.stop)
        wait_until(lambda: "token" in wrong.log().lower(), 10, "a word about the token in the runner's log")
        self.assertNotIn("intruder", self.host.nodes())


class SyncTimeout(unittest.TestCase):
    def test_the_time_limit_is_enforced(self):
        """An Engine whose load takes longer than image_sync_timeout: the task fails with a message about it."""
        c = shared()
        host = Host(c.host_engine, work_dir() / "slow-share", name="slow-host")
        self.addCleanup(host.stop)
        host.docker("create-container", "busybox:latest", "slow-env", check=True)
        self.addCleanup(lambda: host.docker("delete-container", "slow-env"))
        host.shell("slow-env", "head -c 350000000 /dev/urandom > /root/blob\n", check=True, timeout=120)
        host.docker("create-tar", "slow-env", check=True, timeout=180)
        runner = Runner(host, c.runner_engine, "slowpoke", docker={"image_sync_timeout": 1})
        self.addCleanup(runner.stop)
        start = time.monotonic()
        result = host.client("--target", "slowpoke", "--container", "slow-env", "--wait", "--", "true")
        self.assertNotEqual(result.code, 0, result)
        self.assertLess(time.monotonic() - start, 8 * PATIENCE)
        self.assertRegex(result.err, "image_sync_timeout|time")


class Up(unittest.TestCase):
    def test_host_and_runner_in_one_process_without_configuration(self):
        from cluster import bin_dir, environment, run
        from process import Process, free_port
        c = shared()
        home = work_dir() / "up-home"
        home.mkdir()
        env = environment(home, DOCKER_HOST=c.host_engine.host, XDG_STATE_HOME=str(home / "state"))
        port = str(free_port())
        env["RIVERBOX_NETWORK_HOST_PORT"] = port  # 8000 may be somebody else's
        up = Process([bin_dir() / "riverbox", "up"], home / "log", env=env)
        self.addCleanup(up.end)
        call = lambda *a, **k: run([bin_dir() / a[0], *a[1:]], env, **k)
        def online():
            result = call("hakuriver.client", "nodes")
            return result.code == 0 and [n["hostname"] for n in result.json() if n["status"] == "online"]
        node = wait_until(online, 20, "the runner in it", step=0.1)[0]
        self.assertIn("docker-shell", up.output(), "the commands to try next are printed")
        self.assertEqual(call("hakuriver.docker", "create-container", "busybox:latest", "up-env").code, 0)
        self.addCleanup(lambda: call("hakuriver.docker", "delete-container", "up-env"))
        self.assertEqual(call("hakuriver.docker-shell", "up-env", input=b"echo up > /etc/up\n").code, 0)
        self.assertEqual(call("hakuriver.docker", "create-tar", "up-env").code, 0)
        result = call("hakuriver.client", "--target", node, "--container", "up-env", "--wait", "--", "cat", "/etc/up")
        self.assertEqual((result.code, result.out), (0, "up\n"), result)
        self.assertTrue((home / "state/riverbox/shared/hakuriver-containers").is_dir(), list(home.rglob("*")))
        self.assertEqual(up.end(), 0, "SIGTERM ends it cleanly")


if __name__ == "__main__":
    unittest.main()
