#!/usr/bin/env python3
"""Figures beside Docker's own commands, in one run on the same two private Engines.

usage: bench.py [--json FILE] [--repeat N] [--only NAME...] [--scale F]

What a small change in a big environment costs (0.5 GB with 20,000 small files, 1.5 GB with 45,000; changes of 1 MB and 28 MB):
  first            the first create-tar, against docker commit + save
  cold             a sync into an Engine that has nothing, against docker load -i of the same file
  create           create-tar after a change, against docker commit + save
  changed          a sync after a change, against docker load -i with the lower layers there and with nothing there; the bytes read from the share
  extents          how much create-tar writes again on an XFS that shares extents
  index            of an archive of 30 GB (sparse), beside tar tf
  list             list-tars with 10,000 versions
What everything else costs:
  create-tar       against docker stop + commit + save of the same container (a small and a big environment)
  task             start of a task to its end, against docker run --rm of the same image
  terminal         50 MB through docker-shell on a terminal, against docker exec -t
  idle             resident memory of host and runner
  submit           durable submissions, one by one and in batches
  start            from a submission until the container runs, against docker run -d of the same
  schedule         a walk through a queue of 100,000 tasks with 1,000 nodes
  forward          riverbox forward into a VPS and out of it, round trips, 200 streams, against ssh -L; memory of the runner for each idle VPS
  snapshots        the longest time between two heartbeats while the snapshot of a stop is taken, beside that of an idle node
  links            memory and processor of a host with 1,000 idle links
  rest             GET /api/nodes and /api/tasks with 100,000 tasks, against a FastAPI server with the same payload
And always, at the end: the most memory that host and runner have needed (memory).

Each pair is measured by turns, N times (default 5, big ones 3, some once); the ratio is that of the best rounds, because what else happens on a
machine only ever costs time. --scale 0.1 takes a tenth of all sizes, to see
whether it works: what is to be reached is meant for the whole. Engines and share live in $RIVERBOX_TEST_DIR (default: /var/tmp);
where that disk gives now one rate and now another, as disks of clouds do, /dev/shm is the fairer place: 14 GB of memory.
"""
import argparse
import json
import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
import process  # noqa: E402
import load  # noqa: E402
import thin  # noqa: E402
from ports import bench_idle_vpses, bench_ports  # noqa: E402
from snapshots import bench_snapshots  # noqa: E402
from submissions import bench_submissions  # noqa: E402
from cluster import Cluster, bin_dir  # noqa: E402
from figures import Figures, settle, stolen, timed  # noqa: E402
from process import work_dir  # noqa: E402


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
    def docker_way(container):
        docker("stop", container, timeout=600)
        docker("commit", container, "bench-peer:base", timeout=600)
        docker("save", "-o", out, "bench-peer:base", timeout=600)
        if container != "bench-peer":
            docker("start", container)
    ours, usual, same = [], [], []
    for _ in range(repeat):
        for container, seconds in (("bench-peer", usual), (c.host_engine.container(name)["Id"], same)):  # each create-tar leaves another one
            settle()
            seconds.append(timed(lambda: docker_way(container)))
            docker("start", container)
            docker("rmi", "-f", "bench-peer:base", check=False)
            out.unlink()
        c.host.shell(name, "date > /opt/changed\n", check=True)
        settle()
        ours.append(timed(lambda: c.host.docker("create-tar", name, check=True, timeout=600)))
    docker("rm", "-f", "bench-peer")
    figures.pair(f"create-tar, {megabytes} MB", "docker stop + commit + save", ours, usual, promise)
    figures.pair(f"create-tar, {megabytes} MB, the work itself", "the same of its container, + start", ours, same, 1.1)


def bench_task(c, figures, repeat, name):
    image = f"hakuriver/{name}:base"
    c.host.client("--target", "node1", "--container", name, "--wait", "--", "true", check=True)
    ours, theirs = [], []
    for _ in range(repeat * 4):
        theirs.append(timed(lambda: c.runner_engine.docker("run", "--rm", "--init", image, "true")))
        ours.append(timed(lambda: c.host.client("--target", "node1", "--container", name, "--cores", "0", "--wait", "--", "true", check=True)))
    figures.pair("task, start to end", "docker run --rm --init", ours, theirs, 1.3)


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
    figures.pair("terminal, 50 MB", "docker exec -t", ours, theirs, 0.8, unit="MB/s", higher=True)
    if not complete:
        sys.exit("terminal: bytes were lost")


