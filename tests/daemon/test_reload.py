"""SIGHUP: what can change is taken over while tasks and clients go on, what cannot is named, and a mistake changes nothing."""
import json
import os
import re
import signal
import socket
import unittest

from cluster import Host, Runner, bin_dir, environment, shared, write_config
from process import ROOT, Process, free_port, wait_until, work_dir


class Notified:
    """systemd's end of sd_notify."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.setblocking(False)
        self.path, self.messages = path, []

    def all(self):
        try:
            while True:
                self.messages.append(self.socket.recv(4096).decode())
        except BlockingIOError:
            return self.messages


class Reload(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        c = shared()
        cls.host = Host(c.host_engine, work_dir() / "reload-share", name="reload-host", start=False)
        cls.notified = Notified(work_dir() / "reload-notify")
        cls.host.env["NOTIFY_SOCKET"] = str(cls.notified.path)
        cls.base = {"network": {"host_port": cls.host.port, "host_bind_ip": "127.0.0.1"},
                    "paths": {"shared_dir": cls.host.share, "state_dir": cls.host.home / "state"}, "timing": {"heartbeat_interval": 1}}
        cls.host.start()
        cls.addClassCleanup(cls.host.stop)

    def setUp(self):
        self.write()
        self.hup()

    def write(self, **sections):
        merged = {name: {**self.base.get(name, {}), **sections.get(name, {})} for name in {**self.base, **sections}}
        write_config(self.host.config, **merged)

    def lines(self, process=None):
        return [json.loads(line) for line in (process or self.host.process).output().splitlines() if line.startswith("{")]

    def hup(self, process=None):
        """What was logged because of it."""
        process = process or self.host.process
        before = len(self.lines(process))
        over = ("the configuration was read again", "the configuration has a mistake and nothing of it is taken over")
        os.kill(process.pid, signal.SIGHUP)
        wait_until(lambda: any(line["message"] in over for line in self.lines(process)[before:]), 10, "the configuration to be read again")
        return self.lines(process)[before:]

    def messages(self, lines):
        return [line["message"] for line in lines]

    def submit(self, **fields):
        return self.host.http("POST", "/submit", {"command": "true", "container_name": "NULL", "required_cores": 0, **fields})

    # ---- what can change

    def test_what_users_may_do(self):
        token = self.host.cli("riverbox", "token", "create", "reload-user", check=True).out.strip()
        ask = lambda: self.host.http("POST", "/submit", {"command": "true", "container_name": "NULL", "required_cores": 0}, token=token)
        self.assertEqual(ask()[0], 403)
        self.write(tasks={"allow_privileged": True, "max_output": 4096})
        lines = self.hup()
        self.assertIn("tasks.allow_privileged: changed", self.messages(lines))
        changed = next(line for line in lines if line["message"] == "tasks.max_output: changed")
        self.assertEqual((changed["value"], changed["origin"]), ("4096", str(self.host.config)))
        self.assertEqual(lines[-1]["changed"], "2")
        self.assertNotEqual(ask()[0], 403)
        self.write()
        self.hup()
        self.assertEqual(ask()[0], 403)

    def test_which_pages_may_talk_to_it(self):
        ask = lambda **headers: self.host.http("POST", "/submit", {}, headers=headers)[0]
        page, name = {"Origin": "https://dashboard.example.org"}, {"Host": "cluster.example.org"}
        self.assertEqual((ask(**page), ask(**name)), (403, 403))
        self.write(security={"allowed_origins": ["https://dashboard.example.org"], "allowed_hosts": ["cluster.example.org"]})
        self.hup()
        self.assertNotIn(403, (ask(**page), ask(**name)))

    def test_how_versions_are_made(self):
        c = shared()
        name = self.host.environment_from("busybox:latest", "reload-env")
        self.addCleanup(self.host.docker, "delete-container", name)
        for change in range(2):
            self.host.shell(name, f"echo {change} > /change", check=True)
            self.host.docker("create-tar", name, check=True)
        self.assertEqual(len(self.host.tars_of(name)), 1)
        self.write(docker={"keep_versions": 3})
        self.hup()
        for change in range(2, 4):
            self.host.shell(name, f"echo {change} > /change", check=True)
            self.host.docker("create-tar", name, check=True)
        self.assertEqual(len(self.host.tars_of(name)), 3)
        self.assertTrue(c.host_engine.container(name))

    def test_the_level_of_the_log(self):
        audit = lambda: [line for line in self.lines() if line["component"] == "audit"]
        self.write(log={"level": "error"})
        self.hup_quietly()
        before = len(audit())
        self.submit()
        self.write()
        self.hup()
        self.submit()
        self.assertEqual(len(audit()), before + 1, "while it was to be quiet, it was")

    def hup_quietly(self):
        done = len(self.notified.all())
        os.kill(self.host.process.pid, signal.SIGHUP)
        wait_until(lambda: "READY=1" in self.notified.all()[done:], 10, "READY=1")

    # ---- what cannot

    def test_what_needs_a_start_is_named(self):
        self.write(network={"host_port": free_port()}, docker={"prefix": "kohakuriver", "keep_versions": 2}, security={"token": "s3cret" * 8})
        lines = self.hup()
        for key in ("network.host_port", "docker.prefix", "security.token"):
            refused = next(line for line in lines if line["message"] == f"{key}: restart riverbox host to change it")
            self.assertEqual(refused["level"], "warning")
        self.assertNotIn("s3cret", self.host.log())
        self.assertIn("docker.keep_versions: changed", self.messages(lines), "the others are taken over")
        self.assertTrue(self.host.answers())
        again = self.hup()
        self.assertIn("network.host_port: restart riverbox host to change it", self.messages(again), "it is still so")
        self.assertNotIn("docker.keep_versions: changed", self.messages(again))

    def test_a_mistake_changes_nothing(self):
        self.write(tasks={"allow_privileged": True})
        good = self.host.config.read_text()
        for bad, said in ((good + "\n[retention]\ntasks_days = x\n", f"{self.host.config}:"), (good + "\n[retention]\ntasks_days = \"x\"\n", "retention.tasks_days must be"),
                          (good.replace("allow_privileged", "allowed_mounts = [\"relative\"]\nallow_privileged"), "tasks.allowed_mounts"),
                          (good + "\n[security]\nallowed_origins = [\"*\"]\n", "security.allowed_origins")):
            self.host.config.write_text(bad)
            lines = self.hup()
            self.assertEqual(lines[-1]["level"], "error", lines)
            self.assertIn(said, lines[-1]["reason"])
            self.assertEqual([m for m in self.messages(lines) if m.endswith(": changed")], [])
        self.host.config.unlink()
        self.assertIn("No such file", self.hup()[-1]["reason"])
        self.host.config.write_text(good)
        self.assertIn("tasks.allow_privileged: changed", self.messages(self.hup()), "it was not taken over before")

    # ---- how it is told

    def test_systemd_is_told(self):
        done = len(self.notified.all())
        self.hup()
        told = wait_until(lambda: (m := self.notified.all()[done:]) and m[-1] == "READY=1" and m, 10, "READY=1")
        self.assertRegex(told[0], r"^RELOADING=1\nMONOTONIC_USEC=\d+$")
        self.assertEqual(len(told), 2, told)

    def test_many_at_once(self):
        for _ in range(50):
            os.kill(self.host.process.pid, signal.SIGHUP)
        self.write(docker={"keep_versions": 7})
        os.kill(self.host.process.pid, signal.SIGHUP)
        wait_until(lambda: any(line["message"] == "docker.keep_versions: changed" and line["value"] == "7" for line in self.lines()), 10, "the last word to count")
        self.assertTrue(self.host.answers())

    def test_the_manual_names_the_same_keys(self):
        shown = self.host.cli("riverbox", "config", "show", "--json", check=True).json()
        live = {key for key, row in shown.items() if row["reload"] == "live"}
        page = (ROOT / "man/riverbox.toml.5").read_text()
        section = page[page.index(".Sh RELOADING"):]
        listed = set(re.findall(r"^\.It Ic (\S+)$", section[:section.index(".El")], re.M))
        self.assertEqual(listed, live)

    def test_a_runner_and_up(self):
        runner = Runner(self.host, shared().runner_engine, "reload-node")
        self.addCleanup(runner.stop)
        config = runner.home / "config.toml"
        text = config.read_text()
        config.write_text(text + '[log]\nlevel = "debug"\n[runner]\nallow_host_tasks = true\n')
        messages = self.messages(self.hup(runner.process))
        self.assertIn("log.level: changed", messages)
        self.assertIn("runner.allow_host_tasks: restart riverbox runner to change it", messages)
        self.host.wait_online("reload-node")
        home = work_dir() / "reload-up"
        home.mkdir()
        file = write_config(home / "config.toml", network={"host_port": free_port()}, paths={"state_dir": home / "state"}, docker={"tasks_network": "bridge"})
        up = Process([bin_dir() / "riverbox", "up"], home / "log", env=environment(home, DOCKER_HOST=shared().host_engine.host, RIVERBOX_CONFIG=str(file)))
        self.addCleanup(up.end)
        wait_until(lambda: "riverbox is up" in up.output(), 20, "riverbox up")
        file.write_text(file.read_text() + "[retention]\ntasks_days = 3\n")
        lines = self.hup(up)
        self.assertIn("retention.tasks_days: changed", self.messages(lines))
        told = next(line for line in lines if line["message"] == "the configuration was read again")
        self.assertEqual((told["changed"], told["refused"]), ("1", "0"))


if __name__ == "__main__":
    unittest.main()
