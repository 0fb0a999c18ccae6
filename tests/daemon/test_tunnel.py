"""tunnel-client in a real container, as any of its users. Its other end is spoken here, by hand: docs/tunnel-protocol.md, from the bytes up."""
import os
import socket
import struct
import subprocess
import unittest

import images
from engine import Engine
from process import PATIENCE, binary, children, is_alive, wait_until, work_dir

CONNECT, CONNECTED, DATA, CLOSE, ERROR, PING, PONG = range(1, 8)
HELLO, WINDOW, EOF, LISTEN, LISTENING, UNLISTEN, ACCEPT = range(16, 23)
WINDOW_BYTES = 256 << 10

# An echo over TCP and one over UDP, on ports that are printed; they run in the container's network.
SERVERS = """
import socket, threading
def echo(c):
    while d := c.recv(65536): c.sendall(d)
    c.sendall(b'.'); c.close()
def tcp(s):
    while True: threading.Thread(target=echo, args=(s.accept()[0],), daemon=True).start()
t, u = socket.create_server(('127.0.0.1', 0)), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.bind(('127.0.0.1', 0))
threading.Thread(target=tcp, args=(t,), daemon=True).start()
print(t.getsockname()[1], u.getsockname()[1], flush=True)
while True: u.sendto(*u.recvfrom(65536))
"""


