"""What the container of a task is like: its limits, its end, its variables."""
import os
import signal
import socket
import time
import unittest

import images
from cluster import OwnCluster, Runner, shared
from process import PATIENCE, free_port, wait_until, work_dir


class Containers(OwnCluster):
    NAME = "container"

    def client(self, *args, **options):
        return self.host.client("--container", self.environment, "--cores", "0", *args, **options)

    def submit(self, command="sleep 300", **fields):
        task = self.host.submit(command, **{"container_name": self.environment, "required_cores": 0, **fields})
        self.addCleanup(lambda: self.host.http("POST", f"/kill/{task}"))
        return task

    def inspect(self, task, template):
        return shared().runner_engine.docker("inspect", "-f", template, f"hakuriver-task-{task}")

    def test_an_init_a_limit_of_processes_and_the_way_to_stop_it(self):
        task = self.submit(stop_signal="USR1", stop_grace_seconds=77)
        self.host.wait_task(task, ("running",))
        self.assertEqual(self.inspect(task, "{{.HostConfig.Init}} {{.HostConfig.PidsLimit}} {{.Config.StopSignal}} {{.Config.StopTimeout}}"), "true 16384 SIGUSR1 77")
        shown = self.host.status(task)
        self.assertEqual((shown["stop_signal"], shown["stop_grace_seconds"]), ("SIGUSR1", 77))

    def test_the_variables_have_both_names(self):
        out = self.client("--wait", "--", "env").out.splitlines()
        for name in ("TASK_ID", "ATTEMPT", "SHARED_DIR", "LOCAL_TEMP_DIR"):
            values = {line.split("=", 1)[1] for line in out if line.split("=")[0] in (f"HAKURIVER_{name}", f"KOHAKURIVER_{name}")}
            self.assertEqual((len(values), sum(f"HAKURIVER_{name}=" in line for line in out)), (1, 2), out)

    def test_a_name_and_a_folder_to_start_in(self):
        result = self.client("--name", "first try", "--workdir", "/local_temp", "--wait", "--", "pwd")
        self.assertEqual((result.code, result.out), (0, "/local_temp\n"), result)
        task = self.host.http("GET", "/tasks?limit=1")[2][0]
        self.assertEqual((task["name"], task["working_dir"]), ("first try", "/local_temp"))

    # fault: task-unruly
    def test_one_that_forks_for_ever_fails_alone(self):
        runner = Runner(self.host, shared().host_engine, "container-few", docker={"tasks_pids_limit": 20})
        self.addCleanup(runner.stop)
        result = self.client("--target", "container-few", "--wait", "--", "for i in $(seq 60); do sleep 5 & done; echo never")
        self.assertNotIn("never", result.out)
        self.assertIn("esource temporarily unavailable", result.err)

    def test_the_stop_signal_is_what_it_gets(self):
        result = self.client("--time", "1s", "--stop-signal", "INT", "--wait", "--", "trap 'echo interrupted; exit 7' INT; trap '' TERM; while :; do sleep 0.1; done")
        self.assertEqual((result.code, result.out), (7, "interrupted\n"), result)

    # fault: task-unruly
    def test_what_does_not_obey_is_killed_after_its_grace(self):
        task = self.submit("trap '' TERM; while :; do sleep 0.1; done", stop_grace_seconds=1)
        self.host.wait_task(task, ("running",))
        start = time.monotonic()
        self.host.client("kill", task, check=True)
        while shared().runner_engine.docker("ps", "-q", "--filter", f"name=hakuriver-task-{task}"):
            self.assertLess(time.monotonic() - start, 6 * PATIENCE)
            time.sleep(0.1)
        self.assertGreater(time.monotonic() - start, 0.8)

    @unittest.skipIf((os.cpu_count() or 1) < 2, "one CPU cannot be divided")
    def test_exclusive_tasks_have_cpus_of_their_own(self):
        first = self.submit(exclusive=True, required_cores=1)
        self.host.wait_task(first, ("running",))
        own = self.host.status(first)["cpus"]
        self.assertEqual(len(own), 1)
        self.assertEqual(self.inspect(first, "{{.HostConfig.CpusetCpus}}"), str(own[0]))
        self.assertEqual(self.host.http("GET", f"/api/nodes/{self.node}")[2]["exclusive_cpus"], own)
        others = self.submit()  # no cores, not exclusive: off these
        self.host.wait_task(others, ("running",))
        self.assertNotIn(own[0], self.host.status(others)["cpus"])
        self.host.stop()
        self.host.start()
        self.host.wait_online(self.node)
        second = self.client("--exclusive", "--cores", "1", "--wait", "--", "nproc; grep Cpus_allowed_list /proc/self/status")
        self.assertEqual(second.code, 0, second)
        nproc, _, allowed = second.out.split()
        self.assertEqual(nproc, "1")
        self.assertNotEqual(int(allowed), own[0])

    def test_wrong_values(self):
        for fields in ({"stop_signal": "NOW"}, {"stop_signal": 2}, {"stop_grace_seconds": -1}, {"stop_grace_seconds": 10**6}, {"exclusive": 1}, {"exclusive": True, "required_cores": 0}):
            status, _, body = self.host.http("POST", "/submit", {"command": "true", "container_name": self.environment, **fields})
            self.assertEqual(status, 400, (fields, body))
        for args in (("--stop-signal", "NOW"), ("--grace", "10"), ("--exclusive",)):
            self.assertEqual(self.client(*args, "--", "true").code, 64, args)


