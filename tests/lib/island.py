"""A network of its own for a runner, with one bridge to the mainland that can be cut: what is sent then is swallowed, as when a switch dies."""
import os
import subprocess

from process import Process, at_exit, wait_until, work_dir


def _ip(*words):
    subprocess.run(["ip", *map(str, words)], check=True, capture_output=True)


class Island:
    """`name` at most 5 characters. Hosts must listen on all addresses. Gone with the tests at the latest."""

    def __init__(self, name):
        self.here, there = f"ri-{name}{os.getpid() % 1000000}"[:15], f"rj-{name}{os.getpid() % 1000000}"[:15]
        # Whoever holds the network open; it goes with this process.
        self.holder = Process(["unshare", "--net", "--", "sleep", "infinity"], work_dir() / f"island-{name}.log")
        at_exit(self.sink)
        own = os.readlink("/proc/self/ns/net")
        wait_until(lambda: os.readlink(f"/proc/{self.holder.pid}/ns/net") != own, 10, "a network namespace")
        self.inside = ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net", "--"]
        used = subprocess.run(["ip", "-4", "addr"], capture_output=True, text=True, check=True).stdout
        third = next(n for n in range(128 + os.getpid() % 64, 255) if f"172.30.{n}." not in used)
        self.address = f"172.30.{third}.1"
        _ip("link", "add", self.here, "type", "veth", "peer", "name", there, "netns", self.holder.pid)
        _ip("addr", "add", f"{self.address}/24", "dev", self.here)
        _ip("link", "set", self.here, "up")
        for words in (("addr", "add", f"172.30.{third}.2/24", "dev", there), ("link", "set", there, "up"), ("link", "set", "lo", "up")):
            subprocess.run([*self.inside, "ip", *words], check=True, capture_output=True)

    def url(self, host):
        return f"http://{self.address}:{host.port}"

    def cut(self):
        _ip("link", "set", self.here, "down")

    def heal(self):
        _ip("link", "set", self.here, "up")

    def sink(self):
        self.holder.end(1)
        subprocess.run(["ip", "link", "del", self.here], stderr=subprocess.DEVNULL)
