"""The figures of thin environments: small changes in big environments, beside what docker needs for the same."""
import json
import os
import re
import shutil
import statistics
import subprocess
import tarfile
import time
from datetime import datetime
from pathlib import Path

from cluster import Host, bin_dir
from figures import settle, timed
from process import work_dir

# 28 MB as an update leaves them: a few large files and some hundred small ones. 4 kB and a header each.
SMALL_FILE_BYTES = 4096 + 512


def small_files(folder, count):
    """A script that makes that many files of about 4 kB."""
    return ("awk 'BEGIN { for (i = 0; i < 40; i++) line = line \"0123456789\"; for (n = 0; n < %d; n++) { d = \"%s/\" int(n / 500); "
            "if (n %% 500 == 0) system(\"mkdir -p \" d); f = d \"/\" n; for (i = 0; i < 10; i++) print n, i, line > f; close(f) } }'" % (count, folder))


class Environment:
    """An environment of so many megabytes and small files, changed by so many; and a container beside it that gets all the same."""

    def __init__(self, c, name, megabytes, files):
        self.c, self.name, self.peer, self.tag = c, name, name + "-peer", f"hakuriver/{name}:base"
        self.size, self.rounds = f"{megabytes / 1000:g} GB", 0
        big = max(1, megabytes - files * SMALL_FILE_BYTES // 1_000_000)
        self.fill = (f"mkdir -p /opt/big; for i in $(seq {big // 50}); do head -c 50000000 /dev/urandom > /opt/big/$i; done; "
                     f"head -c {big % 50 * 1_000_000} /dev/urandom > /opt/big/rest; {small_files('/opt/small', files)}")
        self.begin()

    def begin(self):
        self.c.host.docker("create-container", "busybox:latest", self.name, check=True)
        self.c.host.shell(self.name, self.fill, check=True, timeout=1800)

    def begin_again(self):
        self.c.host.docker("delete-container", self.name, check=True)
        self.c.host.docker("delete-tar", self.name, "--all", "--force", check=True)
        self.c.host_engine.docker("image", "prune", "-f")
        self.begin()

    def with_peer(self):
        self.c.host_engine.docker("run", "-d", "--init", "--name", self.peer, "busybox:latest", "sleep", "infinity")
        self.c.host_engine.docker("exec", self.peer, "sh", "-c", self.fill, timeout=1800)

    def change(self, megabytes, peer=False):
        """Nine tenths in one file, the others small; something goes as well. Nothing of an earlier change is touched."""
        self.rounds += 1
        count = max(1, megabytes * 100_000 // SMALL_FILE_BYTES)
        script = (f"rm -rf /opt/small/{self.rounds - 1}; head -c {megabytes * 900_000} /dev/urandom > /opt/new-{self.rounds}; " +
                  small_files(f"/opt/more-{self.rounds}", count))
        self.c.host.shell(self.name, script, check=True, timeout=600)
        if peer:
            self.c.host_engine.docker("exec", self.peer, "sh", "-c", script, timeout=600)

    def create_tar(self, host=None):
        settle()
        seconds = timed(lambda: (host or self.c.host).docker("create-tar", self.name, check=True, timeout=1800))
        while self.c.host_engine.docker("ps", "-aq", "--filter", f"name=-previous-{self.name}$"):  # its removal must not slow down what is measured next
            time.sleep(0.1)
        return seconds

    def commit_and_save(self):
        """As HakuRiver does it. The file lies in the same file system as the share."""
        out = self.c.host.share / "docker-save.tar"
        docker = self.c.host_engine.docker
        settle()
        seconds = timed(lambda: (docker("commit", self.peer, self.peer + ":base", timeout=1800), docker("save", "-o", out, self.peer + ":base", timeout=1800)))
        out.unlink()
        docker("rmi", "-f", self.peer + ":base", check=False)
        return seconds

    def copy(self):
        """The newest tarball, read before, written to the disk once more."""
        out = self.c.host.share / "copy.tar"
        settle()
        seconds = timed(lambda: subprocess.run(["dd", f"if={self.tar}", f"of={out}", "bs=1M", "conv=fsync", "status=none"], check=True))
        out.unlink()
        return seconds

    def without_peer(self):
        self.c.host_engine.docker("rm", "-f", self.peer, check=False)

    @property
    def tar(self):
        return self.c.host.tars / self.c.host.tars_of(self.name)[0]

    def own_bytes(self, host=None):
        """What the newest version does not share with the one before: the size of its topmost layer."""
        host = host or self.c.host
        with tarfile.open(host.tars / host.tars_of(self.name)[0]) as tar:
            return tar.getmember(json.load(tar.extractfile("manifest.json"))[0]["Layers"][-1]).size

    # ---- on the runner's side

    def forget(self):
        """The runner's Engine has nothing any more."""
        docker = self.c.runner_engine.docker
        docker("rmi", "-f", *{self.tag, *docker("images", "-q", "--no-trunc", "--filter", "reference=bench-keep").split()}, check=False)
        docker("image", "prune", "-f")
        settle()

    def load(self):
        return timed(lambda: self.c.runner_engine.docker("load", "-i", self.tar, timeout=1800))

    def sync(self):
        return first_sync(self.c, self.name)

    def delete(self):
        self.without_peer()
        self.c.host.docker("delete-container", self.name)
        self.c.host.docker("delete-tar", self.name, "--all", "--force")
        self.forget()


def first_sync(c, name):
    """Seconds of the sync that a task waits for, by the runner's own log, and the bytes that the runner has read meanwhile: by the kernel's count, all that a task without
    a sync does not read."""
    def read_by_a_task():
        before = c.runner.process.bytes_read()
        c.host.client("--target", "node1", "--container", name, "--cores", "0", "--wait", "--", "true", check=True, timeout=1800)
        return c.runner.process.bytes_read() - before
    with_sync = read_by_a_task()
    lines = [json.loads(line) for line in (c.runner.home / "log").read_text().splitlines() if line.startswith("{")]
    at = lambda message: next(datetime.fromisoformat(l["time"][:26]) for l in reversed(lines) if l["message"] == message)
    seconds = (at("environment brought up to date") - at("task accepted")).total_seconds()
    return seconds, with_sync - min(read_by_a_task() for _ in range(2))


def bench_thin(c, figures, wanted, megabytes, files, goals, repeat):
    """`goals`: {change in megabytes: {"create": ..., "present": ..., "empty": ...}}, the ratios to reach; what is not named is not measured. None stands for the first
    create-tar. The rows: first, cold, create, changed."""
    if not wanted("first", "cold", "create", "changed"):
        return
    env = Environment(c, f"thin-{megabytes}", megabytes, files)
    stock = [change for change in goals if wanted("create") and "create" in goals[change]]
    if stock or wanted("first") and None in goals:
        env.with_peer()
    if wanted("first") and None in goals:
        first_create_tar(env, figures, repeat, goals[None]["create"])
    else:
        env.create_tar()
    if wanted("cold"):
        cold_sync(env, figures, repeat)
    elif wanted("changed"):
        env.sync()

    for change in [change for change in goals if change is not None]:
        if change not in stock and not wanted("changed"):
            continue
        if change in stock:
            create_after_change(env, figures, change, repeat, goals[change]["create"], sync=wanted("changed"))
        else:
            env.change(change)
            env.create_tar()
        if wanted("changed"):
            changed_sync(env, figures, change, repeat, goals[change])
    env.delete()


def first_create_tar(env, figures, repeat, goal):
    """Of an environment that is made anew for each round: the next create-tar of the same one would be a small one."""
    ours, theirs = [], []
    for i in range(repeat):
        if i > 0:
            env.begin_again()
        ours.append(env.create_tar())
        theirs.append(env.commit_and_save())
    figures.pair(f"first create-tar, {env.size}", "docker commit + save -o", ours, theirs, goal)


def create_after_change(env, figures, change, repeat, goal, sync):
    """By turns. With `sync` the runner has the version before the last one. Where no extents are shared every byte is written again: what the disk needs for that alone
    is told beside it."""
    ours, theirs, copies = [], [], []
    rounds = repeat + 2
    for i in range(rounds):
        if sync and i == rounds - 1:
            env.sync()
        env.change(change, peer=True)
        ours.append(env.create_tar())
        theirs.append(env.commit_and_save())
        copies.append(env.copy())
    figures.pair(f"create-tar, {change} MB changed in {env.size}", f"docker commit + save -o; dd conv=fsync of the tarball needs {min(copies):.2f} s", ours, theirs, goal)


def cold_sync(env, figures, repeat):
    """By turns that change their order: what the disk gave to the one before is not always there for the one after."""
    ours, theirs = [], []
    turns = [lambda: theirs.append(env.load()), lambda: ours.append(env.sync()[0])]
    for _ in range(2 * repeat + 2):
        for turn in turns:
            env.forget()
            turn()
        turns.reverse()
    figures.pair(f"cold sync, {env.size}", "docker load -i", ours, theirs, 1.02)


def changed_sync(env, figures, change, repeat, goal):
    """Sync and load of a changed environment, by turns, from the same state of the Engine: the version before is there, and for docker also nothing."""
    docker = env.c.runner_engine.docker
    before = docker("image", "inspect", "-f", "{{.Id}}", env.tag)
    docker("tag", before, "bench-keep:before")

    def back():
        now = docker("image", "inspect", "-f", "{{.Id}}", env.tag)
        docker("tag", before, env.tag)
        docker("rmi", now, check=False)
        settle()
    own, ours, read, present, empty = env.own_bytes(), [], [], [], []
    settle()
    for i in range(4 * repeat):  # of a tenth of a second each, where every stall counts
        seconds, count = env.sync()
        ours.append(seconds)
        read.append(count / 1e6)
        back()
        if "present" in goal and i % 4 == 0:
            present.append(env.load())
            back()
    for _ in range(repeat):
        env.forget()
        empty.append(env.load())
    what = f"sync, {change} MB changed in {env.size}"
    if present:
        figures.pair(what, "docker load -i, lower layers there", ours, present, goal["present"])
    figures.pair(what, "docker load -i, nothing there", ours, empty, goal["empty"])
    figures.single("read from the share for it", read, own * 1.01 / 1e6, "MB", f"the new layer, {own / 1e6:.3f} MB", " (+ 1 %)")


# ---- what is written again

def xfs(size_bytes):
    """An XFS that shares extents, on a loop device in the work folder; a text where that cannot be had."""
    if os.geteuid() != 0:
        return "it needs root"
    mkfs = shutil.which("mkfs.xfs", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if not mkfs:
        return "mkfs.xfs is not installed (Debian: xfsprogs)"
    image, place = work_dir() / "xfs.image", work_dir() / "xfs-share"
    with open(image, "wb") as file:
        file.truncate(size_bytes)
    place.mkdir()
    for command in ([mkfs, "-q", "-m", "reflink=1", image], ["mount", "-o", "loop", image, place]):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            return f"{command[0]}: {(done.stderr or done.stdout).strip()[-200:]}"
    return place  # unmounted with the work folder


def bench_extents(c, figures, wanted, megabytes, files, change):
    if not wanted("extents"):
        return
    place = xfs(max(400_000_000, megabytes * 4_000_000))
    if isinstance(place, str):
        return figures.note(f"what create-tar writes again where the file system shares extents: no XFS here, {place}")
    host = Host(c.host_engine, place / "share", name="xfs-host", docker={"keep_versions": 2})
    env = Environment(c, "extents", megabytes, files)

    def used():
        os.sync()
        free = os.statvfs(place)
        return (free.f_blocks - free.f_bfree) * free.f_frsize
    env.create_tar(host)
    env.change(change)
    before = used()
    seconds = env.create_tar(host)
    grown, own = used() - before, env.own_bytes(host)
    tar = host.tars / host.tars_of(env.name)[0]
    shared = shared_bytes(tar)
    again = max(0, grown - own)
    figures.single(f"written again, {change} MB changed in {env.size}", again / (tar.stat().st_size - own) * 100, 1.0, "%",
                   f"XFS: {grown / 1e6:.1f} MB more for {own / 1e6:.1f} MB" + (f", filefrag: {shared / 1e6:.0f} MB shared" if shared is not None else ""))
    print(f"  (create-tar on XFS: {seconds:.2f} s; of {tar.stat().st_size / 1e6:.0f} MB)", flush=True)
    env.delete()
    end_host(host, figures)


def shared_bytes(path):
    """How much of a file lies in extents that another file has too, as filefrag says; None without filefrag."""
    filefrag = shutil.which("filefrag", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if not filefrag:
        return None
    out = subprocess.run([filefrag, "-b512", "-v", path], capture_output=True, text=True).stdout
    return sum(int(m[1]) * 512 for m in re.finditer(r"^ *\d+: +\d+\.\. +\d+: +\d+\.\. +\d+: +(\d+):.*\bshared\b", out, re.MULTILINE))


# ---- how fast the share is read

def sparse_archive(path, layers, layer_bytes):
    """An archive with real headers and documents around layers of zeros that take no place."""
    diff_ids = [f"sha256:{n:064x}" for n in range(1, layers + 1)]
    config = json.dumps({"architecture": "amd64", "os": "linux", "created": "2026-01-01T00:00:00Z", "config": {},
                         "rootfs": {"type": "layers", "diff_ids": diff_ids}}).encode()
    names = [f"blobs/sha256/{n:064x}" for n in range(1, layers + 1)]
    manifest = json.dumps([{"Config": "config.json", "RepoTags": None, "Layers": names}]).encode()
    with open(path, "wb") as out:
        def add(name, size, data=None):
            entry = tarfile.TarInfo(name)
            entry.size = size
            out.write(entry.tobuf(tarfile.GNU_FORMAT))
            if data is not None:
                out.write(data)
                out.write(bytes(-size % 512))
            else:
                out.seek(-(-size // 512) * 512, os.SEEK_CUR)
        for name in names:
            add(name, layer_bytes)
        add("config.json", len(config), config)
        add("manifest.json", len(manifest), manifest)
        out.write(bytes(1024))


def bench_index(c, figures, wanted, gigabytes, layers, repeat):
    if not wanted("index"):
        return
    host = Host(None, work_dir() / "index-share", name="index-host")
    host.tars.mkdir(exist_ok=True)
    path = host.tars / "giant-1700000000.tar"
    sparse_archive(path, layers, gigabytes * 1_000_000_000 // layers)
    ours, theirs = [], []
    for _ in range(repeat):
        theirs.append(timed(lambda: subprocess.run(["tar", "tf", path], check=True, stdout=subprocess.DEVNULL)))
        shutil.rmtree(host.tars / ".riverbox", ignore_errors=True)  # nobody has read it before
        start = time.monotonic()
        rows = host.http("GET", "/docker/versions/giant")[2]
        ours.append(time.monotonic() - start)
        if rows[0]["layers"] != layers:
            raise AssertionError(f"the index is wrong: {rows}")
    figures.single(f"index of {gigabytes} GB (sparse, {layers} layers)", [s * 1000 for s in ours], 20, "ms",
                   f"tar tf, {statistics.median(theirs) * 1000:.1f} ms")
    end_host(host, figures)


def bench_list(c, figures, wanted, versions, repeat):
    if not wanted("list"):
        return
    host = Host(None, work_dir() / "list-share", name="list-host")
    indexes = host.tars / ".riverbox"
    indexes.mkdir(parents=True, exist_ok=True)
    for n in range(versions):
        name = f"env{n % 500:03}-{1700000000 + n}"
        (host.tars / f"{name}.tar").write_bytes(b"x" * 512)
        (indexes / f"{name}.json").write_text(json.dumps({"format": 1, "tarball": f"{name}.tar", "size_bytes": 512, "config_digest": f"sha256:{n:064x}"}, indent=1))
    command = [bin_dir() / "hakuriver.docker", "list-tars"]
    time.sleep(6)  # a share at rest: nothing has come or gone for five seconds
    seconds = [timed(lambda: subprocess.run(command, env=host.env, check=True, stdout=subprocess.DEVNULL)) for _ in range(repeat * 3 + 1)]
    listing = host.docker("list-tars", check=True).json()
    if sum(len(e["all_versions"]) for e in listing.values()) != versions:
        raise AssertionError("the listing is not complete")
    figures.single(f"list-tars, {versions} versions", [s * 1000 for s in seconds[1:]], 50, "ms", "-")
    shutil.rmtree(host.tars)
    end_host(host, figures)


def end_host(host, figures):
    figures.hosts_needed.append(host.process.peak_rss_mb())
    host.stop()


def bench_memory(c, figures):
    """Last: the most that any host and the runner have ever needed."""
    figures.single("memory of the host, at most", max([c.host.process.peak_rss_mb(), *figures.hosts_needed]), 64, "MB", "all of the above")
    figures.single("memory of the runner, at most", c.runner.process.peak_rss_mb(), 64, "MB", "all of the above")
