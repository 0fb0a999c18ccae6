"""The share behind a file system that can fail and hang (fault_fs.c)."""
import os
import shutil
import signal
import subprocess
import unittest
from pathlib import Path

from process import Process, wait_until, work_dir

_PLACE = Path(__file__).resolve().parent


def compiled(name, *packages):
    """The program of one of the C files here, compiled once. Raises SkipTest where this machine cannot have it."""
    made = work_dir() / name
    if not made.exists():
        flags = subprocess.run(["pkg-config", "--cflags", "--libs", *packages], capture_output=True, text=True) if packages else None
        compiler = next((c for c in ("cc", "gcc", "clang") if shutil.which(c)), None)
        if not compiler or flags and flags.returncode:
            raise unittest.SkipTest(f"SKIPPED: {' or '.join(('a C compiler', *packages))} is missing: {name} cannot be made")
        subprocess.run([compiler, "-O1", "-w", "-o", made, _PLACE / f"{name}.c", *(flags.stdout.split() if flags else [])], check=True)
    return made


def _fault_fs():
    if not os.path.exists("/dev/fuse"):
        raise unittest.SkipTest("SKIPPED: this machine has no /dev/fuse")
    return compiled("fault_fs", "fuse3")


class FaultyShare:
    """`path` is the share; what is in it lies in `behind`, where nothing fails."""

    def __init__(self, name):
        self.path, self.behind, self.rule = (work_dir() / f"{name}{suffix}" for suffix in ("", ".behind", ".rule"))
        for folder in (self.path, self.behind):
            folder.mkdir()
        self.process = Process([_fault_fs(), self.behind, self.rule, "-f", "-o", "allow_other", self.path], work_dir() / f"{name}.fuse.log")
        wait_until(lambda: os.path.ismount(self.path) or not self.process.running(), 10, "the share to be mounted")
        if not self.process.running():
            raise unittest.SkipTest(f"SKIPPED: FUSE cannot be mounted here: {self.process.output()[-300:]}")

    def fail(self, operation, nth, error, how="once"):
        """The n-th such operation from now on; fault_fs.c says how."""
        partial = self.rule.with_suffix(".new")
        partial.write_text(f"{operation} {nth} {error} {how}\n")
        partial.rename(self.rule)

    def mend(self):
        self.rule.unlink(missing_ok=True)

    def hang(self):
        """From now on nothing answers: whoever asks sleeps until resume()."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def resume(self):
        os.kill(self.process.pid, signal.SIGCONT)

    def remove(self):
        self.resume()
        self.mend()
        subprocess.run(["umount", "-l", str(self.path)], stderr=subprocess.DEVNULL)
        self.process.end(2)
