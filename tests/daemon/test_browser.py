"""What a browser can do, and what a page of somebody else cannot: sessions, tickets, Origin and Host, Content-Security-Policy."""
import re
import unittest
import urllib.parse

from cluster import Host, OwnCluster, bin_dir
from process import Process, wait_until, work_dir
from websocket import Refused, WebSocket

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Browser(OwnCluster):
    NAME = "browser"

    def page(self, method, path, body=None, headers=None, **form):
        body = urllib.parse.urlencode(form) if form else body
        return self.host.http(method, path, body=body, token="", headers={**(FORM if form else {}), **(headers or {})})

    @property
    def origin(self):
        return {"Origin": f"http://127.0.0.1:{self.host.port}"}

    def log_in(self, token=None):
        """The cookie of a new session."""
        status, headers, _ = self.page("POST", "/login", headers=self.origin, token=token or self.host.token)
        self.assertEqual((status, headers.get("location")), (303, "/"))
        return {"Cookie": headers["set-cookie"].split(";")[0]}

    # ---- the session

    def test_without_a_session_there_is_the_login_page(self):
        status, headers, _ = self.page("GET", "/")
        self.assertEqual((status, headers["location"]), (303, "/login"))
        status, headers, page = self.page("GET", "/login")
        self.assertEqual((status, headers["content-type"]), (200, "text/html; charset=utf-8"))
        self.assertIn('name="token" type="password"', page)

    def test_pages_let_nothing_in_and_stand_in_no_frame(self):
        for path in ("/login", "/"):
            _, headers, page = self.page("GET", path, headers=self.log_in())
            if headers.get("location"):
                continue
            policy = dict(rule.strip().split(" ", 1) for rule in headers["content-security-policy"].split(";"))
            self.assertEqual((policy["default-src"], policy["frame-ancestors"], policy["base-uri"], policy["form-action"]), ("'none'", "'none'", "'none'", "'self'"), path)
            self.assertNotIn("unsafe", str(policy))
            self.assertEqual((headers["x-frame-options"], headers["x-content-type-options"]), ("DENY", "nosniff"))
            if path == "/":
                self.assertNotRegex(page, r"<style|<script(?! type=\"module\" crossorigin src=\"/assets/)|\son\w+=|style=", "nothing but what has an address of its own")
                continue
            nonce = re.search(r"'nonce-(\w+)'", policy["style-src"]).group(1)
            self.assertIn(f'<style nonce="{nonce}">', page)
            self.assertEqual(headers["cache-control"], "no-store")
            self.assertNotIn(nonce, self.page("GET", path, headers=self.log_in())[2], "a new one each time")

    def test_the_dashboard_is_kept_by_the_browser(self):
        cookie = self.log_in()
        status, headers, page = self.page("GET", "/", headers=cookie)
        self.assertEqual((status, headers["cache-control"]), (200, "no-cache"))
        self.assertEqual(self.page("GET", "/", headers={**cookie, "If-None-Match": headers["etag"]})[0], 304)
        script = re.search(r'src="(/assets/[^"]+\.js)"', page).group(1)
        status, headers, _ = self.host.http("GET", script, token="", raw=True)
        self.assertEqual((status, headers["content-type"], headers["content-encoding"]), (200, "text/javascript", "gzip"))
        self.assertIn("immutable", headers["cache-control"])
        self.assertEqual(self.host.http("GET", script, token="", headers={"If-None-Match": headers["etag"]}, raw=True)[0], 304)
        for path in ("/assets/none.js", "/assets/..%2findex.html", "/assets/" + "x" * 5000):
            self.assertEqual(self.page("GET", path)[0], 404, path)
        status, headers, icon = self.host.http("GET", "/icon.svg", token="", raw=True)
        self.assertEqual((status, headers["content-type"]), (200, "image/svg+xml"))

    def test_the_cookie(self):
        _, headers, _ = self.page("POST", "/login", headers=self.origin, token=self.host.token)
        parts = [part.strip() for part in headers["set-cookie"].split(";")]
        self.assertTrue(parts[0].startswith("riverbox_session=rb_"), parts)
        self.assertLessEqual({"HttpOnly", "SameSite=Strict", "Path=/"}, set(parts))
        self.assertNotIn("Secure", parts)
        self.assertNotIn(self.host.token, headers["set-cookie"])
        _, headers, _ = self.page("POST", "/login", headers={"Origin": "https://127.0.0.1", "Host": "127.0.0.1"}, token=self.host.token)
        self.assertIn("Secure", [part.strip() for part in headers["set-cookie"].split(";")], "behind a proxy that ends TLS")

    def test_it_reads_and_changes_what_its_user_may(self):
        cookie = self.log_in()
        status, _, page = self.page("GET", "/", headers=cookie)
        self.assertEqual(status, 200)
        self.assertIn('<div id="app">', page)
        self.assertEqual(self.host.http("GET", "/api/whoami", token="", headers=cookie)[2], {"user": "admin", "role": "admin"})
        self.assertEqual(self.page("GET", "/api/nodes", headers=cookie)[0], 200)
        self.assertEqual(self.host.http("POST", f"/api/nodes/{self.node}/resume", token="", headers={**cookie, **self.origin})[0], 200)
        viewer = self.host.cli("riverbox", "token", "create", "vera", "--role", "viewer", check=True).out.strip()
        cookie = self.log_in(viewer)
        self.assertEqual(self.page("GET", "/api/nodes", headers=cookie)[0], 200)
        self.assertEqual(self.host.http("POST", f"/api/nodes/{self.node}/resume", token="", headers={**cookie, **self.origin})[0], 403)

    def test_nothing_is_changed_by_a_cookie_alone(self):
        cookie = self.log_in()
        for headers, status in ((cookie, 401), ({**cookie, "Origin": "null"}, 403), ({**cookie, "Origin": "http://evil.example"}, 403)):
            self.assertEqual(self.host.http("POST", f"/api/nodes/{self.node}/drain", token="", headers=headers)[0], status, headers)
        self.assertFalse(self.host.nodes()[self.node]["draining"])

    def test_it_ends(self):
        cookie = self.log_in()
        status, headers, _ = self.page("POST", "/logout", headers={**cookie, **self.origin})
        self.assertEqual((status, headers["location"]), (303, "/login"))
        self.assertIn("Max-Age=0", headers["set-cookie"])
        self.assertEqual(self.page("GET", "/api/nodes", headers=cookie)[0], 401)
        made = self.host.cli("riverbox", "token", "create", "wanda", "--json", check=True).json()
        cookie = self.log_in(made["token"])
        sessions = [t for t in self.host.cli("riverbox", "token", "list", check=True).json() if (t["user"], t["note"]) == ("wanda", "browser")]
        self.assertEqual(len(sessions), 1)
        self.assertIsNotNone(sessions[0]["expires_at"])
        self.host.cli("riverbox", "token", "revoke", made["id"], check=True)
        self.assertEqual(self.page("GET", "/api/nodes", headers=cookie)[0], 401, "with the token it was opened with")
        cookie = self.log_in(self.host.cli("riverbox", "token", "create", "xenia", check=True).out.strip())
        session = next(t["id"] for t in self.host.cli("riverbox", "token", "list", check=True).json() if (t["user"], t["note"]) == ("xenia", "browser"))
        self.host.cli("riverbox", "token", "revoke", session, check=True)
        self.assertEqual(self.page("GET", "/api/nodes", headers=cookie)[0], 401, "alone")

    def test_it_outlives_a_restart_of_the_host(self):
        cookie = self.log_in()
        self.host.kill()
        self.host.start()
        self.assertEqual(self.page("GET", "/api/nodes", headers=cookie)[0], 200)
        self.host.wait_online(self.node)

    def test_wrong_tokens(self):
        status, headers, page = self.page("POST", "/login", headers=self.origin, token="<b>wrong</b>")
        self.assertEqual(status, 401)
        self.assertIn('role="alert"', page)
        self.assertNotIn("<b>wrong", page)
        self.assertNotIn("set-cookie", headers)
        self.assertEqual(self.host.http("POST", "/api/login", {"token": "wrong"}, token="")[0], 401)
        self.assertEqual(self.host.http("POST", "/api/login", {}, token="")[0], 400)
        self.assertEqual(self.page("GET", "/api/nodes", headers={"Cookie": "riverbox_session=wrong"})[0], 401)
        self.assertEqual(self.page("GET", "/api/nodes", headers={"Cookie": f"x_riverbox_session={self.host.token}"})[0], 401)

    def test_who_is_nobody_yet_sends_little(self):
        self.assertEqual(self.page("POST", "/login", headers=self.origin, token="x" * 5000)[0], 413)
        self.assertEqual(self.host.http("POST", "/api/login", {"token": "x" * 5000}, token="")[0], 413)

    def test_sessions_of_one_token_make_room_for_each_other(self):
        token = self.host.cli("riverbox", "token", "create", "zoe", check=True).out.strip()
        cookies = [self.log_in(token) for _ in range(33)]
        self.assertEqual([self.page("GET", "/api/nodes", headers=cookie)[0] for cookie in (cookies[0], cookies[1], cookies[32])], [401, 200, 200])

    def test_a_node_cannot_log_in(self):
        invitation = self.host.cli("riverbox", "node", "join-command", check=True).out.split()[-1]
        self.assertEqual(self.host.http("POST", "/api/login", {"token": invitation}, token="")[0], 401)

    # ---- pages of others

    def test_origins_that_are_not_ours(self):
        port = self.host.port
        cookie = self.log_in()
        for origin in ("null", "http://evil.example", f"http://127.0.0.1.evil.example:{port}", f"http://127.0.0.1:{port}.evil.example", f"http://evil.example/127.0.0.1:{port}", f"http://127.0.0.1:{port + 1}", "http://127.0.0.1",
                       f"http://localhost:{port}", f"http://127.0.0.1:{port}@evil.example", f"file://127.0.0.1:{port}", "http://", "", " ", f"http://[::1]:{port}", f"http://127.1:{port}"):
            with self.subTest(origin):
                self.assertEqual(self.host.http("POST", "/api/tickets", {"path": "/x"}, token="", headers={**cookie, "Origin": origin})[0], 403)
                self.assertEqual(self.page("POST", "/login", headers={"Origin": origin}, token=self.host.token)[0], 403)
                self.assertEqual(self.upgrade({"Origin": origin, "Authorization": f"Bearer {self.host.token}"}), 403)
        self.assertEqual(self.upgrade({**self.origin, "Authorization": f"Bearer {self.host.token}"}), 101)

    def test_hosts_that_are_not_ours(self):
        for host in ("evil.example", f"evil.example:{self.host.port}", "127.0.0.1.evil.example", "localhost.evil.example", "127.0.0.1:x", "a b", "user@127.0.0.1"):
            with self.subTest(host):
                self.assertEqual(self.host.http("POST", f"/api/nodes/{self.node}/resume", headers={"Host": host})[0], 403)
                self.assertEqual(self.upgrade({"Authorization": f"Bearer {self.host.token}"}, host=host), 403)

    # ---- tickets

    def path(self):
        if not hasattr(type(self), "task"):
            type(self).task = self.host.submit("sleep 600", container_name=self.environment, required_cores=0)
        return f"/api/tasks/{self.task}/attach"

    def upgrade(self, headers, query="", path=None, host=None):
        try:
            WebSocket(self.host.port, (path or self.path()) + query, headers, host=host).sock.close()
            return 101
        except Refused as refused:
            return refused.status

    def ticket(self, cookie, path):
        status, _, answer = self.host.http("POST", "/api/tickets", {"path": path}, token="", headers={**cookie, **self.origin})
        self.assertEqual(status, 201, answer)
        return answer["ticket"]

    def test_a_session_opens_no_web_socket_but_with_a_ticket_that_is_good_once_and_for_one_path(self):
        cookie = self.log_in()
        self.assertEqual(self.upgrade({**cookie, **self.origin}), 401)
        ticket = self.ticket(cookie, self.path())
        self.assertEqual(self.upgrade({**cookie, **self.origin}, f"?ticket={ticket}&stdout_from=0"), 101)
        self.assertEqual(self.upgrade({**cookie, **self.origin}, f"?ticket={ticket}"), 401, "once")
        ticket = self.ticket(cookie, "/api/docker/host/containers/other/terminal")
        self.assertEqual(self.upgrade(self.origin, f"?ticket={ticket}"), 401, "for its path")
        self.assertEqual(self.upgrade(self.origin, "?ticket=" + "0" * 48), 401)
        ticket = self.ticket(cookie, self.path())
        self.assertEqual(self.upgrade({"Origin": "http://evil.example"}, f"?ticket={ticket}"), 403)
        self.assertEqual(self.page("GET", f"/api/nodes?ticket={self.ticket(cookie, '/api/nodes')}")[0], 401, "for upgrades only")

    def test_a_ticket_gives_what_its_user_has(self):
        viewer = self.host.cli("riverbox", "token", "create", "yann", "--role", "viewer", check=True).out.strip()
        cookie = self.log_in(viewer)
        self.assertEqual(self.upgrade(self.origin, f"?ticket={self.ticket(cookie, self.path())}"), 403)


