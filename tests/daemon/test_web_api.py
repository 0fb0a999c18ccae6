"""What a page of the host's own is made of: lists that are narrowed and paged, counts, loads of the last hours, the nodes as they change, what an environment's newest version is."""
import http.client
import json
import time
import unittest

from cluster import OwnCluster
from process import PATIENCE, wait_until


class WebApi(OwnCluster):
    NAME = "webapi"

    def get(self, path, expected=200, **options):
        status, _, answer = self.host.http("GET", path, **options)
        self.assertEqual(status, expected, (path, answer))
        return answer

    def make(self, user, role="user"):
        return self.host.cli("riverbox", "token", "create", user, "--role", role, check=True).out.strip()

    def submit(self, token=None, **fields):
        status, _, answer = self.host.http("POST", "/api/submit", {"command": "true", "container_name": self.environment, "required_cores": 0, **fields}, token=token)
        self.assertEqual(status, 202, answer)
        return answer["task_ids"][0]

    def ids(self, query="", path="/api/tasks", **options):
        return [t["task_id"] for t in self.get(f"{path}?{query}", **options)]


class Tasks(WebApi):
    NAME = "webtasks"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        self = cls("ids")
        cls.anna, cls.bob = self.make("anna"), self.make("bob")
        version = self.get(f"/api/docker/versions/{cls.environment}")[0]["timestamp"]
        cls.named = self.submit(cls.anna, name="Train 50%_done", command="echo Hello; true")
        cls.pinned = self.submit(cls.bob, container_name=f"{cls.environment}@{version}", command="false")
        cls.placed = self.submit(cls.bob, targets=[cls.node], command="/bin/sh", arguments=["-c", "echo world"])
        cls.running = self.submit(command="sleep 600")
        cls.waiting = self.submit(after=[cls.running], command="echo hello again")
        for task in (cls.named, cls.pinned, cls.placed):
            cls.host.wait_task(task)
        cls.host.wait_task(cls.running, ("running",))
        cls.all = [cls.waiting, cls.running, cls.placed, cls.pinned, cls.named]

    def test_each_filter(self):
        for path in ("/api/tasks", "/tasks"):
            for query, expected in (("", self.all), ("status=completed", [self.placed, self.named]), ("status=failed,running", [self.running, self.pinned]),
                                    (f"node={self.node}", [self.running, self.placed, self.pinned, self.named]), ("node=nowhere", []), ("owner=bob", [self.placed, self.pinned]),
                                    (f"environment={self.environment}", self.all), (f"environment={self.environment[:-1]}", []),
                                    ("q=HELLO", [self.waiting, self.named]), ("q=50%25_", [self.named]), ("q=5%25d", []), ("q=rain", [self.named]), ("q=sh%20-c%20echo%20w", [self.placed]), (f"q={self.placed}", [self.placed]),
                                    (f"q={self.all[0][:6]}", self.all), (f"q={self.placed[1:]}", []), ("q=&node=&owner=", self.all),
                                    (f"before={self.placed}", [self.pinned, self.named]), (f"before={self.placed}&limit=1", [self.pinned]), (f"before={self.named}", []),
                                    (f"owner=bob&status=failed&node={self.node}&environment={self.environment}&q=false", [self.pinned]), ("owner=bob&q=hello", [])):
                with self.subTest(path + "?" + query):
                    self.assertEqual([t for t in self.ids(query, path) if t in self.all], expected)  # other tests submit some, too

    def test_pages_do_not_shift_when_tasks_come(self):
        seen, before = [], ""
        while page := self.ids(f"limit=2&{before}"):
            seen += page
            before = f"before={page[-1]}"
            late = self.submit(self.make("late"), command="late")
            self.addCleanup(lambda task=late: self.host.http("POST", f"/api/kill/{task}"))
        self.assertEqual([t for t in seen if t in self.all], self.all)
        self.assertEqual(len(seen), len(set(seen)))

    def test_users_find_their_own_only(self):
        self.assertEqual(self.ids(token=self.anna), [self.named])
        self.assertEqual(self.ids("q=e", token=self.anna), [self.named])
        self.assertEqual(self.ids(f"node={self.node}", token=self.bob), [self.placed, self.pinned])
        self.assertEqual(self.ids("owner=bob", token=self.anna), [])
        self.assertEqual(self.ids("owner=bob", token=self.bob), [self.placed, self.pinned])
        self.assertEqual(self.ids("owner=bob", token=self.anna), [], "an answer that is kept is another one's")
        self.get("/api/tasks?owner=bob", 403, token=self.make("vera", "viewer"))

    def test_a_list_that_is_kept_is_not_an_old_one(self):
        user = self.make("kim")
        self.assertEqual(self.ids("owner=kim"), [])
        task = self.submit(user)
        self.assertEqual(self.ids("owner=kim"), [task])
        self.host.wait_task(task)
        self.assertEqual(self.ids("owner=kim&status=completed"), [task])

    def test_what_is_wrong_is_said(self):
        for query, said in (("status=runing", "runing"), ("status=running,", 'is not a task state'), ("before=yesterday", "yesterday"), ("q=" + "x" * 201, "'q' has 201 bytes, and may have 200"),
                            ("node=" + "x" * 600, "'node'"), ("environment=a@1", "without a version"), ("limit=-1", "'limit'"), ("offset=x", "'offset'")):
            self.assertIn(said, self.get("/api/tasks?" + query, 400)["detail"], query)

    def test_the_summary(self):
        told = self.get("/api/tasks/summary")
        self.assertEqual(told["total"], sum(told["by_status"].values()))
        self.assertEqual(told["by_status"]["running"], 1)
        self.assertEqual(len(told["by_status"]), 11)
        mine = self.get("/api/tasks/summary", token=self.bob)
        self.assertEqual((mine["total"], mine["by_status"]["completed"], mine["by_status"]["failed"]), (2, 1, 1))
        self.submit(token=self.make("mia"))
        self.assertEqual(self.get("/api/tasks/summary")["total"], told["total"] + 1)

    @classmethod
    def tearDownClass(cls):
        cls.host.http("POST", f"/api/kill/{cls.running}")
        super().tearDownClass()