NAMES = ("first", "cold", "create", "changed", "extents", "index", "list", "create-tar", "task", "terminal", "idle", "submit", "start", "schedule", "forward", "snapshots", "links", "rest")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--only", nargs="+", choices=[*NAMES, "thin"], help="'thin' is the first seven")
    options = parser.parse_args()
    only = {*(options.only or NAMES), *(NAMES[:7] if "thin" in (options.only or ()) else ())}
    wanted = lambda *names: not only.isdisjoint(names)
    scaled = lambda number: max(1, round(number * options.scale))
    started, stolen_before = time.monotonic(), stolen()
    c, figures, few = Cluster(), Figures(), max(1, min(3, options.repeat))
    cpu = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "?")
    facts = {"cpu": cpu, "cores": os.cpu_count(), "load": os.getloadavg()[0], "engine": c.host_engine.api("GET", "/version")["Version"],
             "riverbox": subprocess.run([bin_dir() / "riverbox", "version"], capture_output=True, text=True).stdout.strip(), "scale": options.scale, "folder": str(process.BASE)}
    print(", ".join(f"{k} {v}" for k, v in facts.items()) + "\n", flush=True)
    if wanted("idle"):
        bench_idle(c, figures)
    thin.bench_list(c, figures, wanted, scaled(10_000), few)
    thin.bench_index(c, figures, wanted, scaled(30), 40, options.repeat)
    thin.bench_thin(c, figures, wanted, scaled(500), scaled(20_000), {1: {"empty": 1 / 50}}, few)
    thin.bench_thin(c, figures, wanted, scaled(1500), scaled(45_000),
                    {None: {"create": 1 / 1.5}, scaled(28): {"create": 1 / 12, "present": 1 / 6, "empty": 1 / 35}, 1: {"present": 1 / 6, "empty": 1 / 35}}, few)
    thin.bench_extents(c, figures, wanted, scaled(1500), scaled(45_000), scaled(28))
    if wanted("create-tar"):
        bench_create_tar(c, figures, few, "bench-small", 5, 0.2)
        bench_create_tar(c, figures, few, "bench-big", scaled(500), 1.1)
    elif wanted("task", "terminal", "start", "forward", "snapshots"):
        environment(c, "bench-small", 5)
        c.host.docker("create-tar", "bench-small", check=True, timeout=600)
    if wanted("task"):
        bench_task(c, figures, options.repeat, "bench-small")
    if wanted("start"):
        load.bench_start(c, figures, options.repeat, "bench-small")
    if wanted("terminal"):
        bench_terminal(c, figures, few, "bench-small")
    if wanted("submit"):
        bench_submissions(c, figures, few)
    if wanted("schedule"):
        load.bench_schedule(figures)
    if wanted("forward"):
        bench_ports(c, figures, few, "bench-small", scaled(400))
        bench_idle_vpses(c, figures, "bench-small", 10)
    if wanted("snapshots"):
        bench_snapshots(c, figures, "bench-small", scaled(1500))
    if wanted("links"):
        load.bench_links(figures, few, scaled(1000))
    if wanted("rest"):
        load.bench_rest(figures, few, scaled(100_000), 20)
    thin.bench_memory(c, figures)
    seconds = time.monotonic() - started
    facts |= {"seconds": round(seconds), "stolen_percent": round(100 * (stolen() - stolen_before) / seconds)}
    print(f"\n{figures.table()}\n\n{facts['seconds'] // 60} min {facts['seconds'] % 60} s; other guests of this hardware took {facts['stolen_percent']} % of its processors",
          flush=True)
    if options.json:
        options.json.write_text(json.dumps({"machine": facts, "figures": figures.rows, "not_measured": figures.notes}, indent=2) + "\n")
    return 0 if all(row["kept"] for row in figures.rows) else 1


if __name__ == "__main__":
    sys.exit(main())
