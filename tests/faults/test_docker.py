"""Docker is killed at every step of a task and of create-tar, says nothing, answers too slowly, breaks off, loses what was just loaded, and its disk is full."""
import os
import subprocess
import sys
import threading
import time
import unittest
from pathlib import Path

import images
from cluster import Host, Runner, bin_dir, shared
from engine import Engine
from process import PATIENCE, wait_until, work_dir

sys.path.insert(0, str(Path(__file__).resolve().parent))
from proxy import Proxy  # noqa: E402


def restart(engine):
    """kill -9, and again half a second later: as systemd does it."""
    engine.kill()

    def again():
        time.sleep(0.5)
        engine.start()
    threading.Thread(target=again, daemon=True).start()


class OwnEngines(unittest.TestCase):
    """Host and runner with Engines of their own behind proxies."""
    NAME = None
    TASKS = True

    @classmethod
    def setUpClass(cls):
        cls.engine = Engine(cls.NAME[:5])
        cls.addClassCleanup(cls.engine.wipe)
        cls.proxy = Proxy(cls.engine, cls.NAME)
        cls.environment = f"{cls.NAME}-env"
        cls.host = Host(shared().host_engine if cls.TASKS else cls.proxy, work_dir() / f"{cls.NAME}-share", name=f"{cls.NAME}-host", docker={"preload": False})
        cls.addClassCleanup(cls.host.stop)
        if cls.TASKS:
            cls.runner = Runner(cls.host, cls.proxy, f"{cls.NAME}-node", runner={"allow_host_tasks": True})
            cls.addClassCleanup(cls.runner.stop)
        else:
            images.busybox(cls.engine)
        cls.host.docker("create-container", "busybox:latest", cls.environment, check=True)
        cls.addClassCleanup(cls.host.docker, "delete-container", cls.environment)
        cls.host.docker("create-tar", cls.environment, check=True)

    def setUp(self):
        self.addCleanup(self.proxy.clear)

    def submit(self, command, **fields):
        task = self.host.submit(command, container_name=self.environment, required_cores=0, **fields)
        self.addCleanup(lambda: self.host.http("POST", f"/kill/{task}"))
        return task

    def containers_of(self, task):
        return [c for c in self.engine.containers() if f"/hakuriver-task-{task}" in c["Names"]]

    def answers(self):
        return wait_until(self.engine._pings, 60, "the Engine to be back", step=0.1)

    def forget(self):
        """The Engine has nothing of the environment: the next task loads it. A runner that has just started has begun no load beforehand, which would be met in place of that one."""
        self.runner.kill()
        self.engine.docker("rmi", "-f", f"hakuriver/{self.environment}:base", check=False)
        self.engine.docker("image", "prune", "-af", check=False)
        self.runner.start()
        self.host.wait_online(self.runner.name)


