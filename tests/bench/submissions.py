"""How fast the host takes tasks: each alone, and in batches. Durable when it answers. The tasks name a node that is drained, so that none of them starts."""
import http.client
import json
import threading
import time


class Poster:
    """One connection that is kept, as a client with many tasks would."""

    def __init__(self, host):
        self.connection = http.client.HTTPConnection("127.0.0.1", host.port, timeout=120)
        self.headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {host.token}"} if host.token else {})}

    def post(self, path, body):
        self.connection.request("POST", path, json.dumps(body), self.headers)
        response = self.connection.getresponse()
        text = response.read()
        assert response.status == 202, text
        return json.loads(text)


def bench_submissions(c, figures, repeat):
    name = "bench-submit"
    c.host.docker("create-container", "busybox:latest", name, check=True)
    c.host.docker("create-tar", name, check=True)
    c.host.cli("riverbox", "node", "drain", "node1", check=True)
    one = {"command": "true", "container_name": name, "required_cores": 1}
    single, batched = [], []
    for _ in range(repeat):
        clients, each = 8, 150
        def submit():
            poster = Poster(c.host)
            for _ in range(each):
                poster.post("/api/submit", one)
        threads = [threading.Thread(target=submit) for _ in range(clients)]
        start = time.monotonic()
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        single.append(clients * each / (time.monotonic() - start))
        poster, calls, size = Poster(c.host), 5, 2000
        start = time.monotonic()
        for _ in range(calls):
            poster.post("/api/submit/batch", {"tasks": [one] * size})
        batched.append(calls * size / (time.monotonic() - start))
    figures.single("durable submissions, 8 clients", single, 500, "/s")
    figures.single("durable submissions, 2000 in each call", batched, 5000, "/s")
