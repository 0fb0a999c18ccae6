"""The network that the containers of tasks join: made when it is missing, with other addresses where its own are taken."""
import json
import unittest

from cluster import OwnCluster, Runner, shared
from process import wait_until

NAME = "hakuriver-net"


class Networks(OwnCluster):
    NAME = "network"

    def setUp(self):
        self.engine = shared().host_engine  # where no other runner works
        self.addCleanup(self.engine.docker, "network", "rm", NAME, check=False)

    def node_with(self, name, **docker):
        runner = Runner(self.host, self.engine, name, docker={"tasks_network": "", **docker})
        self.addCleanup(runner.stop)
        return runner

    def run_task(self, node, command):
        return self.host.client("--container", self.environment, "--cores", "0", "--target", node, "--wait", "--", command)

    def subnet(self):
        return json.loads(self.engine.docker("network", "inspect", NAME))[0]["IPAM"]["Config"][0]["Subnet"]

    def test_it_is_made_once_and_again_when_it_was_removed(self):
        self.node_with("network-made", tasks_subnet="10.213.96.0/24")
        tasks = [self.host.submit("ip addr show eth0", container_name=self.environment, required_cores=0, targets=["network-made"]) for _ in range(8)]
        for task in tasks:
            done = self.host.wait_task(task)
            self.assertEqual(done["status"], "completed", done)
            self.assertIn("inet 10.213.96.", self.host.http("GET", f"/task/{task}/stdout")[2])
        found = json.loads(self.engine.docker("network", "inspect", NAME))
        self.assertEqual([(n["Driver"], n["Labels"]) for n in found], [("bridge", {"hakuriver.managed": "true"})])
        ours, bridge = (n["Options"] for n in (found[0], json.loads(self.engine.docker("network", "inspect", "bridge"))[0]))
        self.assertEqual({k: bridge[k] for k in ours}, ours)  # MTU and rules are those of the daemon
        self.assertIn("com.docker.network.driver.mtu", ours)
        before = json.loads(self.engine.docker("network", "inspect", NAME))[0]["Id"]
        wait_until(lambda: NAME in self.engine.docker("network", "prune", "-f"), 15, "the network to be without containers")
        result = self.run_task("network-made", "ip addr show eth0")
        self.assertIn("inet 10.213.96.", result.out, result)
        self.assertNotEqual(json.loads(self.engine.docker("network", "inspect", NAME))[0]["Id"], before)

    def test_where_its_addresses_are_taken_docker_chooses_others(self):
        runner = self.node_with("network-taken", tasks_subnet="172.30.0.0/16")  # the Engine's own bridge lies in there
        self.assertEqual(self.run_task("network-taken", "true").code, 0)
        self.assertNotEqual(self.subnet(), "172.30.0.0/16")
        self.assertIn("is in use on this machine", runner.log())
        self.assertIn("tasks_subnet", runner.log())

    def test_a_network_of_docker_that_has_them_is_no_obstacle(self):
        self.engine.docker("network", "create", "--subnet", "10.213.97.0/24", "in-the-way")
        self.addCleanup(self.engine.docker, "network", "rm", "in-the-way")
        self.engine.docker("network", "rm", NAME, check=False)
        self.node_with("network-pool", tasks_subnet="10.213.97.0/24")
        self.assertEqual(self.run_task("network-pool", "true").code, 0)
        self.assertNotEqual(self.subnet(), "10.213.97.0/24")

    def test_one_that_is_not_there_is_named(self):
        self.node_with("network-none", tasks_network="no-such-network")
        result = self.run_task("network-none", "true")
        self.assertNotEqual(result.code, 0, result)
        self.assertIn("no-such-network", result.err)
        self.assertIn("docker network create", result.err)

    def test_what_is_no_subnet_is_refused_at_the_start(self):
        runner = Runner(self.host, self.engine, "network-wrong", start=False, docker={"tasks_network": "", "tasks_subnet": "172.30.5.0/16"})
        self.addCleanup(runner.stop)
        runner.start()
        self.assertNotEqual(runner.process.popen.wait(10), 0)
        self.assertIn("docker.tasks_subnet: \"172.30.5.0/16\" is an address inside of the network 172.30.0.0/16", runner.log())


if __name__ == "__main__":
    unittest.main()
