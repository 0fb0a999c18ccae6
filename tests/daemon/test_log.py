"""The log: one JSON object in each line, which tells the request, the task and the environment that it is about, and never a secret."""
import base64
import json
import re
import unittest

from cluster import Host, OwnCluster, Runner, bin_dir, run, run_on_tty, shared
from process import PATIENCE, wait_until, work_dir
from websocket import Refused, WebSocket


def lines_of(text):
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


class Log(OwnCluster):
    """Host and runner at RIVERBOX_LOG=debug."""
    NAME = "log"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for server in (cls.runner, cls.host):
            server.stop()
            server.env["RIVERBOX_LOG"] = "debug"
        cls.host.start()
        cls.runner.start()
        cls.host.wait_online(cls.node)

    def lines(self, **fields):
        return [line for line in lines_of(self.host.log()) if all(line.get(k) == v for k, v in fields.items())]

    def logged(self, **fields):
        return wait_until(lambda: self.lines(**fields), 10, f"a line with {fields}")

    # ---- requests

    def test_every_answer_tells_the_id_of_its_request(self):
        calls = [("GET", "/api/nodes", 200), ("GET", "/nodes", 200), ("GET", "/nothing", 404), ("POST", "/nodes", 405), ("GET", "/api/status/x", 400), ("GET", "/v2/", 200), ("GET", "/metrics", 200),
                 ("GET", f"/api/docker/container/{self.environment}", 200)]
        seen = set()
        for method, path, expected in calls:
            status, headers, _ = self.host.http(method, path, raw=True)
            self.assertEqual(status, expected, path)
            self.assertRegex(headers["x-request-id"], r"^[0-9a-f]{16}$")
            seen.add(headers["x-request-id"])
            line, = self.logged(component="http", request=headers["x-request-id"])
            self.assertEqual((line["level"], line["message"], line["status"]), ("debug", f"{method} {path}", str(expected)))
            self.assertGreaterEqual(float(line["ms"]), 0)
        status, headers, _ = self.host.http("GET", "/api/nodes", token="")
        self.assertEqual(status, 401)
        seen.add(headers["x-request-id"])
        self.assertEqual(len(seen), len(calls) + 1)

    def test_the_client_may_give_it(self):
        for given, taken in (("trace-1.a_B:2", True), ("x" * 64, True), ("x" * 65, False), ("two words", False), ('a"b', False), ("", False)):
            headers = self.host.http("GET", "/api/version", headers={"X-Request-Id": given})[1]
            self.assertEqual(headers["x-request-id"] == given, taken, given)

    def test_websockets_have_one_too(self):
        bearer = {"Authorization": f"Bearer {self.host.token}"}
        path = f"/api/docker/host/containers/{self.environment}/terminal"
        socket = WebSocket(self.host.port, path, {**bearer, "X-Request-Id": "ws-1"})
        self.assertEqual(socket.headers["x-request-id"], "ws-1")
        socket.close()
        audit, = self.logged(component="audit", request="ws-1")
        self.assertEqual((audit["message"], audit["user"]), (f"GET {path}", "admin"))
        self.assertEqual(self.logged(component="http", request="ws-1")[0]["status"], "101")
        with self.assertRaises(Refused) as refused:
            WebSocket(self.host.port, path, {"X-Request-Id": "ws-2"})
        self.assertEqual((refused.exception.status, refused.exception.headers["x-request-id"]), (401, "ws-2"))
        self.assertEqual(self.logged(component="http", request="ws-2")[0]["status"], "401")

    def test_the_id_goes_along_from_lane_to_lane(self):
        """Also where a thread of its own renews the container, and to what is done after the answer."""
        self.assertEqual(self.host.http("POST", f"/api/docker/create_tar/{self.environment}", {}, headers={"X-Request-Id": "pack-1"})[0], 200)
        told = {(line["component"], line["message"]): line for line in self.logged(request="pack-1")}
        for component, message in (("audit", f"POST /api/docker/create_tar/{self.environment}"), ("environment", "wrote an archive"), ("host", "version published"),
                                   ("http", f"POST /api/docker/create_tar/{self.environment}")):
            self.assertIn((component, message), told)
        self.assertEqual(told["environment", "wrote an archive"]["environment"], self.environment)
        self.assertEqual([line for line in self.lines(message="version published") if "request" not in line], [])
        self.host.http("POST", "/api/kill/1", headers={"X-Request-Id": "kill-1"})
        self.assertEqual(self.logged(component="http", request="kill-1")[0]["status"], "404")

    def test_what_fails_here_is_in_the_log(self):
        host = Host(None, work_dir() / "log-open-share", name="log-open-host")
        self.addCleanup(host.stop)
        status, headers, answer = host.http("POST", "/api/docker/host/start/some-env")
        self.assertEqual(status, 503)
        line, = [line for line in lines_of(host.log()) if line["message"] == "a request failed" and line.get("request") == headers["x-request-id"]]
        self.assertEqual((line["level"], line["status"], line["detail"]), ("warning", "503", answer["detail"]))
        self.assertEqual([line for line in lines_of(host.log()) if line["level"] == "debug"], [], "one that was not asked for them")

    # ---- tasks

    def test_a_runner_tells_of_which_task(self):
        self.host.shell(self.environment, "echo more >> /more\n")
        self.host.docker("create-tar", self.environment, check=True)
        task = self.host.submit("true", container_name=self.environment, required_cores=0)
        self.host.wait_task(task)
        told = {line["message"]: line for line in lines_of(self.runner.log()) if line.get("task") == f"{task}/1"}
        for message in ("task accepted", "loaded an environment", "environment brought up to date", "task ended"):
            self.assertIn(message, told)
        self.assertEqual(told["loaded an environment"]["environment"], self.environment)

    # ---- what never is in it

    def test_no_secret_is_in_any_log(self):
        secrets = {"the administrator's token": self.host.token, "a variable": "v4riable-s3cret", "a guess": "gu3ss-at-a-token"}
        ask = self.host.http
        made = ask("POST", "/api/tokens", {"user": "sara", "role": "operator"})[2]
        secrets["a user's token"] = token = made["token"]
        secrets["an invitation"] = invitation = self.host.cli("riverbox", "node", "join-command", check=True).out.split()[-1]
        newcomer = Runner(self.host, shared().runner_engine, "log-newcomer", token="", start=False)
        newcomer.env["RIVERBOX_LOG"] = "debug"
        joined = run([bin_dir() / "riverbox", "runner", "join", "--host", self.host.url, invitation, "--name", newcomer.name], newcomer.env)
        self.assertEqual(joined.code, 0, joined)
        newcomer.start()
        self.addCleanup(newcomer.stop)
        self.host.wait_online(newcomer.name)
        secrets["a node's token"] = (newcomer.home / f"state/runner-{newcomer.name}.token").read_text().strip()

        task = ask("POST", "/api/submit", {"command": "echo done; exit 2", "container_name": self.environment, "required_cores": 0, "targets": [newcomer.name], "retries": 1,
                                           "env_vars": {"PASSWORD": secrets["a variable"]}}, token=token)[2]["task_ids"][0]
        wait_until(lambda: self.host.status(task)["status"] == "failed" and self.host.status(task)["attempt"] == 2, 60, "the end of the task")
        # tokens in queries: of browsers, and of sockets
        self.assertEqual(ask("GET", f"/api/tasks/{task}/events?token={token}", token="", headers={"Accept": "text/event-stream"})[0], 200)
        self.assertEqual(ask("GET", f"/api/nodes?token={secrets['a guess']}", token="")[0], 401)
        self.assertEqual(ask("GET", f"/nothing?ticket={secrets['a guess']}&token={token}", token="")[0], 404)
        for _ in range(25):
            ask("GET", "/api/nodes", token=secrets["a guess"] + str(_))
        WebSocket(self.host.port, f"/api/tasks/{task}/attach?token={token}").close()
        with self.assertRaises(Refused):
            WebSocket(self.host.port, f"/api/tasks/{task}/attach?ticket={secrets['a guess']}")
        # a password for docker
        secrets["a password of the registry"] = basic = base64.b64encode(f"me:{token}".encode()).decode()
        self.assertEqual(ask("GET", "/v2/", token="", headers={"Authorization": f"Basic {basic}"})[0], 200)
        # what is typed and shown in a shell
        secrets["what is typed"] = "typed-p4ssw0rd"
        shell = self.host.shell(self.environment, f"PASSWORD={secrets['what is typed']}; echo $PASSWORD\n", check=True)
        self.assertIn(secrets["what is typed"], shell.out)
        # errors of many kinds
        for method, path, body in (("POST", "/api/submit", {"command": "", "env_vars": {"A": secrets["a variable"]}}), ("POST", "/api/submit", {"env_vars": {"A=": secrets["a variable"]}, "command": "x"}),
                                   ("POST", "/api/submit", "{" + secrets["a variable"]), ("POST", "/api/tokens", {"user": "bad name " + secrets["a guess"]}),
                                   ("POST", "/api/nodes/join", {"node": "x y"}), ("POST", "/api/tokens/nope/revoke", {}), ("GET", "/api/status/nope", None)):
            self.assertGreaterEqual(ask(method, path, body)[0], 400, path)
        self.host.cli("riverbox", "task", "logs", task, env={"RIVERBOX_TOKEN": token}, check=True)
        ask("POST", f"/api/tokens/{made['id']}/revoke", {})
        self.assertIn(ask("GET", f"/api/nodes?token={token}", token="")[0], (401, 429))

        for name, log in (("host", self.host.log()), ("newcomer", newcomer.log()), ("runner", self.runner.log())):
            for what, secret in secrets.items():
                self.assertNotIn(secret, log, f"{what} is in the log of {name}")
            self.assertIsNone(re.search(r"(token|ticket)=(?!\(|$)\w", log), f"a query is in the log of {name}")
            for line in log.splitlines():
                self.assertTrue(line.startswith("{"), line)
        self.assertGreater(len(self.lines(level="debug")), 30, "it was the log of everything")


class Terminal(unittest.TestCase):
    def test_on_a_terminal_it_is_text(self):
        host = Host(None, work_dir() / "logtty-share", name="logtty-host", start=False)
        shown = run_on_tty(["timeout", str(3 * PATIENCE), bin_dir() / "riverbox", "host"], host.env)
        self.assertRegex(shown.out, r"\d\d:\d\d:\d\d INFO  host: listening address=127\.0\.0\.1 port=\d+")
