"""System calls of the real host that fail, or that are its last: strace makes them. What is on the share and in the state is looked at after each."""
import errno
import os
import random
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

from cluster import OwnCluster, bin_dir
from process import PATIENCE, Process, wait_until, work_dir

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "daemon"))
import test_kill  # noqa: E402

# How many calls of each kind are tried; scripts/test --soak takes 40.
MOMENTS = int(os.environ.get("RIVERBOX_FAULT_MOMENTS", "3"))


class Tampered:
    """While it lasts, system calls of a host are tampered with, in each of its threads: `call` is strace's "inject=" expression."""

    def __init__(self, host, call):
        self.host, self.call = host, call

    def __enter__(self):
        self.strace = Process(["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"inject={self.call}", "-p", str(self.host.process.pid)], work_dir() / "strace.log")
        wait_until(lambda: not self.strace.running() or all("TracerPid:\t0" not in status for status in self.statuses()), 10, "strace to be there")
        if not self.strace.running():
            raise unittest.SkipTest(f"SKIPPED: strace may not look at the host here: {self.strace.output()[-300:]}")
        return self

    def statuses(self):
        return [(task / "status").read_text() for task in Path(f"/proc/{self.host.process.pid}/task").iterdir()]

    def __exit__(self, *_):
        self.strace.end()


def need_strace():
    if not shutil.which("strace"):
        raise unittest.SkipTest("SKIPPED: strace is not installed")


# fault: publish-killed
class LastCalls(test_kill.KillTheHost):
    """kill -9 of the host at one system call of create-tar after the other."""
    NAME = "last-call"
    test_at_random_moments = None

    @classmethod
    def setUpClass(cls):
        need_strace()
        super().setUpClass()

    @classmethod
    def change(cls, generation):
        cls.host.shell(cls.NAME, f"echo {generation} >> /root/generations; head -c 3000000 /dev/urandom > /root/blob\n", check=True, timeout=120)

    def moments(self):
        """Of each kind of call the first ones, and then some of the later ones."""
        chance = random.Random(test_kill.SEED)
        for call in ("openat", "openat2", "write", "fsync", "renameat", "close", "unlinkat", "pwrite64", "sendto"):
            for index in range(MOMENTS):
                yield call, index + 1 if index < 2 else chance.randrange(3, 12 if call in ("fsync", "renameat", "unlinkat") else 60)

    def test_at_one_call_after_the_other(self):
        outcomes, written = {}, [0]
        for call, nth in self.moments():
            with self.subTest(f"{call} {nth}"):
                written.append(written[-1] + 1)
                self.change(written[-1])
                before = self.visible()
                with Tampered(self.host, f"{call}:signal=SIGKILL:when={nth}"):
                    subprocess.run([bin_dir() / "hakuriver.docker", "create-tar", self.NAME], env=self.host.env, stdin=subprocess.DEVNULL, capture_output=True, timeout=60 * PATIENCE)
                survived = self.host.process.running()
                after = self.visible()
                self.assertTrue(after, "some version is always there")
                for path in after:
                    if path not in before:
                        self.assertEqual(self.check_complete(path), [str(n) for n in written])
                outcomes.setdefault(call, []).append("survived" if survived else "old" if after == before else "new")
                if not survived:
                    self.host.kill()
                    self.host.start()
                wait_until(self.recovered, 30, "the host to put right what was cut short", step=0.1)
                wait_until(self.runs, 15, "the container to run again", step=0.1)
                wait_until(lambda: not [p for p in self.host.tars.iterdir() if p.name.startswith(".") and p.is_file()], 15, "temporary files to go", step=0.1)
                self.assertEqual(self.host.shell(self.NAME, "cat /root/generations\n").out.split(), [str(n) for n in written], "the container's content is intact")
        print("(" + "; ".join(f"{call}: {', '.join(found)}" for call, found in outcomes.items()) + ")", flush=True)
        self.assertIn("old", sum(outcomes.values(), []), "nothing was cut short")
        self.change("last")
        self.host.docker("create-tar", self.NAME, check=True)
        self.assertEqual(self.check_complete(self.visible()[-1])[-1], "last")


# fault: state-fails
class State(OwnCluster):
    """The disk of the host's database fails at one call: a task is acknowledged and will be known, or refused and will not."""
    NAME = "state-fails"

    def test_what_is_acknowledged_is_there_and_nothing_else(self):
        need_strace()
        outcomes = []
        for call, number in (("pwrite64", errno.ENOSPC), ("pwrite64", errno.EIO), ("fdatasync", errno.EIO), ("fsync", errno.EIO), ("ftruncate", errno.ENOSPC)):
            for nth in [1, 2, 5][:MOMENTS]:
                with self.subTest(call=call, nth=nth, error=errno.errorcode[number]):
                    acknowledged, refused = [], []
                    with Tampered(self.host, f"{call}:error={errno.errorcode[number]}:when={nth}+3"):
                        for index in range(8):
                            name = f"{call}-{nth}-{number}-{index}"
                            status, _, answer = self.host.http("POST", "/api/submit", {"command": "true", "container_name": self.environment, "required_cores": 0, "name": name}, timeout=20 * PATIENCE)
                            if status == 202:
                                acknowledged.append(answer["task_ids"][0])
                            else:
                                refused.append(name)
                                self.assertIn(status, (500, 503, 507), answer)
                                self.assertTrue(answer["detail"])
                        self.assertEqual(self.host.http("GET", "/nodes", timeout=20 * PATIENCE)[0], 200)
                    outcomes.append(f"{call} {nth}: {len(refused)} of 8 refused")
                    self.host.kill()  # only what is on the disk is left
                    self.host.start()
                    for task in acknowledged:
                        self.assertEqual(self.host.wait_task(task)["status"], "completed")
                    # A disk that could not say whether it has the last bytes may have them: only then is what was refused perhaps there, and the last of it alone, because the next one overwrites it.
                    perhaps = {f"{call}-{nth}-{number}-7"} if call in ("fdatasync", "fsync") else set()
                    names = {t.get("name") for t in self.host.http("GET", "/tasks?limit=100000")[2]}
                    self.assertEqual(names & set(refused) - perhaps, set(), "refused, and there")
        print("(" + "; ".join(outcomes) + ")", flush=True)
        self.assertTrue(any(" 0 of" not in o for o in outcomes), "no fault has reached the database")


if __name__ == "__main__":
    unittest.main()
