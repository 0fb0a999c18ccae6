"""REST as the two originals speak it: classic HakuRiver without a prefix, KohakuRiver under /api. And who may speak at all."""
import os
import re
import stat
import unittest

from cluster import Host, shared
from process import wait_until, work_dir
from websocket import Closed, Refused, WebSocket


class Rest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.c = shared()
        cls.host, cls.engine = cls.c.host, cls.c.host_engine

    def post(self, path, body=None):
        return self.host.http("POST", path, body)

    def get(self, path):
        return self.host.http("GET", path)


class Classic(Rest):
    def test_the_life_of_an_environment(self):
        self.addCleanup(lambda: self.post("/docker/host/delete/classic"))
        status, headers, body = self.post("/docker/host/create", {"image_name": "busybox:latest", "container_name": "classic"})
        self.assertEqual(status, 201, body)
        self.assertRegex(body["message"], r"^Container 'classic' created")
        self.assertTrue(headers["content-type"].startswith("application/json"))
        self.assertEqual(self.post("/docker/host/stop/classic")[::2], (200, {"message": "Container 'classic' stopped."}))
        self.assertEqual(self.post("/docker/host/start/classic")[::2], (200, {"message": "Container 'classic' started."}))
        listed = next(c for c in self.get("/docker/host/containers")[2] if c["name"] == "classic")
        self.assertEqual(list(listed)[:4], ["id", "name", "image", "status"])
        status, _, body = self.post("/docker/create_tar/classic")
        self.assertEqual(status, 200)
        self.assertEqual(body["message"], "Container tarball created/refreshed successfully.")
        self.assertTrue(os.path.exists(body["tarball_path"]))
        entry = self.get("/docker/list")[2]["classic"]
        self.assertEqual(entry["latest_tarball"], os.path.basename(body["tarball_path"]))
        self.assertEqual(self.post("/docker/host/delete/classic")[::2], (200, {"message": "Container 'classic' deleted."}))

    def test_errors_are_an_object_with_detail(self):
        for method, path, status in (("GET", "/no/such/path", 404), ("DELETE", "/nodes", 405), ("GET", "/status/1", 404),
                                     ("POST", "/docker/host/start/nowhere", 404), ("POST", "/kill/1", 404)):
            got, _, body = self.host.http(method, path)
            self.assertEqual(got, status, (path, body))
            self.assertIsInstance(body["detail"], str)
        self.assertEqual(self.get("/no/such/path")[2], {"detail": "Not Found"})
        self.assertEqual(self.host.http("DELETE", "/nodes")[2], {"detail": "Method Not Allowed"})

    # fault: json-odd
    def test_bodies_that_are_wrong(self):
        for body in ({}, {"image_name": "busybox"}, {"image_name": 3, "container_name": "x"}, {"image_name": "busybox", "container_name": None}):
            status, _, answer = self.post("/docker/host/create", body)
            self.assertIn(status, (400, 422), (body, answer))
            self.assertIn("detail", answer)
        for text in ("", "{", "[1,2]", '"x"', "\x00", '{"image_name":' + "[" * 50000):
            status, _, answer = self.host.http("POST", "/docker/host/create", text, headers={"Content-Type": "application/json"})
            self.assertIn(status, (400, 422), text[:20])
        self.assertEqual(self.get("/status/abc")[0] in (400, 422), True)

    def test_nodes(self):
        node = next(n for n in self.get("/nodes")[2] if n["hostname"] == "node1")
        for key in ("hostname", "url", "total_cores", "cores_in_use", "available_cores", "status", "last_heartbeat", "numa_topology", "gpu_info"):
            self.assertIn(key, node)
        self.assertEqual((node["status"], node["total_cores"]), ("online", os.cpu_count()))

    def test_health(self):
        wait_until(lambda: self.get("/health")[2]["nodes"], 10, "a first sample")
        body = self.get("/health")[2]
        for key in ("totalNodes", "onlineNodes", "totalCores", "totalMemBytes", "usedMemBytes", "avgCpuPercent", "avgMemPercent", "lastUpdated"):
            self.assertIn(key, body["aggregate"][-1])

    def test_submit_and_status(self):
        self.host.environment_from("busybox:latest", "rest-env")
        if not self.host.tars_of("rest-env"):
            self.host.docker("create-tar", "rest-env", check=True)
        # the body that HakuRiver's own client sends
        status, _, body = self.post("/submit", {"command": "echo", "arguments": ["hello"], "env_vars": {"A": "1"}, "required_cores": 1,
                                                "required_memory_bytes": 50_000_000, "targets": ["node1"], "container_name": "rest-env",
                                                "privileged": None, "additional_mounts": None, "required_gpus": [[]]})
        self.assertEqual(status, 202, body)
        self.assertEqual(body["message"], "Task batch submitted successfully. 1 tasks created.")
        self.assertEqual(body["assigned_node"]["hostname"], "node1")
        task = body["task_ids"][0]
        self.assertIsInstance(task, str)
        done = self.host.wait_task(task)
        self.assertEqual((done["status"], done["exit_code"], done["task_id"], done["batch_id"]), ("completed", 0, task, task))
        self.assertEqual((done["command"], done["arguments"], done["env_vars"]), ("echo", ["hello"], {"A": "1"}))
        stamp = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?$"
        for key in ("submitted_at", "started_at", "completed_at"):
            self.assertRegex(done[key], stamp, "naive local time, as the originals write it")
        self.assertIn(task, [t["task_id"] for t in self.get("/tasks")[2]])
        status, headers, text = self.get(f"/task/{task}/stdout")
        self.assertEqual((status, text), (200, "hello\n"))
        self.assertTrue(headers["content-type"].startswith("text/plain"))
        status, _, body = self.post(f"/kill/{task}")
        self.assertEqual(status, 409, body)
        self.assertIn("completed", body["detail"])

    def test_some_targets_fail(self):
        self.host.environment_from("busybox:latest", "rest-env")
        if not self.host.tars_of("rest-env"):
            self.host.docker("create-tar", "rest-env", check=True)
        status, _, body = self.post("/submit", {"command": "true", "targets": ["node1", "ghost"], "container_name": "rest-env", "required_cores": 0})
        self.assertEqual(status, 202, body)
        self.assertEqual(body["message"], "Task batch submitted. 1 tasks created. Some targets failed.")
        self.assertEqual(body["failed_targets"], [{"target": "ghost", "reason": "Node not registered"}])
        status, _, body = self.post("/submit", {"command": "true", "targets": ["ghost"], "container_name": "rest-env"})
        self.assertEqual(status, 503)
        self.assertIn("Node not registered", body["detail"])
        status, _, body = self.post("/submit", {"task_type": "dance", "command": "true"})
        self.assertEqual(status, 400, body)


