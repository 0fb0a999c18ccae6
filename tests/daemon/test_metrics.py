"""GET /metrics: what Prometheus reads."""
import re

from cluster import OwnCluster
from process import wait_until


class Metrics(OwnCluster):
    NAME = "metrics"

    def read(self):
        status, headers, text = self.host.http("GET", "/metrics")
        self.assertEqual(status, 200)
        self.assertTrue({k.lower(): v for k, v in headers.items()}["content-type"].startswith("text/plain; version=0.0.4"))
        found = {}
        for line in text.splitlines():
            if not line.startswith("#"):
                name, value = re.fullmatch(r"(.+) (\S+)", line).groups()
                self.assertNotIn(name, found)
                found[name] = float(value)
        return found

    def test_they_tell_what_has_happened(self):
        before = self.read()
        self.assertEqual((before['riverbox_nodes{status="online"}'], before["riverbox_links"]), (1, 1))
        self.assertEqual(before['riverbox_environment_loads_total{way="thin"}'] + before['riverbox_environment_loads_total{way="full"}'], 0)
        self.assertGreater(before["process_resident_memory_bytes"], 1e6)
        self.assertGreater(before["process_open_fds"], 5)
        for text in ("one", "two"):
            self.host.shell(self.environment, f"head -c 3000000 /dev/urandom > /root/{text}\n", check=True)
            self.host.docker("create-tar", self.environment, check=True)
            self.host.client("--target", self.node, "--container", self.environment, "--wait", "--", "true", check=True)
        after = wait_until(lambda: (m := self.read())['riverbox_environment_loads_total{way="thin"}'] >= 1 and m, 10, "the loads to be counted")
        self.assertEqual(after['riverbox_tasks{state="completed"}'], 2)
        self.assertEqual(after['riverbox_http_requests_total{method="POST",route="/submit",code="202"}'], 2)
        self.assertEqual(after['riverbox_http_request_duration_seconds_count{method="POST",route="/docker/create_tar/{name}"}'], 2 + 1)  # one made the environment
        self.assertGreater(after['riverbox_environment_load_saved_bytes_total{way="thin"}'], 3e6)
        self.assertGreater(after['riverbox_environment_load_bytes_total{way="thin"}'], 3e6)
        self.assertLess(after['riverbox_environment_load_seconds_total{way="thin"}'], 60)
        self.assertEqual(after[f'riverbox_node_up{{node="{self.node}"}}'], 1)

    def test_names_of_users_do_not_become_labels(self):
        for n in range(5):
            self.host.http("GET", f"/api/nodes/nothing-{n}")
            self.host.http("GET", f"/no-such-route-{n}")
        found = self.read()
        self.assertFalse([name for name in found if "nothing-" in name or "no-such" in name])
        self.assertEqual(found['riverbox_http_requests_total{method="GET",route="(none)",code="404"}'], 5)
