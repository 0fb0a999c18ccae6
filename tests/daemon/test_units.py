"""The systemd units: what they let the services do, and a socket that somebody else has opened."""
import http.client
import os
import re
import shutil
import socket
import subprocess
import sys
import unittest

from cluster import Host, bin_dir, shared
from process import ROOT, Process, binary, free_port, wait_until, work_dir

# As systemd starts it: the sockets are descriptors 3 and on, and the variables name the process itself.
PARENT = """
import os, socket, sys
kept = []
for number, how in enumerate(sys.argv[1].split(",")):
    family = socket.AF_UNIX if how == "unix" else socket.AF_INET6 if how.startswith("[") else socket.AF_INET
    s = socket.socket(family, socket.SOCK_DGRAM if how == "datagram" else socket.SOCK_STREAM)
    port = int(how.rsplit(":")[-1]) if ":" in how else 0
    s.bind(sys.argv[2] if how == "unix" else ("::1" if how.startswith("[") else "127.0.0.1", port))
    if how not in ("datagram", "deaf"):
        s.listen()
    kept.append(s)
    os.dup2(s.fileno(), 3 + number)
    os.set_inheritable(3 + number, True)
if sys.argv[1] == "none":
    os.close(3)
os.environ.update(LISTEN_FDS=str(len(sys.argv[1].split(","))), LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES="riverbox-host.socket")
os.execvp(sys.argv[3], sys.argv[3:])
"""


def units():
    """As they are installed, with the binary under test in them."""
    folder = work_dir() / "units"
    if not folder.exists():
        folder.mkdir()
        for name in ("riverbox-host", "riverbox-runner"):
            text = (ROOT / f"systemd/{name}.service.in").read_text().replace("@bindir@/riverbox", str(binary()))
            (folder / f"{name}.service").write_text(text)
        shutil.copy(ROOT / "systemd/riverbox-host.socket", folder)
    return folder


@unittest.skipUnless(shutil.which("systemd-analyze"), "systemd-analyze is not installed (Debian package systemd)")
class Units(unittest.TestCase):
    # Tenths, as the tool wants them. Raise one only with the reason in the unit.
    EXPOSURE = {"riverbox-host": 20, "riverbox-runner": 30}

    def analyze(self, *args):
        return subprocess.run(["systemd-analyze", "--no-pager", *map(str, args)], capture_output=True, text=True, timeout=60)

    def test_they_may_do_no_more_than_they_need(self):
        for name, most in self.EXPOSURE.items():
            done = self.analyze("security", "--offline=true", f"--threshold={most}", units() / f"{name}.service")
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertIn("OK", done.stdout.splitlines()[-1])

    def test_systemd_understands_them(self):
        files = sorted(units().iterdir())
        self.assertEqual(len(files), 3)
        done = self.analyze("verify", "--man=no", *files)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done)

    def test_what_is_left_is_explained(self):
        for name in self.EXPOSURE:
            text = (units() / f"{name}.service").read_text()
            self.assertIn("is left on purpose", text)
            self.assertRegex(text, r"(?m)^ExecReload=/bin/kill -HUP \$MAINPID$")


class Sockets(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.count = 0

    def start(self, how, wait=True):
        Sockets.count += 1
        name = f"socket-host-{self.count}"
        host = Host(shared().host_engine, work_dir() / f"{name}-share", name=name, start=False)
        host.process = Process([sys.executable, "-c", PARENT, how, host.home / "listen.sock", bin_dir() / "riverbox", "host"], host.home / "log", env=host.env)
        self.addCleanup(host.stop)
        return host

    def answers(self, address, port):
        """It is the socket that waits until the host is there; before it is opened, nobody does."""
        try:
            asked = http.client.HTTPConnection(address, port, timeout=60)
            asked.request("GET", "/api/version")
            return asked.getresponse().status == 200
        except ConnectionRefusedError:
            return False

    def test_an_inherited_socket_is_served(self):
        for how in ("127.0.0.1:{}", "[::1]:{}"):
            port = free_port()
            host = self.start(how.format(port))
            wait_until(lambda: self.answers("::1" if how.startswith("[") else "127.0.0.1", port), 20, "an answer")
            self.assertIn(f'"port":"{port}"', host.log())
            with socket.socket() as other:
                other.settimeout(5)
                self.assertNotEqual(other.connect_ex(("127.0.0.1", host.port)), 0, "not the port of the configuration")

    def test_what_is_no_listening_socket_is_refused(self):
        for how, why in (("datagram", "no stream socket"), ("deaf", "does not listen"), ("none", "no socket"), ("unix", "not TCP"), ("127.0.0.1:0,127.0.0.1:0", "2 were passed")):
            host = self.start(how)
            wait_until(lambda: not host.process.running(), 20, "the end")
            self.assertEqual(host.process.popen.returncode, 78, host.log())
            self.assertIn(why, host.log())
            self.assertIn("riverbox-host.socket", host.log())

    def test_one_for_another_process_is_not_ours(self):
        host = Host(shared().host_engine, work_dir() / "socket-other-share", name="socket-other", start=False)
        host.env.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
        host.start()
        self.addCleanup(host.stop)
        self.assertTrue(host.answers())

    @unittest.skipUnless(shutil.which("systemd-socket-activate"), "systemd-socket-activate is not installed (Debian package systemd)")
    def test_as_systemd_does_it(self):
        port = free_port()
        host = Host(shared().host_engine, work_dir() / "socket-systemd-share", name="socket-systemd", start=False)
        passed = [f"--setenv={key}={host.env[key]}" for key in ("HOME", "DOCKER_HOST", "RIVERBOX_CONFIG")]
        host.process = Process(["systemd-socket-activate", f"--listen=127.0.0.1:{port}", *passed, binary(), "host"], host.home / "log", env=host.env)
        self.addCleanup(host.stop)

        wait_until(lambda: self.answers("127.0.0.1", port), 20, "an answer")
        self.assertEqual(re.findall(r'"port":"(\d+)"', host.log()), [str(port)])


if __name__ == "__main__":
    unittest.main()
