"""The versions of an environment: list, diff, pin, verify, delete. Most archives here are written by the test itself."""
import http.client
import io
import json
import re
import sys
import tarfile
import time
import unittest
from pathlib import Path

from cluster import Host, shared
from process import wait_until, work_dir

sys.path.insert(0, str(Path(__file__).resolve().parent))
from test_archives import digest, legacy, oci  # noqa: E402

DPKG = "Package: {}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {}\n\n"


def layer(files):
    """{path: bytes, or None for a folder} as the tar of a layer."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.mode = 0o755 if data is None else 0o644
            entry.type = tarfile.DIRTYPE if data is None else tarfile.REGTYPE
            entry.size = len(data or b"")
            tar.addfile(entry, io.BytesIO(data or b""))
    return out.getvalue()


BASE = layer({"etc": None, "etc/passwd": b"root:x:0:0\n", "etc/old": b"old", "var/lib/dpkg/status": DPKG.format("bash", "5.1").encode()})
CHANGE = layer({"etc": None, "etc/passwd": b"root:x:0:0\nme:x:1:1\n", "etc/.wh.old": b"", "opt": None, "opt/new": b"x" * 5000,
                "var/lib/dpkg/status": (DPKG.format("bash", "5.2") + DPKG.format("cowsay", "3.03")).encode()})


class Versions(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.c = shared()
        cls.host = cls.c.host
        cls.host.tars.mkdir(exist_ok=True)

    def setUp(self):
        self.name = "v-" + self._testMethodName[5:].replace("_", "-")[:40].rstrip("-.")
        self.addCleanup(lambda: self.host.docker("delete-tar", self.name, "--all", "--force"))

    def put(self, timestamp, layers, form=legacy, **options):
        path = self.host.tars / f"{self.name}-{timestamp}.tar"
        path.write_bytes(form(layers, timestamp, [f"hakuriver/{self.name}:base"], **options))
        return path

    def versions(self):
        return self.host.docker("versions", self.name, check=True).json()

    def index(self, timestamp):
        return self.host.tars / ".riverbox" / f"{self.name}-{timestamp}.json"

    def pin_file(self, timestamp):
        return self.host.tars / ".riverbox" / f"{self.name}-{timestamp}.pin"

    def refused(self, *words, says=()):
        result = self.host.docker(*words)
        self.assertEqual((result.code, result.out), (1, ""), (words, result))
        for text in says:
            self.assertIn(text, result.err)
        return result.err

    # ---- versions

    def test_list(self):
        self.put(1700000000, [BASE])
        self.put(1700000100, [BASE, CHANGE])
        newest = self.put(1700000200, [BASE, CHANGE, b"z" * 1024], form=oci)
        rows = self.versions()
        self.assertEqual([r["timestamp"] for r in rows], [1700000200, 1700000100, 1700000000])
        self.assertEqual(list(rows[0]), ["timestamp", "tarball", "size_bytes", "image_id", "created", "layers", "own_bytes", "pinned", "newest", "nodes",
                                         "problem", "signature"])
        self.assertEqual([r["own_bytes"] for r in rows], [1024, len(CHANGE), len(BASE)])
        self.assertEqual([r["layers"] for r in rows], [3, 2, 1])
        self.assertEqual([r["newest"] for r in rows], [True, False, False])
        self.assertEqual((rows[0]["tarball"], rows[0]["size_bytes"], rows[0]["created"]), (newest.name, newest.stat().st_size, "2023-11-14T22:16:40.123456789Z"))
        self.assertRegex(rows[0]["image_id"], "^sha256:[0-9a-f]{64}$")
        table = self.host.tty("hakuriver.docker", "versions", self.name)
        self.assertEqual(table.code, 0, table)
        plain = re.sub(r"\x1b\[\d+m", "", table.out)
        self.assertRegex(plain, r"VERSION +CREATED +SIZE +OWN +LAYERS +IMAGE ID +NODES +NOTE")
        self.assertRegex(plain, r"1700000200 .*" + rows[0]["image_id"][7:19] + r" +- +newest")
        for path in ("/docker/versions/", "/api/docker/versions/"):
            self.assertEqual(self.host.http("GET", path + self.name)[::2], (200, rows))

    def test_a_damaged_version_is_listed_with_the_reason(self):
        self.put(1700000000, [BASE])
        self.put(1700000100, [BASE, CHANGE]).write_bytes(b"not a tar" * 100)
        damaged, whole = self.versions()
        self.assertIn("tar", damaged["problem"])
        self.assertEqual((damaged["created"], damaged["layers"], damaged["own_bytes"], damaged["newest"]), (None, None, None, True))
        self.assertEqual((whole["problem"], whole["own_bytes"]), (None, len(BASE)))

    def test_what_is_not_there(self):
        for words in (["versions", "nowhere"], ["diff", "nowhere"], ["pin", "nowhere", "newest"], ["unpin", "nowhere", "1"], ["delete-tar", "nowhere"],
                      ["verify", "nowhere"]):
            self.refused(*words, says=["nowhere", "list-tars"])
        self.refused("versions", "Bad/Name", says=["Bad/Name"])
        for method, path in (("GET", "/docker/versions/nowhere"), ("GET", "/docker/versions/nowhere/diff"), ("POST", "/docker/versions/nowhere/newest/pin"),
                             ("POST", "/docker/delete_tar/nowhere"), ("POST", "/docker/verify/nowhere")):
            self.assertEqual(self.host.http(method, path)[0], 404, path)
            self.assertEqual(self.host.http(method, path.replace("nowhere", "No"))[0], 400, path)
            self.assertEqual(self.host.http(method, path, token="")[0], 401, path)

    def test_wrong_command_lines(self):
        for words in (["versions"], ["diff"], ["pin", "x"], ["unpin"], ["delete-tar"], ["verify", "a", "b"], ["diff", "a", "b", "c", "d"], ["delete-tar", "x", "1", "--all"],
                      ["delete-tar", "x", "--forc"]):
            result = self.host.docker(*words)
            self.assertEqual((result.code, result.out), (64, ""), (words, result))

    # ---- naming a version

    def test_every_way_to_name_a_version(self):
        for timestamp in (1700000000, 1700000100):
            self.put(timestamp, [BASE, b"%d" % timestamp])
        newest, previous = self.versions()
        ways = {"newest": newest, "previous": previous, "1700000100": newest, previous["tarball"]: previous, previous["image_id"][7:19]: previous,
                newest["image_id"]: newest, newest["image_id"][:20]: newest}
        for text, meant in ways.items():
            for verb in ("pin", "unpin"):
                answer = self.host.docker(verb, self.name, text, check=True).json()
                self.assertEqual((answer["timestamp"], answer["pinned"]), (meant["timestamp"], verb == "pin"), text)

    def test_no_such_version(self):
        for timestamp in (1700000000, 1700000100):
            self.put(timestamp, [BASE])
        for text in ("1700000001", "0123456789ab", f"{self.name}-5.tar"):
            self.refused("pin", self.name, text, says=[text, "1700000100 (newest), 1700000000"])
            self.assertEqual(self.host.http("POST", f"/docker/versions/{self.name}/{text}/pin")[0], 404, text)
        for text in ("latest", "oldest!", "abc", "../x", "-1"):
            self.refused("pin", self.name, "--", text, says=["1700000100 (newest), 1700000000"])
        status, _, body = self.host.http("POST", f"/docker/versions/{self.name}/latest/pin")
        self.assertEqual(status, 400)
        self.assertIn("newest", body["detail"])

    def test_previous_needs_two(self):
        self.put(1700000000, [BASE])
        self.refused("diff", self.name, says=["only one version"])

    # ---- diff

    def test_diff(self):
        for form in (legacy, oci, lambda *a: oci(*a, compress=True)):
            self.put(1700000000, [BASE], form)
            self.put(1700000100, [BASE, CHANGE], form)
            diff = self.host.docker("diff", self.name, check=True).json()
            self.assertEqual(list(diff), ["environment", "a", "b", "layers", "packages", "files", "notes"])
            self.assertEqual((diff["a"]["timestamp"], diff["b"]["timestamp"]), (1700000000, 1700000100))
            self.assertEqual([diff["layers"][k]["count"] for k in ("shared", "only_a", "only_b")], [1, 0, 1])
            self.assertEqual(diff["layers"]["only_b"]["layers"][0]["diff_id"], "sha256:" + digest(CHANGE))
            self.assertEqual(diff["packages"], {"dpkg": {"added": [{"name": "cowsay", "version": "3.03"}], "removed": [],
                                                         "upgraded": [{"name": "bash", "from": "5.1", "to": "5.2"}]}})
            files = {f["path"]: (f["change"], f["size_a"], f["size_b"]) for f in diff["files"]["list"]}
            self.assertEqual(files["/etc/passwd"], ("changed", 11, 20))
            self.assertEqual(files["/etc/old"], ("removed", 3, None))
            self.assertEqual(files["/opt/new"], ("added", None, 5000))
            self.assertEqual(set(files), {"/etc/passwd", "/etc/old", "/opt", "/opt/new", "/var/lib/dpkg/status"})
            self.assertEqual((diff["files"]["added"], diff["files"]["left_out"], diff["notes"]), ({"count": 2, "bytes": 5000}, 0, []))
        back = self.host.docker("diff", self.name, "newest", "previous", check=True).json()
        self.assertEqual(back["packages"]["dpkg"]["removed"], [{"name": "cowsay", "version": "3.03"}])
        self.assertEqual({f["path"]: f["change"] for f in back["files"]["list"]}["/etc/old"], "added")
        same = self.host.docker("diff", self.name, "newest", "newest", check=True).json()
        self.assertEqual((same["files"]["list"], same["packages"]), ([], {}))

    def test_diff_for_people(self):
        self.put(1700000000, [BASE])
        self.put(1700000100, [BASE, CHANGE, layer({f"many/{i:04}": b"x" for i in range(100)})])
        shown = self.host.tty("hakuriver.docker", "diff", self.name, columns=200).out.replace("\r", "")
        self.assertIn("1700000000 -> 1700000100", shown)
        self.assertRegex(shown, r"Layers: 1 shared \(.*\), 0 only in the first \(0 B\), 2 only in the second")
        self.assertIn("dpkg packages: 1 added, 0 removed, 1 upgraded\n  + cowsay 3.03\n  ~ bash 5.1 -> 5.2\n", shown)
        self.assertIn("  - /etc/old  3 B\n", shown)
        self.assertRegex(shown, r"  ~ /etc/passwd  11 B -> 20 B  \(size\)\n")
        self.assertIn("and 65 more (--json shows them)", shown)

    # fault: escape-sequences
    def test_diff_shows_names_safely(self):
        self.put(1700000000, [BASE])
        self.put(1700000100, [BASE, layer({"etc/\x1b[31mred": b"x"})])
        self.assertNotIn("\x1b[31m", self.host.tty("hakuriver.docker", "diff", self.name).out)

    def test_diff_of_a_hostile_layer(self):
        self.put(1700000000, [BASE])
        self.put(1700000100, [BASE, layer({"../../etc/shadow": b"x"}), layer({"fine": b"x"})])
        diff = self.host.docker("diff", self.name, check=True).json()
        self.assertEqual(len(diff["notes"]), 1)
        self.assertIn("leads out", diff["notes"][0])
        self.assertEqual([f["path"] for f in diff["files"]["list"]], ["/fine"])

    def test_diff_of_what_create_tar_made(self):
        host = Host(self.c.host_engine, work_dir() / "versions-share", name="versions-host", docker={"keep_versions": 3})
        self.addCleanup(host.stop)
        self.addCleanup(lambda: host.docker("delete-container", "real"))
        host.docker("create-container", "busybox:latest", "real", check=True)
        host.shell("real", "echo one > /root/kept; echo gone > /root/goes; mkdir /root/folder; echo x > /root/folder/in\n", check=True)
        host.docker("create-tar", "real", check=True)
        host.shell("real", "echo another > /root/kept; rm -r /root/goes /root/folder; echo new > '/root/with blank'\n", check=True)
        host.docker("create-tar", "real", check=True)
        diff = host.docker("diff", "real", check=True).json()
        changes = {f["path"]: f["change"] for f in diff["files"]["list"]}
        self.assertEqual({p: c for p, c in changes.items() if p.startswith("/root/")},
                         {"/root/kept": "changed", "/root/goes": "removed", "/root/folder": "removed", "/root/with blank": "added",
                          **({"/root/folder/in": "removed"} if "/root/folder/in" in changes else {})})
        self.assertEqual(diff["notes"], [])

    # ---- pin

    def test_a_pin_lies_on_the_share_and_keeps_the_version(self):
        for timestamp in (1700000000, 1700000100):
            self.put(timestamp, [BASE])
        self.assertIn("is pinned", self.host.docker("pin", self.name, "previous", check=True).json()["message"])
        self.assertEqual(json.loads(self.pin_file(1700000000).read_text())["tarball"], f"{self.name}-1700000000.tar")
        self.assertEqual([v["pinned"] for v in self.versions()], [False, True])
        self.assertIn("already", self.host.docker("pin", self.name, "previous", check=True).json()["message"])
        self.refused("delete-tar", self.name, "previous", says=["pinned", "--force"])
        self.refused("delete-tar", self.name, "--all", says=["pinned", "--force"])
        status, _, body = self.host.http("POST", f"/api/docker/delete_tar/{self.name}", {"version": "1700000000"})
        self.assertEqual(status, 409, body)
        self.assertEqual(len(self.host.tars_of(self.name)), 2, "all or nothing")
        self.host.docker("unpin", self.name, "1700000000", check=True)
        self.assertFalse(self.pin_file(1700000000).exists())
        self.host.docker("delete-tar", self.name, "1700000000", check=True)
        self.assertEqual(self.host.tars_of(self.name), [f"{self.name}-1700000100.tar"])

    def test_force_deletes_a_pinned_version_with_its_pin(self):
        self.put(1700000000, [BASE])
        self.host.docker("pin", self.name, "newest", check=True)
        self.host.docker("delete-tar", self.name, "--force", check=True)
        self.assertFalse(self.pin_file(1700000000).exists())

    # ---- delete-tar

    def test_delete(self):
        for timestamp in (1700000000, 1700000100, 1700000200):
            self.put(timestamp, [BASE])
        self.host.docker("verify", self.name, check=True)
        self.refused("delete-tar", self.name, says=["1700000200 (newest), 1700000100, 1700000000", "--all"])
        self.assertEqual(self.host.http("POST", f"/docker/delete_tar/{self.name}")[0], 409)
        answer = self.host.docker("delete-tar", self.name, "previous", check=True).json()
        self.assertEqual([v["timestamp"] for v in answer["deleted"]], [1700000100])
        self.assertFalse(self.index(1700000100).exists())
        self.assertEqual([v["timestamp"] for v in self.versions()], [1700000200, 1700000000])
        answer = self.host.docker("delete-tar", self.name, "--all", check=True).json()
        self.assertEqual((answer["message"], len(answer["deleted"])), (f"2 versions of '{self.name}' deleted.", 2))
        self.assertEqual([p for p in self.host.tars.rglob(f"{self.name}-*")], [])

    def test_the_only_version_needs_no_name(self):
        self.put(1700000000, [BASE])
        self.assertEqual(self.host.docker("delete-tar", self.name, check=True).json()["message"], f"Version 1700000000 of '{self.name}' deleted.")

    def test_bodies_that_make_no_sense(self):
        self.put(1700000000, [BASE])
        for body in ({"all": "yes"}, {"force": 1}, {"version": ["x"]}, {"version": "newest", "all": True}, b"[]"):
            self.assertEqual(self.host.http("POST", f"/docker/delete_tar/{self.name}", body)[0], 400, body)
        self.assertEqual(len(self.versions()), 1)

    def test_not_while_a_task_uses_it(self):
        self.host.environment_from("busybox:latest", self.name)
        self.addCleanup(lambda: self.host.docker("delete-container", self.name))
        self.host.docker("create-tar", self.name, check=True)
        task = self.host.submit("sleep 1000", container_name=self.name)
        self.addCleanup(lambda: self.host.http("POST", f"/kill/{task}"))
        self.refused("delete-tar", self.name, says=[task, "--force"])
        self.assertEqual(self.host.http("POST", f"/docker/delete_tar/{self.name}")[0], 409)
        self.put(1500000000, [BASE])
        self.host.docker("delete-tar", self.name, "1500000000", check=True)  # an older one is nobody's
        wait_until(lambda: self.host.status(task)["status"] == "running", 60, "the task to run")
        self.host.http("POST", f"/kill/{task}")
        self.host.docker("delete-tar", self.name, check=True)

    # ---- verify

    def test_verify_writes_indexes(self):
        path = self.put(1700000000, [BASE, CHANGE])
        first = self.host.docker("verify", self.name, check=True)
        self.assertEqual(first.err, "")
        self.assertEqual(list(first.json()), ["ok", "damaged", "versions", "read_bytes", "read_seconds", "advice"])
        row = first.json()["versions"][0]
        self.assertEqual(list(row), ["environment", "timestamp", "tarball", "size_bytes", "image_id", "state", "reason", "index", "index_problem", "signature", "nodes"])
        self.assertEqual((row["environment"], row["state"], row["reason"], row["index"]), (self.name, "ok", None, "rewritten"))
        good = self.index(1700000000).read_text()
        self.assertEqual(self.host.docker("verify", self.name, check=True).json()["versions"][0]["index"], "ok")
        wrong = json.loads(good)
        wrong["layers"][0]["diff_id"] = wrong["layers"][1]["diff_id"]
        for text in (json.dumps(wrong), "rubbish", good.replace('"architecture": "amd64"', '"architecture": "arm64"')):
            self.index(1700000000).write_text(text)
            self.assertEqual(self.host.docker("verify", self.name, check=True).json()["versions"][0]["index"], "rewritten")
            self.assertEqual(self.index(1700000000).read_text(), good)
        path.touch()
        self.assertEqual(self.host.docker("verify", self.name, check=True).json()["versions"][0]["index"], "rewritten", "an index older than its archive")

    def test_verify_finds_one_wrong_byte(self):
        whole = self.put(1700000000, [BASE])
        damaged = self.put(1700000100, [BASE, CHANGE])
        data = bytearray(damaged.read_bytes())
        data[data.index(b"x" * 5000) + 2500] ^= 1
        damaged.write_bytes(data)
        result = self.host.docker("verify", self.name)
        self.assertEqual(result.code, 1, result)
        self.assertIn("1 of 2 versions is damaged", result.err)
        answer = result.json()
        self.assertEqual((answer["ok"], answer["damaged"]), (1, 1))
        states = {v["timestamp"]: v for v in answer["versions"]}
        self.assertEqual(states[1700000000]["state"], "ok")
        self.assertEqual((states[1700000100]["state"], states[1700000100]["index"]), ("damaged", None))
        self.assertRegex(states[1700000100]["reason"], "layer 2 .*damaged.*sha256:" + digest(CHANGE))
        self.assertTrue(damaged.exists() and whole.exists(), "reported, never deleted")
        table = self.host.tty("hakuriver.docker", "verify", self.name, columns=300)
        self.assertEqual(table.code, 1)
        self.assertRegex(table.out, damaged.name + r" .*damaged")

    def test_verify_of_everything(self):
        self.put(1700000000, [BASE])
        cut = self.put(1700000100, [BASE, CHANGE])
        cut.write_bytes(cut.read_bytes()[:-1])
        status, headers, body = self.host.http("POST", "/api/docker/verify", headers={"Accept": "application/x-ndjson"})
        self.assertEqual((status, headers["content-type"]), (200, "application/x-ndjson"))
        lines = [json.loads(line) for line in body.splitlines()]
        self.assertTrue(any(l.get("progress", {}).get("step") == f"verifying {self.name}-1700000000.tar" for l in lines), lines)
        result = lines[-1]["result"]
        mine = {v["timestamp"]: v for v in result["versions"] if v["environment"] == self.name}
        self.assertEqual((mine[1700000000]["state"], mine[1700000100]["state"]), ("ok", "damaged"))
        self.assertIn("truncated", mine[1700000100]["reason"])

    def test_verify_ends_with_its_client(self):
        path = self.host.tars / f"{self.name}-1700000000.tar"
        size = 16 << 30
        with tarfile.open(path, "w") as tar:  # a sparse giant that nobody reads to its end
            entry = tarfile.TarInfo("layer.tar")
            entry.size = size
            tar.fileobj.write(entry.tobuf(tarfile.GNU_FORMAT))
            tar.fileobj.truncate(size + 512)
            tar.fileobj.seek(size + 512)
            tar.offset = size + 512
        read = lambda: int(re.search(r"rchar: (\d+)", Path(f"/proc/{self.host.process.popen.pid}/io").read_text())[1])
        connection = http.client.HTTPConnection("127.0.0.1", self.host.port, timeout=20)
        connection.request("POST", f"/docker/verify/{self.name}", headers={"Authorization": f"Bearer {self.host.token}", "Accept": "application/x-ndjson"})
        answer = connection.getresponse()
        self.assertIn("verifying", answer.readline().decode())
        begun = read()
        wait_until(lambda: read() - begun > 64 << 20, 10, "the host to read", step=0.02)
        connection.sock and connection.sock.close()
        answer.close()
        connection.close()

        def quiet():
            before = read()
            time.sleep(0.5)
            return read() - before < 1 << 20
        wait_until(quiet, 6, "the host to stop reading", step=0.1)
        path.unlink()

    # ---- completion

    def test_completion(self):
        for timestamp in (1700000000, 1700000100):
            self.put(timestamp, [BASE])
        complete = lambda *words: self.host.cli("riverbox", "__complete", "docker", *words, check=True).out.splitlines()
        for words in (["pin", self.name, ""], ["unpin", self.name, ""], ["diff", self.name, ""], ["diff", self.name, "previous", ""], ["delete-tar", "--force", self.name, ""]):
            self.assertEqual(complete(*words), ["1700000100", "1700000000", "newest", "previous"], words)
        self.assertEqual(complete("pin", self.name, "17000001"), ["1700000100"])
        self.assertIn(self.name, complete("versions", "v-"))
        self.assertEqual(complete("pin", "nowhere", ""), [])
        self.assertEqual(complete("pin", "Bad/Name", ""), [])
        self.assertEqual(complete("delete-tar", self.name, "--f"), ["--force"])
        self.assertIn("versions", complete("ver"))


if __name__ == "__main__":
    unittest.main()
