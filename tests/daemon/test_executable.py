"""The one executable in places where nothing else is."""
import os
import subprocess
import unittest

from cluster import bin_dir, shared
from process import binary, wait_until


def is_static():
    return b"not a dynamic executable" in subprocess.run(["ldd", binary()], capture_output=True).stderr


@unittest.skipUnless(is_static(), "a dynamic build, for development")
class Busybox(unittest.TestCase):
    def test_it_runs_inside_a_busybox_container(self):
        engine = shared().host_engine
        mount = ("-v", f"{binary().resolve()}:/bin/riverbox:ro")
        for arguments in (["--version"], ["docker", "--help"], ["config", "show"], ["completion", "bash"]):
            out = engine.docker("run", "--rm", "--network", "none", *mount, "busybox:latest", "riverbox", *arguments)
            self.assertTrue(out, arguments)

    def test_it_is_a_client_inside_a_container(self):
        c = shared()
        out = c.host_engine.docker("run", "--rm", "--network", "host", "-e", f"RIVERBOX_TOKEN={c.host.token}",
                                   "-v", f"{binary().resolve()}:/bin/hakuriver.docker:ro", "busybox:latest",
                                   "hakuriver.docker", "--host", c.host.url, "list-tars")
        self.assertTrue(out.startswith("{"), out)


class ClosedDescriptors(unittest.TestCase):
    def test_nothing_else_gets_the_number_of_a_closed_stdout(self):
        host = shared().host
        follower = subprocess.Popen(["sh", "-c", f"exec {bin_dir()}/riverbox runner --help <&- >&- 2>&-"], env=host.env)
        self.assertEqual(follower.wait(10), 0)  # what cannot be shown is no error
        follower = subprocess.Popen(["sh", "-c", f"exec {bin_dir()}/riverbox runner --host {host.url} <&- >&- 2>&-"], env={**host.env, "RIVERBOX_TOKEN": "wrong"})
        try:
            def at(fd):
                try:
                    return os.readlink(f"/proc/{follower.pid}/fd/{fd}")
                except OSError:  # closed
                    return None
            wait_until(lambda: all(at(fd) == "/dev/null" for fd in range(3)), 5, "/dev/null in their places")
        finally:
            follower.kill()
            follower.wait()


class Names(unittest.TestCase):
    def test_every_name_answers(self):
        host = shared().host
        for name in ("docker", "docker-shell", "host", "runner", "client", "task"):
            result = host.cli(f"hakuriver.{name}", "--help", check=True)
            self.assertIn(f"hakuriver.{name}", result.out)
            self.assertEqual(result.err, "")
            self.assertTrue(result.out.startswith("Example"), "help starts with examples")
        self.assertRegex(host.cli("riverbox", "--version", check=True).out, r"^riverbox \d+\.\d+\.\d+\n$")
        self.assertEqual(host.cli("riverbox", "version", check=True).out, host.cli("riverbox", "--version").out)


if __name__ == "__main__":
    unittest.main()
