"""`riverbox doctor` on machines where all is well, and on those where something is not: each finding names what mends it."""
import os
import subprocess
import unittest

from cluster import Host, bin_dir, run, run_on_tty, shared, write_config
from hanging import HangingShare, Unavailable
from process import PATIENCE, free_port, work_dir


class Doctor(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        c = shared()
        cls.host = Host(c.host_engine, work_dir() / "doctor-share", name="doctor-host")
        cls.addClassCleanup(cls.host.stop)

    def look(self, *args, env=None, code=None, timeout=60):
        """Level, text and mend of every finding, by check. The run must end in time, whatever hangs."""
        done = run([bin_dir() / "riverbox", "doctor", *args], {**self.host.env, **(env or {})}, timeout=timeout * PATIENCE)
        self.assertEqual(done.err, "", done)
        answer = done.json()
        problems = [f for f in answer["findings"] if f["level"] == "problem"]
        self.assertEqual(done.code, 1 if problems else 0, done)
        if code is not None:
            self.assertEqual(done.code, code, done)
        for finding in answer["findings"]:
            self.assertEqual(bool(finding["mend"]), finding["level"] != "ok", finding)
            self.assertNotIn("\n", finding["text"])
        self.answer = answer
        found = {}
        for finding in answer["findings"]:
            found.setdefault(finding["check"], []).append(finding)
        return found

    def only(self, found, check, level):
        levels = [f for f in found.get(check, []) if f["level"] == level]
        self.assertEqual(len(levels), 1, found)
        return levels[0]

    def config(self, name, **sections):
        home = work_dir() / f"doctor-{name}"
        home.mkdir()
        return {"HOME": str(home), "RIVERBOX_CONFIG": str(write_config(home / "config.toml", **{
            "network": {"host_port": self.host.port}, "paths": {"shared_dir": self.host.share, "state_dir": home / "state"},
            "security": {"token_file": self.host.home / ".riverbox/token"}, **sections}))}

    # ---- all is well

    def test_a_host(self):
        found = self.look(code=0)
        self.assertEqual(self.answer["as"], "host")
        self.assertEqual({f["level"] for name, fs in found.items() if name not in ("kernel", "store", "share") for f in fs}, {"ok"}, found)
        self.assertIn(f"answers at {self.host.url}", found["host"][0]["text"])
        self.assertIn("role admin", found["host"][1]["text"])
        self.assertIn(shared().host_engine.api("GET", "/version")["Version"], found["docker"][0]["text"])
        self.assertIn(str(shared().host_engine.dir / "data"), found["store"][0]["text"])
        self.assertIn("riverbox (pid ", found["port"][0]["text"])
        self.assertTrue(any("written, synced, renamed and read" in f["text"] for f in found["share"]), found)
        self.assertEqual(sorted(p.name for p in self.host.tars.iterdir()), [".riverbox"], "nothing is left on the share")

    def test_a_runner(self):
        runner = shared().runner
        found = self.look("--host", shared().host.url, env={**runner.env, "RIVERBOX_TOKEN": runner.token})
        self.assertEqual(self.answer["as"], "runner")
        self.assertTrue({"host", "docker", "store", "mount", "share", "state", "kernel", "gpu"} <= set(found), found)
        self.assertNotIn("port", found)

    def test_a_client(self):
        found = self.look("--as", "client", code=0)
        self.assertEqual((self.answer["as"], sorted(found)), ("client", ["config", "host", "token"]))

    def test_a_terminal_gets_lines(self):
        shown = run_on_tty([bin_dir() / "riverbox", "doctor", "--as", "client"], self.host.env, columns=200)
        self.assertEqual(shown.code, 0, shown)
        self.assertRegex(shown.out, r"(?m)^riverbox doctor on \S+, as client\r?$")
        self.assertRegex(shown.out, r"ok\S* +host +riverbox \S+ answers at http")
        help_text = self.host.cli("riverbox", "doctor", "--help", check=True).out
        self.assertTrue(help_text.startswith("Examples:\n  riverbox doctor\n"), help_text)

    # ---- something is not

    def test_no_docker(self):
        found = self.look(env={"DOCKER_HOST": "unix:///nonexistent/docker.sock"}, code=1)
        problem = self.only(found, "docker", "problem")
        self.assertIn("/nonexistent/docker.sock", problem["text"])
        self.assertTrue(problem["mend"].endswith("systemctl start docker"), problem)
        self.assertNotIn("store", found)

    def test_everybody_may_use_docker(self):
        socket = shared().host_engine.socket
        mode = socket.stat().st_mode
        self.addCleanup(socket.chmod, mode & 0o777)
        socket.chmod(0o666)
        warning = self.only(self.look(code=0), "docker", "warning")
        self.assertTrue(warning["mend"].endswith(f"chmod o-rw {socket}"), warning)

    def test_others_can_read_the_token(self):
        file = self.host.home / ".riverbox/token"
        self.addCleanup(file.chmod, 0o600)
        file.chmod(0o644)
        found = self.look(code=1)
        self.assertEqual([f["level"] for f in found["host"]], ["ok"], "it is said once")
        problem = self.only(found, "token", "problem")
        self.assertEqual(problem["mend"], f"chmod 600 {file}")
        subprocess.run(problem["mend"], shell=True, check=True)
        self.only(self.look(code=0), "token", "ok")

    def test_a_wrong_token_and_none(self):
        problem = self.only(self.look(env={"RIVERBOX_TOKEN": "0" * 64}, code=1), "host", "problem")
        self.assertIn("does not take our token", problem["text"])
        self.assertIn("riverbox token create", problem["mend"])
        none = self.look("--as", "client", env=self.config("none", security={"token_file": "/nonexistent/token"}), code=1)
        self.assertIn("there is none here", self.only(none, "host", "problem")["text"])

    def test_the_host_is_away(self):
        problem = self.only(self.look("--as", "client", "--host", f"http://127.0.0.1:{free_port()}", code=1), "host", "problem")
        self.assertIn("cannot reach the host", problem["text"])
        self.assertRegex(problem["mend"], "riverbox host|start riverbox-host")

    def test_somebody_else_holds_the_port(self):
        import http.server
        import threading
        server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        found = self.look("--as", "host", env=self.config("port", network={"host_port": server.server_port, "host_bind_ip": "127.0.0.1"}), code=1)
        problem = self.only(found, "port", "problem")
        self.assertIn(f"(pid {os.getpid()})", problem["text"])
        self.assertIn("riverbox host --port", problem["mend"])
        self.assertIn("no host of riverbox", self.only(found, "host", "problem")["text"])

    def test_the_share_is_missing(self):
        found = self.look(env=self.config("missing", paths={"shared_dir": work_dir() / "no-share", "state_dir": work_dir() / "doctor-missing/state"}), code=1)
        problem = self.only(found, "share", "problem")
        self.assertIn("No such file", problem["text"])
        self.assertTrue(problem["mend"].endswith(f"mkdir -p {work_dir() / 'no-share'}"), problem)

    def test_the_share_is_read_only_and_full(self):
        share = work_dir() / "doctor-tmpfs"
        share.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "riverbox-test", str(share)], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", str(share)])
        env = self.config("small", paths={"shared_dir": share, "state_dir": work_dir() / "doctor-tmpfs-state"})
        found = self.look(env=env, code=1)
        self.assertIn("2.1 MB are free", self.only(found, "share", "problem")["text"])
        self.assertIn(f"mounted at {share}: ", self.only(found, "mount", "ok")["text"])
        subprocess.run(["mount", "-o", "remount,ro", str(share)], check=True)
        found = self.look(env=env, code=1)
        self.assertIn("Read-only file system", found["share"][1]["text"])
        self.assertTrue(found["share"][1]["mend"].endswith(f"mount -o remount,rw {share}"), found)

    def test_a_share_that_hangs(self):
        try:
            share = HangingShare(work_dir() / "doctor-hanging")
        except Unavailable as why:
            self.skipTest(f"no FUSE here: {why}")
        self.addCleanup(share.end)
        env = self.config("hangs", paths={"shared_dir": share.point, "state_dir": work_dir() / "doctor-hangs/state"})
        found = self.look(env=env, code=1)
        self.assertIn("Read-only file system", found["share"][1]["text"], "it answers")
        share.hang()
        found = self.look(env=env, code=1)
        problem = self.only(found, "share", "problem")
        self.assertIn("does not answer", problem["text"])
        self.assertTrue(problem["mend"].endswith(f"mount {share.point}"), problem)
        self.assertIn("is on fuse", self.only(found, "mount", "ok")["text"], "that asks nobody")
        self.only(found, "state", "ok")
        self.assertIn("answers at", found["host"][0]["text"], "what does not hang is looked at")

    def test_the_state_folder(self):
        state = work_dir() / "doctor-open/state"
        env = self.config("open", paths={"shared_dir": self.host.share, "state_dir": state})
        self.only(self.look(env=env, code=0), "state", "ok")
        state.mkdir()
        state.chmod(0o755)
        warning = self.only(self.look(env=env, code=0), "state", "warning")
        subprocess.run(warning["mend"], shell=True, check=True)
        self.assertEqual(state.stat().st_mode & 0o777, 0o700)
        self.only(self.look(env=env), "state", "ok")

    def test_a_mistake_in_the_configuration(self):
        broken = work_dir() / "broken.toml"
        broken.write_text("[network]\nhost_port = x\n")
        found = self.look("--config", broken, code=1)
        self.assertEqual(list(found), ["config"])
        self.assertIn(f"{broken}:2", found["config"][0]["text"])
        broken.write_text("[network]\nhost_prot = 1\n")
        warning = self.only(self.look("--config", broken, "--as", "client"), "config", "warning")
        self.assertIn("did you mean network.host_port", warning["text"])
        refused = self.host.cli("riverbox", "doctor", "--as", "horse")
        self.assertEqual(refused.code, 64, refused)


if __name__ == "__main__":
    unittest.main()
