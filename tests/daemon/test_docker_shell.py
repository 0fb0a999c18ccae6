"""hakuriver.docker-shell without a terminal: pipes, exit status, and what is left behind. (Screens: tests/terminal.)"""
import base64
import hashlib
import os
import signal
import subprocess
import unittest

from cluster import bin_dir, shared
from process import wait_until


class DockerShell(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.c = shared()
        cls.host, cls.engine = cls.c.host, cls.c.host_engine
        cls.host.environment_from("busybox:latest", "shell-env")
        cls.container = cls.engine.container("shell-env")["Id"]

    def setUp(self):
        self.assertEqual(self.processes(), self.quiet_processes())

    def processes(self):
        return self.engine.processes_in(self.container)

    def quiet_processes(self):
        wait_until(lambda: len([p for p in self.processes() if "sleep infinity" not in p]) == 0, 15, "the shells to be gone", step=0.1)
        return self.processes()

    def test_piped_commands(self):
        result = self.host.shell("shell-env", "echo ls; ls -d /etc; echo err >&2\n")
        self.assertEqual((result.code, result.out), (0, "ls\n/etc\n"), result)
        self.assertEqual(result.err, "err\n", "stderr is stderr, and we add nothing")

    def test_the_exit_status_is_ours(self):
        for status in (0, 1, 7, 255):
            self.assertEqual(self.host.shell("shell-env", f"exit {status}\n").code, status)
        self.assertEqual(self.host.shell("shell-env", "kill -9 $$\n").code, 137)
        self.assertEqual(self.host.shell("shell-env", "false\n").code, 1, "the last command's, as with any shell")

    def test_bytes_go_through_unchanged(self):
        data = os.urandom(3_000_000)
        sent = self.host.shell("shell-env", b"base64 -d > /root/blob <<'END'\n" + base64.encodebytes(data) + b"END\nsha256sum /root/blob\n")
        self.assertIn(hashlib.sha256(data).hexdigest(), sent.out)
        got = self.host.shell("shell-env", "cat /root/blob\n", text=False)
        self.assertEqual(hashlib.sha256(got.out).hexdigest(), hashlib.sha256(data).hexdigest())

    def test_fifty_megabytes(self):
        got = self.host.shell("shell-env", "yes riverbox | head -c 50000000\n", text=False)
        self.assertEqual((got.code, len(got.out)), (0, 50000000))
        self.assertEqual(got.out[:9] + got.out[-9:-5], b"riverbox\n" + (b"riverbox\n" * 5555556)[:50000000][-9:-5])

    def test_no_input_at_all(self):
        result = self.host.cli("hakuriver.docker-shell", "shell-env")  # stdin is /dev/null
        self.assertEqual((result.code, result.out), (0, ""), result)

    def test_a_stopped_container_names_the_command_that_helps(self):
        self.host.environment_from("busybox:latest", "stopped-env")
        self.host.docker("stop-container", "stopped-env", check=True)
        result = self.host.shell("stopped-env", "true\n")
        self.assertEqual((result.code, result.out), (1, ""), result)
        self.assertIn("start-container stopped-env", result.err)

    def test_a_missing_container(self):
        result = self.host.shell("nowhere", "true\n")
        self.assertEqual((result.code, result.out), (1, ""), result)
        self.assertIn("nowhere", result.err)

    def test_a_foreign_container(self):
        self.engine.docker("run", "-d", "--name", "shell-foreign", "busybox:latest", "sleep", "1000")
        self.addCleanup(lambda: self.engine.docker("rm", "-f", "shell-foreign"))
        result = self.host.shell("shell-foreign", "echo inside\n")
        self.assertEqual((result.code, result.out), (1, ""), result)

    def test_wrong_command_lines(self):
        for wrong in ([], ["a", "b"], ["--detach-keys", "nonsense-key", "shell-env"]):
            result = self.host.cli("hakuriver.docker-shell", *wrong)
            self.assertEqual((result.code, result.out), (64, ""), (wrong, result))

    def test_an_unreachable_host(self):
        result = self.host.cli("hakuriver.docker-shell", "--host", "http://127.0.0.1:1", "shell-env")
        self.assertEqual(result.code, 69, result)

    def test_the_shell_goes_when_the_client_is_killed(self):
        client = subprocess.Popen([bin_dir() / "hakuriver.docker-shell", "shell-env"], env=self.host.env, stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE)
        client.stdin.write(b"sleep 54321\n")
        client.stdin.flush()
        wait_until(lambda: any("54321" in p for p in self.processes()), 10, "the command")
        client.send_signal(signal.SIGKILL)
        client.communicate()
        self.quiet_processes()

    def test_an_image_without_which_and_without_bash(self):
        import images
        import io
        import tarfile
        thin = images.busybox_rootfs()
        out = io.BytesIO()
        with tarfile.open(fileobj=io.BytesIO(thin)) as old, tarfile.open(fileobj=out, mode="w") as new:
            for member in old:
                if member.name not in ("bin/which", "bin/bash"):
                    new.addfile(member, old.extractfile(member) if member.isreg() else None)
        images.import_image(self.engine, out.getvalue(), "no-which:1")
        self.addCleanup(lambda: self.host.docker("delete-container", "no-which"))
        self.host.docker("create-container", "no-which:1", "no-which", check=True)
        self.assertEqual(self.host.shell("no-which", "echo here\n").out, "here\n")

    def test_an_image_without_any_shell(self):
        import images
        import io
        import tarfile
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:  # only a sleep
            for entry in tarfile.open(fileobj=io.BytesIO(images.busybox_rootfs())):
                if entry.name == "bin":
                    tar.addfile(entry)
            with open("/bin/busybox", "rb") as program:
                info = tarfile.TarInfo("bin/sleep")
                data = program.read()
                info.size, info.mode = len(data), 0o755
                tar.addfile(info, io.BytesIO(data))
        images.import_image(self.engine, out.getvalue(), "shell-less:1")
        self.addCleanup(lambda: self.host.docker("delete-container", "shell-less"))
        self.host.docker("create-container", "shell-less:1", "shell-less", check=True)
        result = self.host.shell("shell-less", "true\n")
        self.assertEqual(result.code, 1, result)
        self.assertIn("shell", result.err)


if __name__ == "__main__":
    unittest.main()
