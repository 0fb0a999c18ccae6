"""riverbox ssh-server for the tests, and the clients that people have: OpenSSH's ssh, scp and sftp."""
import hashlib
import json
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

from process import Process, binary, children, free_port, is_alive, wait_until, work_dir

ROOT_USER = os.getuid() == 0
ME = subprocess.run(["id", "-un"], capture_output=True, text=True).stdout.strip()


def make_key(path, *options):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path, *options], check=True, stdin=subprocess.DEVNULL)
    return Path(path)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


class Server:
    """The server on a free port, with a key that may log in and one that may not."""

    def __init__(self, *options, keys=True, env=None):
        self.home = Path(tempfile.mkdtemp(prefix="ssh-", dir=work_dir()))
        self.home.chmod(0o755)
        self.key, self.wrong_key = make_key(self.home / "key"), make_key(self.home / "wrong")
        self.authorized = self.home / "authorized_keys"
        self.authorize(self.key)
        self.host_keys, self.port, self.known = self.home / "host-keys", free_port(), self.home / "known_hosts"
        self.options = [*(("--authorized-keys", self.authorized) if keys else ()), *options]
        self.env = env
        self.start()

    def authorize(self, *keys, prefix=""):
        self.authorized.write_text("# those who may\n\n" + "".join(prefix + key.with_suffix(".pub").read_text() for key in keys))
        self.authorized.chmod(0o644)

    def start(self):
        before = (self.home / "log").read_text().count('"listening"') if (self.home / "log").exists() else 0
        self.process = Process([binary(), "ssh-server", "--listen", f"127.0.0.1:{self.port}", "--host-keys", self.host_keys, *self.options], self.home / "log", env=self.env)
        wait_until(lambda: self.process.output().count('"listening"') > before or not self.process.running(), 10, "the server to listen")
        assert self.process.running(), self.process.output()

    def log(self):
        return [json.loads(line) for line in self.process.output().splitlines() if line.startswith("{")]

    def said(self, text):
        return any(text in line["message"] for line in self.log())

    def options_for(self, key=None, *more):
        return ["-F", "none", "-o", "StrictHostKeyChecking=accept-new", "-o", f"UserKnownHostsFile={self.known}", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
                "-i", key or self.key, *more, "-o", "LogLevel=ERROR"]

    def ssh_command(self, *command, key=None, options=(), user=ME):
        return ["ssh", *map(str, self.options_for(key, *options)), "-p", str(self.port), f"{user}@127.0.0.1", *command]

    def ssh(self, *command, key=None, options=(), user=ME, input=b"", timeout=60, env=None):
        return subprocess.run(self.ssh_command(*command, key=key, options=options, user=user), input=input, capture_output=True, timeout=timeout, env=env)

    def copy(self, *arguments, program="scp", timeout=120):
        return subprocess.run([program, *map(str, self.options_for()), "-P", str(self.port), *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout)

    def sftp(self, text, timeout=60):
        return subprocess.run(["sftp", *map(str, self.options_for()), "-P", str(self.port), "-b", "-", f"{ME}@127.0.0.1"], input=text.encode(), capture_output=True, timeout=timeout)

    def connections(self):
        return [pid for pid in children(self.process.pid) if is_alive(pid)]


class WithServer(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.ssh = cls.server.ssh

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="ssh-test-", dir=work_dir()))

    def good(self, result):
        self.assertEqual(result.returncode, 0, (result.stdout[-2000:], result.stderr[-2000:]))
        return result
