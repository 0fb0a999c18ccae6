"""kill -9 of host and runner, at random, again and again, while tasks run and versions are packaged.

RIVERBOX_KILLS (default 150) says how many, RIVERBOX_KILL_MINUTES (default 4) when it is enough; RIVERBOX_KILL_SEED repeats the order of a run.
"""
import hashlib
import http.client
import json
import os
import random
import tarfile
import threading
import time
import unittest

from cluster import OwnCluster, Runner, shared
from process import PATIENCE, wait_until

KILLS = int(os.environ.get("RIVERBOX_KILLS", "150"))
MINUTES = float(os.environ.get("RIVERBOX_KILL_MINUTES", "4"))
SEED = int(os.environ.get("RIVERBOX_KILL_SEED", time.time_ns() % 1_000_000))
AT_ONCE = 24           # so many tasks that have not ended yet
ONE_IN_A_CONTAINER = 8  # of so many; the others are commands of the node, which start faster
FINAL = ("completed", "failed", "killed", "killed_oom", "lost", "stopped")


class Client(threading.Thread):
    """Submits, repeats what was not answered under the same name, and remembers what was acknowledged."""

    def __init__(self, host, environment, chance):
        super().__init__(daemon=True)
        self.host, self.environment, self.chance = host, environment, chance
        self.enough = threading.Event()
        self.expected = {}  # task -> (name, exit code)
        self.ended = set()
        self.refusals, self.wrong = {}, []

    def request(self, method, path, body=None):
        """The answer, or None: nobody knows."""
        try:
            return self.host.http(method, path, body, timeout=5 * PATIENCE)
        except (OSError, http.client.HTTPException):
            return None

    def run(self):
        while not self.enough.is_set():
            if len(self.expected) - len(self.ended) < AT_ONCE:
                self.submit()
            else:
                time.sleep(0.05)
            self.look()

    def submit(self):
        name = f"kill-{len(self.expected)}"
        code, seconds = self.chance.choice((0, 0, 3, 7)), self.chance.choice((0, 0, 0.1, 0.4, 1.5))
        in_container = self.chance.randrange(ONE_IN_A_CONTAINER) == 0
        body = {"command": f"echo {name} >> {'/shared/' if in_container else ''}ran-{name}; sleep {seconds}; echo done; exit {code}",
                "container_name": self.environment if in_container else "NULL", "required_cores": 0, "client_id": name}
        while True:  # whether it came before or not: a name is one task
            answer = self.request("POST", "/api/submit", body)
            if answer and answer[0] == 202:
                break
            if answer:
                self.refusals[answer[0]] = self.refusals.get(answer[0], 0) + 1
                if answer[0] < 500:
                    self.wrong.append(f"{name}: refused with {answer[0]} {answer[2]}")
            if self.enough.is_set():
                return
            time.sleep(0.03)
        task = answer[2]["task_ids"][0]
        if task in self.expected:
            self.wrong.append(f"{name}: acknowledged as {task}, which is {self.expected[task][0]}")
        self.expected[task] = (name, code)

    def look(self):
        """A few of those that have not ended, and one that has: it stays as it ended."""
        running = [t for t in self.expected if t not in self.ended]
        for task in self.chance.sample(running, min(4, len(running))) + self.chance.sample(sorted(self.ended), min(1, len(self.ended))):
            answer = self.request("GET", f"/status/{task}")
            if answer and answer[0] == 404:
                self.wrong.append(f"{self.expected[task][0]} ({task}) was acknowledged and is not known")
            if answer and answer[0] == 200:
                if answer[2]["status"] in FINAL:
                    self.ended.add(task)
                elif task in self.ended:
                    self.wrong.append(f"{task} had ended and is {answer[2]['status']}")


class Packager(threading.Thread):
    """Makes versions, one after the other; most of them are killed in the middle."""

    def __init__(self, host, environment):
        super().__init__(daemon=True)
        self.host, self.environment, self.enough = host, environment, threading.Event()
        self.made = self.failed = 0

    def run(self):
        while not self.enough.wait(0.3):
            self.host.shell(self.environment, "head -c 3000000 /dev/urandom > /root/blob\n", timeout=120 * PATIENCE)
            code = self.host.docker("create-tar", self.environment, timeout=120 * PATIENCE).code
            self.made += code == 0
            self.failed += code != 0


