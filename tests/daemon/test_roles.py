"""Who may do what: every route with every role and with none, whose tasks are there for whom, tokens from their making to their end."""
import json
import re
import socket
import sqlite3
import time
import unittest

from cluster import OwnCluster, Runner, bin_dir, run, shared
from process import PATIENCE, wait_until, work_dir
from websocket import Closed, Refused, WebSocket

RISING = ["viewer", "user", "operator", "admin"]


def allowed(needed, role):
    """By the text of the issue, not by the program's own table of roles."""
    if needed == "open":
        return True
    if role is None:
        return False
    least = {"puller": "user", "node": "admin", "joiner": "admin"}.get(needed, needed)
    return RISING.index(role) >= RISING.index(least)


class Roles(OwnCluster):
    NAME = "roles"
    HOST = {"tasks": {"allowed_mounts": ["/srv"]}}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.tokens = {role: cls.make(f"the-{role}", role) for role in RISING}

    @classmethod
    def make(cls, user, role="user", *more):
        return cls.host.cli("riverbox", "token", "create", user, "--role", role, *more, check=True).out.strip()

    def as_user(self, token, *argv, **options):
        return self.host.cli(*argv, env={"RIVERBOX_TOKEN": token}, **options)

    def ask(self, method, path, token, **options):
        return self.host.http(method, path, token=token or "", **options)

    # ---- the table

    def test_every_route_with_every_role_and_with_none(self):
        paths = self.host.http("GET", "/openapi.json", token="")[2]["paths"]
        tried = 0
        for pattern, operations in paths.items():
            path = re.sub(r"\{\w+\}", "nothing-of-that-name", pattern)
            for method, operation in operations.items():
                for role in [None, *RISING]:
                    token, expected = self.tokens.get(role, ""), allowed(operation["x-role"], role)
                    with self.subTest(f"{method} {pattern} as {role}"):
                        if operation.get("x-websocket"):
                            status = self.upgrade(path, token)
                        else:
                            status = self.ask(method.upper(), path, token, body={} if method == "post" else None)[0]
                        self.assertEqual(status not in (401, 403), expected, status)
                        if not expected:
                            self.assertEqual(status, 403 if role else 401)
                        tried += 1
        print(f"({tried} calls of routes by roles)", flush=True)
        self.assertGreater(tried, 250)
        self.assertFalse({f"/{kind}" for kind in ("nodes", "tasks", "submit")} & set(paths), "each path is told once")

    def upgrade(self, path, token):
        try:
            WebSocket(self.host.port, path, {"Authorization": f"Bearer {token}"} if token else {}).sock.close()
            return 101
        except Refused as refused:
            return refused.status

    def test_the_older_paths_ask_for_the_same(self):
        for path, least in (("/nodes", "viewer"), ("/tasks", "user"), ("/docker/list", "viewer"), ("/task/1/stdout", "user")):
            for role in [None, *RISING]:
                self.assertEqual(self.ask("GET", path, self.tokens.get(role))[0] not in (401, 403), allowed(least, role), (path, role))
        for role in [None, *RISING]:
            for prefix in ("", "/ws", "/api"):
                status = self.upgrade(f"{prefix}/docker/host/containers/{self.environment}/terminal", self.tokens.get(role))
                self.assertEqual(status == 101, allowed("operator", role), (prefix, role))

    def test_a_refusal_says_who_asked_and_what_it_takes(self):
        status, _, body = self.ask("POST", "/api/docker/host/stop/x", self.tokens["user"])
        self.assertEqual(status, 403)
        self.assertIn("needs the role operator, and 'the-user' is a user", body["detail"])
        result = self.as_user(self.tokens["user"], "riverbox", "docker", "stop-container", "x")
        self.assertEqual((result.code, result.out), (77, ""), result)
        self.assertIn("role operator", result.err)

    def test_puller(self):
        import base64
        for role in [None, *RISING]:
            headers = {"Authorization": "Basic " + base64.b64encode(f"me:{self.tokens[role]}".encode()).decode()} if role else {}
            status = self.ask("GET", "/v2/", "", headers=headers)[0]
            self.assertEqual(status, 401 if role is None else 403 if role == "viewer" else 200, role)

    def test_what_was_opened_with_a_token_ends_with_it(self):
        made = self.host.cli("riverbox", "token", "create", "olga", "--role", "operator", "--json", check=True).json()
        other = self.make("oskar", "operator")
        task = self.submit(made["token"], "sleep 600")
        self.addCleanup(lambda: self.host.http("POST", f"/kill/{task}"))
        self.host.wait_task(task, ("running",))
        bearer = {"Authorization": f"Bearer {made['token']}"}
        paths = (f"docker/host/containers/{self.environment}/terminal", f"tasks/{task}/terminal", f"tasks/{task}/attach")
        opened = [WebSocket(self.host.port, f"/api/{path}", bearer) for path in paths]
        opened[1].send_json({"type": "resize", "rows": 24, "cols": 80})
        self.assertEqual(opened[1].receive_json()["type"], "output")  # it runs
        stays = WebSocket(self.host.port, f"/api/tasks/{task}/attach", {"Authorization": f"Bearer {other}"})
        events = socket.create_connection(("127.0.0.1", self.host.port), 30 * PATIENCE)
        events.sendall(f"GET /api/tasks/{task}/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {made['token']}\r\n\r\n".encode())
        self.assertIn(b" 200 ", events.recv(100))
        self.host.cli("riverbox", "token", "revoke", made["id"], check=True)
        for each in opened:
            with self.assertRaises(Closed) as closed:
                while True:
                    each.receive()
            self.assertEqual(closed.exception.code, 1008)
        try:
            while events.recv(65536):
                pass
        except ConnectionResetError:
            pass
        events.close()
        self.host.http("POST", f"/kill/{task}")
        told = ""
        with self.assertRaises(Closed) as closed:
            while True:
                told += str(stays.receive())
        self.assertNotEqual(closed.exception.code, 1008)
        self.assertIn("killed", told)

    # ---- tasks

    def submit(self, token, *command, **fields):
        body = {"command": command[0], "arguments": list(command[1:]), "container_name": self.environment, "required_cores": 0, **fields}
        status, _, answer = self.ask("POST", "/api/submit", token, body=body)
        self.assertEqual(status, 202, answer)
        return answer["task_ids"][0]

    def test_users_have_their_own_tasks_only(self):
        alice, bob = self.make("alice"), self.make("bob")
        task = self.submit(alice, "echo mine; sleep 60", env_vars={"KEY": "s3cret"})
        self.host.wait_task(task, ("running",))
        for path in (f"/api/status/{task}", f"/api/tasks/{task}/stdout", f"/api/tasks/{task}/explain", f"/api/tasks/{task}/events"):
            status, _, body = self.ask("GET", path, bob)
            self.assertEqual((status, body["detail"].split(".")[0]), (404, f"Task {task} not found"), path)
            self.assertEqual(self.ask("GET", path.replace(task, "1"), bob)[0], 404, "as one that is not there")
        for path in (f"/api/kill/{task}", f"/api/kill/{task}?batch=1", f"/api/command/{task}/pause", f"/api/tasks/{task}/rerun"):
            self.assertEqual(self.ask("POST", path, bob)[0], 404, path)
        for path in ("/api/tasks", "/tasks?limit=50", "/api/complete/tasks"):
            self.assertNotIn(task, json.dumps(self.ask("GET", path, bob)[2]), path)
            self.assertIn(task, json.dumps(self.ask("GET", path, alice)[2]), path)
        self.assertNotIn(task, json.dumps(self.ask("GET", f"/api/nodes/{self.node}", bob)[2]))
        self.assertIn(task, json.dumps(self.ask("GET", f"/api/nodes/{self.node}", alice)[2]))
        follower = WebSocket(self.host.port, f"/api/tasks/{task}/attach", {"Authorization": f"Bearer {bob}"})
        self.assertEqual(json.loads(follower.receive())["type"], "error")
        terminal = WebSocket(self.host.port, f"/api/tasks/{task}/terminal", {"Authorization": f"Bearer {bob}"})
        self.assertTrue(json.loads(terminal.receive())["data"].startswith(f"Task {task} not found"))
        self.assertEqual(self.ask("POST", "/api/submit", bob, body={"command": "true", "container_name": self.environment, "after": [task]})[0], 404)
        self.assertEqual(self.host.status(task)["status"], "running")
        result = self.as_user(alice, "riverbox", "client", "kill", task)
        self.assertEqual(result.code, 0, result)
        self.assertEqual(self.host.wait_task(task)["status"], "killed")

    def test_who_learns_the_values_of_variables(self):
        carol = self.make("carol")
        task = self.submit(carol, "true", env_vars={"KEY": "s3cret"})
        self.host.wait_task(task)
        seen = lambda token: self.ask("GET", f"/api/status/{task}", token)[2]
        self.assertEqual(seen(carol)["env_vars"], {"KEY": "s3cret"})
        self.assertEqual(seen(self.tokens["admin"])["env_vars"], {"KEY": "s3cret"})
        self.assertEqual((seen(self.tokens["operator"])["env_vars"], seen(carol)["owner"]), ({"KEY": "(hidden)"}, "carol"))
        for path in ("/api/tasks?limit=50", f"/api/nodes/{self.node}", f"/api/tasks/{task}/events"):
            self.assertNotIn("s3cret", json.dumps(self.ask("GET", path, self.tokens["operator"])[2]), path)
        again = self.ask("POST", f"/api/tasks/{task}/rerun", self.tokens["operator"])[2]["task_ids"][0]
        done = self.host.wait_task(again)
        self.assertEqual((done["owner"], done["env_vars"]), ("carol", {"KEY": "s3cret"}))
        self.assertNotIn("s3cret", json.dumps(self.ask("GET", f"/api/status/{again}", self.tokens["operator"])[2]))

    def test_what_two_users_call_their_submissions_is_theirs(self):
        dora, emil = self.make("dora"), self.make("emil")
        first = self.submit(dora, "true", client_id="nightly")
        self.assertEqual(self.submit(dora, "true", client_id="nightly"), first)
        self.assertNotEqual(self.submit(emil, "true", client_id="nightly"), first)
        body = {"command": "true", "container_name": self.environment, "client_id": "dora/nightly"}
        status, _, answer = self.host.http("POST", "/api/submit", body)
        self.assertEqual(status, 409, answer)

    def test_a_listing_is_kept_for_the_one_who_asked(self):
        fred, gina = self.make("fred"), self.make("gina")
        task = self.submit(fred, "true")
        self.host.wait_task(task)
        for _ in range(3):
            self.assertEqual([t["task_id"] for t in self.ask("GET", "/api/tasks", fred)[2]], [task])
            self.assertEqual(self.ask("GET", "/api/tasks", gina)[2], [])

    def test_only_an_administrator_may_what_the_configuration_does_not_allow(self):
        for role, status in (("user", 403), ("operator", 403), ("admin", 202)):
            body = {"command": "true", "container_name": self.environment, "privileged": True, "required_cores": 0}
            self.assertEqual(self.ask("POST", "/api/submit", self.tokens[role], body=body)[0], status, role)

    def test_an_administrator_lends_nobody_their_rights(self):
        """A rerun for somebody else gets what that one may have: the limits of mounts stay."""
        jane = self.make("jane")
        task = self.submit(jane, "true", additional_mounts=["/srv:/srv:ro"])
        again = self.host.http("POST", f"/api/tasks/{task}/rerun")[2]["task_ids"][0]
        mine = self.submit(self.tokens["admin"], "true", additional_mounts=["/srv:/srv:ro"])
        with sqlite3.connect(f"file:{self.host.home}/state/host.db?mode=ro", uri=True) as database:
            roots = lambda id: json.loads(database.execute("SELECT spec FROM tasks WHERE id=?", (int(id),)).fetchone()[0])["mount_roots"]
            self.assertEqual((roots(task), roots(again), roots(mine)), (["/srv"], ["/srv"], []))

    # ---- tokens

    def test_a_token_from_its_making_to_its_end(self):
        made = self.host.cli("riverbox", "token", "create", "hugo", "--expires", "30d", "--note", "laptop", "--json", check=True).json()
        token = made.pop("token")
        self.assertEqual((made["user"], made["role"], made["note"], made["last_used_at"]), ("hugo", "user", "laptop", None))
        me = self.as_user(token, "riverbox", "token", "whoami", check=True)
        self.assertEqual(me.json(), {"user": "hugo", "role": "user"})
        listed = {t["id"]: t for t in self.host.cli("riverbox", "token", "list", check=True).json()}
        self.assertIsNotNone(listed[made["id"]]["last_used_at"])
        self.assertNotIn("token", listed[made["id"]])
        self.host.process.kill()
        self.host.start()
        self.host.wait_online(self.node)
        self.assertEqual(self.as_user(token, "riverbox", "token", "whoami").code, 0, "it outlives the host")
        for file in (self.host.home / "state").rglob("*"):
            if file.is_file():
                self.assertNotIn(token.rsplit("_", 1)[1].encode(), file.read_bytes(), file)
        self.assertNotIn(token, self.host.log())
        result = self.host.cli("riverbox", "token", "revoke", made["id"])
        self.assertEqual(result.code, 0, result)
        self.assertEqual(self.as_user(token, "riverbox", "token", "whoami").code, 77)
        self.assertEqual(self.host.cli("riverbox", "token", "revoke", made["id"]).code, 1)

    def test_it_expires(self):
        token = self.make("ivan", "user", "--expires", "2s")
        self.assertEqual(self.ask("GET", "/api/whoami", token)[0], 200)
        wait_until(lambda: self.ask("GET", "/api/whoami", token)[0] == 401, 10, "its end")

    def test_what_is_wrong_is_said(self):
        for words, code, said in ((["create", "two words"], 1, "cannot be the name"), (["create", "x", "--role", "root"], 1, "viewer, user, operator and admin"),
                                  (["create", "x", "--expires", "soon"], 64, "--expires"), (["revoke", "nope"], 1, "token list"), (["create"], 64, "USER"),
                                  (["create", "admin"], 1, "the host's own token")):
            result = self.host.cli("riverbox", "token", *words)
            self.assertEqual((result.code, result.out), (code, ""), result)
            self.assertIn(said, result.err)
        self.assertEqual(self.as_user(self.tokens["operator"], "riverbox", "token", "list").code, 77)
        self.assertEqual(self.host.http("POST", "/api/tokens", {"user": "x", "expires_seconds": 0})[0], 400)