class Nodes(WebApi):
    NAME = "webnodes"

    def history(self, query="", **options):
        return self.get("/api/nodes/history" + query, **options)

    def test_history(self):
        task = self.submit(command="sleep 600", required_cores=1)
        self.addCleanup(lambda: self.host.http("POST", f"/api/kill/{task}"))
        self.host.wait_task(task, ("running",))
        told = wait_until(lambda: (h := self.history()) and h["nodes"].get(self.node, {}).get("cores_in_use", [0])[-1] and h, 20, "a beat with the task")
        self.assertEqual(told["step_seconds"], 60)
        loads = told["nodes"][self.node]
        self.assertEqual(list(loads), ["start", "cpu_percent", "memory_percent", "gpu_percent", "cores_in_use"])
        self.assertEqual(len({len(loads[key]) for key in list(loads)[1:]}), 1)
        self.assertEqual(loads["start"] % 60, 0)
        self.assertLessEqual(abs(loads["start"] + 60 * len(loads["cpu_percent"]) - 60 - time.time()), 120)
        for key in ("cpu_percent", "memory_percent", "cores_in_use"):
            self.assertTrue(all(0 <= value <= 100 and value == round(value, 1) for value in loads[key] if value is not None), loads)
        self.assertGreater(loads["memory_percent"][-1], 0)
        self.assertEqual(set(loads["gpu_percent"]) - {None}, set(), "there is no GPU here")
        self.assertEqual(self.history("?hours=24", token=self.make("vera", "viewer"))["nodes"].keys(), {self.node})
        for hours in ("0", "25", "x", "-1", ""):
            self.assertIn("'hours' must be a number from 1 to 24", self.history("?hours=" + hours, expected=400)["detail"])

    def test_a_node_that_is_removed_takes_its_history_along(self):
        wait_until(lambda: self.node in self.history()["nodes"], 10, "a beat")
        self.runner.stop()
        self.host.wait_offline(self.node)
        self.assertIn(self.node, self.history()["nodes"])
        self.host.cli("riverbox", "node", "rm", "--force", self.node, check=True)
        self.assertEqual(self.history()["nodes"], {})
        self.runner.start()
        self.host.wait_online(self.node)

    # ---- the stream

    def open(self, query="?nodes=1", token=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.host.port, timeout=30 * PATIENCE)
        self.addCleanup(connection.close)
        connection.request("GET", "/api/events" + query, headers={"Accept": "text/event-stream", "Authorization": f"Bearer {token or self.host.token}"})
        response = connection.getresponse()
        self.assertEqual(response.status, 200)
        return response

    def messages(self, response):
        """Each as its fields, when it has come."""
        message = {}
        while line := response.readline():
            key, _, value = line.decode().rstrip("\n").partition(": ")
            if key:
                message[key] = value
            elif message:
                yield {**message, "at": time.monotonic()}
                message = {}

    def test_the_nodes_come_first_and_whenever_they_change(self):
        messages = self.messages(self.open(token=self.make("viola", "viewer")))
        self.assertIn("retry", next(messages))
        first = next(messages)
        self.assertEqual((first["event"], "id" in first), ("nodes", False))
        node, = json.loads(first["data"])
        self.assertEqual(node.keys(), self.get("/api/nodes")[0].keys())
        self.assertFalse(node["draining"])
        self.host.cli("riverbox", "node", "drain", self.node, check=True)
        self.addCleanup(lambda: self.host.cli("riverbox", "node", "resume", self.node))
        begin, told, events = time.monotonic(), [first], []
        while not json.loads(told[-1]["data"])[0]["draining"] or len(told) < 4 or not events:
            message = next(messages)
            (told if message.get("event") == "nodes" else events).append(message)
            self.assertLess(time.monotonic() - begin, 20 * PATIENCE)
        self.assertEqual([json.loads(e["data"])["action"] for e in events], ["drained"])
        self.assertTrue(events[0]["id"].isdigit())
        self.assertEqual(len({message["data"] for message in told}), len(told), "only what has changed")
        for earlier, later in zip(told[1:], told[2:]):
            self.assertGreater(later["at"] - earlier["at"], 0.7)

    def test_who_does_not_ask_is_told_of_events_alone(self):
        messages = self.messages(self.open(""))
        time.sleep(3)  # three beats
        self.host.cli("riverbox", "node", "drain", self.node, check=True)
        self.host.cli("riverbox", "node", "resume", self.node, check=True)
        self.assertIn("retry", next(messages))
        self.assertEqual([json.loads(next(messages)["data"])["action"] for _ in range(2)], ["drained", "resumed"])

    def test_a_stream_without_news_says_that_it_lives(self):
        """A comment to who has asked for events alone; what a page can see to who is told of nodes, which are quiet when there is none that beats."""
        self.runner.stop()
        self.addCleanup(lambda: (self.runner.start(), self.host.wait_online(self.node)))
        self.host.wait_offline(self.node)
        pages, others = self.messages(self.open()), self.open("")
        begin = time.monotonic()
        while (message := next(pages)).get("event") != "alive":
            self.assertLess(time.monotonic() - begin, 16 + PATIENCE)
        self.assertEqual((message["data"], "id" in message), ("{}", False))
        self.assertGreater(message["at"] - begin, 14)
        told = [others.readline().decode().partition(":")[0] for _ in range(4)]
        self.assertEqual(told, ["retry", "id", "\n", ""], "the beginning, and a comment")

    def test_a_reader_that_comes_back_is_told_of_the_nodes_again_and_of_no_event_twice(self):
        last = self.get("/api/events?limit=1")[-1]["id"]
        messages = self.messages(self.open(f"?nodes=1&after={last}"))
        self.assertEqual([next(messages).get("event") for _ in range(2)], [None, "nodes"])


