"""What a snapshot costs those that it is none of: the heartbeats of the node while that of a stop is taken."""
import json
import threading
import time

from cluster import Runner
from figures import settle, shown
from process import wait_until


class Beats:
    """When the host has heard the node, as somebody sees it who looks all the time."""

    def __init__(self, host, node):
        self.host, self.node, self.seen, self.over = host, node, [], False
        self.thread = threading.Thread(target=self._look)

    def _look(self):
        last = None
        while not self.over:
            heard = self.host.nodes()[self.node]["last_heartbeat"]
            if heard != last:
                self.seen.append(time.monotonic())
                last = heard
            time.sleep(0.01)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over = True
        self.thread.join()

    def longest(self):
        return max(b - a for a, b in zip(self.seen[1:], self.seen[2:]))  # the first is when the looking began


def bench_snapshots(c, figures, environment, megabytes):
    keeper = Runner(c.host, c.runner_engine, "bench-keeper", vps={"auto_snapshot_on_stop": True})
    vps = lambda *argv, **more: c.host.cli("riverbox", "vps", *argv, timeout=600, check=True, **more)
    try:
        vps("create", "--container", environment, "--cores", "0", "--target", "bench-keeper", "--name", "bench-vps")
        status = lambda: json.loads(vps("show", "--json", "bench-vps").out)["status"]
        wait_until(lambda: status() == "running" or None, 60, "the VPS to run")
        vps("connect", "bench-vps", input=f"head -c {megabytes * 1000000} /dev/urandom > /big; sync\n".encode())
        settle()
        with Beats(c.host, "bench-keeper") as idle:
            time.sleep(20)
        began = time.monotonic()
        with Beats(c.host, "bench-keeper") as busy:
            vps("stop", "bench-vps")
            wait_until(lambda: json.loads(vps("snapshots", "--json", "bench-vps").out)["count"] == 1 or None, 600, "the snapshot", step=0.2)
            took = time.monotonic() - began
            time.sleep(2)
        figures.single(f"longest time between heartbeats, each second, while the snapshot of a stop is taken ({megabytes} MB in {took:.0f} s)", busy.longest(), 1.5, "s",
                       against=f"an idle node: {shown(idle.longest(), 's')}")
    finally:
        c.host.cli("riverbox", "vps", "rm", "--force", "bench-vps")
        keeper.stop()
