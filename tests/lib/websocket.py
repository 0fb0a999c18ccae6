"""A WebSocket client in a hundred lines, so that the tests speak the wire format themselves (RFC 6455)."""
import base64
import json
import os
import socket
import struct


class Refused(Exception):
    """The server answered the upgrade with something else than 101."""

    def __init__(self, status, headers, body):
        super().__init__(f"HTTP {status}: {body[:200]}")
        self.status, self.headers, self.body = status, headers, body


class Closed(Exception):
    def __init__(self, code, reason=""):
        super().__init__(f"closed {code} {reason}")
        self.code, self.reason = code, reason


class WebSocket:
    def __init__(self, port, path, headers=None, subprotocols=(), timeout=20, host=None):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout)
        self._buffer = b""
        lines = {"Host": host or f"127.0.0.1:{port}", "Upgrade": "websocket", "Connection": "Upgrade",
                 "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(), "Sec-WebSocket-Version": "13",
                 **({"Sec-WebSocket-Protocol": ", ".join(subprotocols)} if subprotocols else {}), **(headers or {})}
        request = f"GET {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items()) + "\r\n"
        self.sock.sendall(request.encode())
        while b"\r\n\r\n" not in self._buffer:
            self._buffer += self._more()
        head, self._buffer = self._buffer.split(b"\r\n\r\n", 1)
        first, *rest = head.decode(errors="replace").split("\r\n")
        self.status = int(first.split()[1])
        self.headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in rest)}
        if self.status != 101:
            length = int(self.headers.get("content-length", 0))
            while len(self._buffer) < length:
                self._buffer += self._more()
            raise Refused(self.status, self.headers, self._buffer.decode(errors="replace"))
        self.subprotocol = self.headers.get("sec-websocket-protocol", "")

    def _more(self):
        data = self.sock.recv(65536)
        if not data:
            raise Closed(1006, "connection lost")
        return data

    def _take(self, count):
        while len(self._buffer) < count:
            self._buffer += self._more()
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    def _send(self, opcode, payload):
        size = len(payload)
        length = bytes([0x80 | size]) if size < 126 else (b"\xfe" + struct.pack(">H", size) if size < 65536
                                                          else b"\xff" + struct.pack(">Q", size))
        mask = os.urandom(4)
        masked = bytes(b ^ mask[i & 3] for i, b in enumerate(payload))
        self.sock.sendall(bytes([0x80 | opcode]) + length + mask + masked)

    def send_text(self, text):
        self._send(1, text.encode())

    def send_json(self, value):
        self.send_text(json.dumps(value))

    def send_binary(self, data):
        self._send(2, data)

    def receive(self):
        """The next message: str for text, bytes for binary. Raises Closed. Pings are answered."""
        message, kind = b"", 0
        while True:
            first, second = self._take(2)
            size = second & 0x7F
            if size == 126:
                size = struct.unpack(">H", self._take(2))[0]
            elif size == 127:
                size = struct.unpack(">Q", self._take(8))[0]
            payload, opcode = self._take(size), first & 0x0F
            if opcode == 8:
                code = struct.unpack(">H", payload[:2])[0] if len(payload) >= 2 else 1005
                raise Closed(code, payload[2:].decode(errors="replace"))
            if opcode == 9:
                self._send(10, payload)
                continue
            if opcode == 10:
                continue
            kind = opcode or kind
            message += payload
            if first & 0x80:
                return message.decode() if kind == 1 else message

    def receive_json(self):
        return json.loads(self.receive())

    def close(self, code=1000):
        try:
            self._send(8, struct.pack(">H", code))
        except OSError:
            pass
        self.sock.close()

    def drop(self):
        """As when the network goes: no close frame."""
        self.sock.close()