class Tasks(OwnEngines):
    NAME = "dying"

    # fault: docker-restarts
    def test_killed_at_every_step_of_a_task(self):
        outcomes = []
        for step, pattern, answer in (("load", "POST .*/images/load", "pass"), ("create", "POST .*/containers/create", "pass"), ("start", "POST .*/start", "pass"),
                                      ("logs", "GET .*/logs", "pass"), ("inspect", "GET .*/containers/.*/json", "pass"), ("remove", "DELETE .*/containers/", "pass"),
                                      ("create, its answer lost", "POST .*/containers/create", "lost"), ("start, its answer lost", "POST .*/start", "lost")):
            with self.subTest(step):
                self.forget()
                self.proxy.on(pattern, None if answer == "lost" else lambda: restart(self.engine), answer)
                task = self.submit("echo once >> /shared/ran-$HAKURIVER_TASK_ID; sleep 1; echo out; exit 3", retries=0)
                done = self.host.wait_task(task, seconds=90)
                self.proxy.clear()
                self.assertTrue(self.proxy.met.is_set(), f"no request {pattern}; {done}")
                self.answers()
                ran = self.host.share / f"shared_data/ran-{task}"
                self.assertIn(ran.read_text() if ran.exists() else "", ("", "once\n"), "it ran twice")
                self.assertEqual(done["status"], "failed", done)
                if done["exit_code"] == 3:  # what a task prints while the daemon is away nobody keeps
                    self.assertIn(self.host.client("logs", task).out, ("out\n",) if ran.exists() and step not in ("logs", "inspect") else ("out\n", ""))
                else:
                    self.assertNotEqual(done["error_message"], "", done)
                outcomes.append(f"{step}: {'ended by itself' if done['exit_code'] == 3 else done['error_message'][:60]}")
                if not wait_until(lambda: not self.containers_of(task), 5, raising=False):
                    self.forget()  # what could not be removed goes with the next look at what is left over, of the next runner at the latest
                wait_until(lambda: not self.containers_of(task), 30, "its container to go")
                after = self.submit("exit 0")
                self.assertEqual(self.host.wait_task(after)["status"], "completed", "the next one")
        print("(" + "; ".join(outcomes) + ")", flush=True)

    # fault: docker-pruned
    def test_everything_is_pruned_between_load_and_create(self):
        self.forget()
        self.proxy.on("POST .*/containers/create", lambda: self.engine.docker("system", "prune", "-af"))
        task = self.submit("echo fine")
        done = self.host.wait_task(task)
        self.assertTrue(self.proxy.met.is_set())
        self.assertEqual(done["status"], "completed", done)
        self.assertEqual(self.host.client("logs", task).out, "fine\n")

    # fault: docker-silent
    def test_it_accepts_and_never_answers(self):
        """What was asked for can be given up, and everything else goes on."""
        for pattern in ("POST .*/images/load", "POST .*/containers/create", "POST .*/start"):
            with self.subTest(pattern):
                self.forget()
                self.proxy.on(pattern, answer="silent")
                task = self.submit("echo never")
                self.assertTrue(self.proxy.met.wait(20 * PATIENCE), f"no request {pattern}; {self.host.status(task)}")
                time.sleep(1)
                other = self.host.submit("exit 4", container_name="NULL", required_cores=0)
                self.assertEqual(self.host.wait_task(other)["exit_code"], 4, "a task that needs no Docker")
                self.assertEqual(self.host.nodes()[self.runner.name]["status"], "online")
                self.host.client("kill", task, check=True)
                self.assertEqual(self.host.wait_task(task)["status"], "killed")
                self.assertEqual(self.host.wait_task(self.submit("exit 0"))["status"], "completed", "the next one")
                self.runner.kill()  # which would wait for two minutes; the next one need not
                self.runner.start()
                wait_until(lambda: not self.containers_of(task), 60, "its container to go")

    # fault: docker-silent
    def test_its_answer_breaks_off_or_comes_byte_by_byte(self):
        for pattern, answer in (("POST .*/images/load", 90), ("POST .*/containers/create", 30), ("GET .*/images/.*/json", 200), ("GET .*/logs", 150), ("POST .*/wait", 100), ("GET .*/images/", "drip")):
            with self.subTest(pattern, answer=answer):
                self.forget()
                self.proxy.on(pattern, answer=answer)
                task = self.submit("sleep 0.5; echo out; exit 3", retries=0)
                time.sleep(2)
                self.assertEqual(self.host.nodes()[self.runner.name]["status"], "online")
                if answer == "drip":
                    self.host.client("kill", task, check=True)
                done = self.host.wait_task(task, seconds=90)
                self.proxy.clear()
                self.assertTrue(done["exit_code"] == 3 or done["error_message"] or done["status"] == "killed", done)
                if done["exit_code"] == 3:
                    self.assertEqual(self.host.client("logs", task).out, "out\n", "output that breaks off is read on")
                done = self.host.wait_task(self.submit("exit 0"), seconds=90)
                if answer == "drip" and done["status"] == "failed":  # it has waited for the same answer
                    self.assertIn("did not answer within", done["error_message"])
                    done = self.host.wait_task(self.submit("exit 0"), seconds=90)
                self.assertEqual(done["status"], "completed", ("the next one", done))

    # fault: shell-dies
    def test_a_task_is_paused_and_removed_by_somebody_else(self):
        task = self.submit("echo begun; sleep 300")
        self.host.wait_task(task, ("running",))
        container = wait_until(lambda: self.containers_of(task), 10, "its container")[0]["Id"]
        self.engine.api("POST", f"/containers/{container}/pause")
        time.sleep(1)
        self.assertIn(self.host.status(task)["status"], ("running", "paused"))
        self.engine.api("DELETE", f"/containers/{container}?force=1")
        done = self.host.wait_task(task)
        self.assertEqual(done["status"], "failed", done)
        self.assertIn("removed", done["error_message"])


