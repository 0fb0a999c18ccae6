"""A local registry on loopback, plain HTTP (every Engine trusts 127.0.0.0/8)."""
import os
import urllib.error
import urllib.request

from process import Process, free_port, wait_until, work_dir


class Registry:
    def __init__(self):
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        folder = work_dir() / f"registry-{self.port}"
        folder.mkdir()
        config = folder / "config.yml"
        config.write_text(f"""version: 0.1
log: {{level: warn}}
storage: {{filesystem: {{rootdirectory: {folder}/data}}, delete: {{enabled: true}}}}
http: {{addr: "{self.address}"}}
""")
        env = {**os.environ, "OTEL_TRACES_EXPORTER": "none"}
        self.process = Process(["docker-registry", "serve", config], folder / "log", env=env)
        wait_until(self._answers, 20, "the registry to answer", step=0.05)

    def _answers(self):
        try:
            with urllib.request.urlopen(f"http://{self.address}/v2/", timeout=2) as answer:
                return answer.status == 200
        except (OSError, urllib.error.URLError):
            return False

    def push(self, engine, image, name):
        """Pushes a local image as <registry>/<name>; the local tag is removed again. Returns the reference to pull."""
        reference = f"{self.address}/{name}"
        engine.docker("tag", image, reference)
        engine.docker("push", reference)
        engine.docker("rmi", reference)
        return reference