class Kohaku(Rest):
    def test_the_life_of_an_environment(self):
        self.addCleanup(lambda: self.post("/api/docker/host/delete/koha-shape"))
        create = {"image_name": "busybox:latest", "container_name": "koha-shape"}
        status, _, body = self.post("/api/docker/host/create", create)
        self.assertEqual(status, 200, body)
        self.assertEqual(body["message"], "Environment 'koha-shape' created successfully.")
        self.assertEqual((body["env_name"], body["container_name"]), ("koha-shape", "hakuriver-env-koha-shape"))
        self.assertTrue(body["container_id"])
        self.assertEqual(self.post("/api/docker/host/create", create)[0], 409)
        for verb, word in (("stop", "stopped"), ("start", "started")):
            self.assertEqual(self.post(f"/api/docker/host/{verb}/koha-shape")[::2],
                             (200, {"message": f"Environment 'koha-shape' {word} successfully."}))
        listed = next(c for c in self.get("/api/docker/host/containers")[2] if c.get("env_name") == "koha-shape")
        self.assertEqual(listed["name"], "hakuriver-env-koha-shape")
        for key in ("id", "image", "status", "created"):
            self.assertIn(key, listed)
        status, _, body = self.post("/api/docker/create_tar/koha-shape")
        self.assertEqual((status, body["message"], body["env_name"]), (200, "Tarball created from environment 'koha-shape'.", "koha-shape"))
        version = self.get("/api/docker/list")[2]["koha-shape"]["all_versions"][0]
        self.assertEqual(set(version) >= {"timestamp", "tarball", "size_bytes"}, True)
        status, headers, data = self.host.http("GET", "/api/docker/container/koha-shape", raw=True)
        self.assertEqual((status, headers["content-type"], len(data)), (200, "application/x-tar", version["size_bytes"]))
        self.assertEqual(self.post("/api/docker/host/delete/koha-shape")[::2], (200, {"message": "Environment 'koha-shape' deleted successfully."}))
        self.assertEqual(self.post("/api/docker/host/start/koha-shape")[0], 404)

    def test_the_long_name_works_too(self):
        self.addCleanup(lambda: self.post("/api/docker/host/delete/long-name"))
        self.post("/api/docker/host/create", {"image_name": "busybox:latest", "container_name": "long-name"})
        self.assertEqual(self.post("/api/docker/host/stop/hakuriver-env-long-name")[0], 200)


