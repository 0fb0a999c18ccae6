"""A share that fails at any operation, loses answers, hangs, or is full: what is on it stays right, and everybody else works on."""
import concurrent.futures
import errno
import os
import sqlite3
import sys
import time
import unittest
from pathlib import Path

from cluster import Host, Runner, shared
from process import PATIENCE, wait_until

sys.path.insert(0, str(Path(__file__).resolve().parent))
from share import FaultyShare  # noqa: E402

MOMENTS = int(os.environ.get("RIVERBOX_FAULT_MOMENTS", "3"))  # of each kind of failure, so many are tried


class OnFaultyShare(unittest.TestCase):
    """A host, a runner and an environment whose share is behind fault_fs."""
    NAME = None

    @classmethod
    def setUpClass(cls):
        cls.share = FaultyShare(f"{cls.NAME}-share")
        cls.addClassCleanup(cls.share.remove)
        c = shared()
        cls.environment = f"{cls.NAME}-env"
        cls.host = Host(c.host_engine, cls.share.path, name=f"{cls.NAME}-host")
        cls.addClassCleanup(cls.host.stop)
        cls.runner = Runner(cls.host, c.runner_engine, f"{cls.NAME}-node", runner={"allow_host_tasks": True})
        cls.addClassCleanup(cls.runner.stop)
        cls.host.docker("create-container", "busybox:latest", cls.environment, check=True)
        cls.addClassCleanup(cls.host.docker, "delete-container", cls.environment)
        cls.addClassCleanup(cls.share.resume)
        cls.host.docker("create-tar", cls.environment, check=True)
        cls.tars = cls.share.behind / "hakuriver-containers"

    def setUp(self):
        self.addCleanup(self.share.mend)

    def versions(self):
        return sorted(p.name for p in self.tars.glob("*.tar"))

    def change(self, size=5_000_000):
        self.host.shell(self.environment, f"head -c {size} /dev/urandom > /root/blob\n", check=True)

    def check_no_trace(self, context):
        """After a create-tar that failed: the container runs, no file is half there, nothing is noted as begun."""
        self.assertEqual([p.name for p in self.tars.iterdir() if p.name.startswith(".riverbox-")], [], context)
        self.assertTrue(shared().host_engine.container(self.environment)["State"]["Running"], context)
        with sqlite3.connect(f"file:{self.host.home}/state/host.db?mode=ro", uri=True) as database:
            self.assertEqual(database.execute("SELECT count(*) FROM publications").fetchone(), (0,), context)
        self.assertEqual(shared().host_engine.containers(f"hakuriver.environment={self.environment}")[1:], [], context)


class Publishing(OnFaultyShare):
    NAME = "failing"

    def attempt(self, operation, nth, number, how):
        """One create-tar with a fault; "made", "refused", or "untouched" when there were not so many operations."""
        context = f"{operation} {nth} {errno.errorcode[number]} {how}"
        self.change()
        before = self.versions()
        self.share.fail(operation, nth, number, how)
        result = self.host.docker("create-tar", self.environment)
        self.share.mend()
        after = self.versions()
        if result.code == 0:
            self.assertIn(Path(result.json()["tarball_path"]).name, after, context)
        else:
            self.assertEqual((result.code, result.out), (1, ""), (context, result))
            self.assertIn(os.strerror(number), result.err, context)
            self.assertEqual(after, before, f"{context}: the version before is untouched")
        wait_until(lambda: len(shared().host_engine.containers(f"hakuriver.environment={self.environment}")) == 1, 30, f"{context}: one container")
        self.check_no_trace(context)
        return "made" if result.code == 0 else "refused"

    # fault: share-write-fails
    def test_at_every_operation(self):
        outcomes = {}
        for operation, numbers in (("create", (errno.EACCES, errno.ENOSPC)), ("write", (errno.ENOSPC, errno.EDQUOT, errno.EIO)), ("fsync", (errno.EIO, errno.ENOSPC)),
                                   ("flush", (errno.EDQUOT, errno.EIO)), ("rename", (errno.EIO, errno.EACCES)), ("open", (errno.EIO,)), ("readdir", (errno.EIO,))):
            for index in range(max(MOMENTS, 3)):
                nth = (1, 2, 30)[index] if operation == "write" and index < 3 else index + 1
                with self.subTest(operation=operation, nth=nth):
                    outcome = self.attempt(operation, nth, numbers[index % len(numbers)], ("once", "on")[index % 2] if operation != "readdir" else "once")
                    outcomes.setdefault(operation, []).append(outcome)
        print("(" + "; ".join(f"{o}: {', '.join(r)}" for o, r in outcomes.items()) + ")", flush=True)
        for operation in ("create", "write", "fsync", "flush", "rename"):
            self.assertIn("refused", outcomes[operation], f"the fault at {operation} has reached nobody")
        self.change()
        self.host.docker("create-tar", self.environment, check=True)

    # fault: share-reply-lost
    def test_a_rename_whose_reply_is_lost(self):
        for number in (errno.ENOENT, errno.EIO):
            with self.subTest(errno.errorcode[number]):
                # The server has done it: of the index with the signature, of the archive. A repeated call finds no source, and that is a success; an error is one, and then the
                # version is not there.
                for nth in (1, 2):
                    self.assertEqual(self.attempt("rename", nth, number, "done"), "made" if number == errno.ENOENT else "refused")


