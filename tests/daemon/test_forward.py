"""riverbox forward: ports of tasks and VPSs on this machine, and back, with real sockets."""
import hashlib
import json
import os
import random
import socket
import struct
import subprocess
import threading
import time
import unittest

from cluster import OwnCluster, bin_dir
from process import PATIENCE, Process, children, end, free_port, wait_until, work_dir
from websocket import WebSocket

CONNECT, CONNECTED, DATA, CLOSE, ERROR = range(1, 6)
HELLO, WINDOW, EOF, LISTEN, LISTENING, UNLISTEN = range(16, 22)

# What listens in the container's network: an echo, what tells the hash of all that came once it has ended, one page, and an echo of UDP. (busybox's nc drops connections that come at once.)
SERVERS = """
import hashlib, socket, threading
def echo(c):
    while d := c.recv(65536): c.sendall(d)
def tell(c):
    h = hashlib.sha256()
    while d := c.recv(65536): h.update(d)
    c.sendall(h.hexdigest().encode())
def page(c):
    c.recv(65536)
    c.sendall(b'HTTP/1.0 200 OK\\r\\n\\r\\nhello')
def one(serve, c):
    try: serve(c)
    except OSError: pass
    c.close()
def listen(port, serve):
    s = socket.create_server(('127.0.0.1', port), backlog=1024)
    while True: threading.Thread(target=one, args=(serve, s.accept()[0]), daemon=True).start()
for port, serve in ((7000, echo), (7001, tell), (8080, page)): threading.Thread(target=listen, args=(port, serve), daemon=True).start()
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.bind(('127.0.0.1', 7002))
print('ready', flush=True)
while True: u.sendto(*u.recvfrom(65536))
"""


