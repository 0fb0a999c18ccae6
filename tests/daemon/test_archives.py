"""Archives that others wrote: HakuRiver's (legacy docker save), KohakuRiver's (untagged), OCI layout; and damaged ones.

The runner brings its Engine up to date from each and runs a task in it.
"""
import gzip
import hashlib
import io
import json
import tarfile
import time
import unittest

import images
from cluster import shared


def _add(tar, name, data):
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), 0o644
    tar.addfile(entry, io.BytesIO(data))


def layer(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            _add(tar, name, data)
    return out.getvalue()


def digest(data):
    return hashlib.sha256(data).hexdigest()


def config(layers, created):
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(created)) + ".123456789Z"
    return json.dumps({"architecture": "amd64", "os": "linux", "created": stamp,
                       "config": {"Cmd": ["sh"], "Env": ["PATH=/bin:/sbin:/usr/bin"]},
                       "rootfs": {"type": "layers", "diff_ids": ["sha256:" + digest(l) for l in layers]},
                       "history": [{"created": stamp, "created_by": "test"} for _ in layers]}).encode()


def legacy(layers, created, tags):
    """As docker save of engines before 25 writes it."""
    out = io.BytesIO()
    conf = config(layers, created)
    with tarfile.open(fileobj=out, mode="w") as tar:
        names = []
        for data in layers:
            folder = digest(b"v1" + data)
            names.append(f"{folder}/layer.tar")
            _add(tar, f"{folder}/VERSION", b"1.0")
            _add(tar, f"{folder}/json", b'{"id":"%s"}' % folder.encode())
            _add(tar, names[-1], data)
        _add(tar, digest(conf) + ".json", conf)
        _add(tar, "manifest.json", json.dumps([{"Config": digest(conf) + ".json", "RepoTags": tags, "Layers": names}]).encode())
        if tags:
            _add(tar, "repositories", json.dumps({tags[0].split(":")[0]: {"base": folder}}).encode())
    return out.getvalue()