class Reading(OnFaultyShare):
    NAME = "stale"

    # fault: share-stale
    def test_a_handle_that_gets_stale_in_the_middle(self):
        """A task does not see it: the archive is opened again, or comes from the host."""
        for nth in range(1, MOMENTS + 2):
            for number in (errno.ESTALE, errno.EIO):
                with self.subTest(nth=nth, error=errno.errorcode[number]):
                    self.change()
                    self.host.docker("create-tar", self.environment, check=True)
                    self.share.fail("read", nth, number)
                    result = self.host.client("--container", self.environment, "--cores", "0", "--wait", "--", "wc -c < /root/blob")
                    self.share.mend()
                    self.assertEqual((result.code, result.out), (0, "5000000\n"), result)


# fault: share-hangs
class Hanging(OnFaultyShare):
    NAME = "hangs"

    def test_everybody_else_works_on(self):
        host = self.host
        running = host.submit("echo before; sleep 3; echo after; exit 4", container_name=self.environment, required_cores=0)
        host.wait_task(running, ("running",))
        quiet = host.submit("sleep 2; exit 5", container_name="NULL", required_cores=0)
        host.wait_task(quiet, ("running",))
        latest = lambda: host.http("GET", "/api/docker/host/containers", timeout=5 * PATIENCE)[2][0]["latest"]
        known = latest()
        self.assertTrue(known)
        self.share.hang()
        try:
            # Whoever asks for the share waits for it ...
            tell_environment = {"command": "exit 6", "container_name": self.environment, "required_cores": 0}
            waiting = [self.ask("POST", "/submit", tell_environment) for _ in range(3)]
            waiting += [self.ask("GET", path) for path in ("/docker/list", "/docker/list", f"/task/{running}/stdout")]
            # ... and nobody else does: many beats long the node stays online, requests are answered, shells open, tasks are taken.
            begin = time.monotonic()
            while time.monotonic() - begin < 8:
                for path in ("/api/health", "/nodes", f"/status/{running}", "/tasks?limit=5", "/docker/host/containers", "/api/docker/host/containers"):
                    self.assertEqual(host.http("GET", path, timeout=5 * PATIENCE)[0], 200, path)
                self.assertEqual(host.nodes()[self.runner.name]["status"], "online")
                self.assertEqual(host.shell(self.environment, "echo here\n", timeout=10 * PATIENCE).out, "here\n")
                time.sleep(0.5)
            self.assertEqual(latest(), known)
            self.assertEqual(host.status(running)["status"], "running", "it has ended, and its output is not on the share yet")
            late = host.submit("exit 7", container_name="NULL", required_cores=0)
        finally:
            self.share.resume()
        answers = [answer.result(20 * PATIENCE) for answer in waiting]
        self.assertEqual([status for status, _, _ in answers], [202] * 3 + [200] * 3, answers)
        for task, code in ((running, 4), (quiet, 5), (late, 7), *((answer["task_ids"][0], 6) for _, _, answer in answers[:3])):
            done = host.wait_task(task)
            self.assertEqual((done["status"], done["exit_code"]), ("failed", code), done)
        self.assertEqual(host.client("logs", running).out, "before\nafter\n")

    def ask(self, *request):
        """In the background."""
        pool = concurrent.futures.ThreadPoolExecutor(1)
        self.addCleanup(pool.shutdown, wait=False)
        return pool.submit(self.host.http, *request)

    def test_host_and_runner_start_without_it(self):
        self.runner.kill()
        self.host.kill()
        self.share.hang()
        try:
            self.host.start()
            self.runner.start()
            self.host.wait_online(self.runner.name)
            self.assertEqual(self.host.http("GET", "/api/health")[0], 200)
            self.assertEqual(self.host.shell(self.environment, "echo here\n").out, "here\n")
        finally:
            self.share.resume()
        self.assertEqual(self.host.client("--container", self.environment, "--cores", "0", "--wait", "--", "echo fine").out, "fine\n")


if __name__ == "__main__":
    unittest.main()
