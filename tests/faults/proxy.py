"""Between riverbox and a real Engine: a socket that passes everything on until a request comes that something is to happen to."""
import re
import socket
import threading
import time

from process import work_dir

_REQUEST = re.compile(rb"^(?:GET|POST|PUT|DELETE|HEAD) \S+ HTTP/1\.1\r\n")


class Proxy:
    """Stands for an Engine: `host` is what DOCKER_HOST takes; everything else is the Engine's."""

    def __init__(self, engine, name):
        self.engine, self.path = engine, work_dir() / f"{name}.sock"
        self.host = f"unix://{self.path}"
        self._lock, self._rule, self.met = threading.Lock(), None, threading.Event()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen(100)
        threading.Thread(target=self._accept, daemon=True).start()

    def __getattr__(self, name):
        return getattr(self.engine, name)

    def on(self, pattern, before=None, answer="pass", count=1):
        """The next `count` requests whose first line matches: `before()` is called before they are passed on; their answer is passed, never comes ("silent"), comes byte by byte
        ("drip"), breaks off after so many bytes (a number), or is lost with the connection ("lost")."""
        self.met.clear()
        with self._lock:
            self._rule = [re.compile(pattern.encode()), before, answer, count]

    def clear(self):
        with self._lock:
            self._rule = None

    def _match(self, data):
        with self._lock:
            if not self._rule or not _REQUEST.match(data) or not self._rule[0].search(data.split(b"\r\n")[0]):
                return None
            pattern, before, answer, count = self._rule
            self._rule = [pattern, before, answer, count - 1] if count > 1 else None
        return before, answer

    def _accept(self):
        while True:
            try:
                client = self._listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        server, wanted = socket.socket(socket.AF_UNIX), ["pass"]
        try:
            server.connect(str(self.engine.socket))
        except OSError:
            return client.close()
        threading.Thread(target=self._answers, args=(server, client, wanted), daemon=True).start()
        try:
            while data := client.recv(65536):
                if found := self._match(data):
                    before, wanted[0] = found
                    self.met.set()
                    if before:
                        before()
                if wanted[0] != "silent":
                    server.sendall(data)
            server.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(server, client)

    def _answers(self, server, client, wanted):
        try:
            while data := server.recv(65536):
                if wanted[0] == "lost":
                    break
                if wanted[0] == "drip":
                    for byte in data:
                        client.sendall(bytes([byte]))
                        time.sleep(1)
                elif isinstance(wanted[0], int):
                    client.sendall(data[:wanted[0]])
                    break
                else:
                    client.sendall(data)
        except OSError:
            pass
        self._close(server, client)

    def _close(self, *sockets):
        for one in sockets:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            one.close()
