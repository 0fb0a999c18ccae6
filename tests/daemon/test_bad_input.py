"""Bad input: each gets one clear line and the right exit code or status, and nothing is left half done."""
import os
import socket
import subprocess
import unittest
from urllib.parse import quote

from cluster import Host, bin_dir, environment, run, shared, write_config
from process import PATIENCE, free_port, work_dir

BAD_NAMES = ("../x", "-rf", "MyEnv", "n" * 300, "😀", "new\nline", "a/b", ".", "..", "", " ", "x y", "a..b", "end-", "$(id)", "a\x1b[31mb", "CON")


def one_line(test, text, context):
    """One line that says what is wrong; at most two more that say what to do next."""
    test.assertIn(len(text.strip().split("\n")), (1, 2, 3), (context, text))
    test.assertLess(len(text), 1000, context)
    test.assertFalse([c for c in text.strip() if ord(c) < 32 and c != "\n"], ("control characters in a message", context, text))


# fault: names-odd
class Names(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.c = shared()
        cls.host, cls.engine = cls.c.host, cls.c.host_engine

    def test_on_the_command_line(self):
        before = {c["Id"] for c in self.engine.containers()}
        for name in BAD_NAMES:
            for command in (["create-container", "busybox:latest"], ["stop-container"], ["create-tar"]):
                # "--" so that "-rf" is a name and no option
                result = self.host.docker(command[0], *command[1:], "--", name)
                self.assertIn(result.code, (1, 64), (command, name, result))
                self.assertEqual(result.out, "", (command, name))
                one_line(self, result.err, (command, name))
        self.assertEqual({c["Id"] for c in self.engine.containers()}, before)

    def test_a_name_that_looks_like_an_option(self):
        result = self.host.docker("delete-container", "-rf")
        self.assertEqual((result.code, result.out), (64, ""), result)

    def test_upper_case_gets_the_lower_case_name_proposed(self):
        result = self.host.docker("create-container", "busybox:latest", "MyEnv")
        self.assertEqual(result.code, 1, result)
        self.assertIn("myenv", result.err)

    def test_over_rest(self):
        before = {c["Id"] for c in self.engine.containers()}
        for name in BAD_NAMES:
            for base in ("", "/api"):
                status, _, body = self.host.http("POST", f"{base}/docker/host/create", {"image_name": "busybox:latest", "container_name": name})
                self.assertIn(status, (400, 422), (name, body))
                self.assertIsInstance(body["detail"], str, name)
                one_line(self, body["detail"], name)
                if name and "/" not in name and name not in (".", ".."):
                    status, _, body = self.host.http("POST", f"{base}/docker/host/stop/{quote(name)}")
                    self.assertIn(status, (400, 404, 422), (name, body))
        self.assertEqual({c["Id"] for c in self.engine.containers()}, before)

    def test_paths_that_try_to_climb(self):
        for path in ("/docker/create_tar/..%2f..%2fetc", "/docker/host/stop/%2e%2e", "/api/docker/container/..%2fx", "/task/..%2f1/stdout",
                     "/docker/host/stop/a%00b", "/docker/host/stop/%zz"):
            method = "GET" if "task" in path or "container/" in path else "POST"
            self.assertIn(self.host.http(method, path)[0], (400, 404, 405, 422), path)

    def test_images_that_are_no_images(self):
        for image in ("", " ", "UPPER/case", "-rf", "a" * 5000, "x:y:z", "busybox@sha256:zz", "😀", "a\nb"):
            result = self.host.docker("create-container", "--", image, "no-env")
            self.assertIn(result.code, (1, 64), (image, result))
            one_line(self, result.err, image)
        self.assertIsNone(self.engine.container("no-env"))

    def test_a_name_in_a_task(self):
        for name in ("../x", "MyEnv", "n" * 300):
            result = self.host.client("--target", "node1", "--container", name, "--wait", "--", "true")
            self.assertNotEqual(result.code, 0, (name, result))
            one_line(self, result.err, name)


class Places(unittest.TestCase):
    def start_host(self, config, **env):
        home = work_dir() / f"bad-home-{self._testMethodName}"
        home.mkdir(exist_ok=True)
        return run([bin_dir() / "riverbox", "host", "--config", config],
                   environment(home, DOCKER_HOST=shared().host_engine.host, **env), timeout=20)

    # fault: place-taken
    def test_a_port_in_use(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            config = write_config(work_dir() / "port.toml", network={"host_port": port, "host_bind_ip": "127.0.0.1"},
                                  paths={"state_dir": work_dir() / "port-state", "shared_dir": work_dir() / "port-share"})
            result = self.start_host(config)
        self.assertEqual(result.code, 69, result)
        self.assertIn(str(port), result.err)
        self.assertIn("in use", result.err)

    # fault: docker-silent
    def test_no_docker_engine(self):
        host = Host(None, work_dir() / "no-engine-share", name="no-engine-host")
        self.addCleanup(host.stop)
        for command in (["list-containers"], ["create-container", "busybox:latest", "x1"], ["stop-container", "x1"], ["create-tar", "x1"]):
            result = host.docker(*command)
            self.assertIn(result.code, (1, 69), (command, result))
            self.assertEqual(result.out, "")
            self.assertIn("ocker", result.err)
            one_line(self, result.err, command)
            self.assertLess(result.seconds, 8 * PATIENCE)
        self.assertEqual(host.http("GET", "/docker/host/containers")[0], 503)

    # fault: share-hangs
    def test_a_share_that_is_missing(self):
        share = work_dir() / "blocked"
        share.write_text("a file, where the folder should be")
        config = write_config(work_dir() / "share.toml", network={"host_port": free_port(), "host_bind_ip": "127.0.0.1"},
                              paths={"state_dir": work_dir() / "share-state", "shared_dir": share / "sub"})
        # The host either says at once that it cannot work, or starts and says so to whoever needs the share.
        home = work_dir() / "blocked-home"
        home.mkdir()
        from process import Process, wait_until
        import time
        process = Process([bin_dir() / "riverbox", "host", "--config", config], home / "log",
                          env=environment(home, DOCKER_HOST=shared().host_engine.host))
        self.addCleanup(process.end)
        time.sleep(1.5)
        if process.running():
            result = run([bin_dir() / "hakuriver.docker", "--config", config, "list-tars"], environment(home))
            self.assertEqual(result.code, 1, result)
            self.assertIn(str(share), result.err)
        else:
            self.assertIn(process.popen.returncode, (1, 74, 78))
            self.assertIn(str(share), process.output())


# fault: config-odd
class Configuration(unittest.TestCase):
    def show(self, text):
        home = work_dir() / "config-home"
        home.mkdir(exist_ok=True)
        file = home / "given.toml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return run([bin_dir() / "riverbox", "config", "show", "--config", file], environment(home)), file

    def test_a_wrong_type(self):
        for text, word in (('[network]\nhost_port = "eight"\n', "host_port"), ("[docker]\nkeep_versions = 0\n", "keep_versions"),
                           ("[paths]\nshared_dir = 3\n", "shared_dir"), ("[docker]\nadditional_mounts = \"x\"\n", "additional_mounts"),
                           ("[network]\nhost_port = 70000\n", "host_port")):
            result, file = self.show(text)
            self.assertEqual((result.code, result.out), (78, ""), (text, result))
            self.assertIn(word, result.err)
            self.assertIn(str(file), result.err)
            one_line(self, result.err, text)

    def test_bad_toml(self):
        for text in ("[network\n", "a = \n", "[a]\nb = 1\nb = 2\n", "\x00\x01", b"\xff\xfe\x00"):
            result, file = self.show(text)
            self.assertEqual((result.code, result.out), (78, ""), (text, result))
            self.assertIn(str(file), result.err)

    def test_an_unknown_key_is_a_warning_with_the_nearest_name(self):
        result, _ = self.show("[network]\nhost_prot = 1234\n[dokcer]\nprefix = \"hakuriver\"\n")
        self.assertEqual(result.code, 0, result)
        self.assertIn("host_port", result.err)
        self.assertIn("docker", result.err)

    def test_files_that_are_fine(self):
        for text in ("", "\ufeff[network]\r\nhost_port = 1234\r\n", "# nothing\n"):
            result, _ = self.show(text)
            self.assertEqual((result.code, result.err), (0, ""), (text, result))

    def test_show_says_where_each_value_is_from(self):
        result, file = self.show("[network]\nhost_port = 1234\n")
        line = next(l for l in result.out.splitlines() if "host_port" in l)
        self.assertIn("1234", line)
        self.assertIn(str(file), line)
        self.assertIn("default", next(l for l in result.out.splitlines() if "container_dir" in l))

    # fault: config-odd
    def test_a_token_that_others_can_read(self):
        home = work_dir() / "leaky-home"
        (home / ".riverbox").mkdir(parents=True)
        token = home / ".riverbox/token"
        token.write_text("0" * 64 + "\n")
        token.chmod(0o644)
        result = run([bin_dir() / "hakuriver.docker", "list-tars"], environment(home, RIVERBOX_HOST="http://127.0.0.1:1"))
        self.assertIn(result.code, (77, 78), result)
        self.assertIn(str(token), result.err)

    def test_a_config_that_is_a_folder(self):
        result = run([bin_dir() / "hakuriver.docker", "--config", "/etc", "list-tars"], environment(work_dir()))
        self.assertEqual(result.code, 78, result)


# fault: client-killed
class Outputs(unittest.TestCase):
    def test_a_full_disk_behind_stdout_is_an_error(self):
        host = shared().host
        with open("/dev/full", "w") as full:
            done = subprocess.run([bin_dir() / "hakuriver.docker", "list-containers"], env=host.env, stdout=full, stderr=subprocess.PIPE, text=True)
        self.assertNotEqual(done.returncode, 0)
        self.assertTrue(done.stderr.strip())

    def test_a_reader_that_goes_early(self):
        host = shared().host
        done = subprocess.run(["bash", "-c", "hakuriver.docker list-containers | head -c 1"], env=host.env, capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))


if __name__ == "__main__":
    unittest.main()