class WhoDidWhat(OwnCluster):
    NAME = "audit"

    def test_who_changed_what_is_in_the_log(self):
        token = self.host.cli("riverbox", "token", "create", "olga", "--role", "operator", check=True).out.strip()
        self.host.cli("riverbox", "docker", "stop-container", self.environment, env={"RIVERBOX_TOKEN": token}, check=True)
        self.host.cli("riverbox", "docker", "start-container", self.environment, env={"RIVERBOX_TOKEN": token}, check=True)
        self.host.cli("riverbox", "docker-shell", self.environment, env={"RIVERBOX_TOKEN": token}, check=True)
        lines = [json.loads(line) for line in self.host.log().splitlines() if '"audit"' in line]
        did = [line["message"] for line in lines if line.get("user") == "olga"]
        self.assertEqual([d.split(self.environment)[0].replace("/api", "") for d in did if "/docker/" in d],
                         ["POST /docker/host/stop/", "POST /docker/host/start/", "GET /docker/host/containers/"], did)
        self.assertNotIn(token, self.host.log())

    def test_who_tries_tokens_is_told_to_stop(self):
        answers = [self.host.http("GET", "/api/nodes", token=f"guess-{n}") for n in range(25)]
        self.assertEqual([status for status, _, _ in answers], [401] * 20 + [429] * 5)
        self.assertEqual(answers[-1][1].get("retry-after", answers[-1][1].get("Retry-After")), "60")
        self.assertEqual(self.host.http("GET", "/api/nodes")[0], 200, "who has a right one is not kept out")
        self.assertEqual(self.host.http("GET", "/api/nodes", token="")[0], 401)
        self.assertEqual(self.host.log().count("many wrong tokens from one address"), 1)


