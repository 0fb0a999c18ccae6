"""What has happened: written where it happens, seen by those who may, followed over restarts, and gone when it is old."""
import http.client
import json
import re
import sqlite3
import threading
import time
import unittest

from cluster import Host, OwnCluster, bin_dir
from process import PATIENCE, Process, wait_until, work_dir


class Stream(threading.Thread):
    """Follows GET /api/events as a browser does: comes back with the id of the last one."""

    def __init__(self, host, query="", token=None):
        super().__init__(daemon=True)
        self.host, self.query, self.token = host, query, token or host.token
        self.told, self.last, self.stopped = [], None, False
        self.answers = 0
        self.start()

    def run(self):
        while not self.stopped:
            try:
                self.follow()
            except (OSError, http.client.HTTPException, ValueError):
                time.sleep(0.1)

    def follow(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.host.port, timeout=120)
        headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {self.token}", **({"Last-Event-ID": self.last} if self.last else {})}
        connection.request("GET", "/api/events" + self.query, headers=headers)
        response = connection.getresponse()
        assert (response.status, response.getheader("content-type")) == (200, "text/event-stream"), response.status
        self.answers += 1
        event = {}
        while line := response.readline():
            key, _, value = line.decode().rstrip("\n").partition(": ")
            if key in ("event", "id", "data"):
                event[key] = value
            elif not key and event:
                self.last = event["id"]
                if "data" not in event:
                    event = {}
                    continue
                data = json.loads(event["data"])
                assert (event["event"], event["id"]) == (data["type"], str(data["id"])), event
                self.told.append(data)
                event = {}
        self.stopped = self.stopped or "until" in self.query


