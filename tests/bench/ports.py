"""Ports of a VPS through `riverbox forward`, beside the same ports through OpenSSH's `ssh -L` to an sshd in the same network, which is reached at the container's own address; and what a VPS
that does nothing costs its runner."""
import random
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

from cluster import Runner, bin_dir
from figures import settle, timed
from process import Process, free_port, wait_until, work_dir

HERE = Path(__file__).resolve().parent
PEER, SSHD = 7000, 7022  # where they listen in the container
PIECE = bytes(1 << 18)


# ---- what is done with a port

def connect(address):
    connection = socket.create_connection(address, timeout=60)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def up(address, size):
    with connect(address) as connection:
        connection.sendall(b"u")
        left = size
        while left:
            left -= connection.send(PIECE[:left])
        connection.shutdown(socket.SHUT_WR)
        if struct.unpack(">Q", connection.recv(8, socket.MSG_WAITALL))[0] != size:
            sys.exit("ports: bytes were lost on the way into the VPS")


def down(address, size):
    with connect(address) as connection:
        connection.sendall(b"d" + struct.pack(">Q", size))
        buffer = bytearray(len(PIECE))
        while got := connection.recv_into(buffer):
            size -= got
    if size:
        sys.exit("ports: bytes were lost on the way out of the VPS")


def round_trip_ms(address, times=2000):
    """The median of so many round trips of one byte."""
    took = []
    with connect(address) as connection:
        connection.sendall(b"e")
        for _ in range(times):
            began = time.perf_counter()
            connection.sendall(b"x")
            connection.recv(1)
            took.append(1000 * (time.perf_counter() - began))
    return statistics.median(took)