def oci(layers, created, tags, compress=False):
    """As docker save of engines from 25 on writes it; with `compress` as one with the containerd store does."""
    out = io.BytesIO()
    conf = config(layers, created)
    blobs = [gzip.compress(l, mtime=0) if compress else l for l in layers]
    kind = "application/vnd.oci.image.layer.v1.tar" + ("+gzip" if compress else "")
    manifest = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                           "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": "sha256:" + digest(conf), "size": len(conf)},
                           "layers": [{"mediaType": kind, "digest": "sha256:" + digest(b), "size": len(b)} for b in blobs]}).encode()
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
             "manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": "sha256:" + digest(manifest), "size": len(manifest)}]}
    with tarfile.open(fileobj=out, mode="w") as tar:
        for blob in sorted([conf, manifest, *blobs], key=digest):
            _add(tar, f"blobs/sha256/{digest(blob)}", blob)
        _add(tar, "index.json", json.dumps(index).encode())
        _add(tar, "manifest.json", json.dumps([{"Config": f"blobs/sha256/{digest(conf)}", "RepoTags": tags,
                                                "Layers": [f"blobs/sha256/{digest(b)}" for b in blobs]}]).encode())
        _add(tar, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
    return out.getvalue()


class Archives(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.c = shared()
        cls.host, cls.engine = cls.c.host, cls.c.runner_engine
        cls.base = images.busybox_rootfs()

    def put(self, name, archive, version):
        path = self.host.tars / f"{name}-{version}.tar"
        path.write_bytes(archive)
        self.addCleanup(path.unlink, missing_ok=True)
        self.addCleanup(lambda: self.engine.docker("rmi", "-f", f"hakuriver/{name}:base", check=False))
        return path

    def run_in(self, name, command="cat /etc/which"):
        return self.host.client("--target", "node1", "--container", name, "--wait", "--", "sh", "-c", command)

    def check(self, name, archive, version, expected, image=None):
        self.put(name, archive, version)
        result = self.run_in(name)
        self.assertEqual((result.code, result.out), (0, expected), result)
        if image:
            self.assertEqual(self.engine.image(f"hakuriver/{name}:base")["Id"], image)

    def layers(self, text):
        return [self.base, layer({"etc/which": text.encode()})]


class Foreign(Archives):
    def test_legacy_with_tag(self):
        made = self.layers("legacy\n")
        conf = "sha256:" + digest(config(made, 1795000000))
        # HakuRiver's clock ran before the commit: the name is older than Created
        self.check("haku-legacy", legacy(made, 1795000000, ["hakuriver/haku-legacy:base"]), 1794999990, "legacy\n", conf)

    def test_legacy_without_tag(self):
        self.check("koha-untagged", legacy(self.layers("untagged\n"), 1795000001, None), 1795000001, "untagged\n")

    def test_oci(self):
        self.check("oci-plain", oci(self.layers("oci\n"), 1795000002, ["hakuriver/oci-plain:base"]), 1795000002, "oci\n")

    def test_oci_compressed_untagged(self):
        self.check("oci-gzip", oci(self.layers("gzip\n"), 1795000003, [], compress=True), 1795000003, "gzip\n")

    def test_a_tag_of_another_environment_is_not_set(self):
        """An archive named attacker-... whose tag says victim is refused; the image of victim stays."""
        self.check("victim", legacy(self.layers("victim\n"), 1795000010, ["hakuriver/victim:base"]), 1795000010, "victim\n")
        before = self.engine.image("hakuriver/victim:base")["Id"]
        self.put("attacker", legacy(self.layers("attacker\n"), 1795000011, ["hakuriver/victim:base"]), 1795000011)
        result = self.run_in("attacker")
        self.assertNotEqual(result.code, 0)
        self.assertIn("hakuriver/victim:base", result.err)
        self.assertEqual(self.run_in("victim").out, "victim\n")
        self.assertEqual(self.engine.image("hakuriver/victim:base")["Id"], before)

    def test_a_newer_version_is_taken_an_equal_one_not_loaded_again(self):
        name = "moving"
        self.check(name, legacy(self.layers("one\n"), 1795000020, [f"hakuriver/{name}:base"]), 1795000020, "one\n")
        self.check(name, legacy(self.layers("two\n"), 1795000030, [f"hakuriver/{name}:base"]), 1795000030, "two\n")
        image = self.engine.image(f"hakuriver/{name}:base")
        # the same image under a later name, as a copy with a clock ahead makes it: HakuRiver's runner reloads it for every task
        self.put(name, legacy(self.layers("two\n"), 1795000030, [f"hakuriver/{name}:base"]), 4000000000)
        self.assertEqual(self.run_in(name).out, "two\n")
        self.assertEqual(self.engine.image(f"hakuriver/{name}:base")["Metadata"]["LastTagTime"], image["Metadata"]["LastTagTime"])

    def test_an_image_that_lies_about_its_age_is_still_replaced(self):
        """What counts is what the image is, not its clock."""
        name = "clockless"
        self.check(name, legacy(self.layers("late\n"), 1899999999, [f"hakuriver/{name}:base"]), 1795000040, "late\n")
        self.check(name, legacy(self.layers("early\n"), 1600000000, [f"hakuriver/{name}:base"]), 1795000050, "early\n")


# fault: archive-damaged
class Damaged(Archives):
    """Each gives one clear line, a failed task, and leaves what was there."""

    def refuse(self, name, content, pattern):
        self.put(name, content, 1795100000)
        before = self.engine.tags()
        result = self.run_in(name)
        self.assertNotEqual(result.code, 0, result)
        self.assertRegex(result.err, pattern)
        self.assertIn(f"{name}-1795100000.tar", result.err)
        self.assertEqual(self.engine.tags(), before)
        containers = [c for c in self.engine.containers() if c["Labels"].get("hakuriver.environment") == name]
        self.assertEqual(containers, [])

    def good(self, name):
        return legacy(self.layers("flip me\n"), 1795100000, [f"hakuriver/{name}:base"])

    def test_truncated(self):
        good = self.good("cut")
        self.refuse("cut", good[: len(good) // 2], "(?i)truncat|end|incomplete|damaged|beyond|outside")

    def test_empty(self):
        """No version at all: it is not listed, and the environment is said to be missing."""
        self.put("nothing", b"", 1795100000)
        self.assertNotIn("nothing", self.host.docker("list-tars", check=True).json())
        result = self.run_in("nothing")
        self.assertEqual((result.code, result.out), (1, ""), result)
        self.assertIn("nothing", result.err)

    def test_not_a_tar(self):
        self.refuse("letter", b"Dear Sir or Madam,\n" * 1000, "(?i)tar|archive")

    def test_a_tar_of_something_else(self):
        self.refuse("homework", layer({"homework.txt": b"2+2=4"}), "(?i)manifest")

    def test_a_layer_with_other_bytes(self):
        good = bytearray(self.good("flipped"))
        good[bytes(good).index(b"flip me\n")] = ord("s")
        self.refuse("flipped", bytes(good), "(?i)digest|layer|checksum|differ|match|wrong")

    def test_the_version_before_stays_usable(self):
        name = "survivor"
        self.check(name, legacy(self.layers("good\n"), 1795000060, [f"hakuriver/{name}:base"]), 1795000060, "good\n")
        broken = self.put(name, b"broken", 1795200000)
        self.assertNotEqual(self.run_in(name).code, 0, "a damaged newest version is an error, not silently the old one")
        broken.unlink()
        self.assertEqual(self.run_in(name).out, "good\n")


if __name__ == "__main__":
    unittest.main()