class Events(OwnCluster):
    NAME = "events"

    def events(self, query="", token=None):
        status, _, told = self.host.http("GET", "/api/events?limit=1000&after=0" + query, token=token)
        self.assertEqual(status, 200, told)
        return told

    def actions(self, subject, query=""):
        return [e["action"] for e in self.events(query) if e["subject"] == subject]

    def make(self, user, role="user"):
        return self.host.cli("riverbox", "token", "create", user, "--role", role, check=True).out.strip()

    def submit(self, command, token=None, **fields):
        body = {"command": command, "container_name": self.environment, "required_cores": 0, **fields}
        status, _, answer = self.host.http("POST", "/api/submit", body, token=token)
        self.assertEqual(status, 202, answer)
        return answer["task_ids"][0]

    # ---- what is told

    def test_who_is_told_is_not_told_any_more_once_the_token_ends(self):
        made = self.host.cli("riverbox", "token", "create", "vera", "--json", check=True).json()
        connection = http.client.HTTPConnection("127.0.0.1", self.host.port, timeout=PATIENCE)
        self.addCleanup(connection.close)
        connection.request("GET", "/api/events", headers={"Accept": "text/event-stream", "Authorization": f"Bearer {made['token']}"})
        told = connection.getresponse()
        self.assertEqual((told.status, told.readline()), (200, b"retry: 1000\n"))
        self.host.cli("riverbox", "token", "revoke", made["id"], check=True)
        with self.assertRaises((http.client.IncompleteRead, ConnectionError)):  # cut off, as whoever is refused; not the end of the list
            told.read()

    def test_the_life_of_a_task(self):
        good, bad = self.submit("true"), self.submit("exit 3", retries=1)
        self.host.wait_task(good)
        wait_until(lambda: self.host.status(bad)["attempt"] == 2 and self.host.status(bad)["status"] == "failed", 30, "the second attempt")
        self.assertEqual(self.actions(good), ["submitted", "placed", "started", "ended"])
        self.assertEqual(self.actions(bad), ["submitted", "placed", "started", "retried", "placed", "started", "ended"])
        told = [e for e in self.events("&type=task") if e["subject"] == bad]
        self.assertTrue(told[-1]["message"].startswith("failed, exit code 3"), told[-1])
        self.assertEqual({(e["owner"], e["node"]) for e in told[1:]}, {("admin", self.node)})
        self.assertEqual(told[0]["message"], self.environment)
        times = [e["time"] for e in self.events()]
        self.assertEqual(times, sorted(times))

    def test_batches(self):
        """Of each task its events, whatever it came with."""
        status, _, answer = self.host.http("POST", "/api/submit/batch", {"tasks": [{"command": "true", "container_name": self.environment, "required_cores": 0}] * 20})
        self.assertEqual(status, 202)
        for task in answer["task_ids"]:
            self.host.wait_task(task)
        for task in answer["task_ids"]:
            self.assertEqual(self.actions(task), ["submitted", "placed", "started", "ended"])

    def test_a_task_that_is_killed_paused_and_resumed(self):
        task = self.submit("sleep 600")
        self.host.wait_task(task, ("running",))
        for action, state in (("pause", "paused"), ("resume", "running")):
            self.assertEqual(self.host.http("POST", f"/api/command/{task}/{action}")[0], 200)
            self.host.wait_task(task, (state,))
        self.host.http("POST", f"/api/kill/{task}")
        self.host.wait_task(task)
        self.assertEqual(self.actions(task), ["submitted", "placed", "started", "paused", "resumed", "ended"])
        self.assertTrue(next(e for e in self.events() if e["subject"] == task and e["action"] == "ended")["message"].startswith("killed"))

    def test_the_life_of_an_environment(self):
        name = "events-life"
        docker = lambda *words: self.host.docker(*words, check=True)
        docker("create-container", "busybox:latest", name)
        self.addCleanup(lambda: self.host.docker("delete-container", name))
        docker("stop-container", name)
        docker("start-container", name)
        docker("create-tar", name)
        docker("create-tar", name)
        kept = self.host.tars_of(name)[0]
        docker("pin", name, "newest")
        docker("create-tar", name)
        dropped = self.host.tars_of(name)[0]
        docker("rollback", name, "previous")
        newest = self.host.tars_of(name)[0]
        docker("unpin", name, "previous")
        docker("delete-tar", name, "--all")
        docker("delete-container", name)
        told = [e for e in self.events("&type=environment") if e["subject"] == name]
        self.assertEqual([e["action"] for e in told], ["created", "stopped", "started", "published", "published", "pruned", "pinned", "published", "rolled_back", "pruned", "unpinned",
                                                       "version_deleted", "version_deleted", "deleted"])
        self.assertEqual(told[0]["message"], "from busybox:latest")
        self.assertEqual([e["message"] for e in told if e["action"] in ("pinned", "rolled_back", "unpinned", "version_deleted")], [kept, newest, kept, kept, newest])
        self.assertEqual([e["message"] for e in told if e["action"] == "pruned"][1], dropped)

    def test_nodes_and_tokens(self):
        self.host.cli("riverbox", "node", "drain", self.node, check=True)
        self.host.cli("riverbox", "node", "drain", self.node, check=True)
        self.host.cli("riverbox", "node", "resume", self.node, check=True)
        token = self.host.cli("riverbox", "token", "create", "walter", "--json", check=True).json()
        self.host.cli("riverbox", "token", "revoke", token["id"], check=True)
        self.assertEqual(self.actions(token["id"]), ["created", "revoked"])
        self.assertNotIn(token["token"], json.dumps(self.events()))
        self.runner.stop()
        self.host.wait_offline(self.node)
        self.runner.start()
        self.host.wait_online(self.node)
        self.assertEqual(self.actions(self.node, "&type=node")[-5:], ["online", "drained", "resumed", "offline", "online"])
        status, _, made = self.host.http("POST", "/api/nodes/join", {"node": "events-ghost"})
        self.assertEqual(status, 201, made)
        self.assertEqual(self.actions("events-ghost"), ["joined"])

    # ---- who may see what

    def test_everybody_sees_what_is_theirs(self):
        tokens = {role: self.make(f"ev-{role}", role) for role in ("viewer", "user", "operator", "admin")}
        mine, other = self.submit("true", tokens["user"]), self.submit("true", self.make("ev-other"))
        for task in (mine, other):
            self.host.wait_task(task)
        for role, types, tasks in (("viewer", {"node", "environment"}, set()), ("user", {"task", "node", "environment"}, {mine}),
                                   ("operator", {"task", "node", "environment", "host"}, {mine, other}), ("admin", {"task", "node", "environment", "host", "token"}, {mine, other})):
            with self.subTest(role):
                told = self.events(token=tokens[role])
                self.assertEqual({e["type"] for e in told}, types)
                self.assertEqual({e["subject"] for e in told if e["subject"] in (mine, other)}, tasks)
                if role == "user":
                    self.assertEqual({e["owner"] for e in told if e["type"] == "task"}, {"ev-user"})
                for kind in ("task", "host", "token"):
                    self.assertEqual(self.host.http("GET", f"/api/events?type={kind}", token=tokens[role])[0], 200 if kind in types else 403, kind)
        live = Stream(self.host, token=tokens["user"])
        wait_until(lambda: live.answers, 10, "the stream")
        hidden, seen = self.submit("true", tokens["admin"]), self.submit("true", tokens["user"])
        wait_until(lambda: [e["action"] for e in live.told if e["subject"] == seen][-1:] == ["ended"], 30, "the end of the task")
        live.stopped = True
        self.assertNotIn(hidden, {e["subject"] for e in live.told})

    def test_what_is_wrong_is_said(self):
        for query, said in (("type=tsak", "no events of the type 'tsak'"), ("since=yesterday", "'since'"), ("limit=1001", "from 0 to 1000"), ("after=-1", "'after'"), ("until=x", "'until'")):
            status, _, answer = self.host.http("GET", "/api/events?" + query)
            self.assertEqual(status, 400, answer)
            self.assertIn(said, answer["detail"])

    # ---- asking and following

    def test_pages_and_times(self):
        for _ in range(3):
            self.host.wait_task(self.submit("true"))
        everything = self.events()
        paged, after = [], 0
        while page := self.host.http("GET", f"/api/events?limit=5&after={after}")[2]:
            paged += page
            after = page[-1]["id"]
        self.assertEqual(paged[:len(everything)], everything)
        self.assertEqual(self.host.http("GET", "/api/events?limit=3")[2], paged[-3:])
        middle = everything[len(everything) // 2]
        since = self.events(f"&since={middle['time']}")
        self.assertEqual(since[0]["time"], middle["time"])
        until = self.events(f"&until={middle['time']}")
        self.assertEqual({e["id"] for e in until} & {e["id"] for e in since}, set())
        self.assertEqual(len(until) + len(since), len(everything) + len(since) - len([e for e in everything if e in since]))

    def test_following_over_restarts(self):
        """Whoever comes back with the last id loses nothing and is told nothing twice."""
        live = Stream(self.host)
        wait_until(lambda: live.last, 10, "the stream")
        before = self.host.http("GET", "/api/events?limit=1")[2][-1]["id"]
        tasks = [self.submit("true")]
        self.host.kill()
        self.host.start()
        self.host.wait_online(self.node)
        tasks.append(self.submit("true"))
        for task in tasks:
            self.host.wait_task(task)
        self.host.stop()
        self.host.start()
        self.host.wait_online(self.node)
        tasks.append(self.submit("true"))
        self.host.wait_task(tasks[-1])
        there = self.host.http("GET", f"/api/events?after={before}&limit=1000")[2]
        wait_until(lambda: live.told and live.told[-1]["id"] >= there[-1]["id"], 20, "the last event")
        live.stopped = True
        ids = [e["id"] for e in live.told]
        self.assertEqual(ids, sorted(set(ids)))
        self.assertEqual([e for e in live.told if before < e["id"] <= there[-1]["id"]], there)
        self.assertEqual([e["action"] for e in there if e["type"] == "host"], ["started", "stopped", "started"], "a kill is not a stop")
        for task in tasks:
            self.assertEqual([e["action"] for e in there if e["subject"] == task], ["submitted", "placed", "started", "ended"])

    def test_a_stream_of_a_time(self):
        first = self.events()[0]
        later = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))
        live = Stream(self.host, f"?since={first['time']}&until={later}")
        live.join(30 * PATIENCE)
        self.assertFalse(live.is_alive(), "it ends when the time is over")
        self.assertEqual(live.told[0], first)

    # ---- the command

    def cli(self, *words, **options):
        return self.host.cli("riverbox", "events", *words, **options)

    def test_the_command(self):
        task = self.submit("exit 4")
        self.host.wait_task(task)
        lines = [json.loads(line) for line in self.cli("--since", "1h", check=True).out.splitlines()]
        self.assertEqual([e["id"] for e in lines][-len(self.events()):], [e["id"] for e in self.events()])
        self.assertEqual({json.loads(line)["type"] for line in self.cli("--since", "1h", "--type", "node,host", check=True).out.splitlines()}, {"node", "host"})
        self.assertEqual(self.cli("--since", "2020-01-01", "--until", "2020-01-02 12:00", check=True).out, "")
        self.assertEqual(len(self.cli(check=True).out.splitlines()), min(100, len(self.events())))
        on_terminal = self.host.tty("riverbox", "events", "--since", "1h", "--type", "task")
        self.assertIn("\x1b[31mended", on_terminal.out)
        self.assertRegex(re.sub(r"\x1b\[\d+m", "", on_terminal.out), rf"\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d  task +ended +{task}  {self.node}  failed, exit code 4")
        for words in (["--since", "soon"], ["--until", "12"]):
            result = self.cli(*words)
            self.assertEqual((result.code, result.out), (64, ""), result)
            self.assertIn("neither a time nor a duration", result.err)
        self.assertEqual(self.cli("--type", "tsak").code, 1)

    def test_the_command_follows_over_a_restart(self):
        follower = Process([bin_dir() / "riverbox", "events", "-f", "--json", "--type", "task"], work_dir() / "events-follower", env=self.host.env)
        self.addCleanup(follower.kill)
        told = lambda: [json.loads(line) for line in follower.output().splitlines() if line.startswith("{")]
        def subjects():
            return {e["subject"] for e in told()}
        first = None
        def reached():
            nonlocal first
            first = self.submit("true")
            return wait_until(lambda: first in subjects(), 1, raising=False)
        wait_until(reached, 20, "the first event")
        self.host.stop()
        wait_until(lambda: "trying again" in follower.output(), 10, "a word about the host")
        self.host.start()
        self.host.wait_online(self.node)
        task = self.submit("true")
        self.host.wait_task(task)
        wait_until(lambda: [e["action"] for e in told() if e["subject"] == task] == ["submitted", "placed", "started", "ended"], 20, "its events")
        self.assertEqual(len({e["id"] for e in told()}), len(told()))


class Old(unittest.TestCase):
    def test_what_is_old_goes_by_itself(self):
        host = Host(None, work_dir() / "oldevents-share", name="oldevents-host", timing={"cleanup_check_interval": 1}, retention={"events_days": 7})
        self.addCleanup(host.stop)
        host.cli("riverbox", "token", "create", "anna", check=True)
        host.stop()
        database = sqlite3.connect(host.home / "state/host.db")
        with database:
            database.execute("UPDATE events SET time = time - ?", (7 * 86400 * 1_000_000,))
        database.close()
        host.start()
        wait_until(lambda: [e["action"] for e in host.http("GET", "/api/events")[2]] == ["started"], 30, "the old ones to go")
