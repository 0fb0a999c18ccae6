"""The unix socket of the host: who comes over it is asked of the kernel."""
import json
import os
import pwd
import socket
import subprocess
import unittest

from cluster import Host, bin_dir, run
from process import PATIENCE, wait_until, work_dir

NOBODY = pwd.getpwnam("nobody")
DAEMON = pwd.getpwnam("daemon")


class UnixSocket(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = work_dir() / "unix"
        cls.folder.mkdir()
        work_dir().chmod(0o755)
        cls.path = cls.folder / "host.sock"
        cls.host = Host(None, work_dir() / "unix-share", "unix-host", network={"unix_socket": cls.path},
                        security={"local_users": ["daemon:user", f"@{NOBODY.pw_gid}:viewer"], "tls": "auto"}, start=False)
        cls.host.answers = cls.answers
        cls.host.start()

    @classmethod
    def tearDownClass(cls):
        cls.host.stop()

    @classmethod
    def answers(cls):
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(str(cls.path))  # the path of a killed host is there, and nobody behind it
            except OSError:
                return False
        return cls.ask(cls, "/api/version")[0] == 200

    def ask(self, path, method="GET", user=None, headers="", body="", host="Host: localhost\r\n"):
        """(status, JSON), as another user when one is named."""
        script = ("import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.settimeout(20)\ns.connect(sys.argv[1])\ns.sendall(sys.argv[2].encode())\n"
                  "d=b''\nwhile p:=s.recv(65536): d+=p\nsys.stdout.buffer.write(d)")
        text = f"{method} {path} HTTP/1.1\r\n{host}Connection: close\r\nContent-Length: {len(body)}\r\n{headers}\r\n{body}"
        options = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
        done = subprocess.run(["/usr/bin/python3", "-c", script, str(self.path), text], capture_output=True, timeout=60 * PATIENCE, **options)
        head, _, rest = done.stdout.partition(b"\r\n\r\n")
        if not head:
            raise AssertionError(done)
        return int(head.split()[1]), json.loads(rest)

    def test_root_is_the_administrator_without_a_token(self):
        self.assertEqual(self.ask("/api/whoami"), (200, {"user": "admin", "role": "admin"}))
        result = self.host.cli("riverbox", "token", "create", "local")
        self.assertEqual(result.code, 0, result)
        self.assertTrue(result.out.startswith("rb_"))

    def test_others_have_the_role_that_the_configuration_says(self):
        self.assertEqual(self.ask("/api/whoami", user=DAEMON), (200, {"user": "daemon", "role": "user"}))
        self.assertEqual(self.ask("/api/whoami", user=NOBODY), (200, {"user": "nobody", "role": "viewer"}))
        self.assertEqual(self.ask("/api/tokens", user=DAEMON)[0], 403)
        stranger = pwd.getpwnam("games")
        self.assertEqual(self.ask("/api/whoami", user=stranger)[0], 401)

    def test_a_token_that_is_shown_counts_more(self):
        token = self.host.cli("riverbox", "token", "create", "alice", "--role", "operator", check=True).out.strip()
        self.assertEqual(self.ask("/api/whoami", user=NOBODY, headers=f"Authorization: Bearer {token}\r\n"), (200, {"user": "alice", "role": "operator"}))
        self.assertEqual(self.ask("/api/whoami", headers="Authorization: Bearer wrong\r\n")[0], 401, "also for root")

    def test_pages_of_others_do_not_come_that_way(self):
        self.assertEqual(self.ask("/api/nodes/x/drain", "POST", headers="Origin: http://evil.example\r\n")[0], 403)

    def test_commands_find_it_by_themselves(self):
        env = {k: v for k, v in self.host.env.items() if k != "RIVERBOX_TOKEN"}
        (self.host.home / ".riverbox/token").rename(self.host.home / ".riverbox/away")
        try:
            self.assertEqual(run([bin_dir() / "riverbox", "node", "list"], env).code, 0, "TLS is on, and no address was given")
        finally:
            (self.host.home / ".riverbox/away").rename(self.host.home / ".riverbox/token")
        result = self.host.cli("riverbox", "node", "list", env={"RIVERBOX_HOST": f"unix://{self.path}"})
        self.assertEqual(result.code, 0, result)
        result = self.host.cli("riverbox", "node", "list", env={"RIVERBOX_HOST": f"unix://{self.folder}/none.sock"})
        self.assertEqual(result.code, 69, result)

    def test_the_audit_log_says_who(self):
        self.ask("/api/login", "POST", user=DAEMON, body="{}")
        self.ask("/api/tickets", "POST", user=DAEMON, body='{"path":"/x"}')
        wait_until(lambda: f'"user":"daemon","role":"user","from":"unix:{DAEMON.pw_uid}:' in self.host.log(), 5, "the line")

    def test_what_a_killed_host_left_is_replaced_and_what_is_in_use_is_not(self):
        self.host.kill()
        self.assertTrue(self.path.exists())
        self.host.start()
        self.assertEqual(self.ask("/api/whoami")[0], 200)
        second = Host(None, work_dir() / "unix-share-2", "unix-second", network={"unix_socket": self.path})
        self.assertIn("somebody listens there already", second.log())
        self.assertEqual(self.ask("/api/whoami")[0], 200)
        second.stop()
        self.assertEqual(self.ask("/api/whoami")[0], 200, "it is not the second one's to remove")
        self.host.stop()
        self.assertFalse(self.path.exists())
        self.host.start()

    def test_a_file_in_its_place_is_not_touched(self):
        (work_dir() / "precious").write_text("precious")
        host = Host(None, work_dir() / "unix-share-5", "unix-typo", network={"unix_socket": work_dir() / "precious"})
        self.assertIn("something else than a socket lies there", host.log())
        self.assertEqual((work_dir() / "precious").read_text(), "precious")
        host.stop()
        self.assertEqual((work_dir() / "precious").read_text(), "precious")

    def test_what_has_passed_a_proxy_is_not_the_proxys_user(self):
        for header in ("X-Forwarded-For: 1.2.3.4", "Cookie: riverbox_session=old", "Sec-Fetch-Site: same-origin", "Via: 1.1 x", "Origin: http://localhost:80", "Forwarded: for=1.2.3.4"):
            self.assertEqual(self.ask("/api/whoami", headers=header + "\r\n")[0], 401, header)

    def test_pages_of_others_read_nothing_that_needs_no_secret(self):
        self.assertEqual(self.ask("/api/whoami", headers="Host: evil.example\r\n", host="")[0], 403)

    def test_rules_that_are_none_are_refused(self):
        for rule in ("daemon", "daemon:root", ":user", "@:user", "daemon:node", "nobody-of-that-name:user"):
            host = Host(None, work_dir() / "unix-share-3", f"unix-bad-{abs(hash(rule))}", start=False, security={"local_users": [rule]})
            result = host.cli("riverbox", "host", timeout=30)
            self.assertEqual(result.code, 78, result)
            self.assertIn("security.local_users", result.err)

    def test_a_path_that_is_too_long_is_told_and_the_rest_works(self):
        host = Host(None, work_dir() / "unix-share-4", "unix-long", network={"unix_socket": str(work_dir() / ("x" * 120))})
        self.assertIn("no unix socket", host.log())
        host.stop()


class ConnectionsPerPeer(unittest.TestCase):
    """Of one address only so many; in a network of its own, because this machine's own are not counted."""

    def test_the_next_one_is_told_and_others_are_served(self):
        from island import Island
        host = Host(None, work_dir() / "peers-share", "peers", network={"host_bind_ip": "0.0.0.0"})
        self.addCleanup(host.stop)
        island = Island("peers")
        self.addCleanup(island.sink)
        script = ("import socket,sys,time\nh,p=sys.argv[1],int(sys.argv[2])\nopen_=[socket.create_connection((h,p),20) for _ in range(512)]\n"
                  "time.sleep(1)\nlast=socket.create_connection((h,p),20)\nlast.settimeout(30)\nprint(last.recv(4000).decode(),flush=True)\nsys.stdin.read()")
        url = island.url(host).removeprefix("http://").split(":")
        greedy = subprocess.Popen([*island.inside, "/usr/bin/python3", "-c", script, *url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(lambda: (greedy.kill(), greedy.wait(), greedy.stdout.close()))
        said = greedy.stdout.readline()
        self.assertIn(" 503 ", said)
        self.assertEqual(host.http("GET", "/nodes")[0], 200)
        greedy.stdin.close()
        greedy.wait(30 * PATIENCE)
        again = subprocess.run([*island.inside, "/usr/bin/python3", "-c", "import http.client,sys;c=http.client.HTTPConnection(sys.argv[1],int(sys.argv[2]));c.request('GET','/api/version');print(c.getresponse().status)", *url],
                               capture_output=True, text=True)
        self.assertEqual(again.stdout.strip(), "200", again)


if __name__ == "__main__":
    unittest.main()
