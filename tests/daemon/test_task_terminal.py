"""A terminal in a running task: through the command, and as other clients see it on the wire; and what becomes of it when something ends."""
import base64
import fcntl
import hashlib
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
import unittest

from cluster import OwnCluster, Runner, bin_dir, shared
from process import MEMORY, PATIENCE, wait_until
from websocket import Closed, WebSocket

DATA, ERROR, RESIZE, END, CONSUMED, EXIT, FAILURE, READY = range(8)
OURS = ["riverbox.terminal.v1"]


class OnTerminal:
    """A command on a terminal of its own, to type on and to look at."""

    def __init__(self, argv, env, rows=30, columns=90):
        self.seen, self.status = "", None
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            os.execvpe(str(argv[0]), [str(a) for a in argv], {**env, "TERM": "xterm-256color"})

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        os.kill(self.pid, signal.SIGWINCH)

    def type(self, text):
        os.write(self.fd, text.encode())

    def read(self, seconds):
        """False: it has ended."""
        if not select.select([self.fd], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            return False
        self.seen += data.decode(errors="replace")
        return bool(data)

    def wait(self, pattern, seconds=15, type=None):
        """Until something that was shown after the last wait is like it. `type`: typed every second, for what may be asked too early."""
        limit, next_time = time.monotonic() + seconds * PATIENCE, 0
        while not (found := re.search(pattern, self.seen)):
            if type and time.monotonic() > next_time:
                self.type(type)
                next_time = time.monotonic() + 1
            if not self.read(0.1) or time.monotonic() > limit:
                raise AssertionError(f"no {pattern!r} in {self.seen!r}")
        self.seen = self.seen[found.end():]
        return found

    def end(self, seconds=20):
        """Its exit status."""
        if self.status is None:
            limit = time.monotonic() + seconds * PATIENCE
            while self.read(0.1):
                if time.monotonic() > limit:
                    self.kill()
                    raise AssertionError(f"it does not end: {self.seen!r}")
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            os.close(self.fd)
        return self.status

    def kill(self):
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            os.close(self.fd)


class TerminalCase(OwnCluster):
    def running_task(self, command="sleep 1000", **fields):
        task = self.host.submit(command, **{"container_name": self.environment, "required_cores": 0, "targets": [self.node], **fields})
        self.addCleanup(lambda: self.host.http("POST", f"/kill/{task}"))
        self.host.wait_task(task, ("running",))
        return task

    def container(self, task):
        return f"hakuriver-task-{task}"

    def inside(self, task):
        return shared().runner_engine.processes_in(self.container(task))

    def wait_inside(self, task, what, there=True):
        wait_until(lambda: any(what in p for p in self.inside(task)) == there, 15, f"{what} to be {'there' if there else 'gone'}", step=0.1)

    def shell(self, task, script, name="riverbox", **options):
        argv = (name, "task") if name == "riverbox" else (name,)
        return self.host.cli(*argv, "shell", task, input=script.encode() if isinstance(script, str) else script, **options)

    def on_terminal(self, task, *options, **size):
        opened = OnTerminal([bin_dir() / "riverbox", "task", "shell", *options, task], self.host.env, **size)
        self.addCleanup(opened.kill)
        return opened

    def prompt(self, opened):
        opened.wait(r"[#$] (\x1b\[6n)?$")  # it may ask where the cursor is
        return opened

    def socket(self, task, subprotocols=OURS, query="", token=None):
        opened = WebSocket(self.host.port, f"/api/tasks/{task}/terminal{query}", {"Authorization": f"Bearer {token or self.host.token}"}, subprotocols, timeout=30 * PATIENCE)
        self.addCleanup(opened.sock.close)
        return opened

    def refusal(self, task, **options):
        """(text, close code) of a terminal that is refused, in our dialect."""
        opened = self.socket(task, **options)
        failure = opened.receive()
        self.assertEqual(failure[0], FAILURE, failure)
        with self.assertRaises(Closed) as closed:
            opened.receive()
        return failure[1:].decode(), closed.exception.code


class Shells(TerminalCase):
    NAME = "taskterm"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.task = cls.host.submit("sleep 3000", container_name=cls.environment, required_cores=0, targets=[cls.node], working_dir="/tmp", env_vars={"COLOUR": "blue"})
        cls.host.wait_task(cls.task, ("running",))

    @classmethod
    def tearDownClass(cls):
        cls.host.http("POST", f"/kill/{cls.task}")
        super().tearDownClass()

    def test_on_a_terminal(self):
        shell = self.prompt(self.on_terminal(self.task))
        shell.type("echo $((40 + 2)) $COLOUR $HAKURIVER_TASK_ID $PWD; stty size\r")
        shell.wait(rf"42 blue {self.task} /tmp\r\n30 90\r\n")
        shell.resize(41, 120)
        shell.wait("41 120\r\n", type="stty size\r")
        shell.type("\x03")
        shell.type("exit 7\r")
        self.assertEqual(shell.end(), 7)
        self.assertEqual(self.host.status(self.task)["status"], "running")

    def test_detaching_ends_the_shell_and_not_the_task(self):
        shell = self.prompt(self.on_terminal(self.task, "--detach-keys", "ctrl-x,q"))
        shell.type("sleep 54321\r")
        self.wait_inside(self.task, "54321")
        shell.type("\x18q")
        self.assertEqual(shell.end(), 0)
        self.wait_inside(self.task, "54321", there=False)
        self.assertEqual(self.host.status(self.task)["status"], "running")

    def test_piped(self):
        for name in ("riverbox", "hakuriver.task"):
            result = self.shell(self.task, "echo out; echo err >&2; stty size 2>/dev/null || echo none; exit 3\n", name)
            self.assertEqual((result.code, result.out, result.err), (3, "out\nnone\n", "err\n"), result)

    def test_no_byte_is_lost(self):
        sent = os.urandom(2_000_000)
        result = self.shell(self.task, b"base64 -d > /tmp/blob <<'END'\n" + base64.encodebytes(sent) + b"END\nsha256sum /tmp/blob\n")
        self.assertIn(hashlib.sha256(sent).hexdigest(), result.out)
        result = self.shell(self.task, "yes riverbox | head -c 50000000\n", text=False)
        self.assertEqual((result.code, len(result.out)), (0, 50_000_000), result.err)
        self.assertEqual(hashlib.sha256(result.out).hexdigest(), hashlib.sha256((b"riverbox\n" * 5_555_556)[:50_000_000]).hexdigest())

    # fault: reader-stops
    def test_who_does_not_read_fills_no_memory(self):
        before = [p.process.rss_mb() for p in (self.host, self.runner)]
        opened = self.socket(self.task, subprotocols=())  # a classic client, which knows no window
        opened.send_json({"type": "resize", "rows": 24, "cols": 80})
        opened.send_json({"type": "input", "data": "yes 0123456789012345678901234567890123456789\r"})
        for _ in range(10):
            opened.receive()
        time.sleep(3)
        for program, mb in zip((self.host, self.runner), before):
            self.assertLess(program.process.rss_mb(), mb + 60 * MEMORY)
        opened.drop()
        self.wait_inside(self.task, "yes 0123", there=False)

    def test_two_at_once(self):
        first, second = self.prompt(self.on_terminal(self.task)), self.prompt(self.on_terminal(self.task))
        first.type("WHO=first; echo $WHO > /tmp/said\r")
        second.type("WHO=second; until test -e /tmp/said; do sleep 0.1; done; echo \"$(cat /tmp/said) and $WHO\"\r")
        second.wait("first and second")
        second.type("exit 2\r")
        self.assertEqual(second.end(), 2)
        first.type("echo still $WHO\r")
        first.wait("still first")
        first.type("exit 1\r")
        self.assertEqual(first.end(), 1)

    def test_the_dialect_of_kohakuriver(self):
        opened = self.socket(self.task, subprotocols=())
        self.assertEqual(opened.subprotocol, "")
        opened.send_json({"type": "resize", "rows": 33, "cols": 77})
        self.assertEqual(opened.receive_json(), {"type": "output", "data": ""})
        opened.send_json({"type": "input", "data": "stty size; exit\r"})
        shown = ""
        with self.assertRaises(Closed) as closed:
            while True:
                shown += opened.receive_json()["data"]
        self.assertIn("33 77", shown)
        self.assertEqual(closed.exception.code, 1000)

    def test_a_client_that_does_not_speak_it(self):
        opened = self.socket(self.task)
        self.assertEqual(opened.subprotocol, OURS[0])
        self.assertEqual(opened.receive(), bytes([READY]))
        opened.send_text("what?")
        with self.assertRaises(Closed) as closed:
            while True:
                opened.receive()
        self.assertEqual(closed.exception.code, 1002)

    def test_the_shell_goes_when_the_client_is_killed(self):
        client = subprocess.Popen([bin_dir() / "riverbox", "task", "shell", self.task], env=self.host.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        client.stdin.write(b"sleep 12321\n")
        client.stdin.flush()
        self.wait_inside(self.task, "12321")
        client.kill()
        client.communicate()
        self.wait_inside(self.task, "12321", there=False)

    def test_completion(self):
        self.assertIn("shell", self.host.cli("riverbox", "__complete", "task", "sh").out.splitlines())
        self.assertIn(self.task, self.host.cli("riverbox", "__complete", "task", "shell", "").out.splitlines())

    # fault: terminal-cut
    def test_it_ends_with_the_task(self):
        task = self.running_task("trap 'exit 0' TERM; while :; do sleep 0.1; done")
        shells = [self.prompt(self.on_terminal(task)) for _ in range(2)]
        self.host.http("POST", f"/kill/{task}")
        for shell in shells:
            status = shell.end()
            self.assertIn(status, (1, 137), shell.seen)
            if status == 1:
                self.assertIn(f"task {task} has ended", shell.seen)

    # ---- refusals

    def test_whose_task_it_is(self):
        alice, bob, olga = (self.host.cli("riverbox", "token", "create", name, "--role", role, check=True).out.strip()
                            for name, role in (("alice", "user"), ("bob", "user"), ("olga", "operator")))
        status, _, answer = self.host.http("POST", "/api/submit", {"command": "sleep 1000", "container_name": self.environment, "required_cores": 0, "targets": [self.node]}, token=alice)
        self.assertEqual(status, 202, answer)
        task = answer["task_ids"][0]
        self.addCleanup(lambda: self.host.http("POST", f"/kill/{task}"))
        self.host.wait_task(task, ("running",))
        text, code = self.refusal(task, token=bob)
        self.assertEqual((text, code), (self.refusal("1", token=bob)[0].replace("Task 1 ", f"Task {task} "), 1008), "as one that is not there")
        self.assertIn(f"Task {task} not found", text)
        for token, there in ((alice, True), (bob, False), (olga, True)):
            result = self.shell(task, "echo here\n", env={"RIVERBOX_TOKEN": token})
            self.assertEqual((result.code, result.out), (0, "here\n") if there else (1, ""), result)
        lines = [json.loads(line) for line in self.host.log().splitlines() if '"audit"' in line]
        self.assertIn(("olga", f"GET /api/tasks/{task}/terminal"), [(line.get("user"), line["message"]) for line in lines])

    def test_a_task_that_does_not_run(self):
        task = self.running_task()
        follower = self.host.submit("true", container_name=self.environment, required_cores=0, after=[task])
        self.host.cli("riverbox", "task", "pause", task, check=True)
        wait_until(lambda: self.host.status(task)["status"] == "paused", 10, "the pause")
        for which, said in ((task, f"riverbox task resume {task}"), (follower, "not running (status: pending)")):
            text, code = self.refusal(which)
            self.assertIn(said, text)
            self.assertEqual(code, 1008)
        result = self.shell(task, "true\n")
        self.assertEqual((result.code, result.out), (1, ""), result)
        self.assertIn("is paused", result.err)
        self.host.cli("riverbox", "task", "resume", task, check=True)
        self.assertEqual(self.shell(task, "echo again\n").out, "again\n")
        self.host.cli("riverbox", "task", "kill", task, check=True)
        self.host.wait_task(task)
        self.assertIn("not running (status: killed)", self.refusal(task)[0])

    def test_what_is_no_task(self):
        for wrong in ("1", "nonsense"):
            self.assertEqual(self.refusal(wrong)[1], 1008)
        self.assertEqual(self.host.cli("riverbox", "task", "shell", "nonsense").code, 64)
        self.assertEqual(self.host.cli("riverbox", "task", "shell", "--detach-keys", "nonsense-key", self.task).code, 64)

    def test_a_task_without_a_container(self):
        bare = Runner(self.host, shared().runner_engine, "taskterm-bare", runner={"allow_host_tasks": True})
        self.addCleanup(bare.stop)
        task = self.running_task(container_name="NULL", targets=[bare.name])
        text, code = self.refusal(task)
        self.assertIn(f"task {task} has no container", text)
        self.assertEqual(code, 1008)

    def test_a_runner_that_is_too_old_and_one_that_does_not_answer(self):
        for terminals, said, expected in ((False, "too old", 1008), (True, "does not answer", 1011)):
            with self.subTest(said):
                name = f"taskterm-{terminals}".lower()
                link = WebSocket(self.host.port, "/api/runner/link", {"Authorization": f"Bearer {self.host.token}"}, ["riverbox.link.v1"], timeout=30 * PATIENCE)
                self.addCleanup(link.sock.close)
                link.send_json({"type": "hello", "protocol": 1, "node": name, "version": "0.0.1", "cores": 1, "memory_bytes": 1 << 30, "attempts": [], **({"terminals": True} if terminals else {})})
                link.send_json({"type": "synced"})
                task = self.host.submit("true", container_name=self.environment, required_cores=0, targets=[name])
                while (message := link.receive_json())["type"] != "dispatch":
                    pass
                spec = message["task"]
                link.send_json({"type": "report", "sequence": 1, "report": {"id": task, "attempt": spec["attempt"], "epoch": spec["epoch"], "state": "running", "message": ""}})
                self.host.wait_task(task, ("running",))
                link.send_json({"type": "heartbeat", "sent": 1})
                text, code = self.refusal(task, query="?session=main")
                self.assertIn("too old to share a terminal" if terminals else said, text)
                self.assertEqual((code, self.host.http("GET", f"/api/tasks/{task}/sessions")[0]), (1008, 409))
                opened = self.socket(task, query="?rows=9&cols=8&tty=0&env.TERM=dumb&env.LD_PRELOAD=x")
                if terminals:
                    while (message := link.receive_json())["type"] != "open_terminal":
                        pass
                    self.assertEqual({k: v for k, v in message.items() if k != "stream"}, {"type": "open_terminal", "task_id": task, "attempt": 1, "dialect": "riverbox",
                                     "tty": False, "rows": 9, "cols": 8, "env": {"TERM": "dumb"}})
                failure = opened.receive()
                self.assertEqual(failure[0], FAILURE)
                self.assertIn(said, failure[1:].decode())
                self.assertIn(name, failure[1:].decode())
                with self.assertRaises(Closed) as closed:
                    opened.receive()
                self.assertEqual(closed.exception.code, expected)
                link.close()
                self.host.wait_offline(name)
                self.host.cli("riverbox", "node", "rm", name, "--force", check=True)


# fault: terminal-cut
class Ends(TerminalCase):
    """Of the programs between the client and the shell."""
    NAME = "taskends"

    def setUp(self):
        for program in (self.host, self.runner):  # where a test before this one has failed half-way
            if not program.process.running():
                program.start()
        self.host.wait_online(self.node)

    def test_the_runner_is_killed(self):
        task = self.running_task()
        shell = self.prompt(self.on_terminal(task))
        self.runner.kill()
        self.assertEqual(shell.end(), 1, shell.seen)
        self.assertIn(f"connection to node {self.node} was lost", shell.seen)
        self.host.wait_offline(self.node)
        text, code = self.refusal(task)
        self.assertIn(f"its node {self.node} is offline", text)
        self.assertEqual(code, 1011)
        self.runner.start()
        self.host.wait_online(self.node)
        self.assertEqual(self.shell(task, "echo back\n").out, "back\n")
        self.assertEqual(self.host.status(task)["status"], "running")

    def test_the_runner_is_stopped(self):
        task = self.running_task()
        shell = self.prompt(self.on_terminal(task))
        shell.type("sleep 23432\r")
        self.wait_inside(task, "23432")
        self.assertEqual(self.runner.stop(), 0)
        self.assertEqual(shell.end(), 1, shell.seen)
        self.assertIn("the runner stops", shell.seen)
        self.assertFalse([p for p in self.inside(task) if "23432" in p], "it does not leave its shells behind")
        self.runner.start()
        self.host.wait_online(self.node)
        self.host.wait_task(task, ("running",))

    def test_the_host_is_killed(self):
        task = self.running_task()
        shell = self.prompt(self.on_terminal(task))
        shell.type("sleep 34543\r")
        self.wait_inside(task, "34543")
        self.host.kill()
        self.assertEqual(shell.end(), 69, shell.seen)
        self.assertIn("lost", shell.seen)
        self.wait_inside(task, "34543", there=False)
        self.host.start()
        self.host.wait_online(self.node)
        self.assertEqual(self.shell(task, "echo back\n").out, "back\n")

    def test_its_container_is_removed(self):
        task = self.running_task()
        shell = self.prompt(self.on_terminal(task))
        shared().runner_engine.docker("rm", "-f", self.container(task))
        self.assertIn(shell.end(), (1, 137), shell.seen)
        self.assertEqual(self.host.wait_task(task)["status"], "failed")


if __name__ == "__main__":
    unittest.main()
