"""Shared terminals, as people see them on real screens: several who watch one shell, one who breaks off and is back, and what becomes of it when something ends."""
import hashlib
import json
import os
import signal
import struct
import sys
import time
import unittest
from pathlib import Path

from cluster import OwnCluster, bin_dir, shared
from process import PATIENCE, children, wait_until
from websocket import Closed, Refused, WebSocket

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "terminal"))
from tmux_pane import Pane  # noqa: E402

DATA, ERROR, RESIZE, END, CONSUMED, EXIT, FAILURE, READY, SCREEN = range(9)
OURS = ["riverbox.terminal.v1"]


class Connected(OwnCluster):
    def setUp(self):
        for program in (self.host, self.runner):  # where a test before this one has failed half-way
            if not program.process.running():
                program.start()
        self.host.wait_online(self.node)

    def box(self, name, token=None):
        status, _, made = self.host.http("POST", "/api/vps/create", {"container_name": self.environment, "required_cores": 0, "name": name}, token=token)
        self.assertEqual(status, 200, made)
        self.addCleanup(lambda: self.host.cli("riverbox", "vps", "rm", "--force", name))
        self.host.wait_task(made["task_id"], ("running",))
        return made["task_id"]

    def pane(self, target, *options, command=("connect",), **size):
        """A screen with `riverbox connect` on it, and how that has ended."""
        told = ["sh", "-c", '"$@"; echo "exit status $?"; exec sleep 1000', "sh"]  # tmux 3.3 loses the end of a program now and then
        pane = Pane([*told, str(bin_dir() / "riverbox"), *command, target, *options], env=self.host.env, **size)
        self.addCleanup(pane.close)
        return pane

    def prompt(self, pane):
        pane.wait(r"[#$] *\Z")
        return pane

    def pid(self, pane):
        """Of the client on that screen."""
        return children(pane.pid())[0]

    def ended(self, pane, status):
        self.assertEqual(pane.wait(r"^exit status (\d+)$", 15)[1], str(status), pane.screen())

    def sessions(self, task, token=None):
        return self.host.http("GET", f"/api/tasks/{task}/sessions", token=token)[2]

    def socket(self, task, query="", token=None, subprotocols=OURS):
        opened = WebSocket(self.host.port, f"/api/tasks/{task}/terminal?rows=24&cols=80&{query}", {"Authorization": f"Bearer {token or self.host.token}"}, subprotocols, timeout=60 * PATIENCE)
        self.addCleanup(opened.sock.close)
        return opened

    def refusal(self, task, query, token=None):
        failure = (opened := self.socket(task, query, token)).receive()
        self.assertEqual(failure[0], FAILURE, failure)
        with self.assertRaises(Closed) as closed:
            opened.receive()
        return failure[1:].decode(), closed.exception.code


