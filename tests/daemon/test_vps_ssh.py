"""SSH into VPSs with the clients that people have: ssh, scp, sftp, rsync, through the host, into images with an SSH server of their own and without one."""
import hashlib
import http.server
import json
import os
import socket
import subprocess
import threading
import unittest
from pathlib import Path

import images
from cluster import OwnCluster, bin_dir
from process import PATIENCE, wait_until
from ssh import make_key


class VpsSsh(OwnCluster):
    NAME = "vssh"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.key = make_key(cls.host.home / "key")
        cls.host.env["SHELL"] = "/bin/sh"  # by which ssh runs its ProxyCommand

    def vps(self, *argv, **more):
        return self.host.cli("riverbox", "vps", *argv, **more)

    def create(self, name, *options, environment=None):
        made = json.loads(self.vps("create", "--json", "--container", environment or self.environment, "--cores", "0", "--name", name, *options, check=True).out)
        self.addCleanup(lambda: self.vps("rm", "--force", name))
        self.wait_for(name, "running")
        return made

    def wait_for(self, name, state):
        return wait_until(lambda: (vps := json.loads(self.vps("show", "--json", name, check=True).out))["status"] == state and vps, 20, f"{name} to be {state}", step=0.05)

    def with_key(self, name, **more):
        return self.create(name, "--ssh-key", f"{self.key}.pub", **more)

    def ssh(self, name, *words, key=None, strict="accept-new", **more):
        """riverbox ssh: as a user types it, but for the files in ~/.ssh, which are not there."""
        options = ["-F", "none", "-i", key or self.key, "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={self.host.home}/known", "-o", f"StrictHostKeyChecking={strict}",
                   "-o", "LogLevel=ERROR"]
        return self.host.cli("riverbox", "ssh", name, "--", *map(str, options), *words, **more)

    def run_plain(self, *argv, **more):
        """ssh, scp, ... with what ssh-config says, in a HOME where it is written."""
        return subprocess.run([str(a) for a in argv], env=self.host.env, capture_output=True, timeout=60 * PATIENCE, **more)

    def write_config(self):
        done = self.host.cli("riverbox", "ssh-config", "--write", check=True)
        ours = Path(done.err.removeprefix("written: ").strip())
        # OpenSSH asks /etc/passwd for the home, not $HOME: so the file is named.
        return ["-F", ours, "-i", self.key, "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={self.host.home}/known", "-o", "LogLevel=ERROR"]

    def banner(self, id, *words):
        """What the SSH proxy says, and what comes behind it."""
        with socket.create_connection(("127.0.0.1", self.host.ssh_proxy_port), timeout=20 * PATIENCE) as proxy:
            proxy.sendall(" ".join(["REQUEST_TUNNEL", str(id), *words]).encode() + b"\n")
            said = b""
            while said.count(b"\n") < (2 if said.startswith(b"SUCCESS") else 1) and (more := proxy.recv(4096)):
                said += more
            return said.decode(errors="replace")

    def wrapped_ssh(self):
        """A folder with an `ssh` that takes our key and no user's files."""
        folder = self.host.home / "wrapped"
        folder.mkdir(exist_ok=True)
        (folder / "ssh").write_text(f"#!/bin/sh\nexec /usr/bin/ssh -F none -i {self.key} -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=accept-new "
                                    f"-o UserKnownHostsFile={self.host.home}/known-by-port -o LogLevel=ERROR \"$@\" sh\n")
        (folder / "ssh").chmod(0o755)
        return folder

    # ---- an image that has nothing

    def test_an_image_without_any_server(self):
        self.with_key("bare")
        done = self.ssh("bare", "cat; exit 3", input=b"through\n")
        self.assertEqual((done.out, done.code), ("through\n", 3), done)
        self.assertEqual(self.ssh("bare", "id -un; echo $HOME").out.split(), ["root", "/root"])
        wrong = make_key(self.host.home / "wrong")
        self.assertEqual(self.ssh("bare", "true", key=wrong).code, 255)

    def test_a_restart_keeps_key_and_host_key(self):
        made = self.with_key("same")
        self.assertEqual(self.ssh("same", "touch /root/here").code, 0)
        self.vps("restart", "same", check=True)
        self.wait_for("same", "running")
        done = self.ssh("same", "ls /root", strict="yes")
        self.assertEqual(done.out.split(), ["here"], done)
        shown = json.loads(self.vps("show", "--json", "same").out)
        self.assertEqual((shown["ssh_key_mode"], shown["ssh_port"], shown["task_id"]), ("upload", 22, made["task_id"]))

    def test_runner_and_host_may_die(self):
        self.with_key("tough")
        self.assertEqual(self.ssh("tough", "true").code, 0)
        self.runner.kill()
        self.host.kill()
        self.host.start()
        self.runner.start()
        self.host.wait_online(self.node)
        self.assertEqual(self.ssh("tough", "echo again", strict="yes").out, "again\n")

    def test_the_server_comes_back(self):
        id = self.with_key("killed")["task_id"]
        self.assertEqual(self.ssh("killed", "true").code, 0)
        self.ssh("killed", "killall ssh-server tunnel-client riverbox")
        done = wait_until(lambda: (d := self.ssh("killed", "echo back")).code == 0 and d, 20, "the server to be back")
        self.assertEqual(done.out, "back\n")
        self.assertEqual(self.wait_for("killed", "running")["attempt"], 1, id)

    # ---- modes

    def test_generate_tells_the_key_once(self):
        made = self.create("made", "--ssh", "generate")
        self.assertTrue(made["ssh_private_key"].startswith("-----BEGIN OPENSSH PRIVATE KEY-----\n"))
        key = self.host.home / "generated"
        key.write_text(made["ssh_private_key"])
        key.chmod(0o600)
        public = subprocess.run(["ssh-keygen", "-y", "-f", key], capture_output=True, text=True, check=True).stdout
        self.assertEqual(public.split()[:2], made["ssh_public_key"].split()[:2])
        self.assertEqual(self.ssh("made", "echo in", key=key).out, "in\n")
        self.assertNotIn("ssh_private_key", self.vps("show", "--json", "made").out)
        secret = made["ssh_private_key"].split("\n")[3].encode()
        for state in (self.host.home / "state", self.runner.home / "state"):
            self.assertFalse([f for f in state.rglob("*") if f.is_file() and secret in f.read_bytes()], "it is kept somewhere")

    def test_generate_keeps_the_key_for_its_user(self):
        done = self.host.tty("riverbox", "vps", "create", "--container", self.environment, "--cores", "0", "--name", "kept", "--ssh", "generate")
        self.addCleanup(lambda: self.vps("rm", "--force", "kept"))
        id = self.wait_for("kept", "running")["task_id"]
        file = self.host.home / ".riverbox/keys" / f"vps-{id}"
        self.assertEqual(file.stat().st_mode & 0o777, 0o600, done)
        done = self.host.cli("riverbox", "ssh", "kept", "--", "-F", "none", "-o", f"UserKnownHostsFile={self.host.home}/known", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR", "echo mine")
        self.assertEqual(done.out, "mine\n", done)

    def test_none_only_where_it_is_allowed(self):
        refused = self.vps("create", "--container", self.environment, "--name", "open", "--ssh", "none")
        self.assertEqual(refused.code, 77)
        self.assertIn("allow_ssh_without_key", refused.err)
        before = self.host.config.read_text()
        self.host.config.write_text(before + "[vps]\nallow_ssh_without_key = true\n")
        self.addCleanup(lambda: (self.host.config.write_text(before), os.kill(self.host.process.pid, 1)))
        os.kill(self.host.process.pid, 1)
        wait_until(lambda: "configuration" in self.host.log(), 10, "the host to read it")
        wait_until(lambda: self.vps("create", "--container", self.environment, "--cores", "0", "--name", "open", "--ssh", "none").code == 0, 10, "it to be allowed")
        self.addCleanup(lambda: self.vps("rm", "--force", "open"))
        self.wait_for("open", "running")
        self.assertEqual(self.ssh("open", "echo in", key=make_key(self.host.home / "any")).out, "in\n")

    def test_disabled_has_no_server(self):
        id = self.create("closed", "--ssh", "disabled")["task_id"]
        done = self.ssh("closed", "true")
        self.assertEqual(done.code, 1)
        self.assertIn("was made without SSH", done.err)
        self.assertIn("has no SSH port", self.banner(id, self.host.token))

    def test_keys_that_are_no_keys(self):
        body = {"container_name": self.environment, "name": "x", "ssh_key_mode": "upload"}
        good = Path(f"{self.key}.pub").read_text()
        for key in ("", "hello", "ssh-ed25519", "ssh-ed25519 AAAA", self.key.read_text(), f'command="sh" {good}', "ssh-rsa " + good.split()[1], good.replace("ssh-ed25519", "'; touch /x; '"),
                    good.strip() + "\0", good + "ssh-ed25519 zzz"):
            status, _, answer = self.host.http("POST", "/api/vps/create", {**body, "ssh_public_key": key})
            self.assertEqual(status, 400, (key, answer))
            self.assertIn("ssh_public_key", answer["detail"])
        status, _, answer = self.host.http("POST", "/api/vps/create", {**body, "ssh_key_mode": "password"})
        self.assertEqual(status, 400, answer)
        file = self.host.home / "nokey"
        file.write_text("hello\n")
        self.assertEqual(self.vps("create", "--container", self.environment, "--ssh-key", str(file)).code, 64)

    # ---- the clients

    def test_scp_and_sftp_and_forwarding_by_name(self):
        self.with_key("files")
        options = self.write_config()
        data = os.urandom(3 << 20)
        there, back = self.host.home / "a file", self.host.home / "back"
        there.write_bytes(data)
        for way in ([], ["-O"]):
            done = self.run_plain("scp", *way, *options, there, "files:/root/copy")
            self.assertEqual(done.returncode, 0, done)
            done = self.run_plain("scp", *way, *options, "files:/root/copy", back)
            self.assertEqual((done.returncode, hashlib.sha256(back.read_bytes()).digest()), (0, hashlib.sha256(data).digest()), done)
        done = self.run_plain("sftp", "-b", "-", *options, "files", input=b"ls /root\n")
        self.assertIn(b"copy", done.stdout, done)
        again = self.write_config()
        self.assertEqual(options, again)
        config = (self.host.home / ".ssh/config").read_text()
        self.assertEqual(config.count("Include riverbox_config"), 1)

    def test_what_others_call_their_vps_takes_no_name_of_mine(self):
        """Their "gitlab", shared with me, shall not be where my `ssh gitlab` goes."""
        tokens = {name: self.host.cli("riverbox", "token", "create", name, "--role", "user", check=True).out.strip() for name in ("mallory", "mine")}
        made = json.loads(self.vps("create", "--json", "--container", self.environment, "--cores", "0", "--name", "gitlab", "--ssh-key", f"{self.key}.pub", env={"RIVERBOX_TOKEN": tokens["mallory"]}, check=True).out)
        self.addCleanup(lambda: self.vps("rm", "--force", "gitlab"))
        self.vps("share", "gitlab", "mine", env={"RIVERBOX_TOKEN": tokens["mallory"]}, check=True)

        def hosts(user):
            done = self.host.cli("riverbox", "ssh-config", env={"RIVERBOX_TOKEN": tokens[user]}, check=True)
            self.assertIn(f"--stdio {made['task_id']}\n", done.out)
            return [line.split()[1] for line in done.out.splitlines() if line.startswith("Host ")]
        self.assertEqual((hosts("mine"), hosts("mallory")), (["mallory.gitlab"], ["gitlab"]))

    def test_a_host_that_lies_runs_nothing_here(self):
        """What it says goes to ssh and to a shell: ids that are none, names that are options."""
        trap = self.host.home / "trap"

        class Liar(http.server.BaseHTTPRequestHandler):
            said = {}

            def do_GET(self):
                vps = {"owner": None, "ssh_key_mode": "upload", **self.said}
                body = json.dumps({"user": None} if self.path.endswith("/whoami") else [vps] if self.path.endswith("/vps") else vps).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass
        liar = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Liar)
        threading.Thread(target=liar.serve_forever, daemon=True).start()
        self.addCleanup(lambda: (liar.shutdown(), liar.server_close()))
        env = {"RIVERBOX_HOST": f"http://127.0.0.1:{liar.server_address[1]}", "PATH": f"{self.wrapped_ssh()}:{self.host.env['PATH']}"}
        for Liar.said in ({"task_id": f"1; touch {trap}", "name": "box"}, {"task_id": f"1\n  ProxyCommand touch {trap}", "name": "box"}, {"task_id": "../../1", "name": "box"}):
            for command in (("ssh", "box"), ("ssh", "--stdio", "box"), ("ssh-config",), ("forward", "box", "80")):
                done = self.host.cli("riverbox", *command, env=env, input=b"")
                self.assertIn("is not a task id", done.err, (command, done))
                self.assertEqual(done.out, "")
        Liar.said = {"task_id": "12", "name": f"-oProxyCommand=touch {trap}"}
        self.host.cli("riverbox", "ssh", "box", env=env, input=b"")
        self.assertEqual([line for line in self.host.cli("riverbox", "ssh-config", env=env, check=True).out.splitlines() if line.startswith("Host ")], ["Host 12"])
        self.assertFalse(trap.exists())

    def test_an_image_with_openssh_and_one_with_dropbear(self):
        if not images.debian(self.host.engine):
            self.skipTest("there is no Debian image here")
        environment = self.host.environment_from("debian:12", "vssh-debian")
        self.addCleanup(lambda: self.host.docker("delete-container", environment))
        self.host.docker("create-tar", environment, check=True)
        id = self.with_key("debian", environment=environment)["task_id"]
        self.assertIn("OpenSSH", wait_until(lambda: (b := self.banner(id, self.host.token)).startswith("SUCCESS") and b, 30, "sshd to answer"))
        options = self.write_config()
        done = self.run_plain("ssh", *options, "debian", "id -un; cat; exit 7", input=b"through\n")
        self.assertEqual((done.stdout, done.returncode), (b"root\nthrough\n", 7), done)
        tree = self.host.home / "tree"
        tree.mkdir(exist_ok=True)
        (tree / "one").write_bytes(os.urandom(100000))
        self.copy_all(tree, options)
        self.run_plain("ssh", *options, "debian", "rm /usr/sbin/sshd")
        self.vps("restart", "debian", check=True)
        self.wait_for("debian", "running")
        self.assertIn("dropbear", wait_until(lambda: (b := self.banner(id, self.host.token)).startswith("SUCCESS") and b, 30, "dropbear to answer"))
        strict = [*options, "-o", "StrictHostKeyChecking=yes"]  # it has the host key that sshd had
        done = self.run_plain("ssh", *strict, "debian", "sha256sum < tree/one")
        self.assertEqual(done.stdout.decode().split()[:1], [hashlib.sha256((tree / "one").read_bytes()).hexdigest()], done)
        (tree / "one").write_bytes(os.urandom(100000))
        self.copy_all(tree, strict)

    def copy_all(self, tree, options):
        """There and back with each client."""
        back = self.host.home / "back-again"
        for there in (["rsync", "-a", "-e", " ".join(map(str, ["ssh", *options])), f"{tree}/", "debian:/root/tree/"], ["scp", "-r", *options, tree, "debian:/root/"]):
            done = self.run_plain(*there)
            self.assertEqual(done.returncode, 0, done)
            back.unlink(missing_ok=True)
            done = self.run_plain("sftp", "-b", "-", *options, "debian", input=f"get /root/tree/one {back}\n".encode())
            self.assertEqual((done.returncode, back.read_bytes()), (0, (tree / "one").read_bytes()), done)

    # ---- the proxy

    def test_a_host_without_our_api_is_reached_by_its_proxy(self):
        """Of what the user's ssh has sent meanwhile, nothing is lost."""
        class Old(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_error(404)

            def log_message(self, *_):
                pass

        def proxy(listener):
            connection = listener.accept()[0]
            with connection, connection.makefile("rwb") as file:
                asked.append(file.readline())
                file.write(b"SUCCESS\n")
                file.flush()
                file.write(file.readline().upper())

        asked = []
        host = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Old)
        listener = socket.create_server(("127.0.0.1", 0))
        for serve in (host.serve_forever, lambda: proxy(listener)):
            threading.Thread(target=serve, daemon=True).start()
        self.addCleanup(host.server_close)
        self.addCleanup(host.shutdown)
        self.addCleanup(listener.close)
        env = {**self.host.env, "RIVERBOX_NETWORK_HOST_SSH_PROXY_PORT": str(listener.getsockname()[1]), "RIVERBOX_NETWORK_HOST_REACHABLE_ADDRESS": "127.0.0.1"}
        done = subprocess.run([bin_dir() / "riverbox", "ssh", "--host", f"http://127.0.0.1:{host.server_port}", "--stdio", "1234567890123456789"], env=env, input=b"ssh-2.0-me\r\n",
                              capture_output=True, timeout=30 * PATIENCE)
        self.assertEqual((done.returncode, done.stdout), (0, b"SSH-2.0-ME\r\n"), done)
        self.assertEqual(asked[0].split()[:2], [b"REQUEST_TUNNEL", b"1234567890123456789"])

    def test_the_proxy_of_the_references(self):
        id = self.with_key("proxied")["task_id"]
        self.assertEqual(self.ssh("proxied", "true").code, 0)  # it is up
        self.assertTrue(self.banner(id, self.host.token).startswith("SUCCESS\nSSH-2.0-"))
        task = self.host.submit("sleep", arguments=["60"], container_name=self.environment)
        self.addCleanup(lambda: self.host.client("--kill", task))
        self.host.wait_task(task, ("running",))
        for words, why in (((id,), "wants a token"), ((id, "wrong"), "not valid"), ((12345, self.host.token), "not found"), ((task, self.host.token), "not a VPS"), (("1x", self.host.token), "Invalid task ID"), (("", ""), "Invalid")):
            said = self.banner(*words)
            self.assertTrue(said.startswith("ERROR ") and why.lower() in said.lower(), (words, said))
        tokens = json.loads(self.host.cli("riverbox", "token", "create", "--json", "stranger", "--role", "user", check=True).out)
        stranger = next(v for k, v in tokens.items() if "token" in k and len(str(v)) > 20)
        self.assertIn("not found", self.banner(id, stranger).lower())
        # hakuriver.ssh, as its users type it
        done = self.host.cli("hakuriver.ssh", "--user", "root", id, env={"PATH": f"{self.wrapped_ssh()}:{self.host.env['PATH']}"}, input=b"echo classic; exit 4\n")
        self.assertIn("Connecting using: ssh root@127.0.0.1 -p ", done.out)
        self.assertEqual((done.out.splitlines()[-1], done.code), ("classic", 4), done)
        self.vps("stop", "proxied", check=True)
        self.wait_for("proxied", "stopped")
        self.assertIn("not active", self.banner(id, self.host.token))


if __name__ == "__main__":
    unittest.main()
