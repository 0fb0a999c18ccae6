#!/usr/bin/env python3
"""Figures beside Docker's own commands, in one run on the same two private Engines.

usage: bench.py [--json FILE] [--repeat N] [--big MB] [--only NAME...]

  create-tar       against docker stop + commit + save of the same container (a small and a big environment)
  sync             against docker load -i of the same archive into an Engine that has nothing
  thin             a small change in a big environment: create-tar against commit + save, sync against docker load -i
  task             start of a task to its end, against docker run --rm of the same image
  idle             resident memory of host and runner
  terminal         50 MB through docker-shell on a terminal, against docker exec -t

Each pair is measured alternately, N times (default 5, big ones 3); the table shows medians and their ratio against the promise.
"""
import argparse
import json
import os
import pty
import re
import statistics
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
from cluster import Cluster, bin_dir  # noqa: E402
from process import work_dir  # noqa: E402


class Figures:
    def __init__(self):
        self.rows = []

    def pair(self, name, ours, theirs, promise, unit="s", higher=False, what=""):
        a, b = statistics.median(ours), statistics.median(theirs)
        ratio = a / b
        kept = ratio >= promise if higher else ratio <= promise
        self.rows.append({"name": name, "unit": unit, "riverbox": ours, "docker": theirs, "riverbox_median": a, "docker_median": b,
                          "ratio": ratio, "promise": promise, "higher_is_better": higher, "kept": kept, "what": what})
        self.show(self.rows[-1])

    def single(self, name, value, limit, unit):
        self.rows.append({"name": name, "unit": unit, "riverbox": [value], "riverbox_median": value, "promise": limit, "kept": value <= limit})
        self.show(self.rows[-1])

    HEAD = f"{'':34} {'riverbox':>12} {'docker':>12} {'ratio':>7} {'promise':>9}"

    @staticmethod
    def show(row):
        unit = row["unit"]
        number = lambda v: f"{v:.3f} {unit}" if unit == "s" else f"{v:.1f} {unit}"
        if "docker" in row:
            sign = ">=" if row["higher_is_better"] else "<="
            print(f"{row['name']:34} {number(row['riverbox_median']):>12} {number(row['docker_median']):>12} {row['ratio']:>7.2f} "
                  f"{sign + format(row['promise'], '.2f'):>9}  {'kept' if row['kept'] else 'MISSED'}", flush=True)
        else:
            print(f"{row['name']:34} {number(row['riverbox_median']):>12} {'':>12} {'':>7} {'<=' + format(row['promise'], '.0f'):>9}  "
                  f"{'kept' if row['kept'] else 'MISSED'}", flush=True)


def timed(function):
    start = time.monotonic()
    function()
    return time.monotonic() - start


def settle():
    """Writes of the round before are not billed to this one."""
    os.sync()
    time.sleep(0.3)


def filling(megabytes):
    return f"""
        mkdir -p /opt/data /opt/lib
        for i in $(seq {max(1, megabytes // 50)}); do head -c {min(megabytes, 50) * 1000000} /dev/urandom > /opt/data/blob$i; done
        for i in $(seq 500); do head -c 4000 /dev/urandom > /opt/lib/file$i; done
    """


def environment(c, name, megabytes):
    """An environment with that much random data in it, and files as a package manager leaves them."""
    c.host.docker("create-container", "busybox:latest", name, check=True)
    c.host.shell(name, filling(megabytes), check=True, timeout=600)


def bench_create_tar(c, figures, repeat, name, megabytes, promise):
    """Against docker's commands twice: stop + commit + save of a container as docker users make it, whose stop waits 10 s because
    nothing in it listens to SIGTERM; and stop + commit + save + start of the environment's own container, which does what create-tar
    does and leaves behind what it leaves behind."""
    out = work_dir() / "docker-save.tar"
    docker = c.host_engine.docker
    environment(c, name, megabytes)
    c.host.docker("create-tar", name, check=True, timeout=600)
    docker("run", "-d", "--name", "bench-peer", "busybox:latest", "sleep", "infinity")
    docker("exec", "bench-peer", "sh", "-c", filling(megabytes), timeout=600)
    containers = {"bench-peer": [], c.host_engine.container(name)["Id"]: []}
    def docker_way(container):
        docker("stop", container, timeout=600)
        docker("commit", container, "bench-peer:base", timeout=600)
        docker("save", "-o", out, "bench-peer:base", timeout=600)
        if container != "bench-peer":
            docker("start", container)
    ours = []
    for _ in range(repeat):
        for container, seconds in containers.items():
            settle()
            seconds.append(timed(lambda: docker_way(container)))
            docker("start", container)
            docker("rmi", "-f", "bench-peer:base", check=False)
            out.unlink()
        c.host.shell(name, "date > /opt/changed\n", check=True)
        settle()
        ours.append(timed(lambda: c.host.docker("create-tar", name, check=True, timeout=600)))
    docker("rm", "-f", "bench-peer")
    usual, same = containers.values()
    figures.pair(f"create-tar, {megabytes} MB", ours, usual, promise, what="docker stop + commit + save")
    figures.pair(f"create-tar, {megabytes} MB, the work itself", ours, same, 1.1, what="docker stop + commit + save + start of the environment's container")


