"""Tunnels that come over TCP, where no socket can be mounted: only from the address of the container that they are of."""
import json
import subprocess
import time
import unittest

from cluster import OwnCluster, Runner
from process import PATIENCE, free_port, wait_until


class TunnelGateway(OwnCluster):
    NAME = "gate"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.runner.stop()
        engine = cls.runner.engine
        gateway = engine.docker("network", "inspect", "bridge", "-f", "{{(index .IPAM.Config 0).Gateway}}")
        cls.place = f"{gateway}:{free_port()}"
        cls.node = "gate-tcp"
        cls.runner = Runner(cls.host, engine, cls.node, runner={"tunnel_gateway": cls.place})
        cls.ids = {}
        for name in ("mine", "other"):
            made = json.loads(cls.host.cli("riverbox", "vps", "create", "--json", "--container", cls.environment, "--cores", "0", "--name", name, "--ssh", "disabled", "--target", cls.node, check=True).out)
            cls.ids[name] = made["task_id"]
            wait_until(lambda: cls.host.status(made["task_id"])["status"] == "running", 20, f"{name} to run")

    @classmethod
    def tearDownClass(cls):
        for name in ("mine", "other"):
            cls.host.cli("riverbox", "vps", "rm", "--force", name)
        super().tearDownClass()

    def container(self, name):
        return f"hakuriver-vps-{self.ids[name]}"

    def dial(self, place, claims):
        """tunnel-client in the container `place`, over TCP, as another would say it is `claims`."""
        self.runner.engine.docker("exec", "-d", self.container(place), "/usr/local/bin/tunnel-client", "--socket", "", "--runner-url", f"ws://{self.place}", "--container-id", self.container(claims))

    def said(self, *texts):
        return any(all(text in line for text in texts) for line in self.runner.log().splitlines())

    def test_it_comes_over_tcp(self):
        self.dial("mine", "mine")
        wait_until(lambda: self.said("a newer tunnel has taken the place of one", self.container("mine")), 20, "it to come")

    def test_one_that_claims_to_be_another_is_refused(self):
        self.dial("mine", "other")
        wait_until(lambda: self.said("claims to be of another container was refused", self.container("other")), 20, "the refusal")
        self.assertFalse(self.said("a newer tunnel has taken the place of one", self.container("other")))

    def test_what_makes_no_sense(self):
        from http.client import HTTPConnection
        host, port = self.place.rsplit(":", 1)
        for path in ("/", "/ws/tunnel/", "/ws/tunnel/..%2f..", "/ws/tunnel/" + "x" * 500):
            connection = HTTPConnection(host, int(port), timeout=10 * PATIENCE)
            connection.request("GET", path, headers={"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="})
            self.assertIn(connection.getresponse().status, (400, 404), path)
            connection.close()


if __name__ == "__main__":
    unittest.main()