def many_streams(address, streams, size):
    """So many echoes at once, each with bytes of its own, all of which are compared."""
    pool, wrong = random.Random(1).randbytes(size + streams), []
    start = threading.Barrier(streams)

    def talk(number):
        mine = memoryview(pool)[number : number + size]
        try:
            with connect(address) as connection:
                start.wait(60)
                connection.sendall(b"e")
                threading.Thread(target=lambda: (connection.sendall(mine), connection.shutdown(socket.SHUT_WR)), daemon=True).start()
                at = 0
                while data := connection.recv(1 << 16):
                    if mine[at : at + len(data)] != data:
                        raise ValueError(f"other bytes after {at}")
                    at += len(data)
                if at != size:
                    raise ValueError(f"{at} of {size} bytes")
        except (OSError, ValueError, threading.BrokenBarrierError) as error:
            wrong.append(f"{number}: {error}")

    threads = [threading.Thread(target=talk, args=(n,)) for n in range(streams)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    if wrong:
        sys.exit(f"ports: {len(wrong)} of {streams} streams went wrong, such as {wrong[0]}")


# ---- the ways to it

def answers(address):
    try:
        return round_trip_ms(address, 1) > 0
    except OSError:
        return False


@contextmanager
def sshd(nsenter, folder):
    """An OpenSSH server in the container's network, and the words for a client that may log in."""
    if not Path("/usr/sbin/sshd").exists():
        sys.exit("ports: there is no OpenSSH server to compare with (Debian: openssh-server)")
    folder.mkdir()
    for key in ("host-key", "key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key], check=True)
    options = {"Port": SSHD, "HostKey": folder / "host-key", "AuthorizedKeysFile": folder / "key.pub", "StrictModes": "no", "UsePAM": "no", "PidFile": "none", "PermitRootLogin": "yes"}
    (folder / "config").write_text("".join(f"{k} {v}\n" for k, v in options.items()))
    # It wants an empty folder in /run, which this machine need not have.
    server = Process([*nsenter, "unshare", "-m", "sh", "-c", f"mount -t tmpfs none /run && mkdir /run/sshd && exec /usr/sbin/sshd -D -e -f {folder}/config"], folder / "log")
    try:
        yield ["ssh", "-F", "none", "-i", folder / "key", "-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={folder}/known", "-o", "BatchMode=yes", "-p", str(SSHD)]
    finally:
        server.end()


@contextmanager
def ways_into(c, container):
    """Addresses of the peer: directly, through ours, through ssh."""
    show = lambda what: c.runner_engine.docker("inspect", "-f", what, container).strip()
    ip, nsenter = show("{{.NetworkSettings.IPAddress}}"), ["nsenter", "-t", show("{{.State.Pid}}"), "-n"]
    direct, ours, theirs = (ip, PEER), ("127.0.0.1", free_port()), ("127.0.0.1", free_port())
    running = [Process([*nsenter, sys.executable, HERE / "ports_peer.py", PEER], work_dir() / "ports-peer")]
    try:
        wait_until(lambda: answers(direct), 20, "the peer in the VPS")
        with sshd(nsenter, work_dir() / "ports-sshd") as ssh:
            running.append(Process([bin_dir() / "riverbox", "forward", "bench-ports", f"{ours[1]}:{PEER}"], work_dir() / "ports-forward", env=c.host.env))
            wait_until(lambda: answers(ours), 20, "riverbox forward")

            def logged_in():
                if not running[-1].running() or len(running) == 2:
                    running.append(Process([*ssh, "-N", "-L", f"127.0.0.1:{theirs[1]}:127.0.0.1:{PEER}", f"root@{ip}"], work_dir() / "ports-ssh"))
                return answers(theirs)
            wait_until(logged_in, 20, "ssh -L", step=0.5)
            yield direct, ours, theirs
    finally:
        for process in reversed(running):
            process.end()


# ---- the figures

STREAMS = 200


def make_vps(c, node, environment, name):
    """Its container, once it runs and has a tunnel."""
    made = c.host.cli("riverbox", "vps", "create", "--json", "--container", environment, "--cores", "0", "--target", node, "--name", name, "--ssh", "disabled", check=True).json()["task_id"]
    container = f"hakuriver-vps-{made}"
    wait_until(lambda: c.host.status(made)["status"] == "running" and has_tunnel(c, container), 60, "the VPS and its tunnel")
    return container


def has_tunnel(c, container):
    """The kernel counts both ends of it to the container's network, under the name of the socket that the runner listens on."""
    pid = c.runner_engine.docker("inspect", "-f", "{{.State.Pid}}", container).strip()
    return any(line.split()[5] == "03" and line.endswith("/tunnel.sock") for line in Path(f"/proc/{pid}/net/unix").read_text().splitlines())


@contextmanager
def keeper_of(c, node, names):
    """A runner that has just begun, for VPSs of these names, so that what they need in it is seen."""
    keeper = Runner(c.host, c.runner_engine, node)
    try:
        time.sleep(3)
        yield keeper
    finally:
        for name in names:
            c.host.cli("riverbox", "vps", "rm", "--force", name)
        keeper.stop()


def bench_ports(c, figures, repeat, environment, megabytes):
    with keeper_of(c, "bench-ports", ["bench-ports"]) as keeper, ways_into(c, make_vps(c, "bench-ports", environment, "bench-ports")) as (direct, ours, theirs):
        for what, move in (("into", up), ("out of", down)):
            rates = {address: [] for address in (theirs, ours)}
            for _ in range(repeat):
                for address, rate in rates.items():
                    settle()
                    rate.append(megabytes / timed(lambda: move(address, megabytes * 1000000)))
            figures.pair(f"forward, {megabytes} MB {what} a VPS", "ssh -L to its address", rates[ours], rates[theirs], 1.0, unit="MB/s", higher=True)
        trips = [[round_trip_ms(address) for address in (direct, ours, theirs)] for _ in range(repeat)]
        figures.single("forward, what it adds to the round trip of a byte", [our - least for least, our, _ in trips], 1, "ms",
                       against=f"TCP to its address; ssh -L adds {min(their - least for least, _, their in trips):.2f} ms")
        before, took = keeper.process.peak_rss_mb(), {address: [] for address in (theirs, ours)}
        for _ in range(repeat):
            for address, seconds in took.items():
                settle()
                seconds.append(timed(lambda: many_streams(address, STREAMS, megabytes * 500_000 // STREAMS)))
        figures.pair(f"forward, {STREAMS} streams at once, {megabytes / 2:g} MB there and back, compared", "ssh -L to its address", took[ours], took[theirs], 1.0)
        figures.single("runner, memory for each of them, at most", (keeper.process.peak_rss_mb() - before) / STREAMS, 0.6, "MB", against="two windows of 256 KiB")


def bench_idle_vpses(c, figures, environment, count):
    """What comes once and for all with the first of them counts, too."""
    names = [f"bench-idle-{n}" for n in range(count)]
    with keeper_of(c, "bench-idle", names) as keeper:
        without = keeper.process.rss_mb()
        for name in names:
            make_vps(c, "bench-idle", environment, name)
        time.sleep(3)
        figures.single(f"runner, memory for each of {count} idle VPSs with a tunnel", (keeper.process.rss_mb() - without) / count, 1, "MB", against=f"{without:.1f} MB without any")