class Sharing(Connected):
    NAME = "connect"

    def test_two_see_the_same_and_one_is_back_after_kill_9(self):
        id = self.box("pair")
        first, second = self.prompt(self.pane("pair")), self.pane(id)
        first.line("MINE=42; echo said $((1 + 1))")
        second.wait("^said 2$")
        second.line("echo and $MINE")
        first.wait("^and 42$")
        self.assertEqual(first.settled(), second.settled())
        self.assertEqual([(s["name"], s["clients"]) for s in self.sessions(id)], [("main", 2)])
        os.kill(self.pid(second), signal.SIGKILL)
        wait_until(lambda: self.sessions(id)[0]["clients"] == 1, 10, "the dead one to be missed")
        first.line("echo without you")
        first.wait("^without you$")
        again = self.pane("pair")
        again.wait("^without you$")
        again.wait("^said 2$")
        again.line("echo still $MINE; exit 5")
        for pane in (first, again):
            pane.wait("^still 42$")
            self.ended(pane, 5)
        self.assertEqual(self.sessions(id), [])

    def test_detached_and_back(self):
        id = self.box("later")
        pane = self.prompt(self.pane("later", command=("vps", "connect")))
        pane.line("HERE=yes")
        pane.keys("C-p", "C-q")
        pane.wait("the session goes on. To come back: riverbox connect later")
        self.ended(pane, 0)
        self.assertEqual([(s["name"], s["clients"]) for s in self.sessions(id)], [("main", 0)])
        back = self.pane("later")
        back.line("echo $HERE")
        back.wait("^yes$")

    def test_an_editor_is_drawn_for_who_joins_and_taken_off_the_screen_of_who_leaves(self):
        self.box("editor")
        first = self.prompt(self.pane("editor", rows=20, columns=70))
        first.line("echo underneath; vi /root/text")
        first.wait("^~$")
        first.text("ione of the lines")
        first.keys("Escape")
        first.wait("^one of the lines")
        second = self.pane("editor", rows=20, columns=70)
        second.wait("^one of the lines")
        self.assertEqual(first.settled(), second.settled())
        second.keys("C-p", "C-q")
        self.ended(second, 0)
        self.assertNotIn("one of the lines", "\n".join(second.screen()))

    def test_sizes(self):
        self.box("sizes")
        large, small = self.prompt(self.pane("sizes", rows=40, columns=120)), self.pane("sizes", rows=20, columns=100)
        self.prompt(small)
        large.line("stty size")
        small.wait("^20 100$")
        small.resize(18, 60)
        wait_until(lambda: self.typed(large, "stty size", "^18 60$"), 10, "the new size")
        watcher = self.pane("sizes", "--watch", rows=8, columns=40)
        watcher.wait("18 60")
        small.keys("C-p", "C-q")
        self.ended(small, 0)
        wait_until(lambda: self.typed(large, "stty size", "^40 120$"), 10, "the size of the one who is left")

    def typed(self, pane, line, expected):
        pane.line(line)
        try:
            return pane.wait(expected, 1 / PATIENCE)
        except AssertionError:
            return None

    def test_who_watches_cannot_type(self):
        id = self.box("shown")
        pane = self.prompt(self.pane("shown"))
        watcher = self.pane("shown", "--watch")
        pane.line("echo seen")
        watcher.wait("^seen$")
        watcher.line("echo heard")
        raw = self.socket(id, "session=main&watch=1")
        self.assertEqual(raw.receive()[0], READY)
        raw.send_binary(bytes([DATA]) + b"echo heard\r")
        pane.line("echo end")
        watcher.wait("^end$")
        self.assertNotIn("heard", "\n".join(pane.settled()))
        self.assertEqual([(s["clients"], s["watchers"]) for s in self.sessions(id)], [(3, 2)])
        watcher.keys("C-c")
        self.ended(watcher, 0)

    def test_names_and_refusals(self):
        id = self.box("names")
        pane = self.prompt(self.pane("names", "--session", "logs"))
        pane.line("echo in logs")
        self.prompt(self.pane("names", "--new"))
        self.prompt(self.pane("names", "--new"))
        self.assertEqual(sorted(s["name"] for s in self.sessions(id)), ["logs", "main", "main-2"])
        listed = self.host.cli("riverbox", "connect", "names", "--list", check=True)
        self.assertEqual(sorted(s["name"] for s in json.loads(listed.out)), ["logs", "main", "main-2"])
        self.assertIn("is there already", self.refusal(id, "session=logs&new=1")[0])
        self.assertIn("to watch", self.refusal(id, "session=none&watch=1")[0])
        self.assertIn("is a terminal", self.refusal(id, "session=logs&tty=0")[0])
        self.assertEqual(self.refusal(id, "session=main&resume=0123456789abcdef.0")[1], 1008)
        for query in ("session=a%20b", "session=", "session=main&resume=x"):
            with self.assertRaises(Refused) as refused:
                self.socket(id, query)
            self.assertEqual(refused.exception.status, 400, query)
        for argv in (("--watch",), ("--new",), ("--session", "logs"), ("--watch", "--new"), ("--session", "a b")):
            self.assertIn(self.host.cli("riverbox", "connect", "names", *argv).code, (1, 64), argv)
        self.assertNotEqual(self.host.cli("riverbox", "connect", "nobodys").code, 0)

    def test_piped_it_is_a_shell_of_its_own(self):
        id = self.box("piped")
        for target in ("piped", id):
            done = self.host.cli("riverbox", "connect", target, input=b"echo out; echo err >&2; exit 3\n")
            self.assertEqual((done.code, done.out, done.err), (3, "out\n", "err\n"), done)
        self.assertEqual(self.sessions(id), [])

    def test_in_a_task_and_for_a_client_of_kohakuriver(self):
        task = self.host.submit("sleep 1000", container_name=self.environment, required_cores=0, targets=[self.node])
        self.addCleanup(lambda: self.host.http("POST", f"/kill/{task}"))
        self.host.wait_task(task, ("running",))
        pane = self.prompt(self.pane(task))
        opened = self.socket(task, "session=main", subprotocols=())
        opened.send_json({"type": "resize", "rows": 24, "cols": 80})
        opened.send_json({"type": "input", "data": "echo both of us\r"})
        pane.wait("^both of us$")
        shown = ""
        while "both of us\r\n" not in shown:
            shown += opened.receive_json()["data"]
        self.host.http("POST", f"/kill/{task}")
        self.ended(pane, 1)
        self.assertIn("not running", "\n".join(pane.screen()).replace("\n", ""))

    def test_whose_they_are(self):
        anna, bob = (self.host.cli("riverbox", "token", "create", name, "--role", "user", check=True).out.strip() for name in ("anna", "bob"))
        id = self.box("annas", token=anna)
        self.assertEqual(self.host.http("GET", f"/api/tasks/{id}/sessions", token=anna)[:1], (200,))
        status, _, answer = self.host.http("GET", f"/api/tasks/{id}/sessions", token=bob)
        self.assertEqual((status, answer["detail"]), (404, self.host.http("GET", "/api/tasks/1/sessions", token=bob)[2]["detail"].replace("Task 1 ", f"Task {id} ")))
        for query in ("session=main", "session=main&watch=1"):
            self.assertIn(f"Task {id} not found", self.refusal(id, query, token=bob)[0])
        opened = self.socket(id, "session=main", token=anna)
        self.assertEqual(opened.receive()[0], READY)
        self.host.wait_task(id, ("running",))
        joined = self.socket(id, "session=main&watch=1")  # an operator may
        self.assertEqual(joined.receive()[0], READY)

    def test_who_stands_still_holds_up_nobody(self):
        id = self.box("flood")
        still = self.socket(id, "session=main")  # reads nothing more, and acknowledges nothing
        self.assertEqual(still.receive()[0], READY)
        alone, beside = (self.flood(id, query) for query in ("session=alone", "session=main"))
        print(f"15 MB to one client: {alone:.2f} s alone, {beside:.2f} s beside one that stands still", flush=True)
        self.assertLess(beside, alone * 2 + 3)
        size, skipped = 0, False
        still.sock.settimeout(3)
        try:
            while True:
                message = still.receive()
                size += len(message)
                skipped = skipped or b"MB of output left out" in message
                if message[0] == SCREEN:
                    still.send_binary(bytes([CONSUMED]) + struct.pack(">I", len(message) - 9))
        except TimeoutError:
            pass
        self.assertTrue(skipped, "it is told")
        self.assertLess(size, 3_000_000)

    def flood(self, id, query):
        """Seconds that 50 MB take to one who reads; every byte must come."""
        reader = self.socket(id, query)
        self.assertEqual(reader.receive()[0], READY)
        reader.send_binary(bytes([DATA]) + b"stty -onlcr -echo; printf 'be''gin\\n'; yes riverbox | head -c 15000000; printf 'e''nd\\n'\r")
        shown = bytearray()
        start = time.monotonic()
        while not shown.endswith(b"end\n") and b"end\n" not in shown[-300:]:
            message = reader.receive()
            if message[0] == SCREEN:
                part = message[9:]
                shown += part
                reader.send_binary(bytes([CONSUMED]) + struct.pack(">I", len(part)))
        seconds = time.monotonic() - start
        text = bytes(shown[shown.index(b"begin\n") + 6:shown.rindex(b"end\n")])
        self.assertEqual(len(text), 15_000_000)
        self.assertEqual(hashlib.sha256(text).hexdigest(), hashlib.sha256((b"riverbox\n" * 1_666_667)[:15_000_000]).hexdigest())
        return seconds


