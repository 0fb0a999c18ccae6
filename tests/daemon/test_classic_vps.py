"""VPSs in HakuRiver's words: hakuriver.vps submit, status, kill and command, and POST /submit with task_type "vps"."""
import json
import unittest

from cluster import OwnCluster
from process import wait_until

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE4Cy3t9gYk5x2TqEo0RkXb6lYdYZ3s0K6yF0n1m2p3q somebody"


class ClassicVps(OwnCluster):
    NAME = "classic-vps"

    def vps(self, *argv, **more):
        return self.host.cli("hakuriver.vps", *argv, **more)

    def submit(self, *options, **more):
        """What it printed; the VPS goes with the test."""
        made = self.vps("submit", "--container", self.environment, *options, check=True, **more).json()
        self.addCleanup(lambda: self.vps("rm", "--force", made["task_ids"][0]))
        return made

    def of_the_list(self, id):
        listed = self.vps("status", check=True).json()
        return next((vps for vps in listed if vps["task_id"] == id), None)

    def wait_for(self, id, state):
        return wait_until(lambda: (vps := json.loads(self.vps("show", id, check=True).out))["status"] == state and vps, 20, f"{id} to be {state}", step=0.05)

    def test_submit_status_command_kill(self):
        made = self.submit("--target", self.node, "--public-key-string", KEY)
        self.assertEqual(list(made), ["message", "task_ids", "assigned_node", "runner_response"])
        self.assertEqual((made["message"], made["assigned_node"]["hostname"]), ("Task batch submitted successfully. 1 tasks created.", self.node))
        self.assertEqual(made["runner_response"], {"ssh_port": 22})
        (id,) = made["task_ids"]
        listed = self.of_the_list(id)
        self.assertEqual((listed["status"], listed["assigned_node"], listed["required_cores"]), ("running", self.node, 0), "it was waited for")
        self.assertTrue({"target_numa_node_id", "required_gpus", "required_memory_bytes", "submitted_at", "started_at"} <= set(listed))
        for action, state in (("pause", "paused"), ("resume", "running")):
            self.vps("command", id, action, check=True)
            self.assertEqual(self.wait_for(id, state)["status"], state)
            self.assertIsNotNone(self.of_the_list(id))
        self.assertEqual(self.vps("command", id, "stop").code, 64)
        self.vps("kill", id, check=True)
        self.wait_for(id, "stopped")
        self.assertIsNone(self.of_the_list(id))
        self.assertNotEqual(self.vps("kill", id).code, 0)
        self.vps("start", id, check=True)
        self.wait_for(id, "running")

    def test_a_kill_by_the_older_path_stops_it_and_what_is_in_it_stays(self):
        (id,) = self.submit("--public-key-string", KEY, "--memory", "64M", "--mount", f"{self.host.share}:/mnt")["task_ids"]
        self.vps("connect", id, input=b"touch /root/kept; ls -d /mnt\n")
        self.assertEqual(self.host.http("POST", f"/kill/{id}")[0], 202)
        self.wait_for(id, "stopped")
        self.vps("start", id, check=True)
        self.wait_for(id, "running")
        self.assertEqual(self.vps("connect", id, input=b"ls /root\n").out.split(), ["kept"])

    def test_which_key(self):
        folder = self.host.home / ".ssh"
        folder.mkdir()
        none = self.vps("submit", "--container", self.environment)
        self.assertEqual(none.code, 64)
        self.assertIn("No SSH public key provided", none.err)
        (folder / "id_ed25519.pub").write_text(KEY + "\n")
        self.submit()
        (folder / "id_ed25519.pub").unlink()
        (folder / "elsewhere").write_text(KEY + "\n")
        self.submit("--public-key-file", folder / "elsewhere")
        both = self.vps("submit", "--public-key-string", KEY, "--public-key-file", folder / "elsewhere")
        self.assertIn("it takes one of them", both.err)
        self.assertIn("/missing", self.vps("submit", "--public-key-file", folder / "missing").err)

    def test_what_cannot_be(self):
        for options, word in ((("--target", "a", "--target", "b"), "one node"), (("--container", "NULL"), "needs a container"), (("--target", "nobody"), "Node not registered"),
                              (("--memory", "much"), "--memory")):
            refused = self.vps("submit", "--container", self.environment, "--public-key-string", KEY, *options)
            self.assertIn(word, refused.err)
            self.assertIn(refused.code, (1, 64), refused)
        for name in ("status", "assign", "stop"):
            self.assertIn("word of the API", self.vps("create", "--container", self.environment, "--name", name).err)

    def test_as_a_client_of_its_own_time_asks(self):
        body = {"task_type": "vps", "command": "", "arguments": [], "env_vars": {}, "required_cores": 0, "required_memory_bytes": None, "targets": None,
                "container_name": self.environment, "privileged": None, "additional_mounts": None, "required_gpus": []}
        status, _, made = self.host.http("POST", "/submit", body)
        self.assertEqual(status, 202, made)
        (id,) = made["task_ids"]
        self.addCleanup(lambda: self.vps("rm", "--force", id))
        self.assertEqual(made["runner_response"], {"ssh_port": 0}, "nobody has a key for it")
        self.assertEqual([vps["task_id"] for vps in self.host.http("GET", "/vps/status")[2] if vps["task_id"] == id], [id])
        for change, status in (({"targets": ["a", "b"], "required_gpus": [[], []]}, 400), ({"container_name": "NULL"}, 400), ({"required_gpus": [[0]]}, 400), ({"client_id": "x"}, 400)):
            self.assertEqual(self.host.http("POST", "/submit", {**body, **change})[0], status, change)
        self.assertIn("'command' and", self.host.http("POST", "/submit", {**body, "task_type": "job"})[2]["detail"])

    def test_one_that_cannot_run_yet_is_told_at_once(self):
        cores = self.host.nodes()[self.node]["total_cores"]
        self.submit("--public-key-string", KEY, "--cores", str(cores))
        waiting = self.submit("--public-key-string", KEY, "--cores", "1")
        self.assertEqual(waiting["waiting"], waiting["task_ids"])
        self.assertNotIn("runner_response", waiting)


if __name__ == "__main__":
    unittest.main()
