"""VPSs: containers to live in. What is in one stays when it is stopped and started; it outlives runner and host."""
import json
import subprocess
import unittest

from cluster import OwnCluster
from process import wait_until


class Vps(OwnCluster):
    NAME = "vps"

    def vps(self, *argv, **more):
        return self.host.cli("riverbox", "vps", *argv, **more)

    def create(self, name, *options):
        done = self.vps("create", "--json", "--container", self.environment, "--cores", "0", "--name", name, *options, check=True)
        made = json.loads(done.out)
        self.addCleanup(lambda: self.vps("rm", "--force", name))
        return made["task_id"]

    def wait_for(self, name, *states):
        def there():
            vps = json.loads(self.vps("show", "--json", name, check=True).out)
            return vps if vps["status"] in states else None
        return wait_until(there, 20, f"{name} to be {states}", step=0.05)

    def container(self, id):
        """Docker's word for its state, or "" when there is none."""
        return self.runner.engine.docker("ps", "-a", "--filter", f"name=^hakuriver-vps-{id}$", "--format", "{{.State}}").strip()

    def inside(self, name, script):
        return self.vps("connect", name, input=script.encode()).out

    def test_what_is_in_it_stays(self):
        id = self.create("box")
        first = self.wait_for("box", "running")
        self.assertEqual(first["assigned_node"], self.node)
        self.inside("box", "echo mine > /root/kept; hostname > /root/name\n")
        self.vps("stop", "box", check=True)
        self.wait_for("box", "stopped")
        self.vps("start", "box", check=True)
        again = self.wait_for("box", "running")
        self.assertEqual((again["task_id"], again["attempt"]), (id, 2))
        self.assertEqual(self.inside("box", "cat /root/kept /root/name\n").split(), ["mine", "box"])
        self.vps("restart", "box", check=True)
        self.assertEqual(self.wait_for("box", "running")["attempt"], 3)
        self.assertEqual(self.inside("box", "cat /root/kept\n").strip(), "mine")

    def test_it_outlives_runner_and_host(self):
        self.create("durable")
        started = self.wait_for("durable", "running")["started_at"]
        self.inside("durable", "touch /root/here\n")
        self.runner.kill()
        self.host.kill()
        self.host.start()
        self.runner.start()
        self.host.wait_online(self.node)
        self.assertEqual(self.wait_for("durable", "running")["started_at"], started)
        self.assertEqual(self.inside("durable", "ls /root\n").split(), ["here"])

    def test_it_comes_back_with_its_engine(self):
        self.create("phoenix")
        self.wait_for("phoenix", "running")
        self.inside("phoenix", "touch /root/here\n")
        self.runner.engine.process.end(20)  # its containers as well, in good order
        self.runner.engine.start()
        wait_until(lambda: self.inside("phoenix", "ls /root\n").split() == ["here"] or None, 30, "it to run again")
        self.assertEqual(self.wait_for("phoenix", "running")["attempt"], 1)

    def test_a_removed_one_is_gone(self):
        id = self.create("gone")
        self.wait_for("gone", "running")
        self.assertEqual(self.container(id), "running")
        self.assertEqual(self.vps("rm", "gone").code != 0, True)
        self.vps("rm", "--force", "gone", check=True)
        self.assertNotEqual(self.vps("show", "gone").code, 0)
        wait_until(lambda: not self.container(id) or None, 20, "the container to go")

    def test_one_removed_while_its_node_is_away_goes_when_it_is_back(self):
        id = self.create("away")
        self.wait_for("away", "running")
        self.runner.kill()
        self.vps("rm", "--force", "away", check=True)
        self.assertEqual(self.container(id), "running")
        self.runner.start()
        self.host.wait_online(self.node)
        wait_until(lambda: not self.container(id) or None, 30, "the container to go")

    def test_names(self):
        self.create("twin")
        self.assertIn("is called 'twin' already", self.vps("create", "--container", self.environment, "--name", "twin").err)
        for name in ("Up", "a b", "-a", "123", "x" * 64, "a;b", "it's", 'a"b', "a`b", "$(id)"):
            refused = self.vps("create", "--container", self.environment, "--name", name)
            self.assertIn("host name", refused.err, name)

    def test_it_is_its_owners(self):
        tokens = {name: self.host.cli("riverbox", "token", "create", name, "--role", "user", check=True).out.strip() for name in ("anna", "bob")}
        wish = {"container_name": self.environment, "required_cores": 0, "name": "annas"}
        status, _, made = self.host.http("POST", "/api/vps/create", wish, token=tokens["anna"])
        self.assertEqual((status, made["owner"]), (200, "anna"))
        self.addCleanup(lambda: self.vps("rm", "--force", "annas"))
        self.wait_for("annas", "running")
        refused = [self.host.http("GET", f"/api/vps/{name}", token=tokens["bob"])[2]["detail"].replace(name, "") for name in ("annas", "nobodys")]
        self.assertEqual(refused[0], refused[1])  # nor that it is there
        for method, path in (("GET", "/api/vps/annas"), ("POST", "/api/vps/stop/annas"), ("POST", "/api/vps/start/annas"), ("POST", "/api/vps/remove/annas"), ("GET", f"/api/status/{made['task_id']}")):
            self.assertEqual(self.host.http(method, path, token=tokens["bob"])[0], 404, path)
        self.assertEqual(self.host.http("GET", "/api/vps", token=tokens["bob"])[2], [])
        self.assertEqual([vps["name"] for vps in self.host.http("GET", "/api/vps", token=tokens["anna"])[2]], ["annas"])
        self.assertNotIn(made["task_id"], [task["task_id"] for task in self.host.http("GET", "/api/tasks", token=tokens["anna"])[2]])
        self.assertEqual(self.host.http("POST", f"/api/tasks/{made['task_id']}/rerun", token=tokens["anna"])[0], 409)

    def test_what_was_removed_from_outside_is_not_replaced_unasked(self):
        id = self.create("lost")
        self.wait_for("lost", "running")
        self.vps("stop", "lost", check=True)
        wait_until(lambda: self.container(id) == "exited" or None, 20, "it to be stopped")
        self.runner.engine.docker("rm", "-f", f"hakuriver-vps-{id}")
        self.vps("start", "lost", check=True)
        self.assertIn("removed from outside", self.wait_for("lost", "failed")["error_message"])

    def test_a_process_gets_to_end(self):
        self.create("tidy")
        self.wait_for("tidy", "running")
        self.inside("tidy", "cat > /live <<'X'\ntrap 'echo orderly > /root/end; exit' TERM; while :; do sleep 0.1; done\nX\nsetsid sh /live >/dev/null 2>&1 &\nsleep 0.3\n")
        self.vps("stop", "tidy", check=True)
        self.wait_for("tidy", "stopped")
        self.vps("start", "tidy", check=True)
        self.wait_for("tidy", "running")
        self.assertEqual(self.inside("tidy", "cat /root/end\n").strip(), "orderly")


if __name__ == "__main__":
    unittest.main()
