"""Where the terminal tests find a running environment: what the caller names, a lab without Docker, or the suite's own cluster.

RIVERBOX_BIN, RIVERBOX_CONFIG, RIVERBOX_TEST_ENV  the program, its configuration file, a running environment with bash
RIVERBOX_TERMINAL_LAB                             the program `terminal_lab`: this machine plays the environment
none of them                                      tests/lib/cluster.py: a host and an Engine of our own, Debian with the editors added
"""
import atexit
import functools
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

LIB = Path(__file__).resolve().parents[1] / "lib"
PROGRAMS = ("vim", "less", "htop", "tmux")


class Place:
    def __init__(self, program, config, name, env=None, stopped=None):
        self.command = [str(program), "docker-shell", "--config", str(config), name]
        self.program, self.config, self.name, self.stopped = str(program), str(config), name, stopped
        base = {k: v for k, v in os.environ.items() if k not in ("TMUX", "LC_ALL")} if env is None else env
        self.env = {**base, "LANG": "C.UTF-8", "PS1": "outer> ", "HISTFILE": ""}

    def other(self, name):
        return [*self.command[:-1], name]

    def run(self, script, timeout=60, argv=None):
        """docker-shell with piped input: the finished process."""
        data = script.encode() if isinstance(script, str) else script
        return subprocess.run(argv or self.command, input=data, capture_output=True, timeout=timeout, env=self.env)

    @functools.cached_property
    def programs(self):
        """Which of PROGRAMS run in the environment."""
        checks = "".join(f"{p} {'-V' if p in ('tmux', 'less') else '--version'} >/dev/null 2>&1 && echo has {p}\n" for p in PROGRAMS)
        found = self.run(checks + "exit 0\n").stdout.decode(errors="replace")
        return {p for p in PROGRAMS if f"has {p}" in found}


def _lab(program):
    folder = Path(tempfile.mkdtemp(prefix="rb-lab-"))
    config = folder / "config"
    host = subprocess.Popen([program, "host", "--config", str(config)])

    def end():
        host.terminate()
        host.wait(10)
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(end)
    deadline = time.monotonic() + 10
    while not (config.exists() and config.stat().st_size):
        if time.monotonic() > deadline or host.poll() is not None:
            sys.exit("error: terminal_lab does not start")
        time.sleep(0.02)
    return Place(program, config, "lab")


def _programs_of_this_machine():
    """vim, less, htop and tmux with their libraries, as a tar that can be unpacked into a Debian container."""
    files = {}
    for name in PROGRAMS:
        path = shutil.which(name)
        if not path:
            continue
        real = os.path.realpath(path)
        files[f"usr/bin/{name}"] = real
        for line in subprocess.run(["ldd", real], capture_output=True, text=True).stdout.splitlines():
            library = next((word for word in line.split() if word.startswith("/")), None)
            if library and not any(core in library for core in ("ld-linux", "libc.so", "libm.so", "libpthread", "libdl.so")):
                files["usr/lib/" + "/".join(Path(library).parts[-2:])] = os.path.realpath(library)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", dereference=True) as tar:
        for target, source in sorted(files.items()):
            tar.add(source, target)
    return out.getvalue()


def _cluster():
    sys.path.insert(0, str(LIB))
    from cluster import bin_dir, shared
    cluster = shared()
    if not cluster.debian():
        return None
    host, engine = cluster.host, cluster.host_engine
    for name in ("screen-env", "stopped-env"):
        host.environment_from("debian:12", name)
    container = engine.container("screen-env")["Id"]
    engine.api("PUT", f"/containers/{container}/archive?path=/", _programs_of_this_machine(), {"Content-Type": "application/x-tar"})
    host.docker("stop-container", "stopped-env", check=True)
    return Place(bin_dir() / "riverbox", host.config, "screen-env", host.env, stopped="stopped-env")


@functools.cache
def place():
    """The Place, or None where no environment with bash can be had."""
    lab = os.environ.get("RIVERBOX_TERMINAL_LAB")
    if lab:
        return _lab(lab)
    if os.environ.get("RIVERBOX_TEST_ENV"):
        return Place(os.environ["RIVERBOX_BIN"], os.environ["RIVERBOX_CONFIG"], os.environ["RIVERBOX_TEST_ENV"],
                     stopped=os.environ.get("RIVERBOX_TEST_STOPPED_ENV"))
    return _cluster()