# fault: kills
class RandomKills(OwnCluster):
    """No task that was acknowledged is lost, none runs twice, each ends once and with its own exit code; no version is ever visible in parts; nothing is left."""
    NAME = "kills"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.runner.stop()
        cls.host.wait_offline(cls.node)
        cls.host.cli("riverbox", "node", "rm", cls.node, check=True)
        cls.node = "kills-own"
        cls.runner = Runner(cls.host, shared().runner_engine, cls.node, runner={"allow_host_tasks": True})

    def check_versions(self, seen):
        """Every version that is visible is whole. Those of before are not read again."""
        for path in self.host.tars.glob("*.tar"):
            try:
                if path.name.startswith(".") or path.name in seen:
                    continue
                with tarfile.open(path) as tar:
                    manifest = json.load(tar.extractfile("manifest.json"))[0]
                    diff_ids = json.load(tar.extractfile(manifest["Config"]))["rootfs"]["diff_ids"]
                    found = ["sha256:" + hashlib.sha256(tar.extractfile(name).read()).hexdigest() for name in manifest["Layers"]]
                self.assertEqual(found, diff_ids, path)
                seen.add(path.name)
            except FileNotFoundError:  # pruned meanwhile
                pass

    def kill(self, chance, counts):
        victims = chance.choices(((self.host,), (self.runner,), (self.host, self.runner)), (9, 9, 2))[0]
        for victim in victims:
            victim.kill()
        if chance.random() < 0.1:
            time.sleep(chance.random() * 0.5)  # what ends meanwhile is told later
        for victim in victims:
            self.assertEqual(victim.process.popen.returncode, -9, f"it had ended by itself:\n{victim.log()[-3000:]}")
            if victim is self.host:
                victim.start(wait=False)
            else:
                victim.start()
            counts["host" if victim is self.host else "runner"] += 1

    def test_nothing_that_was_acknowledged_is_lost(self):
        print(f"({KILLS} kills or {MINUTES:g} min, seed {SEED})", flush=True)
        chance, counts, seen = random.Random(SEED), {"host": 0, "runner": 0}, set()
        client, packager = Client(self.host, self.environment, random.Random(SEED + 1)), Packager(self.host, self.environment)
        self.addCleanup(client.enough.set)
        self.addCleanup(packager.enough.set)
        start = told = time.monotonic()
        client.start()
        packager.start()
        while sum(counts.values()) < KILLS and time.monotonic() - start < MINUTES * 60:
            # Mostly in the middle of what the kill before has begun; now and then there is peace until some work is done.
            time.sleep(chance.expovariate(1 / 0.12))
            if chance.random() < 0.02:
                tried = packager.made + packager.failed
                wait_until(lambda: packager.made + packager.failed > tried + 1, 8, step=0.1, raising=False)
            self.kill(chance, counts)
            self.assertEqual(client.wrong, [])
            if sum(counts.values()) % 10 == 0:
                self.check_versions(seen)
            if time.monotonic() - told > 60:
                told = time.monotonic()
                print(f"({sum(counts.values())} kills, {len(client.expected)} tasks acknowledged, {len(client.ended)} have ended, {packager.made} versions)", flush=True)
        minutes = (time.monotonic() - start) / 60
        client.enough.set()
        client.join(60 * PATIENCE)
        wait_until(self.host.answers, 30, "the host to answer")
        self.host.wait_online(self.node)
        self.check_the_end(client)
        packager.enough.set()
        packager.join(120 * PATIENCE)
        self.check_versions(seen)
        self.check_nothing_left()
        print(f"{sum(counts.values())} kills ({counts['host']} of the host, {counts['runner']} of the runner) in {minutes:.1f} min: {len(client.expected)} tasks acknowledged, "
              f"all ended once; {packager.made} versions made, {packager.failed} cut short, {len(seen)} looked at, all whole; refusals {client.refusals or 'none'}", flush=True)

    def check_the_end(self, client):
        for task, (name, code) in client.expected.items():
            done = self.host.wait_task(task, FINAL, 60)
            ran = self.host.share / f"shared_data/ran-{name}"
            self.assertEqual((done["status"], done["exit_code"], done["attempt"]), ("completed" if code == 0 else "failed", code, 1), done)
            self.assertEqual(ran.read_text().splitlines(), [name], f"{name} did not run exactly once")
            self.assertEqual((self.host.share / f"task_outputs/{task}.out").read_text(), "done\n", f"the output of {name}")
        self.assertEqual(client.wrong, [])
        self.assertGreater(len(client.expected), 10)
        known = {t["task_id"]: t for t in self.host.http("GET", "/tasks?limit=100000")[2]}
        self.assertEqual(sorted(set(client.expected) - set(known)), [], "acknowledged and not listed")
        # At most one more: what was under way when it was enough.
        self.assertLessEqual(len(known), len(client.expected) + 1, "tasks that nobody has submitted")

    def check_nothing_left(self):
        self.host.docker("create-tar", self.environment, check=True)
        engine = shared().runner_engine
        wait_until(lambda: not [c for c in engine.containers() if "/hakuriver-task-" in c["Names"][0]], 30, "the containers of the tasks to go")
        folders = self.runner.home / f"state/host-tasks/{self.node}"
        wait_until(lambda: not any(folders.iterdir()), 30, "the folders of the tasks to go")
        wait_until(lambda: not list(self.host.tars.glob(".riverbox-*.part")), 10, "files of versions that were not made to go")
        wait_until(lambda: len(shared().host_engine.containers(f"hakuriver.environment={self.environment}")) in (1, 2), 30, "one container and perhaps its next")
        self.assertTrue(shared().host_engine.container(self.environment)["State"]["Running"])


if __name__ == "__main__":
    unittest.main()
