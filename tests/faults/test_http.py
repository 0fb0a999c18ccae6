"""Bytes that no honest client sends: each gets a refusal or a closed connection, nothing hides behind it, and the host goes on serving others. Also clients that are slow, or
say nothing, a thousand of each."""
import base64
import json
import os
import socket
import struct
import threading
import time
import unittest

from cluster import OwnCluster
from process import MEMORY, PATIENCE

CRLF = b"\r\n"


class Raw:
    """One connection, from an address of its own: what is allowed to one peer is not what is looked at here."""
    _next = 0

    def __init__(self, port):
        Raw._next += 1
        self.sock = socket.create_connection(("127.0.0.1", port), 20 * PATIENCE, (f"127.1.{Raw._next // 200 % 200}.{Raw._next % 200 + 1}", 0))

    def send(self, data):
        try:
            self.sock.sendall(data)
        except OSError:  # refused in the middle, and closed
            pass

    def rest(self):
        """All that comes until the other end closes."""
        data = b""
        try:
            while part := self.sock.recv(65536):
                data += part
        except ConnectionError:
            pass
        return data

    def close(self):
        self.sock.close()


def statuses(data):
    """Of the answers that stand one after the other; the bodies have a Content-Length."""
    found = []
    while data.startswith(b"HTTP/1."):
        head, _, data = data.partition(CRLF * 2)
        found.append(int(head.split(b" ")[1]))
        length = next((int(line.split(b":")[1]) for line in head.split(CRLF) if line.lower().startswith(b"content-length:")), 0)
        data = data[length:]
    return found


def frame(first, payload=b"", masked=True):
    """One WebSocket frame; `first` is its first byte."""
    size = len(payload)
    length = bytes([size]) if size < 126 else b"\x7e" + struct.pack(">H", size) if size < 65536 else b"\x7f" + struct.pack(">Q", size)
    if not masked:
        return bytes([first]) + length + payload
    return bytes([first, length[0] | 0x80]) + length[1:] + b"\0\0\0\0" + payload


