"""Host and node whose clocks are hours off, and jump: everybody still takes the same newest version, and nobody waits for a time that does not come."""
import sys
import time
import unittest
from pathlib import Path

from cluster import Host, Runner, shared
from process import Process, wait_until, work_dir

sys.path.insert(0, str(Path(__file__).resolve().parent))
from share import compiled  # noqa: E402

HOUR = 3600


class Clock:
    """Of one program: fault_clock.c."""

    def __init__(self, name, seconds):
        self.file = work_dir() / f"{name}.clock"
        self.set(seconds)

    def set(self, seconds):
        partial = self.file.with_suffix(".new")
        partial.write_text(f"{seconds}\n")
        partial.rename(self.file)

    def around(self, process):
        """The same program once more, with this clock."""
        argv = process.argv
        process.end()
        return Process([compiled("fault_clock"), self.file, *argv], process.log, env=self.env)


# fault: clock-wrong
class WrongClocks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        probe = Process([compiled("fault_clock"), work_dir() / "none", "true"], work_dir() / "probe.log")
        if probe.popen.wait(20) != 0:
            raise unittest.SkipTest(f"SKIPPED: clocks cannot be moved here: {probe.output()[-200:]}")
        c = shared()
        cls.host = Host(c.host_engine, work_dir() / "clock-share", name="clock-host")
        cls.addClassCleanup(cls.host.stop)
        cls.runner = Runner(cls.host, c.runner_engine, "clock-node")
        cls.addClassCleanup(cls.runner.stop)
        cls.host.docker("create-container", "busybox:latest", "clock-env", check=True)
        cls.addClassCleanup(cls.host.docker, "delete-container", "clock-env")
        cls.clocks = {}
        for server, seconds in ((cls.host, HOUR), (cls.runner, -HOUR)):
            clock = cls.clocks[server] = Clock(server.name, seconds)
            clock.env = server.env
            server.process = clock.around(server.process)
        wait_until(cls.host.answers, 20, "the host to answer")
        cls.host.wait_online("clock-node")

    def setUp(self):
        self.clocks[self.host].set(HOUR)
        self.clocks[self.runner].set(-HOUR)

    def publish_and_run(self, text):
        self.host.shell("clock-env", f"echo '{text}' > /which\n", check=True)
        tarball = Path(self.host.docker("create-tar", "clock-env", check=True).json()["tarball_path"]).name
        result = self.host.client("--container", "clock-env", "--cores", "0", "--wait", "--", "cat /which")
        self.assertEqual((result.code, result.out), (0, f"{text}\n"), f"not the newest version: {result}")
        return int(tarball.rsplit("-", 1)[1][:-4])

    def test_everybody_takes_the_same_newest_version(self):
        self.assertLess(abs(self.told() - (time.time() + HOUR)), 600, "the host's clock is wrong, as it should be")
        numbers = [self.publish_and_run("an hour apart, each to its side")]
        for host, node in ((-HOUR, HOUR), (0, -25 * HOUR), (400 * 24 * HOUR, 0), (-400 * 24 * HOUR, 3)):
            self.clocks[self.host].set(host)
            self.clocks[self.runner].set(node)
            numbers.append(self.publish_and_run(f"{host} and {node}"))
        self.assertEqual(numbers, sorted(set(numbers)), "each version is newer than the one before")
        self.assertEqual(self.host.nodes()["clock-node"]["status"], "online")

    def told(self):
        from email.utils import parsedate_to_datetime
        return parsedate_to_datetime(self.host.http("GET", "/api/health")[1]["date"]).timestamp()

    def test_a_jump_in_the_middle_of_a_task(self):
        self.publish_and_run("before")
        task = self.host.submit("sleep 2; exit 5", container_name="clock-env", required_cores=0, time_limit_seconds=60)
        self.host.wait_task(task, ("running",))
        for server in (self.host, self.runner):
            self.clocks[server].set(12 * HOUR)
        done = self.host.wait_task(task)
        self.assertEqual((done["status"], done["exit_code"]), ("failed", 5), "its time limit counts by a clock that does not jump")
        for server in (self.host, self.runner):
            self.clocks[server].set(-12 * HOUR)
        self.publish_and_run("after")


if __name__ == "__main__":
    unittest.main()
