"""Processes and places that the tests share: start, end by pid, free ports, one work folder that never outlives its owner."""
import atexit
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BASE = Path(os.environ.get("RIVERBOX_TEST_DIR", "/var/tmp"))  # Docker's data roots lie here
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "riverbox-tests"

# A limit in a test ends what hangs; how fast things are is for tests/bench to tell. Machines differ, and so do their neighbours.
PATIENCE = float(os.environ.get("RIVERBOX_TEST_PATIENCE", "4"))

# So many times the memory is allowed to a program with sanitizers in it (scripts/test --asan-daemon).
MEMORY = 10 if "ASAN_OPTIONS" in os.environ else 1

_cleanups = []
_work = None


def binary():
    """The riverbox under test: $RIVERBOX, else the release build."""
    path = Path(os.environ.get("RIVERBOX", ROOT / "build/src/riverbox"))
    if not path.exists():
        sys.exit(f"error: {path} is not there. Build it first (scripts/test does), or set RIVERBOX.")
    return path


def at_exit(function):
    """Runs `function` when the program ends, also by SIGTERM, SIGINT or an exception; last registered first."""
    _cleanups.append(function)
    return function


def _run_cleanups():
    while _cleanups:
        try:
            _cleanups.pop()()
        except Exception as error:  # one failing clean-up must not keep the others from running
            print(f"clean-up: {error!r}", file=sys.stderr)


atexit.register(_run_cleanups)
for _signal in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(_signal, lambda number, frame: sys.exit(128 + number))


def last_words(folder, lines=25):
    """The ends of the logs of all hosts and runners below a folder: for the message of a test that has waited in vain."""
    ends = []
    for log in sorted(Path(folder).glob("*/log")):
        ends += [f"---- {log.parent.name}", *log.read_text(errors="replace").splitlines()[-lines:]]
    for pid in children(os.getpid()):
        ends.append(f"---- threads of process {pid}: " + ", ".join(_thread(task) for task in Path(f"/proc/{pid}/task").glob("*")))
    return "\n".join(ends)


def _thread(task):
    """Its name, and what it waits for in the kernel."""
    try:
        return " ".join((task / file).read_text().strip() for file in ("comm", "wchan")) + " " + (task / "syscall").read_text().split(" ")[0].strip()
    except OSError:
        return "(gone)"


def work_dir():
    """The folder of this test run; made at the first call, removed at the end. Folders of dead runs are removed too."""
    global _work
    if _work is None:
        for old in BASE.glob("rbt-*"):
            owner = old.name.split("-")[1]
            if owner.isdigit() and not is_alive(int(owner)):
                wipe(old)
        _work = Path(tempfile.mkdtemp(prefix=f"rbt-{os.getpid()}-", dir=BASE))
        _work.chmod(0o755)
        at_exit(lambda: wipe(_work))
    return _work


def wipe(folder):
    """Removes a folder in which Engines may have lived: their orphans, mounts and bridges first."""
    prefix = str(folder) + "/"
    ours = re.compile(r"(^|/)(dockerd|containerd|docker-registry|riverbox|hakuriver\.[a-z-]+)$")
    for entry in Path("/proc").iterdir():  # servers by what they are told, containers' shims by where they work
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                shim = os.readlink(entry / "cwd").startswith(prefix)
            except OSError:
                continue
            if shim or ours.search(command[0]) and prefix in "\0".join(command[1:]):
                for child in children(int(entry.name)) if shim else []:
                    end(child, now=True)
                end(int(entry.name), now=True)
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines() if line.split()[1].startswith(prefix)]
    for mount in sorted(mounts, reverse=True):
        subprocess.run(["umount", "-l", mount], stderr=subprocess.DEVNULL)
    for name in folder.glob("*/bridge"):
        subprocess.run(["ip", "link", "del", name.read_text().strip()], stderr=subprocess.DEVNULL)
    shutil.rmtree(folder, ignore_errors=True)


def children(pid):
    try:
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def is_alive(pid):
    """Runs, and is not a zombie."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def end(pid, grace=10.0, now=False):
    """SIGTERM, after `grace` seconds SIGKILL (at once with `now`). The pid must be one of ours."""
    if not is_alive(pid):
        return
    try:
        if not now:
            os.kill(pid, signal.SIGTERM)
            if wait_until(lambda: not is_alive(pid), grace, raising=False):
                return
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    wait_until(lambda: not is_alive(pid), 5, raising=False)


def wait_until(condition, seconds=10.0, what="a condition", step=0.02, raising=True):
    """Polls; returns the condition's value. What is not there in time is an AssertionError that says what was waited for, and on a slow machine
    `seconds` is not long; with raising=False they are counted as they are, and the value tells."""
    limit = time.monotonic() + seconds * (PATIENCE if raising else 1)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > limit:
            if raising:
                raise AssertionError(f"waited {seconds * PATIENCE:g} s for {what}")
            return value
        time.sleep(step)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Process:
    """A program in the background with its output in a file; ended at the latest when the tests end."""

    def __init__(self, argv, log, env=None, cwd=None):
        self.argv, self.log = [str(a) for a in argv], Path(log)
        with open(self.log, "ab") as out:
            self.popen = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env, cwd=cwd,
                                          start_new_session=True)
        self.pid = self.popen.pid
        at_exit(self.end)

    def running(self):
        return self.popen.poll() is None

    def end(self, grace=10.0):
        """Returns the exit status (negative: ended by that signal)."""
        if self.running():
            self.popen.terminate()
            try:
                self.popen.wait(grace)
            except subprocess.TimeoutExpired:
                self.popen.kill()
        return self.popen.wait()

    def kill(self):
        """kill -9, and gone when this returns."""
        self.popen.kill()
        self.popen.wait()

    def output(self):
        return self.log.read_text(errors="replace")

    def rss_mb(self):
        return self._status("VmRSS:") / 1024

    def peak_rss_mb(self):
        return self._status("VmHWM:") / 1024

    def _status(self, key):
        return next((int(line.split()[1]) for line in Path(f"/proc/{self.pid}/status").read_text().splitlines() if line.startswith(key)), 0)

    def bytes_read(self):
        """Of files and sockets, whether from a disk or from memory, what was sent without being copied included."""
        return int(re.search(r"rchar: (\d+)", Path(f"/proc/{self.pid}/io").read_text())[1])
