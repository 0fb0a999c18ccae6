"""The seven commands of hakuriver.docker against a real Engine, with the output that the reference documents."""
import json
import unittest

from cluster import shared
from process import PATIENCE, wait_until


class Commands(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.c = shared()
        cls.host, cls.engine = cls.c.host, cls.c.host_engine

    def make(self, name, image="busybox:latest"):
        self.addCleanup(lambda: self.host.docker("delete-container", name))
        return self.host.docker("create-container", image, name, check=True)

    def listed(self, name):
        return next((c for c in self.host.docker("list-containers", check=True).json() if c["name"] == name), None)

    # ---- create-container

    def test_create_from_a_local_image(self):
        result = self.make("local-env")
        self.assertEqual(result.err, "", "stderr is silent without a terminal")
        self.assertIn("local-env", json.dumps(result.json()))
        container = self.engine.container("local-env")
        self.assertTrue(container["State"]["Running"])
        self.assertEqual(container["Config"]["Labels"]["hakuriver.managed"], "true")
        self.assertEqual(container["Config"]["Labels"]["hakuriver.environment"], "local-env")
        self.assertTrue(container["HostConfig"]["Init"], "runs under an init, so that stop takes milliseconds")
        command = " ".join((container["Config"]["Entrypoint"] or []) + (container["Config"]["Cmd"] or []))
        self.assertIn("sleep infinity", command)

    def test_create_pulls_from_a_registry(self):
        reference = self.c.registry.push(self.engine, "busybox:latest", "tools/box:1.0")
        self.assertIsNone(self.engine.image(reference))
        self.make("pulled-env", reference)
        self.assertTrue(self.engine.container("pulled-env")["State"]["Running"])
        self.assertEqual(self.listed("pulled-env")["image"], reference)

    def test_create_twice_is_refused_and_changes_nothing(self):
        self.make("twice-env")
        before = self.engine.container("twice-env")["Id"]
        again = self.host.docker("create-container", "busybox:latest", "twice-env")
        self.assertEqual(again.code, 1, again)
        self.assertEqual(again.out, "")
        self.assertRegex(again.err, r"twice-env.*exists")
        self.assertEqual(len(again.err.strip().splitlines()), 1, again.err)
        self.assertEqual(self.engine.container("twice-env")["Id"], before)

    def test_create_from_a_missing_image(self):
        # a registry that answers but does not have it, so that the test never leaves the machine
        reference = f"{self.c.registry.address}/no/such:image"
        result = self.host.docker("create-container", reference, "never-env")
        self.assertEqual(result.code, 1, result)
        self.assertEqual(result.out, "")
        self.assertIn(reference, result.err)
        self.assertEqual(len(result.err.strip().splitlines()), 1, result.err)
        self.assertIsNone(self.engine.container("never-env"), "nothing is left half done")

    def test_create_from_a_registry_that_is_away(self):
        result = self.host.docker("create-container", "127.0.0.1:1/none:1", "never-env")
        self.assertEqual(result.code, 1, result)
        self.assertIn("127.0.0.1:1", result.err)
        self.assertIsNone(self.engine.container("never-env"))

    # ---- list-containers

    def test_list_has_the_documented_shape(self):
        self.make("shape-env")
        listed = self.listed("shape-env")
        self.assertEqual(list(listed)[:4], ["id", "name", "image", "status"], "the documented keys, in the documented order")
        self.assertTrue(all(isinstance(listed[k], str) for k in ("id", "name", "image", "status")))
        self.assertEqual(listed["id"], self.engine.container("shape-env")["Id"][:12])
        self.assertEqual(listed["image"], "busybox:latest")
        self.assertRegex(listed["status"], r"^Up ")
        self.assertIs(listed["managed"], True)
        self.host.docker("stop-container", "shape-env", check=True)
        self.assertRegex(self.listed("shape-env")["status"], r"^Exited \(\d+\) ")

    def test_list_is_indented_json_when_piped_and_a_table_on_a_terminal(self):
        self.make("table-env")
        piped = self.host.docker("list-containers", check=True)
        self.assertTrue(piped.out.startswith("[\n  {\n    \"id\""), piped.out[:60])
        self.assertTrue(piped.out.endswith("]\n"))
        table = self.host.tty("hakuriver.docker", "list-containers")
        self.assertEqual(table.code, 0)
        self.assertNotIn('"', table.out)
        header, *rows = [line for line in table.out.replace("\r", "").splitlines() if line.strip()]
        for word in ("NAME", "IMAGE", "STATUS"):
            self.assertIn(word, header.upper())
        self.assertTrue(any("table-env" in row and "busybox:latest" in row for row in rows), table.out)
        forced = self.host.tty("hakuriver.docker", "list-containers", "--json")
        self.assertIsInstance(json.loads(forced.out.replace("\r", "")), list)

    def test_an_empty_list_is_an_empty_list(self):
        from cluster import Host
        from process import work_dir
        from engine import Engine
        empty = Engine("e")
        self.addCleanup(empty.wipe)
        host = Host(empty, work_dir() / "empty-share", name="empty-host")
        self.addCleanup(host.stop)
        self.assertEqual(host.docker("list-containers", check=True).json(), [])
        self.assertEqual(host.docker("list-tars", check=True).json(), {})

    # ---- start, stop, delete

    def test_stop_does_not_wait_for_a_grace_of_ten_seconds(self):
        self.make("quick-env")
        result = self.host.docker("stop-container", "quick-env", check=True)
        self.assertLess(result.seconds, 2 * PATIENCE)
        self.assertFalse(self.engine.container("quick-env")["State"]["Running"])
        self.assertEqual(self.host.docker("stop-container", "quick-env").code, 0, "already stopped is fine")

    def test_start_again_keeps_what_was_changed(self):
        self.make("kept-env")
        self.host.shell("kept-env", "echo changed > /root/note\n", check=True)
        self.host.docker("stop-container", "kept-env", check=True)
        self.host.docker("start-container", "kept-env", check=True)
        self.assertEqual(self.host.docker("start-container", "kept-env").code, 0, "already started is fine")
        self.assertEqual(self.host.shell("kept-env", "cat /root/note\n").out, "changed\n")

    def test_delete_stops_and_removes_but_keeps_the_archives(self):
        self.make("gone-env")
        self.host.docker("create-tar", "gone-env", check=True)
        tars = self.host.tars_of("gone-env")
        self.assertEqual(len(tars), 1)
        self.assertLess(self.host.docker("delete-container", "gone-env", check=True).seconds, 2 * PATIENCE)
        self.assertIsNone(self.engine.container("gone-env"))
        self.assertEqual(self.host.tars_of("gone-env"), tars)

    def test_what_is_not_there(self):
        for command in ("start-container", "stop-container", "delete-container", "create-tar"):
            result = self.host.docker(command, "nowhere")
            self.assertEqual((result.code, result.out), (1, ""), (command, result))
            self.assertIn("nowhere", result.err)
            self.assertEqual(len(result.err.strip().splitlines()), 1, result.err)
            self.assertLess(len(result.err), 600)

    # ---- foreign containers

    def test_a_foreign_container_is_shown_and_left_alone(self):
        self.engine.docker("run", "-d", "--name", "somebody-elses", "busybox:latest", "sleep", "1000")
        self.addCleanup(lambda: self.engine.docker("rm", "-f", "somebody-elses"))
        foreign = self.listed("somebody-elses")
        self.assertIs(foreign["managed"], False)
        for command in ("stop-container", "delete-container", "create-tar"):
            result = self.host.docker(command, "somebody-elses")
            self.assertEqual(result.code, 1, (command, result))
            self.assertIn("somebody-elses", result.err)
        for path in ("/docker/host/stop/", "/docker/host/delete/", "/docker/create_tar/"):
            for base in ("", "/api"):
                status, _, body = self.host.http("POST", f"{base}{path}somebody-elses")
                self.assertEqual(status, 409, (path, body))
                self.assertIn("somebody-elses", body["detail"])
        self.assertTrue(self.engine.api("GET", "/containers/somebody-elses/json")["State"]["Running"])

    def test_a_foreign_container_with_our_kind_of_name_is_still_foreign(self):
        self.engine.docker("run", "-d", "--name", "hakuriver-env-fake", "busybox:latest", "sleep", "1000")
        self.addCleanup(lambda: self.engine.docker("rm", "-f", "hakuriver-env-fake"))
        for name in ("fake", "hakuriver-env-fake"):
            self.assertEqual(self.host.http("POST", f"/docker/host/delete/{name}")[0] in (404, 409), True)
        self.assertTrue(self.engine.api("GET", "/containers/hakuriver-env-fake/json")["State"]["Running"])

    # ---- list-tars

    def test_list_tars_has_the_documented_shape(self):
        self.make("tar-env")
        self.host.docker("create-tar", "tar-env", check=True)
        result = self.host.docker("list-tars", check=True)
        listing = result.json()
        self.assertEqual(list(listing), sorted(listing))
        entry = listing["tar-env"]
        self.assertEqual(list(entry)[:3], ["latest_timestamp", "latest_tarball", "all_versions"])
        version = entry["all_versions"][0]
        self.assertEqual(list(version)[:2], ["timestamp", "tarball"])
        self.assertEqual(entry["latest_tarball"], f"tar-env-{entry['latest_timestamp']}.tar")
        self.assertEqual(entry["latest_tarball"], version["tarball"])
        self.assertEqual(version["size_bytes"], (self.host.tars / version["tarball"]).stat().st_size)
        self.assertRegex(version["image_id"], r"^sha256:[0-9a-f]{64}$")
        table = self.host.tty("hakuriver.docker", "list-tars")
        self.assertEqual(table.code, 0)
        self.assertIn("tar-env", table.out)
        self.assertNotIn('"', table.out)

    # ---- exit codes

    def test_exit_codes(self):
        self.assertEqual(self.host.docker("list-containers").code, 0)
        for wrong in (["no-such-command"], ["create-container", "only-image"], ["list-tars", "--nonsense"], ["stop-container"]):
            result = self.host.docker(*wrong)
            self.assertEqual((result.code, result.out), (64, ""), (wrong, result))
            self.assertTrue(result.err)
        nobody = self.host.docker("--host", "http://127.0.0.1:1", "list-tars")
        self.assertEqual((nobody.code, nobody.out), (69, ""), nobody)
        self.assertIn("127.0.0.1:1", nobody.err)
        for help_ in (["--help"], ["create-tar", "--help"]):
            result = self.host.docker(*help_)
            self.assertEqual((result.code, result.err), (0, ""), result)
            self.assertIn("hakuriver.docker", result.out)

    def test_a_misspelt_command_gets_a_suggestion(self):
        result = self.host.docker("list-container")
        self.assertEqual(result.code, 64)
        self.assertIn("list-containers", result.err)
        result = self.host.cli("riverbox", "dokcer")
        self.assertEqual(result.code, 64)
        self.assertIn("docker", result.err)

    def test_config_means_use_this_file(self):
        from process import work_dir
        other = work_dir() / "other.toml"
        other.write_text("[network]\nhost_port = 1\n")
        result = self.host.docker("--config", other, "list-tars")
        self.assertEqual(result.code, 69, result)
        missing = self.host.docker("--config", "/nonexistent.toml", "list-tars")
        self.assertEqual(missing.code, 78, missing)
        self.assertIn("/nonexistent.toml", missing.err)

    def test_both_names_of_the_program_do_the_same(self):
        classic = self.host.docker("list-tars", check=True).out
        self.assertEqual(self.host.cli("riverbox", "docker", "list-tars", check=True).out, classic)

    # fault: events-missed
    def test_the_host_comes_up_again_after_docker_was_away(self):
        from cluster import Host
        from engine import Engine
        from process import work_dir
        engine = Engine("d")
        self.addCleanup(engine.wipe)
        host = Host(engine, work_dir() / "away-share", name="away-host")
        self.addCleanup(host.stop)
        engine.stop()
        result = host.docker("list-containers")
        self.assertIn(result.code, (1, 69), result)
        self.assertRegex(result.err.lower(), "docker")
        self.assertEqual(host.docker("list-tars").code, 0, "what needs no Engine works")
        engine.start()
        wait_until(lambda: host.docker("list-containers").code == 0, 10, "the host to find its Engine again", step=0.2)


class Adoption(unittest.TestCase):
    """With the other prefix every name, tag, label and folder follows."""

    def test_kohakuriver_prefix(self):
        import images
        from cluster import Host
        from process import work_dir
        engine = shared().host_engine
        host = Host(engine, work_dir() / "koha-share", name="koha-host", docker={"prefix": "kohakuriver"})
        self.addCleanup(host.stop)
        self.addCleanup(lambda: host.docker("delete-container", "koha"))
        host.docker("create-container", "busybox:latest", "koha", check=True)
        container = engine.container("koha", "kohakuriver")
        self.assertEqual(container["Name"], "/kohakuriver-env-koha")
        host.docker("create-tar", "koha", check=True)
        self.assertEqual(len(list((host.share / "kohakuriver-containers").glob("koha-*.tar"))), 1)


if __name__ == "__main__":
    unittest.main()