def bench_sync(c, figures, repeat, name):
    tar = c.host.tars / c.host.tars_of(name)[0]
    image = f"hakuriver/{name}:base"
    megabytes = tar.stat().st_size / 1e6
    def forget():
        c.runner_engine.docker("rmi", "-f", image, check=False)
        c.runner_engine.docker("image", "prune", "-f")
    ours, theirs = [], []
    for _ in range(repeat):
        forget(), settle()
        theirs.append(timed(lambda: c.runner_engine.docker("load", "-i", tar, timeout=600)))
        forget(), settle()
        ours.append(first_sync(c, name)[0])
    figures.pair(f"sync, {megabytes:.0f} MB, nothing there", ours, theirs, 1.1, what="docker load -i")


def bench_thin(c, figures, megabytes, files, change):
    """Both sides make the same environment and the same change; docker commits its container again, as HakuRiver does."""
    name, tag, out = f"thin-{megabytes}", f"hakuriver/thin-{megabytes}:base", work_dir() / "docker-save.tar"
    host, runner = c.host_engine.docker, c.runner_engine.docker
    small_files = lambda folder, count: ("awk 'BEGIN { for (i = 0; i < 40; i++) line = line \"0123456789\"; for (n = 0; n < %d; n++) { d = \"%s/\" int(n / 500); "
                                         "if (n %% 500 == 0) system(\"mkdir -p \" d); f = d \"/\" n; for (i = 0; i < 10; i++) print n, i, line > f; close(f) } }'" % (count, folder))
    fill = f"mkdir -p /opt/big; for i in $(seq {max(1, (megabytes - files // 250) // 100)}); do head -c 100000000 /dev/urandom > /opt/big/$i; done; {small_files('/opt/small', files)}"
    alter = f"rm -r /opt/small/0; head -c {change * 900_000} /dev/urandom > /opt/new; {small_files('/opt/more', change * 20)}"
    def stock():
        host("commit", "thin-peer", "thin-peer:base", timeout=1200)
        host("save", "-o", out, "thin-peer:base", timeout=1200)
    create = lambda: c.host.docker("create-tar", name, check=True, timeout=1200)
    c.host.docker("create-container", "busybox:latest", name, check=True)
    c.host.shell(name, fill, check=True, timeout=1200)
    host("run", "-d", "--init", "--name", "thin-peer", "busybox:latest", "sleep", "infinity")
    host("exec", "thin-peer", "sh", "-c", fill, timeout=1200)
    size = f"{megabytes / 1000:g} GB"
    settle()
    ours = timed(create)
    settle()
    figures.pair(f"first create-tar, {size}", [ours], [timed(stock)], 1 / 1.5, what="docker commit + save")
    first_sync(c, name)
    first = c.runner_engine.image(tag)["Id"]
    c.host.shell(name, alter, check=True, timeout=600)
    host("exec", "thin-peer", "sh", "-c", alter, timeout=600)
    settle()
    ours = timed(create)
    settle()
    figures.pair(f"create-tar, {change} MB changed in {size}", [ours], [timed(stock)], 1 / 12, what="docker commit + save")
    host("rm", "-f", "thin-peer"), host("rmi", "-f", "thin-peer:base", check=False)
    out.unlink()
    tar = c.host.tars / c.host.tars_of(name)[0]
    settle()
    ours, bytes_read = first_sync(c, name)
    second = c.runner_engine.image(tag)["Id"]
    runner("tag", first, tag), runner("rmi", second, check=False)
    settle()
    present = timed(lambda: runner("load", "-i", tar, timeout=1200))
    runner("rmi", "-f", tag, first, second, check=False), runner("image", "prune", "-f")
    settle()
    empty = timed(lambda: runner("load", "-i", tar, timeout=1200))
    figures.pair(f"sync, {change} MB changed in {size}", [ours], [present], 1 / 6, what="docker load -i, the other layers present")
    figures.pair("the same, nothing present for docker", [ours], [empty], 1 / 35 if megabytes > 1000 else 1 / 50, what="docker load -i")
    figures.single("read from the share for it", bytes_read / 1e6, change * 1.06 + 0.1, "MB")  # random data and its tar headers
    c.host.docker("delete-container", name)


def first_sync(c, name):
    """Seconds of the sync that a task waits for and the bytes of layers it read, by the runner's own log."""
    c.host.client("--target", "node1", "--container", name, "--cores", "0", "--wait", "--", "true", check=True, timeout=1200)
    lines = [json.loads(line) for line in (c.runner.home / "log").read_text().splitlines() if line.startswith("{")]
    newest = lambda message: next(l for l in reversed(lines) if l["message"] == message)
    at = lambda message: datetime.fromisoformat(newest(message)["time"][:26])
    return (at("environment brought up to date") - at("task accepted")).total_seconds(), int(newest("loaded an environment")["bytes"])


