"""The share as a registry: skopeo, podman and the Docker Engine pull environments from the host; a runner without the share does so by itself."""
import gzip
import hashlib
import http.client
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import unittest
from base64 import b64encode
from pathlib import Path

import images
from cluster import Runner, shared
from process import MEMORY, wait_until, work_dir

sys.path.insert(0, str(Path(__file__).resolve().parent))
from test_archives import _add, config, digest, layer, legacy, oci  # noqa: E402

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def legacy_gzip(layers, created, tags):
    """As others write it: no OCI manifest, and the layers compressed. Nothing in it says what the digests of the compressed files are."""
    out = io.BytesIO()
    conf = config(layers, created)
    with tarfile.open(fileobj=out, mode="w") as tar:
        names = [f"{number}/layer.tar" for number in range(len(layers))]
        for name, data in zip(names, layers):
            _add(tar, name, gzip.compress(data, mtime=0))
        _add(tar, digest(conf) + ".json", conf)
        _add(tar, "manifest.json", json.dumps([{"Config": digest(conf) + ".json", "RepoTags": tags, "Layers": names}]).encode())
    return out.getvalue()


def sha256(data):
    return "sha256:" + digest(data)


class Registry(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.c = shared()
        cls.host, cls.engine = cls.c.host, cls.c.runner_engine
        cls.host.tars.mkdir(exist_ok=True)
        cls.address = f"127.0.0.1:{cls.host.port}"
        cls.base = images.busybox_rootfs()

    def setUp(self):
        self.name = "reg-" + self._testMethodName[5:].replace("_", "-")[:40].rstrip("-")
        self.repository = f"{self.address}/{self.name}"
        self.dir = work_dir() / self.name
        self.dir.mkdir()
        self.addCleanup(lambda: self.host.docker("delete-tar", self.name, "--all", "--force"))
        self.addCleanup(shutil.rmtree, self.dir, True)

    def put(self, version, layers, form=oci, **options):
        path = self.host.tars / f"{self.name}-{version}.tar"
        path.write_bytes(form(layers, version, [f"hakuriver/{self.name}:base"], **options))
        return path

    def layers(self, *texts):
        return [self.base, *(layer({"etc/which": text.encode()}) for text in texts)]

    def get(self, path, **options):
        return self.host.http("GET", path, **options)

    def manifest(self, reference="latest"):
        status, headers, body = self.get(f"/v2/{self.name}/manifests/{reference}", raw=True)
        self.assertEqual(status, 200, body)
        self.assertEqual(headers["docker-content-digest"], sha256(body))
        return headers["docker-content-digest"], json.loads(body)

    def run_tool(self, *argv, fails=False, **options):
        done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=120, **options)
        if (done.returncode != 0) != fails:
            raise AssertionError(f"{argv}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.stdout + (done.stderr if fails else "")

    def docker(self, *args, **options):
        """The docker command of an Engine's user who has logged in here only."""
        return self.engine.docker("--config", self.dir / "docker-config", *args, **options)

    def login(self, password=None):
        return self.docker("login", "-u", "me", "--password-stdin", self.address, input=password or self.host.token)

    def pull(self, reference):
        """Pulls with the Docker Engine; the image ID. It is gone when the test ends."""
        self.addCleanup(self.engine.docker, "rmi", "-f", reference, check=False)
        self.docker("pull", "-q", reference)
        return self.engine.image(reference)


def needs(tool):
    return unittest.skipUnless(shutil.which(tool), f"{tool} is not installed: nothing is known about it (scripts/setup installs it)")


class Tools(Registry):
    @needs("skopeo")
    def test_skopeo(self):
        self.put(1700000000, self.layers("old"))
        self.put(1700000100, self.layers("new"), legacy)
        creds = f"me:{self.host.token}"
        plain = ("--insecure-policy",)
        seen = json.loads(self.run_tool("skopeo", *plain, "inspect", "--tls-verify=false", "--creds", creds, f"docker://{self.repository}"))
        self.assertEqual(seen["RepoTags"], ["1700000000", "1700000100", "latest"])
        self.assertEqual(seen["Digest"], self.manifest()[0])
        self.assertEqual(seen["Layers"], [sha256(l) for l in self.layers("new")])

        older = self.manifest("1700000000")[0]
        ways = {"dir:" + str(self.dir / "dir"): ":latest", f"oci:{self.dir}/oci:x": "@" + older, f"docker-archive:{self.dir}/image.tar:copied:1": ":1700000000"}
        for target, source in ways.items():
            self.run_tool("skopeo", *plain, "copy", "--src-tls-verify=false", "--src-creds", creds, f"docker://{self.repository}{source}", target)
        for expected in self.layers("new"):
            self.assertEqual((self.dir / "dir" / digest(expected)).read_bytes(), expected)
        self.addCleanup(self.engine.docker, "rmi", "-f", "copied:1", check=False)
        self.engine.docker("load", "-i", self.dir / "image.tar")
        self.assertEqual(self.engine.docker("run", "--rm", "copied:1", "cat", "/etc/which"), "old")
        wrong = self.run_tool("skopeo", *plain, "inspect", "--tls-verify=false", "--creds", "me:wrong", f"docker://{self.repository}", fails=True)
        self.assertRegex(wrong, "authentication required|nauthorized|401|invalid username/password")

    @needs("podman")
    def test_podman(self):
        self.put(1700000000, self.layers("pod"))
        self.put(1700000100, self.layers("pod", "pod two"), legacy_gzip)
        podman = ("podman", "--root", self.dir / "root", "--runroot", self.dir / "run", "--storage-driver", "vfs", "--events-backend", "none")
        policy = self.dir / "policy.json"
        policy.write_text('{"default":[{"type":"insecureAcceptAnything"}]}')
        for reference in (":1700000000", ":latest", "@" + self.manifest()[0]):
            self.run_tool(*podman, "pull", "--signature-policy", policy, "--tls-verify=false", "--creds", f"me:{self.host.token}", self.repository + reference)
        found = json.loads(self.run_tool(*podman, "image", "inspect", f"{self.repository}:1700000000", self.repository))
        self.assertEqual([f["RootFS"]["Layers"] for f in found], [[sha256(l) for l in self.layers(*texts)] for texts in (["pod"], ["pod", "pod two"])])

    def test_docker(self):
        self.put(1700000000, self.layers("old"))
        conf = sha256(config(self.layers("new"), 1700000100))
        self.put(1700000100, self.layers("new"), legacy)
        with self.assertRaisesRegex(AssertionError, "no basic auth credentials|401|nauthorized"):
            self.docker("pull", self.repository)
        with self.assertRaisesRegex(AssertionError, "401|nauthorized"):
            self.login("wrong")
        self.login()
        self.assertEqual(self.pull(f"{self.repository}:latest")["Id"], conf)
        self.assertEqual(self.pull(f"{self.repository}:1700000100")["Id"], conf)
        older, manifest = self.manifest("1700000000")
        self.assertEqual(self.pull(f"{self.repository}@{older}")["Id"], manifest["config"]["digest"])
        self.assertEqual(self.engine.docker("run", "--rm", f"{self.repository}@{older}", "cat", "/etc/which"), "old")
        with self.assertRaisesRegex(AssertionError, "(?s)manifest.*(unknown|not found)"):
            self.docker("pull", f"{self.repository}:17")

    def test_docker_compressed_layers_of_others(self):
        self.put(1700000000, self.layers("packed"), legacy_gzip)
        self.login()
        self.assertEqual(self.pull(self.repository)["RootFS"]["Layers"], [sha256(l) for l in self.layers("packed")])
        self.assertEqual(self.engine.docker("run", "--rm", self.repository, "cat", "/etc/which"), "packed")
        _, manifest = self.manifest()
        self.assertEqual([l["digest"] for l in manifest["layers"]], [sha256(gzip.compress(l, mtime=0)) for l in self.layers("packed")])

    def test_docker_takes_only_what_changed(self):
        self.host.environment_from(self.c.busybox, self.name)
        self.addCleanup(lambda: self.host.docker("delete-container", self.name))
        self.login()
        self.addCleanup(self.engine.docker, "rmi", "-f", self.repository, check=False)
        for text, already in (("one", 0), ("two", None)):
            self.host.shell(self.name, f"echo {text} > /etc/which")
            self.host.docker("create-tar", self.name, check=True)
            layers = len(self.manifest()[1]["layers"])
            said = self.docker("pull", self.repository)
            self.assertEqual(self.engine.docker("run", "--rm", self.repository, "cat", "/etc/which"), text)
            if already is None:
                self.assertEqual((said.count("Already exists"), said.count("Pull complete")), (layers - 1, 1), said)

    def test_docker_push_is_refused(self):
        self.put(1700000000, self.layers("x"))
        self.login()
        self.pull(self.repository)
        with self.assertRaisesRegex(AssertionError, "create-tar|405|unsupported"):
            self.docker("push", self.repository)


class Api(Registry):
    def code(self, path, method="GET", **options):
        status, headers, body = self.host.http(method, path, **options)
        self.assertEqual(headers.get("docker-distribution-api-version"), "registry/2.0", path)
        return status, body["errors"][0]["code"] if status >= 400 else body

    def test_who_may_pull(self):
        self.put(1700000000, self.layers("x"))
        basic = lambda text: {"Authorization": "Basic " + b64encode(text.encode()).decode()}
        paths = ("/v2/", "/v2/_catalog", f"/v2/{self.name}/tags/list", f"/v2/{self.name}/manifests/latest", f"/v2/{self.name}/blobs/{sha256(self.base)}")
        for path in paths:
            for options in ({"token": ""}, {"token": "wrong"}, {"token": "", "headers": basic("me:wrong")}, {"token": "", "headers": basic(self.host.token)},
                            {"token": "", "headers": {"Authorization": "Basic ?"}}):
                for method, prefix in (("GET", ""), ("HEAD", ""), ("GET", "/api")):
                    status, headers, _ = self.host.http(method, prefix + path, raw=True, **options)
                    self.assertEqual((status, headers["www-authenticate"]), (401, 'Basic realm="riverbox"'), (path, options))
            self.assertEqual(self.code(path, token="")[1], "UNAUTHORIZED")
            for options in ({}, {"token": "", "headers": basic("anybody:" + self.host.token)}):
                self.assertEqual(self.get(path, raw=True, **options)[0], 200, path)
        # a password opens the registry, and nothing that changes something
        self.assertEqual(self.get("/nodes", token="", headers=basic("me:" + self.host.token))[0], 401)
        self.assertEqual(self.code("/v2/x/blobs/uploads/", "POST", token=""), (401, "UNAUTHORIZED"))

    def test_what_is_not_there(self):
        self.put(1700000000, self.layers("x"))
        nothing = sha256(b"nothing")
        for path, expected in {
            "/v2/nowhere/manifests/latest": (404, "NAME_UNKNOWN"), "/v2/nowhere/tags/list": (404, "NAME_UNKNOWN"), f"/v2/nowhere/blobs/{nothing}": (404, "NAME_UNKNOWN"),
            f"/v2/{self.name}/manifests/1700000001": (404, "MANIFEST_UNKNOWN"), f"/v2/{self.name}/manifests/newest": (404, "MANIFEST_UNKNOWN"),
            f"/v2/{self.name}/manifests/{nothing}": (404, "MANIFEST_UNKNOWN"), f"/v2/{self.name}/blobs/{nothing}": (404, "BLOB_UNKNOWN"),
            f"/v2/{self.name}/blobs/sha256:1": (400, "DIGEST_INVALID"), f"/v2/{self.name}/manifests/sha512:{'0' * 128}": (400, "DIGEST_INVALID"),
            "/v2/MyEnv/tags/list": (400, "NAME_INVALID"), "/v2/..%2f..%2fetc/manifests/latest": (400, "NAME_INVALID"),
            "/v2/library/busybox/manifests/latest": (404, "NAME_UNKNOWN"), f"/v2/{self.name}/referrers/{nothing}": (404, "NAME_UNKNOWN"),
            f"/v2/{self.name}/tags/list?n=x": (400, "PAGINATION_NUMBER_INVALID"),
        }.items():
            self.assertEqual(self.code(path), expected, path)
        for method, path in (("POST", "blobs/uploads/"), ("PUT", "manifests/latest"), ("DELETE", f"manifests/{nothing}"), ("DELETE", f"blobs/{nothing}"), ("PATCH", "blobs/uploads/1")):
            self.assertEqual(self.code(f"/v2/{self.name}/{path}", method), (405, "UNSUPPORTED"), path)

    def test_a_damaged_archive_says_so(self):
        self.put(1700000000, self.layers("x"))
        self.put(1700000100, []).write_bytes(b"not a tar" * 1000)
        status, code = self.code(f"/v2/{self.name}/manifests/latest")
        self.assertEqual((status, code), (500, "UNKNOWN"))
        self.assertEqual(self.manifest("1700000000")[1]["schemaVersion"], 2)

    def test_ranges(self):
        self.put(1700000000, self.layers("x"))
        path, size = f"/v2/{self.name}/blobs/{sha256(self.base)}", len(self.base)
        ask = lambda method="GET", **headers: self.host.http(method, path, raw=True, headers={k.replace("_", "-"): v for k, v in headers.items()})
        status, headers, body = ask()
        etag = headers["etag"]
        self.assertEqual((status, body, headers["accept-ranges"], headers["content-length"]), (200, self.base, "bytes", str(size)))
        self.assertEqual((headers["docker-content-digest"], etag), (sha256(self.base), f'"{sha256(self.base)}"'))
        status, headers, body = ask("HEAD")
        self.assertEqual((status, headers["content-length"], body), (200, str(size), b""))
        for text, first, last in (("0-0", 0, 0), ("100-199", 100, 199), (f"{size - 5}-", size - 5, size - 1), ("-7", size - 7, size - 1), (f"5-{size * 2}", 5, size - 1)):
            status, headers, body = ask(Range="bytes=" + text)
            self.assertEqual((status, headers["content-range"], body), (206, f"bytes {first}-{last}/{size}", self.base[first:last + 1]), text)
        status, headers, _ = ask(Range=f"bytes={size}-")
        self.assertEqual((status, headers["content-range"]), (416, f"bytes */{size}"))
        for text in ("bytes=9-3", "bytes=0-1,5-6", "lines=1-2"):
            self.assertEqual(ask(Range=text)[0], 200, text)
        self.assertEqual(ask(Range="bytes=1-2", If_Range=etag)[0], 206)
        self.assertEqual(ask(Range="bytes=1-2", If_Range='"other"')[0], 200)
        self.assertEqual((ask(If_None_Match=etag)[0], ask(If_None_Match='"other"')[0]), (304, 200))

    def test_manifests_are_served_as_they_are_and_negotiated(self):
        archive = oci(self.layers("x"), 1700000000, [])
        self.put(1700000000, self.layers("x"))
        path = f"/v2/{self.name}/manifests/latest"
        status, headers, body = self.get(path, raw=True)
        self.assertEqual((status, headers["content-type"], headers["riverbox-tarball"]), (200, OCI_MANIFEST, f"{self.name}-1700000000.tar"))
        self.assertIn(body, archive)
        self.assertEqual(self.get(f"/v2/{self.name}/manifests/{sha256(body)}", raw=True)[2], body)
        status, headers, nothing = self.host.http("HEAD", path, raw=True)
        self.assertEqual((status, headers["content-length"], headers["docker-content-digest"], nothing), (200, str(len(body)), sha256(body), b""))
        for accept, expected in (("*/*", 200), ("application/*;q=0.5", 200), (f"application/x, {OCI_MANIFEST}; q=1", 200), ("text/html", 404),
                                 ("application/vnd.docker.distribution.manifest.v2+json", 404)):
            self.assertEqual(self.get(path, headers={"Accept": accept})[0], expected, accept)

    def test_lists_in_pages(self):
        versions = [1700000000 + n for n in range(5)]
        for version in versions:
            self.put(version, self.layers(str(version)))
        seen, path = [], f"/v2/{self.name}/tags/list?n=2"
        while path:
            status, headers, body = self.get(path)
            self.assertEqual((status, body["name"]), (200, self.name))
            seen.append(body["tags"])
            link = re.fullmatch('<(.*)>; rel="next"', headers.get("link", ""))
            path = link and link.group(1)
        self.assertEqual(seen, [[str(v) for v in versions[i:i + 2]] for i in (0, 2)] + [[str(versions[4]), "latest"]])
        self.assertEqual(self.get(f"/v2/{self.name}/tags/list?n=0")[2]["tags"], [])
        catalog = self.get("/v2/_catalog")[2]["repositories"]
        self.assertIn(self.name, catalog)
        self.assertEqual(catalog, sorted(catalog))
        after = self.get(f"/v2/_catalog?n=1&last={self.name[:-1]}")[2]["repositories"]
        self.assertEqual(after, [self.name])

    # fault: publish-while-read
    def test_deleted_while_it_is_read(self):
        big = os.urandom(1 << 20) * 24
        self.put(1700000000, [big])
        self.put(1700000100, self.layers("x"))
        connection = http.client.HTTPConnection("127.0.0.1", self.host.port, timeout=60)
        connection.request("GET", f"/v2/{self.name}/blobs/{sha256(big)}", headers={"Authorization": f"Bearer {self.host.token}"})
        answer = connection.getresponse()
        sha = hashlib.sha256(answer.read(1 << 20))
        self.host.docker("delete-tar", self.name, "1700000000", check=True)
        self.assertEqual(self.code(f"/v2/{self.name}/blobs/{sha256(big)}"), (404, "BLOB_UNKNOWN"))
        while data := answer.read(1 << 20):
            sha.update(data)
        self.assertEqual("sha256:" + sha.hexdigest(), sha256(big))
        connection.close()

    # fault: reader-stops
    def test_readers_who_do_not_read_stop_nobody(self):
        big = os.urandom(1 << 20) * 8
        self.put(1700000000, [big])
        idle = []
        for _ in range(40):  # more than there are workers for downloads
            connection = http.client.HTTPConnection("127.0.0.1", self.host.port, timeout=60)
            connection.request("GET", f"/v2/{self.name}/blobs/{sha256(big)}", headers={"Authorization": f"Bearer {self.host.token}"})
            idle.append(connection)
        wait_until(lambda: self.manifest(), 5)
        self.assertEqual(self.host.docker("list-tars").code, 0)
        self.assertEqual(self.host.docker("verify", self.name).code, 0)
        self.assertLess(self.host.process.rss_mb(), 64 * MEMORY)
        for connection in idle:
            connection.close()
        self.assertEqual(len(self.get(f"/v2/{self.name}/blobs/{sha256(big)}", raw=True, timeout=20)[2]), len(big))


class RunnerWithoutShare(Registry):
    def start(self, name, **options):
        runner = Runner(self.host, self.engine, name=name, paths={"shared_dir": self.dir / "not-the-share"}, start=False, **options)
        (self.dir / "not-the-share").mkdir()
        runner.start()
        self.addCleanup(runner.stop)
        self.addCleanup(self.engine.docker, "rmi", "-f", f"hakuriver/{self.name}:base", check=False)
        return runner

    def run_task(self, runner):
        """The text of /etc/which. The output comes through the runner, the host's share has no file of it."""
        done = self.host.client("--target", runner.name, "--container", self.name, "--wait", "--", "cat", "/etc/which")
        self.assertEqual(done.code, 0, (done, runner.log()[-2000:]))
        return done.out

    def loads(self, runner):
        """What each load sent, from the runner's log."""
        return re.findall(r'loaded an environment.*"layers_sent":"(\d+ of \d+)","bytes":"(\d+)"', runner.log())

    def test_the_host_gives_what_is_missing(self):
        self.put(1700000000, self.layers("one"))
        runner = self.start("noshare")
        self.host.wait_online("noshare")
        self.assertEqual(self.run_task(runner), "one")
        self.assertEqual(self.run_task(runner), "one")
        first = self.loads(runner)
        self.assertEqual(len(first), 1, runner.log()[-2000:])
        for version, form, texts in ((1700000100, oci, ("one", "two")), (1700000200, legacy, ("one", "two", "three")), (1700000300, legacy_gzip, ("one", "two", "three", "four"))):
            made = self.layers(*texts)
            self.put(version, made, form)
            self.assertEqual(self.run_task(runner), texts[-1])
            travelled = gzip.compress(made[-1], mtime=0) if form is legacy_gzip else made[-1]
            self.assertEqual(self.loads(runner)[-1], (f"1 of {len(made)}", str(len(travelled))))
        newest = max((self.dir / "not-the-share/task_outputs").iterdir(), key=lambda file: file.stat().st_mtime)
        self.assertEqual(newest.read_text(), "four")
        self.assertEqual(self.host.client("logs", "-f", newest.stem).out, "four", "also when it is long over")
        self.assertEqual([p for p in (runner.home / "state").iterdir() if "pull" in p.name], [])

    # fault: share-shows-late
    def test_a_share_that_does_not_show_the_archive_yet(self):
        self.put(1700000000, self.layers("late"))
        runner = self.start("noshare4")
        (self.dir / "not-the-share/hakuriver-containers").mkdir()
        self.host.wait_online("noshare4")
        self.assertEqual(self.run_task(runner), "late")
        self.assertRegex(runner.log(), "the host has announced .* but .* does not show it")

    def test_an_environment_that_nobody_has(self):
        self.put(1700000000, self.layers("one"))
        runner = self.start("noshare2")
        self.host.wait_online("noshare2")
        task = self.host.submit("true", targets=["noshare2"], container_name=self.name)
        (self.host.tars / f"{self.name}-1700000000.tar").unlink()
        done = self.host.wait_task(task)
        if done["status"] == "failed":  # else it was faster than we
            self.assertIn(self.name, done["error_message"])

    def test_a_layer_that_is_damaged_is_refused(self):
        archive = self.put(1700000000, self.layers("one two three"))
        archive.write_bytes(archive.read_bytes().replace(b"one two three", b"one two thre3"))
        runner = self.start("noshare3")
        self.host.wait_online("noshare3")
        task = self.host.submit("true", targets=["noshare3"], container_name=self.name)
        done = self.host.wait_task(task)
        self.assertEqual(done["status"], "failed")
        self.assertIn("digest", done["error_message"])
        self.assertIsNone(self.engine.image(f"hakuriver/{self.name}:base"))