class Token(Rest):
    def test_everything_asks_for_the_token(self):
        for method, path in (("GET", "/docker/host/containers"), ("GET", "/docker/list"), ("POST", "/docker/host/create"), ("GET", "/tasks"),
                             ("POST", "/submit"), ("GET", "/api/docker/list"), ("POST", "/docker/create_tar/x"), ("GET", "/nodes")):
            for token in ("", "wrong", "0" * 64, self.host.token[:-1]):
                status, headers, body = self.host.http(method, path, token=token)
                self.assertEqual((status, body), (401, {"detail": "Not authenticated"}), (path, token))
                self.assertEqual(headers.get("www-authenticate"), "Bearer")

    def test_the_token_file_is_its_owners_alone(self):
        file = self.host.home / ".riverbox/token"
        self.assertEqual(stat.S_IMODE(file.stat().st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(file.parent.stat().st_mode), 0o700)
        self.assertRegex(self.host.token, r"^[0-9a-f]{64}$")
        self.assertNotIn(self.host.token, self.host.log())
        self.assertNotIn(self.host.token, self.host.cli("riverbox", "config", "show").out)

    def test_a_client_without_the_token_is_told_what_to_do(self):
        result = self.host.docker("list-tars", env={"HOME": "/nonexistent"})
        self.assertEqual((result.code, result.out), (77, ""), result)
        self.assertIn("token", result.err)
        result = self.host.docker("list-tars", env={"HOME": "/nonexistent", "RIVERBOX_TOKEN": self.host.token})
        self.assertEqual(result.code, 0, result)

    def test_auth_none_is_for_old_clients_and_warns(self):
        host = Host(self.engine, work_dir() / "open-share", name="open-host", security={"auth": "none"})
        self.addCleanup(host.stop)
        self.assertEqual(host.http("GET", "/docker/host/containers", token="")[0], 200)
        self.assertRegex(host.log().lower(), "auth.*none|no token|without.*token")
        self.assertEqual(host.docker("list-tars", env={"HOME": "/nonexistent"}).code, 0)

    # fault: origin-wrong
    def test_origin_and_host(self):
        path = "/docker/host/containers/any/terminal"
        auth = {"Authorization": f"Bearer {self.host.token}"}
        port = self.host.port
        for origin in ("https://evil.example", "null", f"http://127.0.0.1.evil.example:{port}", f"http://127.0.0.1:{port + 1}"):
            with self.assertRaises(Refused, msg=origin) as refused:
                WebSocket(port, path, {**auth, "Origin": origin})
            self.assertEqual(refused.exception.status, 403, origin)
        with self.assertRaises(Refused) as refused:
            WebSocket(port, path, auth, host=f"rebound.example:{port}")
        self.assertEqual(refused.exception.status, 403)
        with self.assertRaises(Refused) as refused:
            WebSocket(port, path)
        self.assertEqual(refused.exception.status, 401)
        WebSocket(port, path, {**auth, "Origin": f"http://127.0.0.1:{port}"}).close()
        for headers in ({"Origin": "https://evil.example"}, {"Host": "rebound.example"}):
            status, _, body = self.host.http("POST", "/docker/host/stop/nowhere", headers=headers)
            self.assertEqual(status, 403, (headers, body))


class JsonTerminal(Rest):
    """The terminal WebSocket as HakuRiver's client and KohakuRiver's dashboard use it."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.host.environment_from("busybox:latest", "json-shell")

    def open(self, path="/docker/host/containers/json-shell/terminal"):
        socket = WebSocket(self.host.port, path, {"Authorization": f"Bearer {self.host.token}"})
        self.addCleanup(socket.close)
        return socket

    def read_until(self, socket, pattern, seen=""):
        while not re.search(pattern, seen):
            frame = socket.receive_json()
            self.assertEqual(frame["type"], "output", frame)
            seen += frame["data"]
        return seen

    def test_every_spelling_of_the_path(self):
        for path in ("/docker/host/containers/json-shell/terminal", "/ws/docker/host/containers/json-shell/terminal",
                     "/api/docker/host/containers/json-shell/terminal"):
            socket = self.open(path)
            socket.send_json({"type": "resize", "rows": 33, "cols": 111})
            socket.send_json({"type": "input", "data": "until stty size | grep '33 111'; do sleep 0.1; done\n"})
            self.read_until(socket, r"\n33 111")
            socket.close()

    def test_a_session(self):
        socket = self.open()
        socket.send_json({"type": "input", "data": "echo a$((40+2))b\n"})
        self.read_until(socket, "a42b")
        socket.send_json({"type": "nonsense"})  # ignored
        socket.send_json({"type": "input", "data": "exit 3\n"})
        with self.assertRaises(Closed) as closed:
            while True:
                socket.receive()
        self.assertEqual(closed.exception.code, 1000)

    # fault: characters-cut
    def test_characters_are_never_split(self):
        socket = self.open()
        socket.send_json({"type": "input", "data": "stty -echo; for i in $(seq 3000); do printf 'é漢😀'; done; echo; echo fin''ished\n"})
        seen = self.read_until(socket, "finished")
        self.assertNotIn("\ufffd", seen)
        self.assertGreaterEqual(seen.count("é漢😀"), 3000)

    def test_refusals(self):
        for name, word in (("nowhere", "nowhere"), ("bad name!", "bad")):
            socket = self.open(f"/docker/host/containers/{name.replace(' ', '%20')}/terminal")
            frame = socket.receive_json()
            self.assertEqual(frame["type"], "error")
            self.assertIn(word, frame["data"])
            with self.assertRaises(Closed) as closed:
                socket.receive()
            self.assertEqual(closed.exception.code, 1008, name)

    # fault: network-changes
    def test_the_shell_goes_when_the_client_goes(self):
        container = self.engine.container("json-shell")["Id"]
        shells = lambda: [p for p in self.engine.processes_in(container) if not p.endswith("sleep infinity")]
        wait_until(lambda: not shells(), 15, "shells of other tests to go", step=0.1)
        socket = self.open()
        socket.send_json({"type": "input", "data": "sleep 12345\n"})
        wait_until(lambda: any("12345" in p for p in self.engine.processes_in(container)), 10, "the command")
        socket.drop()
        wait_until(lambda: not shells(), 15, "shell and command to go", step=0.1)


if __name__ == "__main__":
    unittest.main()
