"""The host under load: a long queue, many links, many readers, and how soon a task runs."""
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

from cluster import Host
from figures import settle, timed
from process import ROOT, Process, free_port, wait_until, work_dir

PYTHON = "/usr/bin/python3"  # the one that the distribution's packages are for
HERE = Path(__file__).resolve().parent


def needs(figures, what, *packages, there):
    """False, with a note, when something of the distribution is missing and cannot be installed."""
    if there():
        return True
    if shutil.which("apt-get") and os.geteuid() == 0:
        subprocess.run(["apt-get", "install", "-y", "--no-install-recommends", *packages], env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if there():
        return True
    figures.note(f"{what}: install {' '.join(packages)}")
    return False


# ---- the queue

def bench_schedule(figures):
    """A program of its own, because the walk is measured without what is around it as well."""
    build = ROOT / "build"
    made = build.exists() and subprocess.run(["ninja", "-C", build, "tests/bench/scheduling"], capture_output=True, text=True)
    if not made or made.returncode:
        return figures.note("scheduling passes: build/ is not there, or tests/bench/scheduling cannot be built in it")
    for what, rounds in json.loads(subprocess.check_output([build / "tests/bench/scheduling"], text=True)).items():
        figures.single(what, rounds, 50, "ms", against="100,000 tasks wait, 1,000 nodes")


# ---- links

def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def bench_links(figures, repeat, count):
    host = Host(None, work_dir() / "links-share", name="links-host", timing={"heartbeat_interval": 5})
    runners = subprocess.Popen([sys.executable, HERE / "runners.py", str(host.port), host.token, str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        first = runners.stdout.readline()
        if first != "all\n":
            sys.exit(f"links: {first}")
        online = sum(node["status"] == "online" for node in host.nodes().values())
        if online != count:
            sys.exit(f"links: {online} of {count} nodes are online")
        time.sleep(5)
        percent = []
        for _ in range(repeat):
            before, start = cpu_seconds(host.process.pid), time.monotonic()
            time.sleep(15)
            percent.append(100 * (cpu_seconds(host.process.pid) - before) / (time.monotonic() - start))
        figures.single(f"{count} idle links, memory of the host", host.process.rss_mb(), 100, "MB")
        figures.single(f"{count} idle links, processor of the host", min(percent), 5, "%", against="one core")
        if runners.poll() is not None:
            sys.exit("links: the runners have ended")
    finally:
        runners.stdin.close()
        runners.wait(10)
        host.stop()


# ---- how soon a task runs

def bench_start(c, figures, repeat, name):
    """From the command to the moment at which the container runs, as `docker run -d` returns then. Both are commands; both containers have the same mounts and the same log driver."""
    image = f"hakuriver/{name}:base"
    c.host.client("--target", "node1", "--container", name, "--wait", "--", "true", check=True)
    shared, local = c.host.share / "shared_data", c.runner.home / "local_temp"
    same = ("--init", "-v", f"{shared}:/shared", "-v", f"{local}:/local_temp", "-w", "/shared", "--log-driver", "local", "--log-opt", "compress=false")
    docker, ours, theirs = c.runner_engine.docker, [], []

    def task():
        result = c.host.client("--target", "node1", "--container", name, "--cores", "0", "--", "sleep", "60", check=True)
        started.append(re.search(r"\d{15,}", result.out + result.err).group())
        wait_until(lambda: c.host.status(started[-1])["status"] == "running", 30, "the container to run", step=0.002)  # what is measured must not be how often we look

    for _ in range(repeat * 4):
        started = []
        theirs.append(timed(lambda: started.append(docker("run", "-d", *same, image, "sleep", "60"))))
        docker("rm", "-f", started[0])
        settle()
        started = []
        ours.append(timed(task))
        c.host.cli("riverbox", "task", "kill", started[0], check=True)
        wait_until(lambda: not docker("ps", "-q"), 30, "the container to end")
        settle()
    figures.pair("submit to running", "docker run -d of the same", ours, theirs, 1.15)
    figures.pair("submit to running, medians", "docker run -d of the same", [statistics.median(ours)], [statistics.median(theirs)], 1.15)


# ---- readers

def requests_per_second(port, path, token=""):
    """Eight connections that are kept, for five seconds."""
    headers = ["-H", f"Authorization: Bearer {token}"] if token else []
    out = subprocess.run(["wrk", "-t1", "-c8", "-d5s", *headers, f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in out or "Socket errors" in out:
        sys.exit(f"{path}: {out}")
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))


@contextmanager
def submissions(host, one):
    """Something changes all the time: an answer that was kept is an old one soon."""
    end = threading.Event()

    def submit():
        while not end.wait(0.1):
            host.http("POST", "/api/submit", one)

    thread = threading.Thread(target=submit)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


def bench_rest(figures, repeat, tasks, nodes):
    if not needs(figures, "reading lists", "python3-fastapi", "python3-uvicorn", "python3-uvloop", "python3-httptools", "wrk",
                 there=lambda: shutil.which("wrk") and subprocess.run([PYTHON, "-c", "import fastapi, uvicorn, uvloop, httptools"], capture_output=True).returncode == 0):
        return
    host = Host(None, work_dir() / "rest-share", name="rest-host", timing={"heartbeat_interval": 5})
    runners = subprocess.Popen([sys.executable, HERE / "runners.py", str(host.port), host.token, str(nodes)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        if runners.stdout.readline() != "all\n":
            sys.exit("rest: the runners are not welcome")
        host.tars.mkdir(parents=True, exist_ok=True)
        (host.tars / "rest-env-1700000000.tar").write_bytes(b"x" * 512)  # nobody ever loads it: the nodes are only links
        one = {"command": "python", "arguments": ["train.py", "--epochs", "10"], "env_vars": {"SEED": "1"}, "container_name": "rest-env", "required_cores": 4}
        for _ in range(tasks // 2000):
            status, _, answer = host.http("POST", "/api/submit/batch", {"tasks": [one] * 2000})
            if status != 202:
                sys.exit(f"rest: {answer}")
        paths = {"/api/nodes": "/api/nodes", "/api/tasks": "/api/tasks?limit=100"}
        file = work_dir() / "peer-answers.json"
        file.write_text(json.dumps({path: host.http("GET", asked)[2] for path, asked in paths.items()}))
        port = free_port()
        peer = Process([PYTHON, "-m", "uvicorn", "--app-dir", HERE, "fastapi_peer:app", "--port", str(port), "--loop", "uvloop", "--http", "httptools", "--log-level", "warning",
                        "--no-access-log"], work_dir() / "peer-log", env={**os.environ, "PEER_ANSWERS": str(file), "PYTHONDONTWRITEBYTECODE": "1"})
        try:
            wait_until(lambda: subprocess.run(["curl", "-sf", "-o", "/dev/null", f"http://127.0.0.1:{port}/api/nodes"]).returncode == 0, 20, "uvicorn to answer", step=0.2)
            for path, asked in paths.items():
                size = len(host.http("GET", asked, raw=True)[2])
                ours, theirs = [], []
                for _ in range(repeat):
                    theirs.append(requests_per_second(port, asked))
                    ours.append(requests_per_second(host.port, asked, host.token))
                what = f"GET {asked}, {size // 1000} kB, {tasks} tasks" if "tasks" in path else f"GET {asked}, {size // 1000} kB, {nodes} nodes"
                figures.pair(what, "FastAPI on uvicorn", ours, theirs, 20, unit="/s", higher=True)
                with submissions(host, one):
                    ours = [requests_per_second(host.port, asked, host.token) for _ in range(repeat)]
                figures.pair(f"GET {asked}, ten new tasks a second", "FastAPI, where nothing changes", ours, theirs, 20, unit="/s", higher=True)
        finally:
            peer.end()
    finally:
        runners.stdin.close()
        runners.wait(10)
        host.stop()