class NoAuthentication(unittest.TestCase):
    def host(self, name, **network):
        return Host(None, work_dir() / "open-share", name, start=False, security={"auth": "none"}, network=network)

    def test_it_listens_to_this_machine_only_unless_somebody_knows(self):
        host = self.host("open-by-default", host_bind_ip="0.0.0.0")
        result = host.cli("riverbox", "host", timeout=30)
        self.assertEqual(result.code, 78, result)
        self.assertIn("root on every node", result.err)
        self.assertIn("--i-know", result.err)
        text = host.config.read_text().replace('host_bind_ip = "0.0.0.0"\n', "")
        host.config.write_text(text)
        host.start()
        self.assertIn("authentication is OFF", host.log())
        self.assertIn('"address":"127.0.0.1"', host.log())
        status, _, page = host.http("GET", "/", token="")
        self.assertEqual(status, 200)
        self.assertEqual(host.http("GET", "/api/nodes", token="", headers={"Host": "evil.example"})[0], 403, "a name that was made to mean this machine")
        self.assertIn('<div id="app">', page)
        self.assertEqual(host.http("GET", "/api/version", token="")[2]["auth"], "none", "which is what the dashboard warns of")
        self.assertEqual(host.http("GET", "/login", token="")[1]["location"], "/")
        host.stop()

    def test_with_i_know_it_listens_to_all(self):
        host = self.host("open-knowingly", host_bind_ip="0.0.0.0")
        host.process = Process([bin_dir() / "riverbox", "host", "--i-know"], host.home / "log", env=host.env)
        self.addCleanup(host.stop)
        wait_until(host.answers, 20, "the host to answer")
        self.assertIn('"address":"0.0.0.0"', host.log())


if __name__ == "__main__":
    unittest.main()
