"""The C++ test programs that need an Engine (meson suite "daemon"), each against a private one with busybox:latest in it."""
import json
import os
import subprocess
import unittest

from cluster import shared
from process import ROOT


def programs():
    build = ROOT / "build-asan"  # scripts/test makes it
    if not (build / "build.ninja").exists():
        return {}
    listed = subprocess.run(["meson", "introspect", "--tests", build], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    if listed.returncode:
        return {}
    return {t["name"]: t["cmd"] for t in json.loads(listed.stdout) if any(s.split(":")[-1] == "daemon" for s in t["suite"])}


class Programs(unittest.TestCase):
    pass


def _test(command):
    def test(self):
        c = shared()
        env = {**os.environ, "DOCKER_HOST": c.host_engine.host, "RIVERBOX_TEST_SECOND_DOCKER_HOST": c.runner_engine.host}
        c.debian()
        done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900)
        if done.returncode == 77:
            self.skipTest(done.stderr.strip())
        self.assertEqual(done.returncode, 0, done.stdout[-4000:] + done.stderr[-4000:])
    return test


for _name, _command in programs().items():
    setattr(Programs, "test_" + _name.replace("-", "_").replace(" ", "_"), _test(_command))

if __name__ == "__main__":
    unittest.main()
