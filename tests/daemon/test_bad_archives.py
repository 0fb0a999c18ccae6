"""Bad archives on the share, by families (B1-B10): a runner refuses them with the reason before its Engine sees a byte, and the image that is there stays. What is odd in a
way that cannot do harm is loaded, and only the environment's own tag is set."""
import gzip
import io
import json
import sys
import tarfile
import time
import unittest
from pathlib import Path

import images
from cluster import Host, Runner
from engine import Engine
from process import work_dir

sys.path.insert(0, str(Path(__file__).resolve().parent))
from test_archives import config, digest, layer, legacy, oci  # noqa: E402

NAME = "bad-env"
TAG = f"hakuriver/{NAME}:base"
CREATED = 1795000000


def header(name, size=0, kind=b"0", link="", **fields):
    """The 512 bytes before a member, with a right checksum whatever `fields` say ({offset: bytes})."""
    entry = tarfile.TarInfo("x")
    entry.type, entry.linkname = kind, link
    block = bytearray(entry.tobuf(tarfile.GNU_FORMAT))
    raw = name if isinstance(name, bytes) else name.encode()
    block[0:100] = raw[:100].ljust(100, b"\0")
    block[124:136] = b"%011o\0" % size
    for at, data in fields.get("patch", {}).items():
        block[at:at + len(data)] = data
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def member(name, data=b"", kind=b"0", link=""):
    return header(name, len(data), kind, link) + data + bytes(-len(data) % 512)


def pax(**records):
    text = b""
    for key, value in records.items():
        body = b" " + key.replace("__", ".").encode() + b"=" + (value if isinstance(value, bytes) else value.encode()) + b"\n"
        size = len(body) + 1
        while size != len(body) + len(str(size)):
            size = len(body) + len(str(size))
        text += str(size).encode() + body
    return member("PaxHeaders/x", text, b"x")


def archive(manifest=None, conf=None, layers=(), more=()):
    """A legacy archive with these documents."""
    conf = conf if conf is not None else config(list(layers), CREATED)
    names = [f"{digest(b'v1' + l)}/layer.tar" for l in layers]
    entry = [{"Config": digest(conf) + ".json", "RepoTags": [TAG], "Layers": names}]
    manifest = manifest(entry) if manifest else json.dumps(entry).encode()
    parts = [member(n, l) for n, l in dict(zip(names, layers)).items()]
    return b"".join([*parts, *(member(n, d) for n, d in more), member(digest(conf) + ".json", conf), member("manifest.json", manifest), bytes(1024)])