class RegistryImages(OwnCluster):
    NAME = "pulling"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        c = shared()
        cls.engine, cls.registry = c.runner_engine, c.registry

    def push(self, name, content):
        engine = shared().host_engine
        images.derive(engine, "busybox:latest", f"{name}:made", {"which": content.encode()})
        self.addCleanup(lambda: engine.docker("rmi", "-f", f"{name}:made"))
        reference = self.registry.push(engine, f"{name}:made", f"{name}:tag")
        self.addCleanup(lambda: self.engine.docker("rmi", "-f", reference, check=False))
        return reference

    def client(self, reference, *args):
        return self.host.client("--image", reference, "--cores", "0", "--wait", *args)

    def newest(self):
        return self.host.http("GET", "/api/tasks?limit=1")[2][0]

    def test_it_is_pulled_at_every_start_and_takes_the_place_of_the_environment(self):
        reference = self.push("moving", "first")
        result = self.client(reference, "--container", "no-such-environment", "--", "cat", "/which")
        self.assertEqual((result.code, result.out), (0, "first"), result)
        task = self.newest()
        self.assertEqual((task["registry_image"], task["container_name"], task["tarball"]), (reference, None, None))
        self.assertEqual(task["image_id"], self.engine.docker("image", "inspect", "-f", "{{.Id}}", reference))
        self.push("moving", "second")  # the same tag
        self.assertEqual(self.client(reference, "--", "cat", "/which").out, "second")
        again = self.host.cli("riverbox", "task", "rerun", task["task_id"], "--wait")
        self.assertEqual(again.out, "second", again)

    def test_a_digest_that_is_there_needs_no_registry(self):
        reference = self.push("fixed", "content")
        self.assertEqual(self.client(reference, "--", "true").code, 0)
        digest = self.engine.docker("image", "inspect", "-f", "{{index .RepoDigests 0}}", reference)
        self.registry.process.popen.send_signal(signal.SIGSTOP)
        self.addCleanup(lambda: self.registry.process.popen.send_signal(signal.SIGCONT))
        self.assertEqual(self.client(digest, "--", "cat", "/which").out, "content")

    def test_what_cannot_be_pulled_is_a_failure_that_says_why(self):
        missing = self.client(f"{self.registry.address}/never:made", "--", "true")
        self.assertEqual(missing.code, 1, missing)
        self.assertIn("Check the name and the tag", missing.err)
        away = self.client(f"127.0.0.1:{free_port()}/x:y", "--", "true")
        self.assertEqual(away.code, 1, away)
        self.assertIn("reaches the registry", away.err)
        self.assertEqual(self.newest()["status"], "failed")

    def test_kill_while_it_is_pulled(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the connection and says nothing
            task = self.host.submit("true", registry_image=f"127.0.0.1:{silent.getsockname()[1]}/slow:x", required_cores=0)
            syncing = self.host.wait_task(task, ("syncing",))
            self.assertIn("pulling 127.0.0.1", syncing["error_message"])
            self.host.client("kill", task, check=True)
            wait_until(lambda: any("task ended" in line and task in line for line in self.runner.log().splitlines()), 5, "the end of the pull")
        self.assertEqual(self.host.status(task)["status"], "killed")
        self.assertFalse(self.engine.docker("ps", "-aq", "--filter", f"name=hakuriver-task-{task}"))

    def test_wrong_references(self):
        for reference in ("two words", "sha256:" + "0" * 64, "x:", 7):
            status, _, body = self.host.http("POST", "/submit", {"command": "true", "registry_image": reference})
            self.assertEqual(status, 400, (reference, body))


class WithoutToken(OwnCluster):
    """Nobody has said who he is: what he may ask for is what the configuration lists."""
    NAME = "anybody"

    @classmethod
    def setUpClass(cls):
        cls.data, cls.models, cls.secret = (work_dir() / f"anybody-{name}" for name in ("data", "models", "secret"))
        for folder in (cls.data / "sets", cls.models, cls.secret):
            folder.mkdir(parents=True, exist_ok=True)
        cls.HOST = {"security": {"auth": "none"}, "tasks": {"allowed_mounts": [cls.data, f"{cls.models}:ro"]}}
        super().setUpClass()

    def client(self, *args):
        return self.host.client("--container", self.environment, "--cores", "0", "--wait", *args)

    def test_nothing_is_allowed_but_what_is_listed(self):
        for args, key in ((["--privileged"], "allow_privileged"), (["--mount", "/etc:/x"], "allowed_mounts"),
                          (["--mount", f"{self.data}/../anybody-secret:/x:ro"], "allowed_mounts"), (["--mount", f"{self.data}-not:/x"], "allowed_mounts"),
                          (["--mount", f"{self.models}:/x"], ":/x:ro")):
            result = self.client(*args, "--", "true")
            self.assertEqual(result.code, 77, (args, result))
            self.assertIn(key, result.err)
        batch = {"tasks": [{"command": "true", "container_name": self.environment}, {"command": "true", "container_name": self.environment, "privileged": True}]}
        status, _, body = self.host.http("POST", "/api/submit/batch", batch)
        self.assertEqual(status, 403, body)
        self.assertIn("task 1 of the batch", body["detail"])

    def test_what_is_listed_can_be_mounted(self):
        result = self.client("--mount", f"{self.data}/sets:/sets", "--mount", f"{self.models}:/models:ro", "--", "echo written > /sets/new; ls /models; echo done")
        self.assertEqual((result.code, result.out), (0, "done\n"), result)
        self.assertEqual((self.data / "sets/new").read_text(), "written\n")

    def test_a_link_that_a_task_has_made_leads_nowhere(self):
        made = self.client("--mount", f"{self.data}:/data", "--", f"ln -sfn {self.secret} /data/way-out && ln -sfn {self.models} /data/models")
        self.assertEqual(made.code, 0, made)
        for source in ("way-out", "models"):
            result = self.client("--mount", f"{self.data}/{source}:/x", "--", "true")
            self.assertEqual(result.code, 1, result)
            self.assertIn("which may not be mounted", result.err)


if __name__ == "__main__":
    unittest.main()