class Publishing(OwnEngines):
    NAME, TASKS = "dypub", False

    # fault: docker-restarts
    def test_killed_at_every_step_of_create_tar(self):
        outcomes = []
        for number, (step, pattern, answer) in enumerate((("stop", "POST .*/stop", "pass"), ("commit", "POST .*/commit", "pass"), ("commit, its answer lost", "POST .*/commit", "lost"),
                                                          ("renewal", "POST .*/containers/create", "pass"), ("rename", "POST .*/rename", "pass"), ("start", "POST .*/start", "pass"),
                                                          ("removal", "DELETE .*/containers/", "pass"))):
            with self.subTest(step):
                self.answers()
                wait_until(lambda: (c := self.engine.container(self.environment)) and c["State"]["Running"], 60, "the container to run", step=0.2)
                self.host.shell(self.environment, f"echo {number} >> /root/numbers\n", check=True)
                before = self.host.tars_of(self.environment)
                self.proxy.on(pattern, None if answer == "lost" else lambda: restart(self.engine), answer)
                result = self.host.docker("create-tar", self.environment, timeout=200)
                self.proxy.clear()
                self.answers()
                after = self.host.tars_of(self.environment)
                if result.code:
                    self.assertEqual(after, before, step)
                    self.assertNotEqual(result.err, "")
                outcomes.append(f"{step}: {'made' if result.code == 0 else 'refused'}")
                self.assertEqual([p.name for p in self.host.tars.glob(".riverbox-*.part")], [], step)
                self.host.kill()  # the next host puts right what was cut short
                self.host.start()
                if result.code == 0:  # nothing was: then the container is as Docker's restart has left it
                    self.host.docker("start-container", self.environment)
                wait_until(lambda: (c := self.engine.container(self.environment)) and c["State"]["Running"], 60, f"{step}: the container to run again", step=0.2)
                self.assertEqual(self.host.shell(self.environment, "cat /root/numbers\n").out.split(), [str(n) for n in range(number + 1)], step)
        print("(" + "; ".join(outcomes) + ")", flush=True)
        self.host.docker("create-tar", self.environment, check=True)
        wait_until(lambda: len(self.engine.containers(f"hakuriver.environment={self.environment}")) == 1, 60, "one container")

    # fault: shell-dies
    def test_a_shell_ends_cleanly_whatever_happens_to_it(self):
        container = lambda: self.engine.container(self.environment)["Id"]
        for name, happens in (("its process is killed", lambda: self.engine.docker("exec", container(), "sh", "-c", "kill -9 $(cat /tmp/pid)")),
                              ("the container is paused, then killed", lambda: (self.engine.api("POST", f"/containers/{container()}/pause"), time.sleep(1), self.engine.api("POST", f"/containers/{container()}/unpause"),
                                                                                self.engine.api("POST", f"/containers/{container()}/kill"))),
                              ("the daemon is killed", lambda: (self.engine.kill(), self.engine.start()))):
            with self.subTest(name):
                shell = subprocess.Popen([bin_dir() / "hakuriver.docker-shell", self.environment], env=self.host.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                shell.stdin.write(b"echo $$ > /tmp/pid; echo begun\n")
                shell.stdin.flush()
                self.assertEqual(shell.stdout.readline(), b"begun\n")
                happens()
                out, err = shell.communicate(timeout=40 * PATIENCE)
                self.assertNotEqual(shell.returncode, 0)
                self.assertLessEqual(err.count(b"\n"), 3, err)
                self.host.docker("start-container", self.environment)
                self.assertEqual(self.host.shell(self.environment, "echo again\n").out, "again\n")


# fault: docker-disk-full
class Full(unittest.TestCase):
    """The Engine of a node keeps its data on a small disk of its own."""

    @classmethod
    def setUpClass(cls):
        disk, cls.data = work_dir() / "small.ext4", work_dir() / "small-data"
        cls.data.mkdir()
        with open(disk, "wb") as file:
            file.truncate(100 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", disk], check=True)
        if subprocess.run(["mount", "-o", "loop", disk, cls.data], capture_output=True).returncode:
            raise unittest.SkipTest("SKIPPED: this machine can mount no loop devices")
        cls.addClassCleanup(subprocess.run, ["umount", "-l", str(cls.data)], stderr=subprocess.DEVNULL)
        cls.engine = Engine("full", ["--data-root", cls.data])
        cls.addClassCleanup(cls.engine.wipe)
        cls.host = Host(shared().host_engine, work_dir() / "docker-full-share", name="docker-full-host", docker={"preload": False})
        cls.addClassCleanup(cls.host.stop)
        cls.runner = Runner(cls.host, cls.engine, "docker-full-node")
        cls.addClassCleanup(cls.runner.stop)
        for name in ("small-env", "large-env"):
            cls.host.docker("create-container", "busybox:latest", name, check=True)
            cls.addClassCleanup(cls.host.docker, "delete-container", name)
        cls.host.shell("large-env", "head -c 150000000 /dev/zero | tr '\\0' x > /root/large\n", check=True, timeout=120)
        for name in ("small-env", "large-env"):
            cls.host.docker("create-tar", name, check=True, timeout=200)

    def free(self):
        stat = os.statvfs(self.data)
        return stat.f_bavail * stat.f_frsize

    def test_what_does_not_fit_is_said_and_everything_else_goes_on(self):
        task = self.host.submit("echo fine; sleep 5; echo fine", container_name="small-env", required_cores=0)
        self.host.wait_task(task, ("running",))
        before = self.free()
        large = self.host.wait_task(self.host.submit("true", container_name="large-env", required_cores=0, retries=0), seconds=120)
        self.assertEqual(large["status"], "failed", large)
        self.assertIn("no space left", large["error_message"].lower())
        self.assertEqual(self.host.wait_task(task)["status"], "completed")
        self.assertEqual(self.host.client("logs", task).out, "fine\nfine\n")
        wait_until(lambda: self.free() > before - (8 << 20), 30, "what was loaded of it to be removed")
        self.assertEqual(self.host.client("--container", "small-env", "--cores", "0", "--wait", "--", "echo again").out, "again\n")


if __name__ == "__main__":
    unittest.main()
