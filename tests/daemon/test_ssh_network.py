"""riverbox ssh-server: forwardings, and clients that are slow, gone, many or no clients at all."""
import os
import re
import signal
import socket
import struct
import subprocess
import threading
import time
import unittest
from pathlib import Path

from process import MEMORY, free_port, wait_until
from ssh import Server, WithServer, sha256


class Echo:
    """A TCP server that sends back what it gets, in upper case."""

    def __init__(self, host="127.0.0.1"):
        self.listener = socket.socket()
        self.listener.bind((host, 0))
        self.listener.listen(50)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    @staticmethod
    def serve(connection):
        while data := connection.recv(65536):
            connection.sendall(data.upper())
        connection.close()


def exchange(port, data, host="127.0.0.1", before=b"", skip=0):
    with socket.create_connection((host, port), timeout=20) as s:
        if before:
            s.sendall(before)
            while skip:
                skip -= len(s.recv(skip))
        sender = threading.Thread(target=lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR)))
        sender.start()
        back = b""
        while piece := s.recv(65536):
            back += piece
        sender.join()
        return back


class Forwardings(WithServer):
    def forwarding(self, *options, port):
        client = subprocess.Popen(self.server.ssh_command("-N", options=("-o", "ExitOnForwardFailure=yes", *options)), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.addCleanup(lambda: (client.kill(), client.wait(), client.stderr.close()))

        def listens():
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", port)) == 0
        wait_until(lambda: listens() or client.poll() is not None, 10, "the forwarding")
        self.assertIsNone(client.poll())
        return client

    def test_local(self):
        echo, port = Echo(), free_port()
        self.forwarding("-L", f"{port}:127.0.0.1:{echo.port}", port=port)
        data = b"x" * (5 << 20)
        self.assertEqual(sha256(exchange(port, data)), sha256(data.upper()))
        threads, results = [], []
        for i in range(20):
            threads.append(threading.Thread(target=lambda i=i: results.append(exchange(port, b"n%d" % i) == b"N%d" % i)))
        [t.start() for t in threads]
        [t.join() for t in threads]
        self.assertEqual(results, [True] * 20)

    def test_local_by_name_and_to_nobody(self):
        echo, port, nobody = Echo(), free_port(), free_port()
        self.forwarding("-L", f"{port}:localhost:{echo.port}", port=port)
        self.assertEqual(exchange(port, b"abc"), b"ABC")
        refused = free_port()
        client = self.forwarding("-L", f"{refused}:127.0.0.1:{nobody}", port=refused)
        self.assertEqual(exchange(refused, b""), b"")
        nowhere = free_port()
        self.forwarding("-L", f"{nowhere}:no-such-host.invalid:80", port=nowhere)
        self.assertEqual(exchange(nowhere, b""), b"")
        self.assertIsNone(client.poll())

    def test_socks(self):
        echo, port = Echo(), free_port()
        self.forwarding("-D", str(port), port=port)
        request = b"\x05\x01\x00"
        with socket.create_connection(("127.0.0.1", port)) as s:
            s.sendall(request)
            self.assertEqual(s.recv(2), b"\x05\x00")
            s.sendall(b"\x05\x01\x00\x03\x09localhost" + struct.pack(">H", echo.port))
            self.assertEqual(s.recv(10)[1], 0)
            s.sendall(b"socks")
            self.assertEqual(s.recv(10), b"SOCKS")

    def test_remote(self):
        echo, port = Echo(), free_port()
        self.forwarding("-R", f"{port}:127.0.0.1:{echo.port}", port=port)
        data = b"r" * (3 << 20)
        self.assertEqual(sha256(exchange(port, data)), sha256(data.upper()))
        with open("/proc/net/tcp") as table:  # the loopback only
            self.assertFalse([line for line in table if f"00000000:{port:04X}" in line])

    def test_remote_stays_on_the_loopback_unless_told_otherwise(self):
        echo, port = Echo(), free_port()
        self.forwarding("-R", f"0.0.0.0:{port}:127.0.0.1:{echo.port}", port=port)
        with open("/proc/net/tcp") as table:
            self.assertFalse([line for line in table if f"00000000:{port:04X}" in line])
        server, port = Server("--forward-anywhere"), free_port()
        client = subprocess.Popen(server.ssh_command("-N", options=("-R", f"0.0.0.0:{port}:127.0.0.1:{echo.port}")), stdin=subprocess.DEVNULL)
        try:
            wait_until(lambda: f"00000000:{port:04X}" in Path("/proc/net/tcp").read_text(), 10, "the forwarding")
        finally:
            client.kill()
            client.wait()
            server.process.end()

    def test_remote_with_a_port_of_its_choice_and_given_back(self):
        echo, control = Echo(), self.folder / "c"
        master = subprocess.Popen(self.server.ssh_command("-N", options=("-M", "-S", str(control))), stdin=subprocess.DEVNULL)
        self.addCleanup(lambda: (master.kill(), master.wait()))
        wait_until(control.exists, 10, "the master")
        options = ("-S", str(control))
        port = int(self.good(self.ssh(options=(*options, "-O", "forward", "-R", f"0:127.0.0.1:{echo.port}"))).stdout)
        self.assertEqual(exchange(port, b"abc"), b"ABC")
        other = free_port()
        self.good(self.ssh(options=(*options, "-O", "forward", "-R", f"{other}:127.0.0.1:{echo.port}")))
        self.assertEqual(exchange(other, b"def"), b"DEF")
        self.good(self.ssh(options=(*options, "-O", "cancel", "-R", f"{other}:127.0.0.1:{echo.port}")))
        with socket.socket() as s:
            wait_until(lambda: s.connect_ex(("127.0.0.1", other)) != 0, 5, "nobody to listen any more")


class Robust(WithServer):
    def test_a_client_that_does_not_read(self):
        client = subprocess.Popen(self.server.ssh_command("echo $PPID; head -c 300000000 /dev/zero"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        try:
            connection = int(client.stdout.readline())
            time.sleep(1)
            os.kill(client.pid, signal.SIGSTOP)
            time.sleep(2)
            peak = int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{connection}/status").read_text())[1]) >> 10
            self.assertLess(peak, 30 * MEMORY)
            self.good(self.ssh("true"))
            os.kill(client.pid, signal.SIGCONT)
            digest = 0
            while piece := client.stdout.read(1 << 20):
                digest += len(piece)
            self.assertEqual(digest, 300000000)
        finally:
            client.kill()
            client.wait()

    def test_a_process_that_does_not_read(self):
        client = subprocess.Popen(self.server.ssh_command("echo $PPID; sleep 3; cat | wc -c"), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        connection = int(client.stdout.readline())
        writer = threading.Thread(target=lambda: (client.stdin.write(b"z" * (60 << 20)), client.stdin.close()))
        writer.start()
        time.sleep(2)
        peak = int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{connection}/status").read_text())[1]) >> 10
        self.assertLess(peak, 30 * MEMORY)
        writer.join()
        self.assertEqual(int(client.stdout.read()), 60 << 20)
        self.assertEqual(client.wait(10), 0)

    def test_kill_9_of_one_leaves_the_others(self):
        clients = [subprocess.Popen(self.server.ssh_command("echo $PPID; exec cat"), stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(3)]
        try:
            connections = [int(client.stdout.readline()) for client in clients]
            for client in clients:
                client.stdin.write(b"x")
                client.stdin.flush()
                self.assertEqual(client.stdout.read(1), b"x")
            os.kill(connections[1], signal.SIGKILL)
            wait_until(lambda: [c.poll() is None for c in clients].count(True) == 2, 10, "one client to end")
            for client in clients:
                if client.poll() is None:
                    client.stdin.write(b"y")
                    client.stdin.close()
                    self.assertEqual(client.stdout.read(), b"y")
                    self.assertEqual(client.wait(10), 0)
            self.good(self.ssh("true"))
        finally:
            for client in clients:
                client.kill()
                client.wait()

    def test_garbage(self):
        for garbage in (b"", b"\n", b"GET / HTTP/1.1\r\n\r\n", os.urandom(100000), b"SSH-2.0-x\r\n" + os.urandom(50000), b"SSH-1.5-x\r\n", b"SSH-2.0-x\r\n\xff\xff\xff\xff" + b"\0" * 100000,
                        b"x" * 1000000, b"SSH-2.0-x\r\n\0\0\0\x0c\x0a\x14" + b"\0" * 10):
            with socket.create_connection(("127.0.0.1", self.server.port), timeout=10) as s:
                try:
                    s.sendall(garbage)
                    s.shutdown(socket.SHUT_WR)
                    while s.recv(65536):
                        pass
                except OSError:
                    pass
        wait_until(lambda: not self.server.connections(), 10, "all of them to be over")
        self.good(self.ssh("true"))

    def test_so_many_connections_and_no_more(self):
        server = Server("--max-connections", "3")
        idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(3)]
        for s in idle:
            self.assertTrue(s.recv(100).startswith(b"SSH-2.0-"))
        client = subprocess.Popen(server.ssh_command("true"), stdin=subprocess.DEVNULL)
        time.sleep(1)
        self.assertIsNone(client.poll())
        self.assertEqual(len(server.connections()), 3)
        idle[0].close()  # then there is room
        self.assertEqual(client.wait(20), 0)
        for s in idle:
            s.close()
        server.process.end()

    def test_connections_outlive_the_server(self):
        server = Server()
        client = subprocess.Popen(server.ssh_command("cat"), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        client.stdin.write(b"x")
        client.stdin.flush()
        self.assertEqual(client.stdout.read(1), b"x")
        self.assertEqual(server.process.end(), 0)
        client.stdin.write(b"y")
        client.stdin.close()
        self.assertEqual(client.stdout.read(), b"y")
        self.assertEqual(client.wait(10), 0)

    def test_a_login_may_not_take_long(self):
        server = Server("--login-grace", "1")
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as s:
            began = time.monotonic()
            while s.recv(1000):
                pass
            self.assertGreater(time.monotonic() - began, 0.8)
        wait_until(lambda: server.said("nobody has logged in in time"), 5, "the log to say so")
        server.process.end()

    def test_a_client_that_has_gone_without_a_word(self):
        server = Server("--keep-alive", "1")
        self.assertEqual(server.ssh("sleep 6; echo there").stdout, b"there\n")  # it answers, so it stays
        client = subprocess.Popen(server.ssh_command("echo ready; sleep 100"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        client.stdout.readline()
        os.kill(client.pid, signal.SIGSTOP)
        try:
            wait_until(lambda: not server.connections(), 15, "the connection to be given up")
            self.assertTrue(server.said("does not answer any more"))
        finally:
            client.kill()
            client.wait()
            server.process.end()

    def test_compression(self):
        self.assertEqual(self.good(self.ssh("cat", input=b"a" * 3000000, options=("-C",))).stdout, b"a" * 3000000)

    def test_keep_alives(self):
        result = self.good(self.ssh("sleep 4; echo there", options=("-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=2")))
        self.assertEqual(result.stdout, b"there\n")


if __name__ == "__main__":
    unittest.main()