class Forward(OwnCluster):
    NAME = "fwd"
    server = None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.made = json.loads(cls.host.cli("riverbox", "vps", "create", "--json", "--container", cls.environment, "--cores", "0", "--name", "box", "--ssh", "disabled", check=True).out)["task_id"]
        wait_until(lambda: cls.host.status(cls.made)["status"] == "running", 20, "the VPS to run")
        cls.serve()

    @classmethod
    def serve(cls):
        """Servers that live as long as the container does."""
        wait_until(lambda: cls.runner.engine.docker("inspect", "-f", "{{.State.Status}}", f"hakuriver-vps-{cls.made}") == "running", 20, "the container to run")
        pid = cls.runner.engine.docker("inspect", "-f", "{{.State.Pid}}", f"hakuriver-vps-{cls.made}")
        if cls.server:
            cls.server.end()
        cls.server = Process(["nsenter", "-t", pid, "-n", "python3", "-c", SERVERS], work_dir() / f"fwd-servers-{pid}")
        wait_until(lambda: "ready" in cls.server.output(), 20, "the servers")

    @classmethod
    def tearDownClass(cls):
        cls.server.end()
        cls.host.cli("riverbox", "vps", "rm", "--force", "box")
        super().tearDownClass()

    @classmethod
    def inside(cls, name, script):
        return cls.host.cli("riverbox", "vps", "connect", name, input=script.encode()).out

    def forward(self, *argv, env=None):
        """A running `riverbox forward`, once it listens; its process has `.ports`, by what they lead to."""
        log = work_dir() / f"forward-{random.getrandbits(40):x}"
        process = Process([bin_dir() / "riverbox", "forward", *map(str, argv)], log, env={**self.host.env, **(env or {})})
        self.addCleanup(process.end)
        wanted = sum(1 for a in map(str, argv[1:]) if a.replace(":", "").isdigit())

        def told():
            lines = [line for line in process.output().splitlines() if " -> port " in line]
            return lines if len(lines) >= wanted or not process.running() else None
        try:
            process.lines = wait_until(told, 20, "forward to listen")
        except AssertionError:
            raise AssertionError(process.output()) from None
        process.ports = {line.split(" -> port ")[1].split()[0]: int(line.split(" -> ")[0].rsplit(":", 1)[1]) for line in process.lines if line[0].isdigit() or line.startswith(("127", "UDP"))}
        return process

    def connect(self, port):
        """To where something listens behind it: the way may not be up in the first moment."""
        connection = socket.create_connection(("127.0.0.1", port), timeout=20 * PATIENCE)
        self.addCleanup(connection.close)
        return connection

    def ask(self, port, data):
        """All that comes back for `data` and its end."""
        connection = self.connect(port)

        def send():
            try:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # the reader sees it as well
        sender = threading.Thread(target=send)
        sender.start()
        back = b""
        while piece := connection.recv(1 << 16):
            back += piece
        sender.join()
        connection.close()
        return back

    def until_up(self, port, data=b"x", expect=b"x"):
        def tried():
            try:
                return self.ask(port, data) == expect
            except OSError:
                return False
        wait_until(tried, 20, f"the way to be up: {expect[:30]}")

    def test_bytes_half_close_and_several_ports(self):
        process = self.forward("box", "0:7000", "0:7001", "0:8080")
        self.until_up(process.ports["7000"])
        data = os.urandom(5 << 20)
        self.assertEqual(self.ask(process.ports["7001"], data).decode(), hashlib.sha256(data).hexdigest())
        page = subprocess.run(["curl", "-sS", f"http://127.0.0.1:{process.ports['8080']}/"], capture_output=True, text=True)
        self.assertEqual((page.stdout, page.returncode), ("hello", 0), page)

    def test_two_users_of_the_same_port_and_many_streams(self):
        """Each byte comes back to whom it belongs."""
        ways = [self.forward("box", "0:7000") for _ in range(2)]
        for way in ways:
            self.until_up(way.ports["7000"])
        wrong = list(range(40))  # all, until they have been right to the end

        def talk(index):
            connection = self.connect(ways[index % 2].ports["7000"])
            for turn in range(20):
                said = f"{index}:{turn};".encode() * 50
                connection.sendall(said)
                heard = b""
                while len(heard) < len(said):
                    heard += connection.recv(65536) or b"!" * len(said)
                if heard != said:
                    return
            wrong.remove(index)
        threads = [threading.Thread(target=talk, args=(i,)) for i in range(40)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        self.assertEqual(wrong, [])

    def test_a_slow_stream_stops_no_other(self):
        process = self.forward("box", "0:7000")
        self.until_up(process.ports["7000"])
        slow = self.connect(process.ports["7000"])
        slow.settimeout(0.5)
        sent = 0
        try:
            while sent < 64 << 20:
                sent += slow.send(b"z" * 65536)  # and nothing is read of what comes back
        except TimeoutError:
            pass
        self.assertLess(sent, 32 << 20, "somebody keeps all of it")
        self.assertEqual(self.ask(process.ports["7000"], b"others go on"), b"others go on")

    def test_udp(self):
        process = self.forward("box", "0:7002", "--proto", "udp")
        port = process.ports["7002"]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.settimeout(1)

            def answered():
                one.sendto(b"one", ("127.0.0.1", port))
                try:
                    return one.recv(100) == b"one"
                except TimeoutError:
                    return False
            wait_until(answered, 20, "an answer")
            one.sendto(b"x" * 60000, ("127.0.0.1", port))
            self.assertEqual(len(one.recv(65536)), 60000)

    def test_back(self):
        mine = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(mine.close)
        process = self.forward("box", "--reverse", f"5432:{mine.getsockname()[1]}")
        self.assertIn(f"port 5432 of box -> port {mine.getsockname()[1]} here", process.output())
        got = []

        def serve():
            connection, _ = mine.accept()
            got.append(connection.recv(100))
            connection.sendall(b"from here\n")
            connection.close()
        thread = threading.Thread(target=serve)
        thread.start()
        self.assertIn("from here", self.inside("box", "echo from there | nc 127.0.0.1 5432\n"))
        thread.join()
        self.assertEqual(got, [b"from there\n"])

    def test_a_task(self):
        task = self.host.submit("nc", arguments=["-ll", "-p", "9000", "-e", "cat"], container_name=self.environment)
        self.addCleanup(lambda: self.host.client("--kill", task))
        self.host.wait_task(task, ("running",))
        process = self.forward(task, "0:9000")
        self.until_up(process.ports["9000"], b"in a task", b"in a task")
        self.host.client("--kill", task)
        self.host.wait_task(task)
        wait_until(lambda: self.reset_by(process.ports["9000"]), 20, "nobody to answer")

    # ---- spoken by hand: docs/tunnel-protocol.md

    def by_hand(self, path, *subprotocols):
        """(say, hear) of a session that has begun."""
        way = WebSocket(self.host.port, path, {"Authorization": f"Bearer {self.host.token}"}, subprotocols, timeout=20 * PATIENCE)
        self.addCleanup(way.drop)
        self.assertEqual(way.receive(), "CONNECTED")

        def say(kind, number=0, payload=b"", port=0):
            way.send_binary(struct.pack(">BBIH", kind, 0, number, port) + payload)

        def hear():
            kind, _, number, port = struct.unpack(">BBIH", (message := way.receive())[:8])
            return kind, number, port, message[8:]
        return say, hear

    def fresh_task(self, port):
        """A task with an echo on `port`, in which no tunnel has been started."""
        task = self.host.submit("nc", arguments=["-ll", "-p", str(port), "-e", "cat"], container_name=self.environment)
        self.addCleanup(lambda: self.host.client("--kill", task))
        self.host.wait_task(task, ("running",))
        return task

    def test_a_classic_client_does_not_wait(self):
        """Its data come before the tunnel is there, and its end right after them."""
        say, hear = self.by_hand(f"/ws/forward/{self.fresh_task(9001)}/9001")
        say(CONNECT, 7, port=9001)
        for piece in (b"at ", b"once"):
            say(DATA, 7, piece)
        self.assertEqual(hear()[:2], (CONNECTED, 7))
        back = b""
        while len(back) < 7:
            kind, number, _, payload = hear()
            self.assertEqual((kind, number), (DATA, 7), payload)
            back += payload
        self.assertEqual(back, b"at once")

    def test_what_is_not_listened_on_any_more(self):
        """A LISTEN that is taken back before there is a tunnel holds no port; neither does one whose session is over."""
        task = self.fresh_task(9002)

        def listening(port):
            return f":{port:04X} 00000000:0000 0A" in self.runner.engine.docker("exec", f"hakuriver-task-{task}", "cat", "/proc/net/tcp")
        say, hear = self.by_hand(f"/api/tasks/{task}/forward", "riverbox.tunnel.v1")
        say(HELLO, 0, struct.pack(">HHII", 1, 0, 1000, 100))
        self.assertEqual(hear()[0], HELLO)
        say(LISTEN, 1, port=9101)
        say(UNLISTEN, 1)
        say(LISTEN, 2, port=9102)
        heard = hear()[:3]
        if heard == (LISTENING, 1, 9101):  # the tunnel was there already: its answer and UNLISTEN have met on the way
            heard = hear()[:3]
        self.assertEqual(heard, (LISTENING, 2, 9102))
        self.assertEqual((listening(9101), listening(9102)), (False, True))
        say(LISTEN, 3, port=9102)
        kind, number, _, why = hear()
        self.assertEqual((kind, number), (ERROR, 3), why)
        say(UNLISTEN, 2)
        say(LISTEN, 4, port=9102)
        self.assertEqual(hear()[:3], (LISTENING, 4, 9102))

    def kill_tunnel(self):
        self.inside("box", "killall -9 tunnel-client\n")

    def kill_container(self):
        self.inside("box", "kill -9 $(pidof riverbox)\n")
        self.serve()

    def kill_runner(self):
        self.runner.kill()
        self.runner.start()
        self.host.wait_online(self.node)

    def kill_host(self):
        self.host.kill()
        self.host.start()
        self.host.wait_online(self.node)

    def test_what_dies_comes_back(self):
        """Killed at random moments with 20 streams open: what is open breaks or goes on, no stream gets another's byte, and what comes after works again."""
        seed = random.getrandbits(32)
        print(f"(seed {seed}) ", end="", flush=True)
        chance = random.Random(seed)
        port = self.forward("box", "0:7000").ports["7000"]
        wrong, rounds, over = [], [0] * 20, threading.Event()

        def talk(index):
            while not over.is_set():
                try:
                    with socket.create_connection(("127.0.0.1", port), timeout=20 * PATIENCE) as connection:
                        for turn in range(1000000):
                            if over.is_set():
                                break
                            said, heard = f"{index}:{turn};".encode() * 20, b""
                            connection.sendall(said)
                            while len(heard) < len(said) and (piece := connection.recv(65536)):
                                heard += piece
                            if not said.startswith(heard):
                                wrong.append((index, turn, heard))
                            if len(heard) < len(said):
                                break
                            rounds[index] += 1
                except OSError:
                    time.sleep(0.05)
        threads = [threading.Thread(target=talk, args=(i,)) for i in range(20)]
        [t.start() for t in threads]
        try:
            for kill in chance.sample([self.kill_tunnel, self.kill_runner, self.kill_host, self.kill_container], 4):
                time.sleep(chance.random())
                kill()
                before = list(rounds)
                wait_until(lambda: all(now > then for now, then in zip(rounds, before)), 30, f"all 20 to go on after {kill.__name__}: {rounds}")
        finally:
            over.set()
            [t.join() for t in threads]
        self.assertEqual(wrong, [])

    def test_it_ends_with_its_vps(self):
        self.host.cli("riverbox", "vps", "create", "--container", self.environment, "--cores", "0", "--name", "brief", "--ssh", "disabled", check=True)
        self.addCleanup(lambda: self.host.cli("riverbox", "vps", "rm", "--force", "brief"))
        wait_until(lambda: json.loads(self.host.cli("riverbox", "vps", "show", "--json", "brief").out)["status"] == "running", 20, "it to run")
        process = self.forward("brief", "0:7000")
        wait_until(lambda: self.host.cli("riverbox", "vps", "rm", "--force", "brief").code == 0, 20, "it to be removed")
        self.runner.kill()  # and with it the connection
        self.runner.start()
        self.host.wait_online(self.node)
        wait_until(lambda: not process.running(), 20, "forward to end")
        self.assertIn("not found", process.output())

    def test_who_may_not(self):
        made = json.loads(self.host.cli("riverbox", "token", "create", "--json", "eve", "--role", "user", check=True).out)
        token = next(v for k, v in made.items() if "token" in k and len(str(v)) > 20)
        done = self.host.cli("riverbox", "forward", self.made, "0:7000", env={"RIVERBOX_TOKEN": token})
        self.assertNotEqual(done.code, 0)
        self.assertIn(f"task {self.made} not found", done.err.lower())

    def test_bad_input(self):
        for words in (["box", "0"], ["box", "65536"], ["box", "x"], ["box"], ["box", "80", "81", "-l", "8"], ["box", "80", "--proto", "sctp"], ["box", "80", "--reverse", "0"], ["box", "1:"]):
            self.assertEqual(self.host.cli("riverbox", "forward", *words).code, 64, words)
        self.assertEqual(self.host.cli("riverbox", "forward", "nobodys", "0:80").code, 1)
        taken = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(taken.close)
        done = self.host.cli("riverbox", "forward", "box", f"{taken.getsockname()[1]}:80")
        self.assertIn("in use", done.err)

    def test_nobody_listens_there(self):
        process = self.forward("box", "0:4444")
        self.assertEqual(wait_until(lambda: self.reset_by(process.ports["4444"]), 20, "a reset"), True)

    def reset_by(self, port):
        try:
            return self.ask(port, b"") == b""
        except ConnectionResetError:
            return True


if __name__ == "__main__":
    unittest.main()
