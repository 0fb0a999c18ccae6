"""The essential path with every kind of Engine (tests/lib/engines.py): as a runner's it is given environments, cold, thin and after its images were removed; as
the host's it makes them. What this machine cannot have is skipped, and said."""
import hashlib
import json
import tarfile
import unittest

import engines
import images
from cluster import Host, Runner, shared
from engine import Engine
from process import work_dir

NAME = "kinds-env"
BIG = 8_000_000    # in the first version
SMALL = 200_000    # in a change

_host = None


def publishing_host():
    """One host with the installed Engine for the runners of all kinds, and an environment in it."""
    global _host
    if _host is None:
        _host = Host(shared().host_engine, work_dir() / "kinds-share", name="kinds-host", docker={"keep_versions": 3})
        _host.docker("create-container", "busybox:latest", NAME, check=True)
        _host.shell(NAME, f"head -c {BIG} /dev/urandom > /opt-blob; echo 0 > /generation\n", check=True)
    return _host


def tearDownModule():
    if _host:
        _host.docker("delete-container", NAME)
        _host.stop()


def log_entries(process_log, message):
    lines = [json.loads(line) for line in process_log.splitlines() if line.startswith("{")]
    return [line for line in lines if line["message"] == message]


# fault: docker-version
class OneKind:
    """Mixed into a TestCase below for each kind."""

    @classmethod
    def setUpClass(cls):
        try:
            cls.engine = Engine(f"k{engines.KINDS.index(cls.kind)}", kind=cls.kind)
        except engines.Unavailable as reason:
            print(f"\nSKIPPED: nothing is tested with Docker {cls.kind.name}: {reason}", flush=True)
            raise unittest.SkipTest(str(reason)) from None
        info = cls.engine.api("GET", "/info")
        cls.containerd = ["driver-type", "io.containerd.snapshotter.v1"] in info["DriverStatus"]
        print(f"\n(Docker {info['ServerVersion']}, {'containerd store' if cls.containerd else info['Driver']})", flush=True)

    @classmethod
    def tearDownClass(cls):
        cls.engine.wipe()

    def test_it_is_the_kind_it_should_be(self):
        version = self.engine.api("GET", "/version")["Version"]
        if self.kind.release:
            self.assertTrue(version.startswith(self.kind.release), version)
            self.assertEqual(self.containerd, self.kind.store == "containerd")

    # ---- as a runner's

    def publish(self, generation, more=""):
        host = publishing_host()
        host.shell(NAME, f"echo {generation} > /generation; head -c {SMALL} /dev/urandom > /change-{generation}; {more}\n", check=True)
        host.docker("create-tar", NAME, check=True)

    def last_load(self):
        return log_entries(self.runner.log(), "loaded an environment")[-1]

    def run_task(self, expected, way):
        result = publishing_host().client("--target", self.runner.name, "--container", NAME, "--cores", "0", "--wait", "--", "sh", "-c",
                                          "cat /generation; ls -d /change-* | wc -l; wc -c < /opt-blob")
        self.assertEqual((result.code, result.out.split()), (0, [str(expected), str(expected), str(BIG)]), result)
        load = self.last_load()
        self.assertEqual(load["way"], way, load)
        self.assertEqual(self.engine.tags(), [f"hakuriver/{NAME}:base"], "nothing but the environment is tagged")
        return int(load["bytes"])

    def test_as_a_runners(self):
        host = publishing_host()
        self.runner = Runner(host, self.engine, name=f"kind-{self.kind.name}")
        self.addCleanup(self.runner.stop)
        begin = 1 + int(host.shell(NAME, "cat /generation\n", check=True).out)
        self.publish(begin)
        self.assertGreater(self.run_task(begin, "full"), BIG)

        self.publish(begin + 1)
        self.assertLess(self.run_task(begin + 1, "thin"), SMALL * 1.02 + 20_000, "only what changed is read")

        # The base goes, between the load and the next one.
        self.engine.docker("rmi", "-f", f"hakuriver/{NAME}:base")
        self.engine.docker("system", "prune", "-af")
        self.publish(begin + 2)
        self.assertGreater(self.run_task(begin + 2, "full"), BIG)

        # After a restart the runner still knows what is there.
        self.runner.stop()
        self.runner.start()
        host.wait_online(self.runner.name)
        self.publish(begin + 3)
        self.assertLess(self.run_task(begin + 3, "thin"), SMALL * 1.02 + 20_000)

        # What travelled thin is whole: the engine can give all of it away again.
        saved = self.runner.home / "saved.tar"
        self.engine.docker("save", "-o", saved, f"hakuriver/{NAME}:base")
        self.check_complete(saved)

    # ---- as the host's

    def check_complete(self, path):
        """Every layer of the manifest is there with the digest of the config; returns how many."""
        with tarfile.open(path) as tar:
            manifest = json.load(tar.extractfile("manifest.json"))[0]
            diff_ids = json.load(tar.extractfile(manifest["Config"]))["rootfs"]["diff_ids"]
            self.assertEqual(len(manifest["Layers"]), len(diff_ids))
            for layer, wanted in zip(manifest["Layers"], diff_ids):
                self.assertEqual("sha256:" + hashlib.sha256(tar.extractfile(layer).read()).hexdigest(), wanted, path)
        return len(diff_ids)

    def test_as_the_hosts(self):
        name, other = f"made-by-{self.kind.name}", shared().runner_engine
        images.busybox(self.engine)
        self.addCleanup(lambda: self.engine.docker("rmi", "-f", "busybox:latest", check=False))
        host = Host(self.engine, work_dir() / f"share-{name}", name=f"host-{name}")
        self.addCleanup(host.stop)
        host.docker("create-container", "busybox:latest", name, check=True)
        self.addCleanup(lambda: host.docker("delete-container", name))
        layers = []
        for generation in (1, 2):
            host.shell(name, f"echo {generation} >> /generation; head -c {SMALL} /dev/urandom > /change-{generation}\n", check=True)
            host.docker("create-tar", name, check=True)
            layers.append(self.check_complete(host.tars / host.tars_of(name)[0]))
        self.assertEqual(layers[1], layers[0] + 1, "each change is a layer of its own")
        self.assertEqual(host.shell(name, "cat /generation\n").out, "1\n2\n", "the container goes on as it was")
        wrote = log_entries(host.log(), "wrote an archive")
        if self.containerd:
            self.assertNotIn("layers", [w["way"] for w in wrote])
            self.assertTrue(all("containerd" in w["why"] for w in wrote), wrote)
        else:
            self.assertEqual([w["way"] for w in wrote], ["layers", "layers"], wrote)
        self.assertEqual(int(wrote[1]["layers_taken_over"]), layers[0])

        # Debian 12's docker load takes it, and so does the thin way of a runner there.
        other.docker("load", "-i", host.tars / host.tars_of(name)[0])
        self.addCleanup(lambda: other.docker("rmi", "-f", f"hakuriver/{name}:base"))
        self.assertEqual(other.docker("run", "--rm", "--network", "none", f"hakuriver/{name}:base", "cat", "/generation"), "1\n2")


for _kind in engines.KINDS:
    _name = "Docker_" + _kind.name.replace("-", "_")
    globals()[_name] = type(_name, (OneKind, unittest.TestCase), {"kind": _kind, "__module__": __name__})

if __name__ == "__main__":
    unittest.main()