def bench_task(c, figures, repeat, name):
    image = f"hakuriver/{name}:base"
    c.host.client("--target", "node1", "--container", name, "--wait", "--", "true", check=True)
    ours, theirs = [], []
    for _ in range(repeat * 4):
        theirs.append(timed(lambda: c.runner_engine.docker("run", "--rm", "--init", image, "true")))
        ours.append(timed(lambda: c.host.client("--target", "node1", "--container", name, "--cores", "0", "--wait", "--", "true", check=True)))
    figures.pair("task, start to end", ours, theirs, 1.3, what="docker run --rm --init")


def bench_idle(c, figures):
    time.sleep(3)
    figures.single("host, idle RSS", c.host.process.rss_mb(), 30, "MB")
    figures.single("runner, idle RSS", c.runner.process.rss_mb(), 20, "MB")


def drain(argv, env, typed):
    """Seconds from the marker START to the marker END on a terminal, and the bytes between."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execvpe(argv[0], argv, {**env, "TERM": "xterm"})
    if typed:
        time.sleep(1)
        os.write(fd, typed)
    tail, start, count, end = b"", None, 0, None
    while True:
        try:
            data = os.read(fd, 1 << 16)
        except OSError:
            break
        if not data:
            break
        if start is None:
            tail = (tail + data)[-1 << 16:]
            at = re.search(rb"\x01START", tail)
            if at:
                start, count = time.monotonic(), len(tail) - at.end()
        else:
            count += len(data)
            tail = (tail + data)[-100:]
        if start and end is None and b"\x01END" in tail[-100:]:
            end = time.monotonic()
    os.waitpid(pid, 0)
    os.close(fd)
    return end - start, count


def bench_terminal(c, figures, repeat, name):
    c.host.shell(name, "yes 'the quick brown fox jumps over the lazy dog' | head -c 50000000 > /root/text\n", check=True)
    # ^A before the words, so that the echo of the command line is not taken for them
    script = "printf '\\001START'; cat /root/text; printf '\\001END'"
    container = c.host_engine.container(name)["Id"]
    env = {**os.environ, "DOCKER_HOST": c.host_engine.host}
    ours, theirs, complete = [], [], True
    for _ in range(repeat):
        seconds, count = drain(["docker", "exec", "-t", container, "sh", "-c", script], env, b"")
        theirs.append(count / seconds / 1e6)
        seconds, count = drain([str(bin_dir() / "hakuriver.docker-shell"), name], c.host.env, (script + "; exit\r").encode())
        complete = complete and count >= 50000000
        ours.append(count / seconds / 1e6)
    figures.pair("terminal, 50 MB", ours, theirs, 0.8, unit="MB/s", higher=True, what="docker exec -t")
    if not complete:
        sys.exit("terminal: bytes were lost")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--big", type=int, default=500, metavar="MB")
    parser.add_argument("--only", nargs="+", choices=["create-tar", "sync", "task", "idle", "terminal", "thin"])
    options = parser.parse_args()
    wanted = lambda name: not options.only or name in options.only
    c, figures, few = Cluster(), Figures(), max(1, min(3, options.repeat))
    cpu = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "?")
    facts = {"cpu": cpu, "cores": os.cpu_count(), "load": os.getloadavg()[0], "engine": c.host_engine.api("GET", "/version")["Version"],
             "riverbox": subprocess.run([bin_dir() / "riverbox", "version"], capture_output=True, text=True).stdout.strip()}
    print(", ".join(f"{k} {v}" for k, v in facts.items()) + "\n\n" + Figures.HEAD, flush=True)
    if wanted("idle"):
        bench_idle(c, figures)
    if wanted("create-tar"):
        bench_create_tar(c, figures, few, "bench-small", 5, 0.2)
        bench_create_tar(c, figures, few, "bench-big", options.big, 1.1)
    elif wanted("sync") or wanted("task") or wanted("terminal"):
        environment(c, "bench-small", 5), environment(c, "bench-big", options.big)
        for name in ("bench-small", "bench-big"):
            c.host.docker("create-tar", name, check=True, timeout=600)
    if wanted("sync"):
        bench_sync(c, figures, few, "bench-big")
    if wanted("task"):
        bench_task(c, figures, options.repeat, "bench-small")
    if wanted("terminal"):
        bench_terminal(c, figures, few, "bench-small")
    if wanted("thin"):
        bench_thin(c, figures, 500, 20_000, 1)
        bench_thin(c, figures, 1500, 45_000, 28)
    if options.json:
        options.json.write_text(json.dumps({"machine": facts, "figures": figures.rows}, indent=2) + "\n")
    return 0 if all(row["kept"] for row in figures.rows) else 1


if __name__ == "__main__":
    sys.exit(main())