# fault: archive-hostile
class BadArchives(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.host = Host(None, work_dir() / "bad-share", name="bad-archives-host")
        cls.engine = Engine("bad", ["--debug"])  # then it logs every call
        cls.runner = Runner(cls.host, cls.engine, name="bad-node")
        cls.base = images.busybox_rootfs()
        cls.host.tars.mkdir(exist_ok=True)
        cls.version = CREATED
        cls.good = [cls.base, layer({"etc/which": b"good\n"})]
        cls.put(legacy(cls.good, CREATED, [TAG]))
        assert cls.run_task().out == "good\n"
        cls.old = cls.engine.image(TAG)["Id"]

    @classmethod
    def tearDownClass(cls):
        cls.runner.stop()
        cls.host.stop()
        cls.engine.wipe()

    @classmethod
    def put(cls, content):
        """The newest version, the only one."""
        cls.version += 1
        for old in cls.host.tars.glob("*.tar"):
            old.unlink()
        path = cls.host.tars / f"{NAME}-{cls.version}.tar"
        path.write_bytes(content)
        return path

    @classmethod
    def run_task(cls):
        return cls.host.client("--target", "bad-node", "--container", NAME, "--cores", "0", "--wait", "--", "cat", "/etc/which")

    def uploads(self):
        return [l for l in self.engine.process.output().splitlines() if "Calling POST" in l and "/images/" in l or "Calling DELETE" in l]

    def refused(self, what, content, reason):
        with self.subTest(what):
            path = self.put(content)
            before, images_before = len(self.uploads()), self.engine.api("GET", "/images/json?all=1")
            result = self.run_task()
            self.assertEqual((result.code != 0, result.out), (True, ""), result)
            self.assertRegex(result.err, reason)
            self.assertIn(path.name, result.err)
            self.assertFalse([c for c in result.err.strip() if ord(c) < 32 and c != "\n"], "control characters in a message")
            self.assertEqual(self.uploads()[before:], [], "the Engine was given something")
            self.assertEqual(self.engine.api("GET", "/images/json?all=1"), images_before)
            self.assertEqual(self.engine.image(TAG)["Id"], self.old)

    def loaded(self, what, content, out):
        """Odd, but harmless."""
        with self.subTest(what):
            self.put(content)
            result = self.run_task()
            self.assertEqual((result.code, result.out), (0, out), result)
            self.assertEqual(self.engine.tags(), [TAG])
            type(self).old = self.engine.image(TAG)["Id"]

    def with_member(self, odd):
        """An archive that is right but for what comes first."""
        return odd + legacy([self.base, layer({"etc/which": b"bad\n"})], CREATED + 1, [TAG])

    def layers(self, text):
        return [self.base, layer({"etc/which": text.encode()})]

    def test_b1_names(self):
        for name, reason in (("../x", "leads out of the archive"), ("/x", "absolute"), ("a/../../x", "leads out"), ("", "no name"), (".", "no name"),
                             ("x/../../../../etc/cron.d/x", "leads out")):
            self.refused(f"name {name!r}", self.with_member(member(name, b"x")), reason)
        self.refused("NUL inside", self.with_member(pax(path=b"a\0b") + member("x", b"x")), "NUL")
        self.refused("64 kB name", self.with_member(member("././@LongLink", b"n" * 65536 + b"\0", b"L") + member("x", b"x")), "bytes long")
        self.refused("Config outside", archive(lambda m: json.dumps([{**m[0], "Config": "../../../../etc/passwd"}]).encode(), layers=self.layers("x")), "out of the archive")
        self.refused("Layers outside", archive(lambda m: json.dumps([{**m[0], "Layers": ["/etc/passwd", "/etc/passwd"]}]).encode(), layers=self.layers("x")), "absolute")
        self.refused("escape sequences in a name", self.with_member(member("../\x1b]0;owned\x07\x1b[31m", b"x")), "leads out")
        self.loaded("invalid UTF-8", member(b"\xff\xfe", b"x") + legacy(self.layers("utf\n"), CREATED + 2, [TAG]), "utf\n")

    def test_b2_links_and_devices(self):
        for what, odd, reason in (
                ("symlink to /", member("x", kind=b"2", link="/etc"), "leads out"),
                ("symlink up", member("x", kind=b"2", link="../../etc/passwd"), "leads out"),
                ("hard link to outside", member("x", kind=b"1", link="../outside"), "leads out"),
                ("a file through a symlink", member("dir/", kind=b"5") + member("x", kind=b"2", link="dir") + member("x/y", b"data"), "is a directory"),
                ("links in a circle", member("x", kind=b"2", link="y") + member("y", kind=b"2", link="x"), "circles"),
                ("character device", member("x", kind=b"3"), "device"), ("block device", member("x", kind=b"4"), "device"), ("FIFO", member("x", kind=b"6"), "FIFO"),
                ("unknown type", member("x", kind=b"V"), "unknown type")):
            self.refused(what, self.with_member(odd), reason)

    def test_b3_sizes(self):
        for what, odd, reason in (
                ("octal overflow", header("x", patch={124: b"777777777777"}), "truncated|absurd"),
                ("base-256 negative", header("x", patch={124: b"\xff" * 12}), "negative"),
                ("base-256 absurd", header("x", patch={124: b"\x80" + b"\xff" * 11}), "absurd"),
                ("no number", header("x", patch={124: b"12x45\0"}), "not a number"),
                ("a folder with data", header("x/", 512, b"5"), "claims to have data"),
                ("pax size beyond the file", pax(size="9999999999") + member("x"), "truncated"),
                ("pax size without end", pax(size="9" * 30) + member("x"), "absurd"),
                ("pax after pax", pax(path="a") + pax(path="b") + member("x"), "two pax"),
                ("long names in a chain", member("././@LongLink", b"a\0", b"L") * 2 + member("x"), "two long names"),
                ("global pax", member("g", b"10 path=b\n", b"g") + member("x"), "global"),
                ("sparse map of GNU", member("x", kind=b"S"), "unknown type"),
                ("sparse map of pax", pax(GNU__sparse__major="1") + member("x"), "sparse")):
            self.refused(what, self.with_member(odd), reason)

    def test_b4_ends_and_checksums(self):
        good = legacy(self.layers("end\n"), CREATED + 4, [TAG])
        damaged = bytearray(good)
        damaged[3] ^= 1
        self.refused("checksum of the first header", bytes(damaged), "not a tar file|checksum")
        second = bytearray(self.with_member(member("x", b"x")))
        second[1024 + 3] ^= 1
        self.refused("checksum of a later header", bytes(second), "checksum")
        self.refused("one byte missing", good[:-1], "truncated")
        self.refused("half of it missing", good[:len(good) // 2 // 512 * 512], "truncated|missing|no manifest")
        self.refused("cut within a header", good[:600], "truncated")
        self.refused("a member twice", good.rstrip(b"\0") + bytes(-len(good.rstrip(b"\0")) % 512) + member("manifest.json", b"[]") + bytes(1024), "twice")
        end = len(good.rstrip(b"\0"))
        end += -end % 512
        self.loaded("one zero block at the end", good[:end] + bytes(512), "end\n")
        self.loaded("none", legacy(self.layers("end 2\n"), CREATED + 5, [TAG])[:end], "end 2\n")
        self.loaded("garbage after the end", legacy(self.layers("end 3\n"), CREATED + 6, [TAG])[:end] + bytes(1024) + b"garbage!" * 64, "end 3\n")

    def test_b5_documents(self):
        layers = self.layers("x")
        entry = lambda change: lambda m: json.dumps([{**m[0], **change}]).encode()
        deep, many = b"[" * 100_000, 100_000
        for what, content, reason in (
                ("fewer layers than the config", archive(lambda m: json.dumps([{**m[0], "Layers": m[0]["Layers"][:1]}]).encode(), layers=layers), "1 layers, the config 2"),
                ("a layer that is not there", archive(lambda m: json.dumps([{**m[0], "Layers": [m[0]["Layers"][0], "gone"]}]).encode(), layers=layers), "missing"),
                ("deep JSON", archive(lambda m: deep, layers=layers), "deep"),
                ("deep JSON in the config", archive(conf=b'{"a":' + deep, layers=layers), "deep"),
                ("a number without end", archive(lambda m: b"[1e999]", layers=layers), "valid JSON"),
                ("nothing in it", archive(lambda m: b"[]", layers=layers), "no image"),
                ("two images", archive(lambda m: json.dumps(m + [{**m[0], "RepoTags": ["debian:12"]}]).encode(), layers=layers), "2 images"),
                ("no text for a layer", archive(entry({"Layers": [1, 2]}), layers=layers), "not a text"),
                ("a key twice, spelt differently", archive(entry({"repotags": ["debian:12"]}), layers=layers), "spells"),
                ("a config of 17 MB", archive(conf=b" " * (17 << 20), layers=layers), "large"),
                ("100,000 layers", archive(lambda m: json.dumps([{**m[0], "Layers": [m[0]["Layers"][0]] * many}]).encode(), layers=layers,
                                           conf=json.dumps({"rootfs": {"type": "layers", "diff_ids": ["sha256:" + digest(self.base)] * many}}).encode()), "100000 layers")):
            self.refused(what, content, reason)

    def test_b6_compression(self):
        good = legacy(self.layers("x"), CREATED + 6, [TAG])
        self.refused("gzip around it", gzip.compress(good), "compressed with gzip")
        self.refused("zstd around it", b"\x28\xb5\x2f\xfd" + good[4:], "compressed with zstd")
        # What a layer unpacks to is known only by unpacking it. gzip is unpacked before the Engine sees a byte; what is in zstd, an Engine that knows zstd has to find out.
        whole = gzip.compress(self.layers("x")[1], mtime=0)
        for what, packed in (("a small layer that unpacks to 50 MB", gzip.compress(bytes(50_000_000), mtime=0)), ("bytes after the end of gzip", whole + b"trailing" * 100),
                             ("gzip cut short", whole[:-20]), ("two streams in a row", whole + gzip.compress(b"more", mtime=0)),
                             ("zstd, which this Engine does not know", b"\x28\xb5\x2f\xfd" + bytes(600))):
            with self.subTest(what):
                layers = [self.base, self.layers("x")[1]]
                conf = config(layers, CREATED + 6)
                names = ["0/layer.tar", "1/layer.tar"]
                manifest = json.dumps([{"Config": digest(conf) + ".json", "RepoTags": [TAG], "Layers": names}]).encode()
                path = self.put(member(names[0], self.base) + member(names[1], packed) + member(digest(conf) + ".json", conf) + member("manifest.json", manifest) + bytes(1024))
                images_before, before = self.engine.api("GET", "/images/json?all=1"), len(self.uploads())
                result = self.run_task()
                self.assertEqual((result.code != 0, result.out), (True, ""), result)
                self.assertIn(path.name, result.err)
                self.assertRegex(result.err, "layer|digest|gzip|tar|diff", "the reason")
                if not what.startswith("zstd"):
                    self.assertEqual(self.uploads()[before:], [], "the Engine was given something")
                self.assertIn("old image is still in place", result.err)
                self.assertEqual(self.engine.api("GET", "/images/json?all=1"), images_before)
                self.assertEqual(self.engine.left_unpacked(), [])
        self.loaded("gzip layers in a row", oci(self.layers("gz\n"), CREATED + 7, [TAG], compress=True), "gz\n")

    def test_b7_digests(self):
        layers = self.layers("x")
        conf = lambda *ids: json.dumps({"created": "2026-01-01T00:00:00Z", "rootfs": {"type": "layers", "diff_ids": list(ids)}}).encode()
        right = "sha256:" + digest(layers[0])
        for what, wrong in (("upper case", "sha256:" + digest(layers[1]).upper()), ("unknown algorithm", "md5:d41d8cd98f00b204e9800998ecf8427e"),
                            ("too short", "sha256:abcd"), ("a path", "sha256:../../../../etc/passwd")):
            self.refused(what, archive(conf=conf(right, wrong), layers=layers), "no sha256 digest")
        good = config(layers, CREATED)
        self.refused("a config under another digest", archive(lambda m: json.dumps([{**m[0], "Config": "a" * 64 + ".json"}]).encode(), layers=layers,
                                                              more=[("a" * 64 + ".json", good)]), "has the digest")

    def test_b8_configs(self):
        layers = self.layers("x")
        whole = json.loads(config(layers, CREATED + 8))
        for what, change, reason in (("no rootfs", {"rootfs": None}, "no rootfs"), ("rootfs of another kind", {"rootfs": []}, "no rootfs"),
                                     ("a history that is longer than the layers", {"history": whole["history"] * 2}, "history")):
            self.refused(what, archive(conf=json.dumps({**whole, **change}).encode(), layers=layers), reason)

    def test_b9_foreign_tags(self):
        layers = self.layers("x")
        for tags in (["debian:latest"], [TAG, "debian:latest"], ["hakuriver/other-env:base"], ["docker.io/library/busybox:latest"]):
            self.refused(f"tags {tags}", legacy(layers, CREATED + 9, tags), "would also set the image tag")
        made = oci(layers, CREATED + 9, [TAG])
        annotated = self.with_index(made, lambda index: index["manifests"][0].update(annotations={"io.containerd.image.name": "docker.io/library/debian:latest"}))
        self.refused("in index.json only", annotated, "index.json names the image")

    @staticmethod
    def with_index(made, change):
        out, index = io.BytesIO(), None
        with tarfile.open(fileobj=io.BytesIO(made)) as old, tarfile.open(fileobj=out, mode="w") as new:
            for entry in old:
                data = old.extractfile(entry).read()
                if entry.name == "index.json":
                    index = json.loads(data)
                    change(index)
                    data = json.dumps(index).encode()
                    entry.size = len(data)
                new.addfile(entry, io.BytesIO(data))
        return out.getvalue()

    def test_b10_other_documents(self):
        layers = self.layers("tags of others\n")
        self.loaded("`repositories` with names of others", archive(layers=layers, more=[("repositories", b'{"debian":{"latest":"' + b"a" * 64 + b'"}}')]), "tags of others\n")
        kind = "application/vnd.oci.image.index.v1+json"
        inner = json.dumps({"schemaVersion": 2, "manifests": []}).encode()

        def nested(index):
            index["manifests"] = [{"mediaType": kind, "digest": "sha256:" + digest(inner), "size": len(inner)}]
        self.loaded("an index of indexes", self.with_index(oci(self.layers("nested\n"), CREATED + 11, [TAG]), nested), "nested\n")
        self.loaded("an index that names itself", self.with_index(oci(self.layers("itself\n"), CREATED + 12, [TAG]),
                    lambda index: index["manifests"].append({"mediaType": kind, "digest": "sha256:" + "0" * 64, "size": 1})), "itself\n")
        self.refused("no object", self.with_index(oci(layers, CREATED + 13, [TAG]), lambda index: index.update(manifests=[7])), "index.json is malformed")

    def test_sidecars_that_lie(self):
        path = self.put(legacy(self.layers("truth\n"), CREATED + 20, [TAG]))
        indexes = self.host.tars / ".riverbox"
        indexes.mkdir(exist_ok=True)
        stranger = "sha256:" + "0" * 64
        lie = {"format": 1, "tarball": path.name, "size_bytes": path.stat().st_size, "config_digest": stranger, "created": "2026-01-01T00:00:00Z", "architecture": "amd64",
               "os": "linux", "repo_tags": [TAG, "debian:latest"], "config": {"offset": 512, "size_bytes": 100},
               "layers": [{"member": "x", "diff_id": stranger, "offset": 512, "size_bytes": 512, "compressed": False}]}
        for what, text in (("another image", json.dumps(lie)), ("a layer outside of the file", json.dumps({**lie, "layers": [{**lie["layers"][0], "offset": 1 << 62}]})),
                           ("no JSON", "{" * 1000), ("empty", "")):
            with self.subTest(what):
                time.sleep(0.01)
                (indexes / f"{path.stem}.json").write_text(text)
                self.engine.docker("rmi", "-f", TAG)
                self.engine.docker("image", "prune", "-f")
                result = self.run_task()
                self.assertEqual((result.code, result.out), (0, "truth\n"), result)
                self.assertEqual(self.engine.tags(), [TAG])
                self.assertEqual(self.engine.image(TAG)["RootFS"]["Layers"], ["sha256:" + digest(l) for l in self.layers("truth\n")])
        type(self).old = self.engine.image(TAG)["Id"]

    # fault: archive-growing
    def test_one_that_is_still_growing(self):
        good = legacy(self.layers("grown\n"), CREATED + 21, [TAG])
        self.refused("half there", good[:len(good) // 2 + 100], "truncated")
        path = self.host.tars / f"{NAME}-{self.version}.tar"
        path.write_bytes(good)
        result = self.run_task()
        self.assertEqual((result.code, result.out), (0, "grown\n"), result)
        type(self).old = self.engine.image(TAG)["Id"]


if __name__ == "__main__":
    unittest.main()