class Peer:
    """The runner's end of one connection."""

    def __init__(self, connection):
        self.connection, self.kept = connection, []
        connection.settimeout(20 * PATIENCE)
        self.say(HELLO, 0, struct.pack(">HHII", 1, 0, WINDOW_BYTES, 1024))
        kind, _, _, payload = self.hear()
        assert kind == HELLO, kind
        self.version, _, self.window, self.streams = struct.unpack(">HHII", payload[:12])

    def say(self, kind, number=0, payload=b"", port=0, proto=0):
        self.connection.sendall(struct.pack(">IBBIH", 8 + len(payload), kind, proto, number, port) + payload)

    def read(self, size):
        data = b""
        while len(data) < size:
            piece = self.connection.recv(size - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data

    def hear(self):
        """(type, id, port, payload)"""
        size, = struct.unpack(">I", self.read(4))
        kind, _, number, port = struct.unpack(">BBIH", self.read(8))
        return kind, number, port, self.read(size - 8)

    def wait(self, number, *kinds):
        """The next message of a stream that is of one of these types; others are kept back."""
        for at, message in enumerate(self.kept):
            if message[1] == number and message[0] in kinds:
                return self.kept.pop(at)
        while True:
            message = self.hear()
            if message[1] == number and message[0] in kinds:
                return message
            self.kept.append(message)

    def collect(self, number, size):
        data = b""
        while len(data) < size:
            piece = self.wait(number, DATA)[3]
            self.say(WINDOW, number, struct.pack(">I", len(piece)))
            data += piece
        return data


class Tunnel(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.engine = Engine("tun")
        images.busybox(cls.engine)
        cls.folder = work_dir() / "tunnel"
        cls.folder.mkdir()
        cls.listener = socket.socket(socket.AF_UNIX)
        cls.listener.bind(str(cls.folder / "tunnel.sock"))
        (cls.folder / "tunnel.sock").chmod(0o666)
        cls.listener.listen()
        cls.listener.settimeout(30 * PATIENCE)
        # The loop is what a restart policy would be: the client is killed below.
        cls.engine.docker("run", "-d", "--name", "vps", "--user", "65534", "-v", f"{cls.folder}:/run/riverbox:ro", "-v", f"{binary()}:/usr/local/bin/tunnel-client:ro", "busybox:latest",
                          "sh", "-c", "while :; do /usr/local/bin/tunnel-client; done")
        cls.pid = cls.engine.inspected("/containers/vps/json")["State"]["Pid"]
        cls.servers = subprocess.Popen(["nsenter", "-t", str(cls.pid), "-n", "python3", "-c", SERVERS], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        cls.tcp, cls.udp = map(int, cls.servers.stdout.readline().split())
        cls.peer = Peer(cls.listener.accept()[0])

    @classmethod
    def tearDownClass(cls):
        cls.servers.kill()
        cls.servers.wait()
        cls.listener.close()

    def client(self):
        """Its process, a child of the loop."""
        pid, = children(self.pid)
        return pid

    def test_a_hello(self):
        self.assertEqual((self.peer.version, self.peer.window, self.peer.streams), (1, WINDOW_BYTES, 1024))

    def test_b_tcp_with_half_close(self):
        data = os.urandom(100000)
        self.peer.say(CONNECT, 1, port=self.tcp)
        self.peer.wait(1, CONNECTED)
        for at in range(0, len(data), 50000):
            self.peer.say(DATA, 1, data[at:at + 50000])
        self.peer.say(EOF, 1)
        self.assertEqual(self.peer.collect(1, len(data) + 1), data + b".")
        self.peer.wait(1, EOF)

    def test_c_no_more_than_the_window(self):
        """What nobody has made room for is not sent, and others are not held up by it."""
        data = os.urandom(WINDOW_BYTES)
        self.peer.say(CONNECT, 2, port=self.tcp)
        self.peer.wait(2, CONNECTED)
        for at in range(0, len(data), 65536):
            self.peer.say(DATA, 2, data[at:at + 65536])
        got = b""
        while len(got) < WINDOW_BYTES:
            got += self.peer.wait(2, DATA)[3]
        self.peer.wait(2, WINDOW)
        self.peer.say(DATA, 2, b"more")
        self.peer.say(CONNECT, 3, port=self.tcp)
        self.peer.wait(3, CONNECTED)
        self.peer.say(DATA, 3, b"other")
        self.assertEqual(self.peer.wait(3, DATA)[3], b"other")
        self.assertEqual([m for m in self.peer.kept if m[0] == DATA], [])
        self.peer.say(WINDOW, 2, struct.pack(">I", 4))
        self.assertEqual((got, self.peer.wait(2, DATA)[3]), (data, b"more"))
        for number in (2, 3):
            self.peer.say(CLOSE, number)

    def test_d_udp(self):
        self.peer.say(CONNECT, 4, port=self.udp, proto=1)
        self.peer.wait(4, CONNECTED)
        for datagram in (b"one", b"", os.urandom(30000)):
            self.peer.say(DATA, 4, datagram, proto=1)
            self.assertEqual(self.peer.wait(4, DATA)[3], datagram)

    def test_e_refused(self):
        self.peer.say(CONNECT, 5, port=1)
        self.assertEqual(self.peer.wait(5, ERROR)[3], b"connection refused: nothing listens on port 1 of 127.0.0.1 or ::1 in the container")

    def test_f_listen(self):
        self.peer.say(LISTEN, 6)
        port = self.peer.wait(6, LISTENING)[2]
        caller = subprocess.Popen(["nsenter", "-t", str(self.pid), "-n", "python3", "-c",
                                   f"import socket; s = socket.create_connection(('127.0.0.1', {port})); s.sendall(b'hello'); print(s.recv(100))"], stdout=subprocess.PIPE, text=True)
        _, number, _, listener = self.peer.wait(0x80000001, ACCEPT)
        self.assertEqual(listener, struct.pack(">I", 6))
        self.peer.say(CONNECTED, number)
        self.assertEqual(self.peer.wait(number, DATA)[3], b"hello")
        self.peer.say(DATA, number, b"you")
        self.assertEqual(caller.communicate(timeout=20 * PATIENCE)[0], "b'you'\n")

    def test_g_small_when_idle(self):
        pid = self.client()
        private = next(int(line.split()[1]) for line in open(f"/proc/{pid}/status") if line.startswith("RssAnon"))
        self.assertLess(private, 2048 * PATIENCE, "KiB")

    def test_h_killed_and_back(self):
        pid = self.client()
        os.kill(pid, 9)
        with self.assertRaises((EOFError, ConnectionResetError)):
            while True:
                self.peer.hear()
        type(self).peer = Peer(self.listener.accept()[0])
        self.peer.say(CONNECT, 1, port=self.tcp)
        self.peer.wait(1, CONNECTED)

    def test_i_the_runner_starts_again(self):
        """A new socket in the folder that is mounted: found without anybody's help."""
        self.peer.connection.close()
        self.listener.close()
        path = self.folder / "tunnel.sock"
        path.unlink()
        type(self).listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        path.chmod(0o666)
        self.listener.listen()
        self.listener.settimeout(30 * PATIENCE)
        type(self).peer = Peer(self.listener.accept()[0])
        self.peer.say(PING, 0, b"there?")
        self.assertEqual(self.peer.wait(0, PONG)[3], b"there?")

    def test_j_sigterm(self):
        pid = self.client()
        os.kill(pid, 15)
        wait_until(lambda: not is_alive(pid), 10 * PATIENCE, "the end of the tunnel-client")