class AuthenticationOff(unittest.TestCase):
    def test_everybody_is_anybody(self):
        from cluster import Host
        from process import work_dir
        host = Host(None, work_dir() / "roles-open-share", name="roles-open-host", security={"auth": "none"})
        self.addCleanup(host.stop)
        self.assertEqual(host.http("GET", "/api/whoami", token="")[2], {"user": None, "role": None})
        result = host.cli("riverbox", "token", "create", "x")
        self.assertEqual(result.code, 1, result)
        self.assertIn("authentication is off", result.err)
        for path, body in (("/api/nodes/invite", {}), ("/api/nodes/join", {"node": "node7"})):
            self.assertEqual(host.http("POST", path, body, token="")[0], 409, path)


class Joining(OwnCluster):
    NAME = "joining"

    def invitation(self, *options):
        command = self.host.cli("riverbox", "node", "join-command", *options, check=True).out.split()
        self.assertEqual(command[:4], ["riverbox", "runner", "join", "--host"])
        return command

    def newcomer(self, name):
        """A machine with a runner that has not joined."""
        runner = Runner(self.host, shared().runner_engine, name, token="", start=False)
        self.addCleanup(lambda: runner.process and runner.stop())
        return runner

    def join(self, runner, command):
        return run([bin_dir() / command[0], *command[1:], "--name", runner.name], runner.env)

    def own_token(self, runner):
        return (runner.home / "state" / f"runner-{runner.name}.token").read_text().strip()

    def test_one_line_makes_a_machine_a_node(self):
        runner = self.newcomer("joining-one")
        result = self.join(runner, self.invitation())
        self.assertEqual((result.code, result.out), (0, ""), result)
        self.assertIn("Joined", result.err)
        file = runner.home / "state/runner-joining-one.token"
        self.assertEqual(file.stat().st_mode & 0o7777, 0o600)
        runner.start()
        self.host.wait_online("joining-one")
        done = self.host.client("--target", "joining-one", "--container", self.environment, "--wait", "--", "echo", "here")
        self.assertEqual((done.code, done.out), (0, "here\n"), done)
        again = self.join(runner, self.invitation())
        self.assertEqual(again.code, 0, again)
        self.assertIn("already", again.err)
        own = self.own_token(runner)
        for path in ("/api/nodes", "/api/tasks", "/api/whoami", "/api/tokens"):
            self.assertEqual(self.host.http("GET", path, token=own)[0], 403, path)
        self.assertEqual(self.host.http("GET", "/v2/", token=own)[0], 200, "it fetches what the share does not show")

        runner.stop()
        self.host.wait_offline("joining-one")
        self.host.cli("riverbox", "node", "rm", "joining-one", check=True)
        self.assertEqual(self.host.http("GET", "/v2/", token=own)[0], 401)
        runner.start()
        wait_until(lambda: "join-command" in runner.log(), 10, "a word about joining again")
        runner.stop()
        result = self.join(runner, self.invitation())
        self.assertIn("Joined", result.err)
        self.assertNotEqual(self.own_token(runner), own)
        runner.start()
        self.host.wait_online("joining-one")

    def test_one_that_joined_and_was_never_seen_can_be_forgotten(self):
        runner = self.newcomer("joining-ghost")
        self.assertEqual(self.join(runner, self.invitation()).code, 0)
        (runner.home / "state/runner-joining-ghost.token").unlink()
        self.assertEqual(self.join(runner, self.invitation()).code, 1)
        self.host.cli("riverbox", "node", "rm", "joining-ghost", check=True)
        self.assertEqual(self.host.cli("riverbox", "node", "rm", "joining-ghost").code, 1)
        self.assertEqual(self.join(runner, self.invitation()).code, 0)

    def test_a_revoked_node_is_cut_off(self):
        runner = self.newcomer("joining-cut")
        self.assertEqual(self.join(runner, self.invitation()).code, 0)
        runner.start()
        self.host.wait_online("joining-cut")
        token = next(t["id"] for t in self.host.cli("riverbox", "token", "list", check=True).json() if t["user"] == "joining-cut")
        self.host.cli("riverbox", "token", "revoke", token, check=True)
        self.host.wait_offline("joining-cut", 5)
        time.sleep(1)
        self.assertEqual(self.host.nodes()["joining-cut"]["status"], "offline")

    # fault: node-twice
    def test_the_name_of_a_connected_node_is_not_given_away(self):
        result = run([bin_dir() / "riverbox", *self.invitation()[1:], "--name", self.node], {**self.runner.env, "RIVERBOX_PATHS_STATE_DIR": str(work_dir() / "thief")})
        self.assertEqual(result.code, 1, result)
        self.assertIn("is connected", result.err)

    # fault: node-twice
    def test_a_second_machine_of_that_name_is_refused(self):
        first, command = self.newcomer("joining-two"), self.invitation()
        self.assertEqual(self.join(first, command).code, 0)
        result = run([bin_dir() / "riverbox", *command[1:], "--name", "joining-two"], {**first.env, "HOME": str(work_dir()), "RIVERBOX_PATHS_STATE_DIR": str(work_dir() / "another")})
        self.assertEqual(result.code, 1, result)
        self.assertIn("has joined already", result.err)
        other = self.newcomer("joining-three")
        (other.home / "state").mkdir()
        stolen = other.home / "state/runner-joining-three.token"
        stolen.write_text(self.own_token(first))
        stolen.chmod(0o600)
        other.start()
        wait_until(lambda: "has joined as 'joining-two'" in other.log(), 10, "the refusal")
        self.assertNotIn("joining-three", self.host.nodes())

    def test_invitations_end(self):
        late = self.invitation("--expires", "1s")
        time.sleep(1.2)
        for command in (late, [*late[:-1], "rb_00000000_made-up"]):
            result = self.join(self.newcomer(f"joining-{len(command[-1])}-late"), command)
            self.assertEqual(result.code, 77, result)
            self.assertIn("join-command", result.err)
        for path in ("/api/nodes", "/v2/", "/api/tokens"):
            self.assertIn(self.host.http("GET", path, token=self.invitation()[-1])[0], (401, 403), path)

    def test_a_node_speaks_of_its_own_tasks_only(self):
        liar = self.newcomer("joining-liar")
        self.assertEqual(self.join(liar, self.invitation()).code, 0)
        task = self.host.submit("sleep 60", container_name=self.environment, required_cores=0, targets=[self.node])
        self.addCleanup(lambda: self.host.http("POST", f"/kill/{task}"))
        running = self.host.wait_task(task, ("running",))
        link = WebSocket(self.host.port, "/api/runner/link", {"Authorization": f"Bearer {self.own_token(liar)}"}, ["riverbox.link.v1"])
        link.send_json({"type": "hello", "protocol": 1, "node": liar.name, "version": "x", "cores": 1, "memory_bytes": 1 << 30, "attempts": []})
        epoch = self.dispatched_epoch(task)
        link.send_json({"type": "report", "sequence": 1, "report": {"id": task, "attempt": 1, "epoch": epoch, "state": "failed", "exit_code": 1, "message": "a lie"}})
        wait_until(lambda: link.receive_json()["type"] == "ack", 10, "the answer")
        self.assertEqual(self.host.status(task)["status"], "running", running)
        link.close()

        # nor does it get hold of them by saying that it has them
        self.runner.kill()
        self.addCleanup(self.runner.start)
        self.host.wait_offline(self.node)
        self.host.cli("riverbox", "node", "rm", self.node, "--force", check=True)
        self.assertEqual(self.host.wait_task(task, ("lost",))["status"], "lost")
        link = WebSocket(self.host.port, "/api/runner/link", {"Authorization": f"Bearer {self.own_token(liar)}"}, ["riverbox.link.v1"])
        link.send_json({"type": "hello", "protocol": 1, "node": liar.name, "version": "x", "cores": 1, "memory_bytes": 1 << 30,
                        "attempts": [{"task_id": task, "attempt": 1, "epoch": epoch, "state": "completed"}, {"task_id": task, "attempt": 2, "epoch": epoch, "state": "running"}]})
        link.send_json({"type": "synced"})
        link.send_json({"type": "report", "sequence": 2, "report": {"id": task, "attempt": 1, "epoch": epoch, "state": "completed", "exit_code": 0, "message": ""}})
        wait_until(lambda: link.receive_json()["type"] == "ack", 10, "the answer")
        self.assertEqual(self.host.status(task)["status"], "lost")
        link.close()

    def dispatched_epoch(self, task):
        with sqlite3.connect(f"file:{self.host.home}/state/host.db?mode=ro", uri=True) as database:
            return database.execute("SELECT epoch FROM tasks WHERE id=?", (int(task),)).fetchone()[0]