class Ends(Connected):
    """Of the programs between the client and the shell, and of the shell."""
    NAME = "connectends"

    def test_the_host_is_killed_and_is_back(self):
        self.box("durable")
        pane = self.prompt(self.pane("durable"))
        pane.line("COUNT=1; echo first")
        pane.wait("^first$")
        before = pane.settled()
        self.host.kill()
        pane.wait("the connection broke")
        pane.line("lost")  # goes nowhere
        self.host.start()
        wait_until(lambda: pane.screen() == before, 30, "the screen to be as it was")
        pane.line("echo still $COUNT")
        pane.wait("^still 1$")
        self.assertNotIn("lost", "\n".join(pane.settled()))
        self.assertEqual("\n".join(pane._tmux("capture-pane", "-p", "-S", "-").split("\n")).count("first\n"), 2, "its line and its echo, once")

    def test_an_editor_is_there_again_after_the_host(self):
        self.box("editing")
        pane = self.prompt(self.pane("editing", rows=20, columns=70))
        pane.line("vi /root/text")
        pane.wait("^~$")
        pane.text("ikept")
        pane.keys("Escape")
        pane.wait("^kept")
        before = pane.settled()
        self.host.kill()
        pane.wait("the connection broke")
        self.host.start()
        wait_until(lambda: pane.screen() == before, 30, "the editor to be drawn again")
        pane.line(":wq")
        self.prompt(pane)
        pane.line("cat /root/text")
        pane.wait("^kept$")

    def test_one_gives_up_while_the_host_is_away(self):
        self.box("patient")
        panes = [self.prompt(self.pane("patient")) for _ in range(2)]
        self.host.kill()
        for pane, keys in zip(panes, (("C-c",), ("C-p", "C-q"))):
            pane.wait("the connection broke")
            pane.keys(*keys)
            self.ended(pane, 0)
            self.assertIn("To come back: riverbox connect patient", "\n".join(pane.screen()))
        self.host.start()
        self.host.wait_online(self.node)

    def test_a_vps_is_stopped(self):
        id = self.box("stopped")
        pane = self.prompt(self.pane("stopped"))
        self.host.cli("riverbox", "vps", "stop", "stopped", check=True)
        self.ended(pane, 1)
        self.assertIn("not running", "".join(pane.screen()))
        self.host.cli("riverbox", "vps", "start", "stopped", check=True)
        self.host.wait_task(id, ("running",))
        self.assertEqual(self.sessions(id), [])
        self.prompt(self.pane("stopped"))

    def test_the_runner_is_started_anew(self):
        id = self.box("anew")
        pane = self.prompt(self.pane("anew"))
        pane.line("sleep 45654")
        wait_until(lambda: self.inside(id, "45654"), 15, "the sleep")
        self.assertEqual(self.runner.stop(), 0)
        self.assertFalse(self.inside(id, "45654"), "it leaves no shell behind")
        pane.wait("the connection broke")
        self.runner.start()
        self.host.wait_online(self.node)
        self.ended(pane, 1)
        self.assertIn("session \"main\" is over", "".join(pane.screen()))

    def inside(self, id, what):
        return [p for p in shared().runner_engine.processes_in(f"hakuriver-vps-{id}") if what in p]


if __name__ == "__main__":
    unittest.main()