class Hostile(OwnCluster):
    NAME = "hostile"

    def alive(self, what):
        self.assertEqual(self.host.http("GET", "/api/health", timeout=10 * PATIENCE)[0], 200, f"after {what}")
        self.assertTrue(self.host.process.running(), f"after {what}")

    # fault: http-malformed
    def test_requests(self):
        token = self.host.token.encode()
        host = b"Host: 127.0.0.1:%d\r\nAuthorization: Bearer %s\r\n" % (self.host.port, token)
        post = b"POST /submit HTTP/1.1\r\n" + host
        hidden = b"GET /api/health HTTP/1.1\r\n" + host + CRLF  # whoever answers it, too, was smuggled to
        one_submission = b'{"command": "true"}'
        # name, bytes, the first status (0: closed without a word), whether more may be answered after it
        for name, data, expected, more in (
                ("two framings", post + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden, (400,), False),
                ("two framings, the other way round", post + b"Transfer-Encoding: chunked\r\nContent-Length: 60\r\n\r\n0\r\n\r\n" + hidden, (400,), False),
                ("two lengths", post + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd" + hidden, (400,), False),
                ("a list of lengths", post + b"Content-Length: 3, 4\r\n\r\nabcd" + hidden, (400,), False),
                ("a negative length", post + b"Content-Length: -1\r\n\r\n" + hidden, (400,), False),
                ("a length with a sign", post + b"Content-Length: +3\r\n\r\nabc" + hidden, (400,), False),
                ("a length beyond 64 bits", post + b"Content-Length: 18446744073709551617\r\n\r\na" + hidden, (400, 413), False),
                ("a length in another notation", post + b"Content-Length: 0x10\r\n\r\n" + hidden, (400,), False),
                ("a body beyond the limit", post + b"Content-Length: 999999999\r\n\r\n", (413,), False),
                ("a chunk size beyond 64 bits", post + b"Transfer-Encoding: chunked\r\n\r\n10000000000000001\r\na\r\n" + hidden, (400, 413), False),
                ("a chunk size that is none", post + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + hidden, (400,), False),
                ("a chunk with an endless extension", post + b"Transfer-Encoding: chunked\r\n\r\n3;" + b"x" * 200000, (400,), False),
                ("a chunk that is longer than it says", post + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n" + hidden, (400,), False),
                ("another transfer coding", post + b"Transfer-Encoding: gzip\r\n\r\n" + hidden, (501, 400), False),
                ("chunked twice", post + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" + hidden, (501, 400), False),
                ("chunked, spelt otherwise", post + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + hidden, (501, 400), False),
                ("chunked in HTTP/1.0", b"POST /submit HTTP/1.0\r\n" + host + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden, (501, 400), False),
                ("a folded header", b"GET /api/health HTTP/1.1\r\n" + host + b"X: a\r\n b\r\n\r\n", (200, 400), True),
                ("bare LF", b"GET /api/health HTTP/1.1\n" + host.replace(CRLF, b"\n") + b"\n", (400,), False),
                ("bare CR", b"GET /api/health HTTP/1.1\r\n" + host + b"X: a\rb\r\n\r\n", (400,), False),
                ("NUL in a header", b"GET /api/health HTTP/1.1\r\n" + host + b"X: a\0b\r\n\r\n", (400,), False),
                ("a blank before the colon", b"GET /api/health HTTP/1.1\r\n" + host + b"X : a\r\n\r\n", (400,), False),
                ("a header without a name", b"GET /api/health HTTP/1.1\r\n" + host + b": a\r\n\r\n", (400,), False),
                ("a header without a colon", b"GET /api/health HTTP/1.1\r\n" + host + b"nothing\r\n\r\n", (400,), False),
                ("a header of 1 MB", b"GET /api/health HTTP/1.1\r\n" + host + b"X: " + b"a" * (1 << 20) + CRLF * 2, (431,), False),
                ("a target of 1 MB", b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\n" + host + CRLF, (414, 431), False),
                ("10,000 headers", b"GET /api/health HTTP/1.1\r\n" + host + b"".join(b"x%d: y\r\n" % n for n in range(10000)) + CRLF, (431,), False),
                ("300 headers", b"GET /api/health HTTP/1.1\r\n" + host + b"x: y\r\n" * 300 + CRLF, (431,), False),
                ("no host", b"GET /api/health HTTP/1.1\r\n\r\n", (400,), False),
                ("two hosts", b"GET /api/health HTTP/1.1\r\nHost: evil.example\r\n" + host + CRLF, (400,), False),
                ("absolute form", b"GET http://127.0.0.1:%d/api/health HTTP/1.1\r\n" % self.host.port + host + CRLF, (200,), True),
                ("absolute form of another", b"GET http://evil.example/nodes HTTP/1.1\r\n" + host + CRLF, (200, 403, 421), True),
                ("a target that is none", b"GET nothing HTTP/1.1\r\n" + host + CRLF, (400,), False),
                ("an asterisk", b"OPTIONS * HTTP/1.1\r\n" + host + CRLF, (200, 204, 404, 405), True),
                ("a method that nobody knows", b"BREW /nodes HTTP/1.1\r\n" + host + CRLF, (400, 405, 501), True),
                ("a method of 100 kB", b"G" * 100000 + b" / HTTP/1.1\r\n" + host + CRLF, (400, 431, 501), False),
                ("a version to come", b"GET /api/health HTTP/3.7\r\n" + host + CRLF, (400, 505), False),
                ("an expectation", b"GET /api/health HTTP/1.1\r\n" + host + b"Expect: miracles\r\n\r\n", (417,), False),
                ("a connect", b"CONNECT 127.0.0.1:22 HTTP/1.1\r\n" + host + CRLF, (400, 404, 405, 501), True),
                ("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xaa" * 500 + CRLF * 2, (400, 0), False),
                ("noise", bytes(range(256)) * 40 + CRLF * 2, (400,), False),
                ("an upgrade with a body", b"GET /api/runner/link HTTP/1.1\r\n" + host + b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                 b"Sec-WebSocket-Key: " + base64.b64encode(b"k" * 16) + b"\r\nContent-Length: 3\r\n\r\nabc", (400,), False),
                ("a submission and one after it", post + b"Content-Length: %d\r\n\r\n" % len(one_submission) + one_submission + hidden, (202, 400, 404, 409, 503), True)):
            with self.subTest(name):
                raw = Raw(self.host.port)
                raw.send(data)
                raw.sock.shutdown(socket.SHUT_WR)
                answers = statuses(raw.rest()) or [0]
                raw.close()
                self.assertIn(answers[0], expected, (name, answers))
                if not more:
                    self.assertEqual(len(answers), 1, f"something hid behind it: {answers}")
                self.alive(name)

    # fault: websocket-malformed
    def test_frames(self):
        link = {"path": "/api/runner/link", "protocol": "riverbox.link.v1"}
        shell = {"path": f"/api/docker/host/containers/{self.environment}/terminal", "protocol": "riverbox.terminal.v1"}
        classic = {"path": f"/docker/host/containers/{self.environment}/terminal", "protocol": None}
        for name, data, codes in (
                ("not masked", frame(0x81, b"x", masked=False), (1002,)),
                ("a reserved bit", frame(0xC1, b"x"), (1002,)),
                ("a reserved operation", frame(0x83, b"x"), (1002,)),
                ("a ping in fragments", frame(0x09, b"x"), (1002,)),
                ("a ping of 126 bytes", frame(0x89, b"x" * 126), (1002,)),
                ("a continuation of nothing", frame(0x80, b"x"), (1002,)),
                ("a message inside of another", frame(0x01, b"a") + frame(0x81, b"b"), (1002,)),
                ("2^63 bytes", b"\x82\xff" + struct.pack(">Q", 1 << 63) + b"\0" * 8, (1002, 1009)),
                ("2^40 bytes", b"\x82\xff" + struct.pack(">Q", 1 << 40) + b"\0" * 8, (1009,)),
                ("a message beyond the limit, in fragments", frame(0x02, b"x" * (1 << 20)) + frame(0x00, b"x" * (1 << 20)) * 40, (1009, 1002, 1008)),
                ("bad UTF-8", frame(0x81, b"bad \xff"), (1007,)),
                ("UTF-8 that is cut", frame(0x81, b"cut \xc3"), (1007,)),
                ("1005 on the wire", frame(0x88, struct.pack(">H", 1005)), (1002,)),
                ("half a close code", frame(0x88, b"\x03"), (1002,)),
                ("a close with bad UTF-8", frame(0x88, struct.pack(">H", 1000) + b"\xff"), (1007, 1002)),
                ("noise", bytes(range(256)) * 40, (1002, 1007, 1009)),
                ("a text that is no message", frame(0x81, b"hello"), (1002, 1003, 1007, 1008)),
                ("an unknown channel", frame(0x82, b"\xfe\xfe"), (1002, 1003, 1007, 1008)),
                ("deep JSON", frame(0x81, b"[" * 200000), (1002, 1003, 1007, 1008, 1009)),
                ("deep JSON with an end", frame(0x81, b'{"type":"hello","x":' + b"[" * 100000 + b"]" * 100000 + b"}"), (1002, 1003, 1007, 1008, 1009))):
            for socket_kind in (link, shell, classic):
                if socket_kind is classic and name in ("a text that is no message", "an unknown channel", "deep JSON", "deep JSON with an end"):
                    continue  # input, to HakuRiver's clients
                with self.subTest(name, path=socket_kind["path"]):
                    raw = self.upgraded(**socket_kind)
                    raw.send(data)
                    self.assertIn(self.close_code(raw), codes)
                    self.alive(name)

    # fault: websocket-malformed
    def test_a_flood_of_pings_and_a_reader_that_never_reads(self):
        raw = self.upgraded(f"/api/docker/host/containers/{self.environment}/terminal", "riverbox.terminal.v1")
        flooder = threading.Thread(target=raw.send, args=(frame(0x89, b"x" * 100) * 200_000,), daemon=True)
        flooder.start()  # pongs pile up, or the sender has to wait: the host must not
        time.sleep(2)
        self.alive("a flood of pings")
        self.assertLess(self.host.process.rss_mb(), 300 * MEMORY)
        raw.sock.shutdown(socket.SHUT_RDWR)
        flooder.join(10 * PATIENCE)

    def upgraded(self, path, protocol):
        raw = Raw(self.host.port)
        lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{self.host.port}", f"Authorization: Bearer {self.host.token}", "Upgrade: websocket", "Connection: Upgrade",
                 "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + base64.b64encode(os.urandom(16)).decode()]
        raw.send(("\r\n".join(lines + ([f"Sec-WebSocket-Protocol: {protocol}"] if protocol else [])) + "\r\n\r\n").encode())
        head = b""
        while CRLF * 2 not in head:
            part = raw.sock.recv(1)
            self.assertTrue(part, head)
            head += part
        self.assertIn(b" 101 ", head.split(CRLF)[0], head)
        return raw

    def close_code(self, raw):
        """Of the close frame that the host sends, past whatever it has said before."""
        data = b""

        def take(size):
            nonlocal data
            while len(data) < size:
                part = raw.sock.recv(65536)
                if not part:
                    raise ConnectionError("no close frame")
                data += part
            taken, data = data[:size], data[size:]
            return taken
        try:
            while True:
                first, size = take(2)
                size &= 0x7F
                if size >= 126:
                    size = int.from_bytes(take(2 if size == 126 else 8), "big")
                payload = take(size)
                if first & 0x0F == 8:
                    return struct.unpack(">H", payload[:2])[0]
        except ConnectionError:
            return 1006
        finally:
            raw.close()

    # fault: json-odd
    def test_bodies(self):
        base = {"command": "true", "container_name": self.environment, "required_cores": 0}
        twice = json.dumps(base)[:-1] + ', "command": "exit 3"}'
        for name, body, expected in (
                ("no JSON", "{", 400), ("a list", "[]", 400), ("a number", "7", 400), ("null", "null", 400), ("bad UTF-8", b'{"command": "\xff"}', 400), ("NUL", b'{"command": "a\0b"}', 400),
                ("deep", "[" * 1_000_000, 400), ("deep, with an end", '{"command": ' + "[" * 500_000 + "]" * 500_000 + "}", 400),
                ("null everywhere", dict.fromkeys(("command", "arguments", "env_vars", "required_cores", "targets", "container_name", "priority", "after")), 400),
                ("wrong types", {**base, "required_cores": "one"}, 400), ("a fraction", {**base, "required_cores": 0.5}, 400), ("a huge number", '{"command": "true", "required_cores": 1e999}', 400),
                ("beyond 2^53", {**base, "required_cores": 2**53 + 1}, 400), ("beyond 64 bits", '{"command": "true", "required_cores": 99999999999999999999}', 400),
                ("negative", {**base, "required_cores": -1}, 400), ("too much memory", {**base, "required_memory_bytes": 2**63}, 400), ("a task that cannot be", {**base, "after": ["99999999999999999999"]}, 400),
                ("names that are none", {**base, "env_vars": {"A=B": "x"}}, 400), ("a newline in a name", {**base, "env_vars": {"A\nB": "x"}}, 400), ("NUL in a value", {**base, "env_vars": {"A": "x\0y"}}, 400),
                ("an empty name", {**base, "env_vars": {"": "x"}}, 400), ("NUL in an argument", {**base, "arguments": ["a\0b"]}, 400), ("NUL in the command", {**base, "command": "a\0b"}, 400)):
            with self.subTest(name):
                status, _, answer = self.host.http("POST", "/submit", body if isinstance(body, (bytes, str, dict)) else json.dumps(body), headers={"Content-Type": "application/json"})
                self.assertEqual(status, expected, (name, answer))
                self.assertIsInstance(answer["detail"], str)
                self.alive(name)
        status, _, answer = self.host.http("POST", "/submit", twice, headers={"Content-Type": "application/json"})
        self.assertIn(status, (202, 400), answer)  # a key that comes twice: refused, or one of them
        status, _, answer = self.host.http("POST", "/submit", {**base, "unknown": 1, "another": {"deep": []}})
        self.assertEqual(status, 202, answer)
        self.assertIsInstance(answer["task_ids"][0], str, "an id has 64 bits, which is more than a browser's numbers have")
        self.host.wait_task(answer["task_ids"][0])

    # fault: commands-odd, variables-odd
    def test_what_tasks_may_be_given(self):
        """Quotes, newlines, dashes, bytes that are no UTF-8, long ones: it arrives as it was, or is refused."""
        for name, arguments in (("quotes", ["'", '"', "`", "$HOME", "\\"]), ("newlines", ["a\nb", "\t"]), ("dashes", ["-n", "--help", "--"]), ("an empty one", ["", "x"]), ("a long one", ["x" * 100_000]),
                                ("other scripts", ["größer", "漢字", "🚢"])):
            with self.subTest(name):
                task = self.host.submit("printf", arguments=["%s\\0", *arguments], container_name=self.environment, required_cores=0)
                self.assertEqual(self.host.wait_task(task)["status"], "completed")
                status, _, out = self.host.http("GET", f"/task/{task}/stdout", raw=True)
                self.assertEqual((status, out.decode().split("\0")[:-1]), (200, arguments))
        for name, fields in (("2 MB in a variable", {"env_vars": {"A": "x" * 2_000_000}}), ("2 MB in an argument", {"arguments": ["x" * 2_000_000]})):
            with self.subTest(name):
                status, _, answer = self.host.http("POST", "/submit", {"command": "true", "container_name": self.environment, "required_cores": 0, **fields})
                if status == 202:  # then it is the kernel that refuses, and that is said
                    task = answer["task_ids"][0]
                    done = self.host.wait_task(task)
                    self.assertEqual(done["status"], "failed", done)
                    self.assertIn("too long", done["error_message"] + self.host.http("GET", f"/task/{task}/stderr")[2])
                else:
                    self.assertIn(status, (400, 413), answer)
                self.alive(name)

    # fault: http-slow-clients
    def test_a_thousand_slow_and_a_thousand_idle_clients(self):
        count = int(os.environ.get("RIVERBOX_SLOW_CLIENTS", "1000"))
        start = b"GET /nodes HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "
        before = self.host.process.rss_mb()
        slow, idle = [Raw(self.host.port) for _ in range(count)], [Raw(self.host.port) for _ in range(count)]
        try:
            for client in idle[::2]:  # half of them have asked once, and stay
                client.send(b"GET /api/health HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % self.host.port)
            for client in slow:
                client.send(start)
            begin, answered = time.monotonic(), 0
            while time.monotonic() - begin < 20:  # longer than a request may take to come
                for client in slow[answered % 10::10]:
                    client.send(b"x")
                self.alive("a thousand slow clients")
                self.assertEqual(self.host.nodes()[self.node]["status"], "online")
                answered += 1
            self.assertEqual(self.host.client("--container", self.environment, "--cores", "0", "--wait", "--", "echo served").out, "served\n")
            print(f"(with {2 * count} such clients {answered} rounds of requests were served; the host has grown by {self.host.process.rss_mb() - before:.0f} MB)", flush=True)
            self.assertLess(self.host.process.rss_mb() - before, 200 * MEMORY)
            ended = sum(1 for client in slow if 408 in statuses(client.rest()))
            self.assertEqual(ended, count, "whoever takes too long is told so, and cut off")
        finally:
            for client in slow + idle:
                client.close()
        self.alive("they have gone")


if __name__ == "__main__":
    unittest.main()