class Environments(WebApi):
    NAME = "webenvs"

    def listed(self, query="", **options):
        return next(c for c in self.get("/api/docker/host/containers" + query, **options) if c["env_name"] == self.environment)

    def newest(self):
        return self.get(f"/api/docker/versions/{self.environment}")[0]

    def test_the_newest_version(self):
        newest = self.newest()
        self.assertEqual(self.listed()["latest"], {key: newest[key] for key in ("timestamp", "tarball", "size_bytes")})
        self.host.shell(self.environment, "echo more > /more\n")
        made = self.host.http("POST", f"/api/docker/create_tar/{self.environment}")[2]
        self.assertEqual(self.listed()["latest"]["timestamp"], made["timestamp"])
        self.host.docker("create-container", "busybox:latest", "webenvs-new", check=True)
        self.addCleanup(lambda: self.host.docker("delete-container", "webenvs-new"))
        others = {c["env_name"] or c["name"]: c for c in self.get("/api/docker/host/containers?all=1")}
        self.assertIsNone(others["webenvs-new"]["latest"])
        self.assertEqual({c["latest"] for c in others.values() if not c["managed"]} - {None}, set())

    def test_what_has_changed_in_a_container(self):
        self.host.shell(self.environment, "head -c 5000000 /dev/urandom > /large\n")
        self.assertNotIn("changed_bytes", self.listed())
        changed = self.listed("?size=1")["changed_bytes"]
        self.assertGreaterEqual(changed, 5_000_000)
        self.assertLess(changed, 10_000_000)
        everybody = self.get("/api/docker/host/containers?all=1&size=1")
        self.assertTrue(all("changed_bytes" in c and (c["managed"] or c["changed_bytes"] is None) for c in everybody), everybody)

    def test_the_classic_list_is_as_it_was(self):
        for query in ("", "?size=1"):
            for container in self.get("/docker/host/containers" + query):
                self.assertEqual(list(container), ["id", "name", "image", "status", "managed"])

    def test_the_tarball_of_a_version(self):
        newest = self.newest()
        whole = (self.host.tars / newest["tarball"]).read_bytes()
        for path in (f"/api/docker/versions/{self.environment}/{newest['timestamp']}/tarball", f"/api/docker/versions/{self.environment}/newest/tarball",
                     f"/docker/container/{self.environment}"):
            with self.subTest(path):
                ask = lambda expected, method="GET", **headers: self.part(method, path, expected, {key.replace("_", "-"): value for key, value in headers.items()})
                headers, data = ask(200)
                self.assertEqual((headers["content-type"], int(headers["content-length"]), data == whole), ("application/x-tar", len(whole), True))
                self.assertEqual(headers["content-disposition"], f'attachment; filename="{newest["tarball"]}"')
                etag = headers["etag"]
                self.assertEqual(ask(200, "HEAD")[0]["content-length"], str(len(whole)))
                headers, data = ask(206, Range="bytes=512-1023")
                self.assertEqual((headers["content-range"], data), (f"bytes 512-1023/{len(whole)}", whole[512:1024]))
                self.assertEqual(ask(206, Range="bytes=-100", If_Range=etag)[1], whole[-100:])
                self.assertEqual(ask(200, Range="bytes=-100", If_Range='"another"')[1], whole)
                headers, data = ask(416, Range=f"bytes={len(whole)}-")
                self.assertEqual(headers["content-range"], f"bytes */{len(whole)}")
                self.assertIn(newest["tarball"], json.loads(data)["detail"])
        self.get(f"/api/docker/versions/{self.environment}/1/tarball", 404)
        self.get("/api/docker/versions/no-such-env/newest/tarball", 404)
        self.get(f"/api/docker/versions/{self.environment}/newest/tarball", 403, token=self.make("vito", "viewer"))

    def part(self, method, path, expected, headers):
        status, fields, data = self.host.http(method, path, headers=headers, raw=True)
        self.assertEqual(status, expected, data[:200])
        return fields, data

    def test_an_older_version_is_sent_too(self):
        self.host.http("POST", f"/api/docker/versions/{self.environment}/newest/pin")
        older = self.newest()
        self.host.shell(self.environment, "echo 2 > /two\n")
        self.host.docker("create-tar", self.environment, check=True)
        self.assertNotEqual(self.newest()["tarball"], older["tarball"])
        _, data = self.part("GET", f"/api/docker/versions/{self.environment}/{older['timestamp']}/tarball", 200, {})
        self.assertEqual(len(data), older["size_bytes"])


del WebApi  # only what stands on it has tests

if __name__ == "__main__":
    unittest.main()
