"""Snapshots of VPSs: taken of one that is busy, restored, limited in number, gone with their VPS; and a VPS that becomes a version of an environment and moves to another node."""
import json
import threading
import time
import unittest

from cluster import OwnCluster, Runner, shared
from process import wait_until


class VpsSnapshots(OwnCluster):
    NAME = "snap"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # Another node, with another Engine, whose administrator wants more.
        cls.other = Runner(cls.host, shared().host_engine, "snap-other", vps={"auto_snapshot_on_stop": True, "max_snapshots_per_vps": 2}, security={"signatures": "require"})

    @classmethod
    def tearDownClass(cls):
        cls.other.stop()
        super().tearDownClass()

    def vps(self, *argv, **more):
        return self.host.cli("riverbox", "vps", *argv, **more)

    def create(self, name, *options, environment=None, node=None):
        made = self.vps("create", "--json", "--container", environment or self.environment, "--cores", "0", "--target", node or self.node, "--name", name, *options, check=True).json()
        self.addCleanup(lambda: self.vps("rm", "--force", name))
        self.wait_for(name, "running")
        return made["task_id"]

    def show(self, name):
        return self.vps("show", "--json", name, check=True).json()

    def wait_for(self, name, *states, attempt=None):
        def there():
            vps = self.show(name)
            return vps if vps["status"] in states and attempt in (None, vps["attempt"]) else None
        return wait_until(there, 30, f"{name} to be {states}", step=0.05)

    def inside(self, name, script):
        return self.vps("connect", name, input=script.encode()).out

    def write(self, name, text):
        self.inside(name, f"echo {text} > /root/state; sync\n")

    def read(self, name):
        return self.inside(name, "cat /root/state\n").strip()

    def snapshot(self, name, *options):
        return self.vps("snapshot", name, "--json", *options, check=True).json()["snapshot"]["timestamp"]

    def snapshots(self, name):
        return self.vps("snapshots", name, "--json", check=True).json()["snapshots"]

    def numbers(self, name):
        return [one["timestamp"] for one in self.snapshots(name)]

    def docker(self, *args, node=None):
        return (node or self.runner).engine.docker(*args)

    def images(self, id, node=None):
        return self.docker("images", "--format", "{{.Tag}}", f"hakuriver-snapshot/vps-{id}", node=node).split()

    # ---- take, list, restore

    def test_what_was_kept_comes_back(self):
        id = self.create("kept", "--env", "MINE=yes", "--memory", "64M")
        self.write("kept", "first")
        first = self.snapshot("kept", "-m", 'the "first" of $HOME')
        self.inside("kept", "head -c 3000000 /dev/urandom > /root/big; sync\n")
        self.write("kept", "second")
        second = self.snapshot("kept")
        there = self.snapshots("kept")
        self.assertEqual([one["timestamp"] for one in there], [second, first])
        self.assertEqual([one["message"] for one in there], [None, 'the "first" of $HOME'])
        self.assertTrue(3_000_000 <= there[0]["own_bytes"] < 3_200_000 and there[1]["own_bytes"] < 200_000, there)
        self.assertEqual(there[0]["tag"], f"hakuriver-snapshot/vps-{id}:{second}")
        self.assertFalse(there[0]["in_use"])
        self.write("kept", "third")
        before = self.docker("inspect", "--format", "{{.HostConfig.Memory}} {{.HostConfig.RestartPolicy.Name}} {{.Config.Hostname}} {{json .HostConfig.Mounts}}", f"hakuriver-vps-{id}")
        self.vps("restore", "kept", str(first), check=True)
        restored = self.wait_for("kept", "running", attempt=2)
        self.assertEqual((restored["task_id"], restored["error_message"]), (id, None))
        self.assertEqual(self.read("kept"), "first")
        self.assertEqual(self.inside("kept", "echo $MINE; hostname; ls /root\n").split(), ["yes", "kept", "state"])
        after = self.docker("inspect", "--format", "{{.HostConfig.Memory}} {{.HostConfig.RestartPolicy.Name}} {{.Config.Hostname}} {{json .HostConfig.Mounts}}", f"hakuriver-vps-{id}")
        self.assertEqual(before, after)
        there = self.snapshots("kept")  # what was restored away has been kept
        self.assertEqual([(one["timestamp"], one["in_use"]) for one in there[1:]], [(second, False), (first, True)])
        self.assertIn(f"before it began anew as snapshot {first}", there[0]["message"])
        self.vps("restore", "kept", check=True)  # the newest
        self.wait_for("kept", "running", attempt=3)
        self.assertEqual(self.read("kept"), "third")
        self.assertEqual(self.docker("ps", "-a", "--filter", f"name=vps-{id}", "--format", "{{.Names}}").split(), [f"hakuriver-vps-{id}"])

    def test_a_plain_restart_goes_on_with_what_there_is(self):
        self.create("plain")
        self.write("plain", "old")
        self.snapshot("plain")
        self.write("plain", "new")
        self.vps("restart", "plain", check=True)
        self.wait_for("plain", "running", attempt=2)
        self.assertEqual(self.read("plain"), "new")

    def test_fresh_and_from(self):
        self.create("anew")
        self.write("anew", "mine")
        number = self.snapshot("anew")
        self.vps("restart", "anew", "--fresh", "--discard", check=True)
        self.wait_for("anew", "running", attempt=2)
        self.assertEqual(self.inside("anew", "ls /root\n").strip(), "")
        self.assertEqual(self.numbers("anew"), [number])
        self.vps("stop", "anew", check=True)
        self.wait_for("anew", "stopped")
        for which in ("latest", str(number), self.snapshots("anew")[0]["tag"]):
            self.vps("start", "anew", "--from", which, "--discard", check=True)
            self.wait_for("anew", "running")
            self.assertEqual(self.read("anew"), "mine")
            self.vps("stop", "anew", check=True)
            self.wait_for("anew", "stopped")
        refused = self.vps("start", "anew", "--from", "17")
        self.assertIn(f"has no snapshot '17'. There is {number} (latest)", refused.err)
        self.assertEqual(self.wait_for("anew", "stopped")["attempt"], 5)
        for wrong in (["--from", "latest", "--fresh"], ["--discard"]):
            self.assertNotEqual(self.vps("start", "anew", *wrong).code, 0, wrong)

    def test_one_that_writes_all_the_time(self):
        self.create("busy")
        # A line is written whole or not at all, and none is left out: what is restored is a moment of it.
        self.inside("busy", "setsid sh -c 'i=0; while :; do i=$((i+1)); echo $i >> /root/log; cp /root/log /root/copy; done' >/dev/null 2>&1 &\nsleep 1\n")
        number = self.snapshot("busy")
        self.assertEqual(self.wait_for("busy", "running")["attempt"], 1)
        before = int(self.inside("busy", "tail -n 1 /root/log\n"))
        time.sleep(0.5)
        self.assertGreater(int(self.inside("busy", "tail -n 1 /root/log\n")), before)  # it goes on
        self.vps("restore", "busy", str(number), check=True)
        self.wait_for("busy", "running", attempt=2)
        lines = self.inside("busy", "cat /root/log\n").split()
        self.assertEqual(lines, [str(i + 1) for i in range(len(lines))])
        self.assertTrue(0 < len(lines) <= before, (len(lines), before))

    def test_a_stopped_one(self):
        self.create("still")
        self.write("still", "asleep")
        self.vps("stop", "still", check=True)
        self.wait_for("still", "stopped")
        number = self.snapshot("still")
        self.vps("start", "still", "--from", str(number), check=True)
        self.wait_for("still", "running", attempt=2)
        self.assertEqual(self.read("still"), "asleep")

    def test_volumes_go_on(self):
        self.host.docker("create-container", self.image_with_volume(), "snap-volume", check=True)
        self.addCleanup(lambda: self.host.docker("delete-container", "snap-volume"))
        self.host.docker("create-tar", "snap-volume", check=True)
        id = self.create("vol", environment="snap-volume")
        self.inside("vol", "echo data > /data/file; echo x > /root/state\n")
        self.snapshot("vol")
        for attempt in (2, 3):
            self.vps("restore", "vol", check=True)
            self.wait_for("vol", "running", attempt=attempt)
            self.assertEqual(self.inside("vol", "cat /data/file\n").strip(), "data")
        volumes = self.docker("inspect", "--format", "{{range .Mounts}}{{.Name}} {{end}}", f"hakuriver-vps-{id}").split()
        self.assertEqual(len(volumes), 1)
        self.assertIn(volumes[0], self.docker("volume", "ls", "-q"))
        self.vps("rm", "--force", "vol", check=True)
        wait_until(lambda: volumes[0] not in self.docker("volume", "ls", "-q") or None, 20, "the volume to go")

    def image_with_volume(self):
        self.host.engine.docker("rmi", "-f", "snap-volume:latest") if "snap-volume" in self.host.engine.docker("images", "--format", "{{.Repository}}") else None
        maker = self.host.engine.docker("create", "busybox:latest", "true").strip()
        self.host.engine.docker("commit", "--change", "VOLUME /data", maker, "snap-volume:latest")
        self.host.engine.docker("rm", maker)
        return "snap-volume:latest"

    # ---- what goes wrong

    def test_a_failing_start_keeps_the_old_container(self):
        id = self.create("safe")
        self.write("safe", "precious")
        number = self.snapshot("safe")
        self.vps("stop", "safe", check=True)
        self.wait_for("safe", "stopped")
        self.break_image(f"hakuriver-snapshot/vps-{id}:{number}", f"hakuriver-snapshot/vps-{id}:99")
        self.vps("start", "safe", "--from", "99", "--discard", check=True)
        self.wait_for("safe", "failed", attempt=2)
        self.assertEqual(self.docker("ps", "-a", "--filter", f"name=vps-{id}", "--format", "{{.Names}}").split(), [f"hakuriver-vps-{id}"])
        self.vps("start", "safe", check=True)
        self.wait_for("safe", "running", attempt=3)
        self.assertEqual(self.read("safe"), "precious")

    def break_image(self, image, tag):
        """A container can be made of it, and not be started: where our program is mounted there is a file."""
        maker = self.docker("run", "-d", "--network", "none", "--entrypoint", "sh", image, "-c", "rm -rf /usr/local/bin; mkdir -p /usr/local; echo file > /usr/local/bin").strip()
        self.docker("wait", maker)
        self.docker("commit", maker, tag)
        self.docker("rm", maker)

    def test_an_exchange_that_was_cut_short(self):
        id = self.create("half")
        self.write("half", "whole")
        self.snapshot("half")
        name = f"hakuriver-vps-{id}"
        labels = [f"--label=hakuriver.{key}={value}" for key, value in (("task_id", id), ("task_type", "vps"), ("node", self.node), ("managed", "true"))]
        for attempt, new_one in ((2, False), (4, True)):
            self.vps("stop", "half", check=True)
            self.wait_for("half", "stopped")
            wait_until(lambda: "Exited" in self.docker("ps", "-a", "--filter", f"name={name}", "--format", "{{.Status}}") or None, 20, "it to end")
            self.runner.kill()
            self.docker("rename", name, f"{name}-previous")  # how far a runner may come before it dies
            if new_one:
                self.docker("create", "--name", name, *labels, f"hakuriver-snapshot/vps-{id}:{self.numbers_on_node(id)[0]}", "true")
            self.runner.start()
            self.host.wait_online(self.node)
            self.vps("start", "half", check=True)
            self.wait_for("half", "running", attempt=attempt)
            self.assertEqual(self.read("half"), "whole")
            self.assertEqual(self.docker("ps", "-a", "--filter", f"name=vps-{id}", "--format", "{{.Names}}").split(), [name])
            self.vps("restore", "half", "--discard", check=True)
            self.wait_for("half", "running", attempt=attempt + 1)

    def numbers_on_node(self, id):
        return sorted(int(tag) for tag in self.images(id))

    def test_one_whose_container_was_removed_from_outside(self):
        id = self.create("hurt")
        self.write("hurt", "saved")
        number = self.snapshot("hurt")
        self.vps("stop", "hurt", check=True)
        self.wait_for("hurt", "stopped")
        wait_until(lambda: "Exited" in self.docker("ps", "-a", "--filter", f"name=vps-{id}", "--format", "{{.Status}}") or None, 20, "it to end")
        self.docker("rm", "-f", f"hakuriver-vps-{id}")
        self.vps("start", "hurt", check=True)
        self.assertIn(f"restored from its newest snapshot, {number}", self.wait_for("hurt", "running", attempt=2)["error_message"])
        self.assertEqual(self.read("hurt"), "saved")

    def test_a_runner_that_is_killed_in_the_middle(self):
        id = self.create("torn")
        self.inside("torn", "head -c 300000000 /dev/zero > /root/big; sync; echo before > /root/state\n")
        taking = threading.Thread(target=lambda: self.vps("snapshot", "torn"))
        taking.start()
        wait_until(lambda: "Paused" in self.docker("ps", "--filter", f"name=vps-{id}", "--format", "{{.Status}}") or None, 20, "it to stand still", step=0.01)
        self.runner.kill()
        taking.join()
        self.runner.start()
        self.host.wait_online(self.node)
        wait_until(lambda: "Paused" not in self.docker("ps", "--filter", f"name=vps-{id}", "--format", "{{.Status}}") or None, 60, "the engine to let it go on")
        self.wait_for("torn", "running")
        self.assertEqual(self.read("torn"), "before")
        wait_until(lambda: len(self.snapshots("torn")) == 1 or None, 30, "the engine to have ended what was begun")  # whole
        self.assertEqual(self.docker("images", "-q", "--filter", "dangling=true", "--filter", f"label=hakuriver.task_id={id}"), "")
        self.vps("restore", "torn", "--discard", check=True)
        self.wait_for("torn", "running", attempt=2)
        self.assertEqual(self.inside("torn", "wc -c < /root/big\n").strip(), "300000000")

    def test_one_thing_at_a_time(self):
        id = self.create("once")
        self.inside("once", "head -c 400000000 /dev/zero > /root/big; sync\n")
        answers = []
        taking = threading.Thread(target=lambda: answers.append(self.vps("snapshot", "once", "--json")))
        taking.start()
        wait_until(lambda: "Paused" in self.docker("ps", "--filter", f"name=vps-{id}", "--format", "{{.Status}}") or None, 20, "it to stand still", step=0.01)
        self.assertIn("its snapshot is being taken", self.vps("snapshot", "once").err)
        began = time.monotonic()
        self.create("quick")  # another one waits for nothing
        self.assertTrue(taking.is_alive() or time.monotonic() - began < 5)
        self.vps("restart", "once", check=True)  # and this one waits
        taking.join()
        self.assertEqual(answers[0].code, 0, answers)
        self.wait_for("once", "running", attempt=2)
        self.assertEqual(len(self.snapshots("once")), 1)

    # ---- how many, and when they go

    def test_the_oldest_go(self):
        self.create("many")
        taken = [self.snapshot("many", "-m", str(i)) for i in range(5)]
        self.assertEqual(len(set(taken)), 5)
        self.assertEqual(self.numbers("many"), taken[:1:-1])
        self.vps("restore", "many", str(taken[2]), check=True)  # and what is needed stays
        self.wait_for("many", "running", attempt=2)
        more = [self.snapshot("many") for _ in range(3)]
        self.assertEqual(self.numbers("many"), [*more[::-1], taken[2]])
        self.assertIn("was made of snapshot", self.vps("snapshot-rm", "many", str(taken[2])).err)
        self.vps("snapshot-rm", "many", str(more[1]), check=True)
        self.assertEqual(self.numbers("many"), [more[2], more[0], taken[2]])
        self.assertIn("2 snapshots deleted", self.vps("snapshot-rm", "many", "--all", "--json", check=True).out)
        self.assertEqual(self.numbers("many"), [taken[2]])
        self.assertNotEqual(self.vps("snapshot-rm", "many").code, 0)

    def test_a_stop_takes_one_where_that_is_wanted(self):
        id = self.create("auto", node="snap-other")
        self.write("auto", "1")
        for attempt in (2, 3, 4):
            self.vps("restart", "auto", check=True)
            self.wait_for("auto", "running", attempt=attempt)
        there = self.snapshots("auto")
        self.assertEqual([one["message"] for one in there], ["taken when it was stopped"] * 2)
        self.assertEqual(self.read("auto"), "1")
        self.vps("rm", "--force", "auto", check=True)
        wait_until(lambda: not self.images(id, self.other) or None, 30, "its snapshots to go")

    def test_a_removed_one_leaves_none(self):
        id = self.create("gone")
        self.snapshot("gone")
        self.vps("restart", "gone", "--fresh", check=True)
        self.wait_for("gone", "running", attempt=2)
        self.assertEqual(len(self.images(id)), 2)
        self.vps("rm", "--force", "gone", check=True)
        wait_until(lambda: not self.images(id) or None, 30, "its snapshots to go")
        self.assertEqual(self.docker("images", "-q", "--filter", "dangling=true", "--filter", f"label=hakuriver.task_id={id}"), "")

    # ---- whose they are

    def test_they_are_their_owners(self):
        tokens = {name: self.host.cli("riverbox", "token", "create", name, "--role", role, check=True).out.strip() for name, role in (("anna", "user"), ("bob", "user"), ("olga", "operator"))}
        status, _, made = self.host.http("POST", "/api/vps/create", {"container_name": self.environment, "required_cores": 0, "name": "hers", "target_hostname": self.node}, token=tokens["anna"])
        self.assertEqual(status, 200)
        self.addCleanup(lambda: self.vps("rm", "--force", "hers"))
        self.wait_for("hers", "running")
        status, _, taken = self.host.http("POST", "/vps/snapshots/hers?message=mine", token=tokens["anna"])
        self.assertEqual((status, taken["snapshot"]["message"]), (200, "mine"))
        number = taken["snapshot"]["timestamp"]
        asked = [("GET", "/vps/snapshots/hers"), ("POST", "/vps/snapshots/hers"), ("DELETE", "/vps/snapshots/hers"), ("GET", "/vps/snapshots/hers/latest"),
                 ("DELETE", f"/vps/snapshots/hers/{number}"), ("POST", "/vps/restore/hers")]
        for method, path in asked:
            self.assertEqual(self.host.http(method, path, token=tokens["bob"])[0], 404, path)
        self.assertEqual(self.host.http("POST", "/vps/publish/hers", {"name": "snap-hers"}, token=tokens["anna"])[0], 403)  # as create-tar
        self.assertEqual(self.host.http("GET", "/vps/snapshots/hers", token=tokens["olga"])[2]["count"], 1)
        self.assertEqual(self.host.http("GET", "/api/vps/snapshots/hers/latest", token=tokens["anna"])[2], {"task_id": made["task_id"], "tag": taken["tag"]})
        self.assertEqual(self.host.http("DELETE", f"/vps/snapshots/hers/{number}", token=tokens["anna"])[0], 200)
        self.assertEqual(self.host.http("GET", "/vps/snapshots/hers/latest", token=tokens["anna"])[0], 404)
        self.assertEqual(self.host.http("POST", "/vps/restore/hers", token=tokens["anna"])[0], 404)
        self.assertEqual(self.show("hers")["status"], "running")

    def test_a_node_that_is_away(self):
        self.create("far")
        self.runner.kill()
        self.host.wait_offline(self.node)
        refused = self.vps("snapshots", "far")
        self.assertIn("is not connected", refused.err)
        self.runner.start()
        self.host.wait_online(self.node)

    # ---- to another node

    def test_it_becomes_a_version_and_moves(self):
        self.create("mover", "--env", "SECRET=hush")
        self.inside("mover", "head -c 2000000 /dev/urandom > /root/moved; md5sum /root/moved > /root/sum\n")
        self.snapshot("mover")
        self.vps("restore", "mover", "--discard", check=True)  # what it was made of at last is a snapshot
        self.wait_for("mover", "running", attempt=2)
        done = self.vps("publish", "mover", "snap-moved", "--json", check=True).json()
        self.addCleanup(lambda: self.host.docker("delete-tar", "snap-moved", "--all", "--force"))
        self.assertEqual(done["env_name"], "snap-moved")
        [version] = self.host.docker("versions", "snap-moved", "--json", check=True).json()
        self.assertEqual((version["timestamp"], version["signature"], version["problem"]), (done["timestamp"], "valid", None))
        self.assertEqual([p.name for p in self.host.tars.iterdir() if p.name.endswith(".part")], [])
        self.create("moved", environment="snap-moved", node="snap-other")
        self.assertEqual(self.inside("moved", "md5sum -c /root/sum; echo ${SECRET:-none}\n").split(), ["/root/moved:", "OK", "none"])
        again = self.vps("publish", "mover", "snap-moved", "--json", check=True).json()
        self.assertGreater(again["timestamp"], done["timestamp"])
        ran = self.host.client("--container", "snap-moved", "--target", self.node, "--wait", "--", "sh", "-c", "env; cat /root/sum")
        self.assertNotIn("SECRET", ran.out)
        config = json.loads(self.docker("inspect", "hakuriver/snap-moved:base"))[0]["Config"]
        self.assertEqual((config["Cmd"], config["Entrypoint"], [key for key in config["Labels"] or {} if config["Labels"][key]]), (["sh"], None, []))
        self.assertEqual(self.docker("images", "--format", "{{.Tag}}", f"hakuriver-snapshot/vps-{self.show('mover')['task_id']}").count("publish"), 0)
        self.assertNotEqual(self.vps("publish", "mover", "No Name").code, 0)


if __name__ == "__main__":
    unittest.main()
