"""A VPS that its owner shares: the others use it as the owner does, but neither remove it nor let anybody in; strangers learn nothing of it; and the end of it ends what is open."""
import socket
import unittest

from cluster import OwnCluster
from process import PATIENCE, wait_until
from ssh import make_key
from websocket import Closed, WebSocket


class VpsSharing(OwnCluster):
    NAME = "vps-sharing"
    USERS = {"anna": "user", "bob": "user", "carol": "user", "olga": "operator", "vera": "viewer"}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.tokens = {name: cls.host.cli("riverbox", "token", "create", name, "--role", role, check=True).out.strip() for name, role in cls.USERS.items()}

    def setUp(self):
        wish = {"container_name": self.environment, "required_cores": 0, "name": self._testMethodName.replace("_", "-")[:60].strip("-")}
        status, _, self.made = self.ask("anna", "POST", "/api/vps/create", wish)
        self.assertEqual((status, self.made["owner"], self.made["assignees"]), (200, "anna", []))
        self.id, self.name = self.made["task_id"], self.made["name"]
        self.addCleanup(lambda: self.vps("rm", "--force", self.name, user="anna"))
        wait_until(lambda: self.status("anna") == "running", 20, "it to run", step=0.05)

    def ask(self, user, method, path, body=None):
        return self.host.http(method, path, body, token=self.tokens[user])

    def code(self, user, method, path, body=None):
        return self.ask(user, method, path, body)[0]

    def vps(self, *argv, user, **options):
        return self.host.cli("riverbox", "vps", *argv, env={"RIVERBOX_TOKEN": self.tokens[user]}, **options)

    def status(self, user):
        return self.ask(user, "GET", f"/api/vps/{self.id}")[2].get("status")

    def listed(self, user, path="/api/vps"):
        return [vps["task_id"] for vps in self.ask(user, "GET", path)[2] if vps["task_id"] == self.id]

    def events(self, user):
        return [event["action"] for event in self.ask(user, "GET", f"/api/events?subject={self.id}&limit=50")[2]]

    def test_who_is_let_in_uses_it_as_the_owner_does(self):
        shared = self.vps("share", self.name, "bob", "vera", user="anna", check=True).json()
        self.assertEqual((shared["task_id"], shared["assigned_users"]), (self.id, ["bob", "vera"]))
        for path in ("/api/vps", "/api/vps/status", "/api/vps/my"):
            self.assertEqual(self.listed("bob", path), [self.id], path)
        self.assertEqual(self.listed("anna", "/api/vps/my"), [], "it is her own")
        self.assertIn(self.name, self.ask("bob", "GET", "/api/complete/vps")[2])
        self.assertIn(self.id, [task["task_id"] for task in self.ask("bob", "GET", f"/api/nodes/{self.node}")[2]["tasks"]])
        self.assertIn("shared", self.events("bob"))
        self.assertEqual(self.ask("bob", "GET", f"/api/status/{self.id}")[0], 200)
        self.assertEqual(self.vps("connect", self.name, user="bob", input=b"echo hello\n").out, "hello\n")
        for action in ("pause", "resume", "stop", "start"):
            self.vps(action, self.name, user="bob", check=True)
            wait_until(lambda: self.status("bob") == {"pause": "paused", "stop": "stopped"}.get(action, "running"), 20, action, step=0.05)
        self.vps("restart", self.name, user="bob", check=True)

    def test_but_neither_removes_it_nor_lets_anybody_in(self):
        self.vps("share", self.name, "bob", user="anna", check=True)
        for method, path, body in (("POST", f"/api/vps/remove/{self.name}", None), ("POST", f"/api/vps/{self.id}/assign", ["carol"]), ("DELETE", f"/api/vps/{self.name}/assign/bob", None)):
            status, _, answer = self.ask("bob", method, path, body)
            self.assertEqual(status, 403, path)
            self.assertIn("belongs to 'anna'", answer["detail"])
        self.assertEqual(self.status("bob"), "running")
        self.assertIn("bob", self.vps("show", self.name, user="bob", check=True).out)
        self.assertEqual(self.code("olga", "POST", f"/api/vps/{self.id}/assign", ["carol"]), 200, "an operator may")
        self.assertEqual(self.listed("carol"), [self.id])

    def test_strangers_and_viewers_learn_nothing_of_it(self):
        self.vps("share", self.name, "bob", "vera", user="anna", check=True)
        for method, path, body in (("GET", "", None), ("GET", "/assignments", None), ("POST", "/assign", ["carol"]), ("DELETE", "/assign/bob", None)):
            status, _, answer = self.ask("carol", method, f"/api/vps/{self.name}{path}", body)
            other = self.ask("carol", method, f"/api/vps/nobodys{path}", body)
            self.assertEqual((status, answer["detail"].replace(self.name, "nobodys")), (404, other[2]["detail"]), path)
        self.assertEqual((self.listed("carol"), self.events("carol")), ([], []))
        self.assertEqual(self.code("vera", "GET", f"/api/vps/{self.id}"), 403, "the role does not change with it")
        self.assertNotIn("bob", self.vps("show", self.name, user="carol").out)

    def test_its_end_ends_what_is_open(self):
        self.vps("share", self.name, "bob", "carol", user="anna", check=True)
        opened = {user: WebSocket(self.host.port, f"/api/tasks/{self.id}/{path}", {"Authorization": f"Bearer {self.tokens[user]}"})
                  for user, path in (("bob", "terminal"), ("carol", "terminal"))}
        for socket in opened.values():
            socket.send_json({"type": "resize", "rows": 24, "cols": 80})
            self.assertEqual(socket.receive_json()["type"], "output")
        self.assertIn("not shared with bob any more", self.vps("unshare", self.name, "bob", user="anna", check=True).out)
        with self.assertRaises(Closed) as closed:
            while True:
                opened["bob"].receive()
        self.assertEqual(closed.exception.code, 1008)
        self.assertEqual((self.listed("bob"), self.listed("bob", "/api/vps/my"), self.events("bob")), ([], [], []))
        self.assertEqual(self.code("bob", "GET", f"/api/vps/{self.id}"), 404)
        self.assertEqual(self.code("bob", "POST", f"/api/command/{self.id}/pause"), 404)
        opened["carol"].send_json({"type": "input", "data": "echo still $((40 + 2))\n"})
        told = ""
        while "still 42" not in told:
            told += opened["carol"].receive_json().get("data", "")
        opened["carol"].close()
        self.assertEqual(self.vps("unshare", self.name, "bob", user="anna").code, 1)

    def test_its_end_ends_ssh_as_well(self):
        wish = {"container_name": self.environment, "required_cores": 0, "ssh_key_mode": "upload", "ssh_public_key": make_key(self.host.home / "key").with_suffix(".pub").read_text()}
        id = self.ask("anna", "POST", "/api/vps/create", wish)[2]["task_id"]
        self.addCleanup(lambda: self.vps("rm", "--force", id, user="anna"))
        wait_until(lambda: self.ask("anna", "GET", f"/api/vps/{id}")[2]["status"] == "running", 20, "it to run", step=0.05)

        def proxy():
            connection = socket.create_connection(("127.0.0.1", self.host.ssh_proxy_port), timeout=20 * PATIENCE)
            connection.sendall(f"REQUEST_TUNNEL {id} {self.tokens['bob']}\n".encode())
            return connection
        with proxy() as stranger:
            self.assertEqual(stranger.recv(4096), f"ERROR Task {id} not found.\n".encode())
        self.vps("share", id, "bob", user="anna", check=True)
        with proxy() as guest:
            said = b""
            while b"SSH-2.0" not in said:
                more = guest.recv(4096)
                self.assertTrue(more, said)
                said += more
            self.vps("unshare", id, "bob", user="anna", check=True)
            while guest.recv(4096):
                pass

    def test_with_whom_it_is_shared(self):
        self.assertEqual(self.code("anna", "POST", f"/vps/{self.id}/assign", ["bob"]), 200, "also without /api")
        self.vps("share", self.name, "bob", "carol", user="anna", check=True)
        told = self.ask("bob", "GET", f"/api/vps/{self.id}/assignments")[2]
        self.assertEqual([guest["user_id"] for guest in told["assignments"]], ["bob", "carol"])
        self.assertEqual(self.ask("anna", "GET", f"/api/vps/{self.id}")[2]["assignees"], [{"id": name, "username": name, "display_name": name} for name in ("bob", "carol")])
        for users, word in ((["bobb"], "no user 'bobb'"), (["anna"], "belongs to 'anna'"), ([7], "list of"), ([], "list of"), ({"users": ["bob"]}, "list of")):
            status, _, answer = self.ask("anna", "POST", f"/api/vps/{self.id}/assign", users)
            self.assertIn(status, (400, 404))
            self.assertIn(word, answer["detail"])
        self.assertEqual(self.code("anna", "POST", f"/api/vps/{self.id}/assign", ["carol", "bobb"]), 404)

    def test_it_outlives_the_host_and_goes_with_the_vps(self):
        self.vps("share", self.name, "bob", user="anna", check=True)
        self.host.kill()
        self.host.start()
        self.host.wait_online(self.node)
        self.assertEqual(self.listed("bob"), [self.id])
        self.vps("rm", "--force", self.name, user="anna", check=True)
        self.assertEqual(self.listed("bob"), [])


if __name__ == "__main__":
    unittest.main()
