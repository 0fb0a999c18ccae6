"""The dashboard in Debian's Chromium, against a real host, runner and Engine. The scenarios are in scenarios/*.mjs; what a browser cannot do, such as killing the host, they ask for here.

RIVERBOX_SCREENSHOTS: a folder for pictures of every page, light and dark (else they are not kept).
"""
import json
import os
import shutil
import subprocess
import threading
import unittest
from pathlib import Path

from cluster import Host, OwnCluster, shared
from process import PATIENCE, work_dir

HERE = Path(__file__).resolve().parent
SOURCES = HERE.parents[1] / "src/web"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
MISSING = "" if CHROMIUM else "there is no Chromium (Debian: chromium)"
if not (SOURCES / "node_modules/playwright-core").is_dir():
    MISSING = "npm ci was not run in src/web"


@unittest.skipIf(MISSING, MISSING)
class Dashboard(OwnCluster):
    NAME = "web"

    def play(self, scenario, timeout=180, **facts):
        """Plays one scenario to its end. It ends with exit status 0, or its output is the failure."""
        facts = {"url": f"http://127.0.0.1:{self.host.port}", "token": self.host.token, "node": self.node, "environment": self.environment, "chromium": CHROMIUM,
                 "screenshots": os.environ.get("RIVERBOX_SCREENSHOTS", ""), "patience": PATIENCE, **facts}
        env = {**os.environ, "FACTS": json.dumps(facts), "NODE_PATH": str(SOURCES / "node_modules"), "HOME": str(work_dir())}
        player = subprocess.Popen(["node", HERE / "scenarios" / f"{scenario}.mjs"], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        alarm = threading.Timer(timeout, player.kill)
        alarm.start()
        said = []
        try:
            for line in player.stdout:
                if line.startswith("DO "):
                    answer = self.do(json.loads(line[3:]))
                    player.stdin.write(json.dumps(answer) + "\n")
                    player.stdin.flush()
                else:
                    said.append(line)
        finally:
            alarm.cancel()
            player.kill()
            code = player.wait()
        self.assertEqual(code, 0, f"{scenario}: {''.join(said)[-6000:]}")
        return "".join(said)

    def do(self, wish):
        """What a scenario asks for: {"what": ..., more}."""
        return getattr(self, "do_" + wish.pop("what"))(**wish)

    def do_kill_host(self):
        self.host.kill()

    def do_start_host(self):
        self.host.start()
        self.host.wait_online(self.node)

    def do_kill_runner(self):
        self.runner.kill()

    def do_start_runner(self):
        self.runner.start()
        self.host.wait_online(self.node)

    def do_cli(self, argv):
        done = self.host.cli(*argv)
        return {"code": done.code, "out": done.out, "err": done.err}

    # ---- the scenarios

    def test_the_documented_walk(self):
        self.addCleanup(self.host.docker, "delete-container", "walk")
        self.addCleanup(self.host.cli, "riverbox", "vps", "rm", "--force", "walk-box")
        self.host.cli("riverbox", "token", "create", "walker", check=True)
        self.play("walk")

    def test_the_terminal(self):
        self.play("terminal", timeout=300)

    def test_two_browsers_and_a_host_that_restarts(self):
        self.addCleanup(self.host.docker, "delete-container", "seen-by-two")
        self.play("live")

    def test_roles_and_a_session_that_ends(self):
        self.play("roles")

    def test_what_comes_from_outside(self):
        self.play("hostile", timeout=300)

    def test_without_authentication_it_says_so(self):
        host = Host(shared().host_engine, work_dir() / "open-share", name="open-host", security={"auth": "none"})
        self.addCleanup(host.stop)
        self.play("open", url=f"http://127.0.0.1:{host.port}")

    def test_every_page(self):
        said = self.play("pages", timeout=300, axe=str(SOURCES / "node_modules/axe-core/axe.min.js"))
        print(said.strip().splitlines()[-1], end=" ", flush=True)

    def test_the_types_are_those_of_the_api(self):
        _, _, description = self.host.http("GET", "/openapi.json", raw=True)
        made = subprocess.run(["node", SOURCES / "types.mjs"], input=description, capture_output=True, check=True).stdout.decode()
        self.assertEqual(made, (SOURCES / "src/api/types.ts").read_text(), "run: curl -s HOST/openapi.json | node types.mjs > src/api/types.ts")
