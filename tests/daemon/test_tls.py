"""TLS: the host's own certificate and one that is given, what protocols are spoken, and who is trusted by whom."""
import json
import re
import socket
import ssl
import subprocess
import unittest

from cluster import Host, Runner, bin_dir, run, shared
from process import PATIENCE, Process, wait_until, work_dir


class TlsHost(Host):
    """Answers on https only; what the tests ask it goes through its certificate as well."""

    def url_for_clients(self):
        return self.cli("riverbox", "host", "fingerprint", check=True).out.strip()

    def answers(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), 2):
                return True
        except OSError:
            return False

    def speak(self, *options, text=b"GET /api/version HTTP/1.0\r\nHost: localhost\r\n\r\n"):
        """What `openssl s_client` says."""
        done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{self.port}", "-ign_eof", *options], input=text, capture_output=True, timeout=30 * PATIENCE)
        return (done.stdout + done.stderr).decode(errors="replace")


class OwnCertificate(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cluster = shared()
        cls.engine, cls.runner_engine = cluster.host_engine, cluster.runner_engine
        cls.host = TlsHost(cls.engine, work_dir() / "tls-share", "tls-host", security={"tls": "auto"}, network={"unix_socket": "none"})
        cls.image = cluster.busybox
        cls.url = cls.host.url_for_clients()

    @classmethod
    def tearDownClass(cls):
        cls.host.stop()

    def ask(self, *argv, url=None, **options):
        return self.host.cli(*argv, env={"RIVERBOX_HOST": url or self.url, "RIVERBOX_TOKEN": self.host.token}, **options)

    # ---- protocols

    def test_1_2_and_1_3_are_spoken_and_nothing_older(self):
        for version in ("-tls1_2", "-tls1_3"):
            self.assertIn("HTTP/1.1 200 OK", self.host.speak(version), version)
        for version in ("-tls1", "-tls1_1"):
            said = self.host.speak(version, "-cipher", "ALL:@SECLEVEL=0")
            self.assertNotIn("HTTP/1.1", said, version)
            self.assertRegex(said, "alert protocol version|no protocols available|unsupported protocol", version)

    def test_weak_ciphers_are_not_spoken(self):
        for cipher in ("AES128-SHA", "AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA", "NULL", "aNULL", "DES-CBC3-SHA", "RC4-SHA"):
            said = self.host.speak("-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0")
            self.assertNotIn("HTTP/1.1", said, cipher)
        self.assertIn("HTTP/1.1 200 OK", self.host.speak("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"))

    def test_no_renegotiation_and_no_compression(self):
        said = self.host.speak("-tls1_2", text=b"R\n")
        self.assertNotIn("RENEGOTIATING\ndepth", said)
        self.assertIn("Compression: NONE", self.host.speak("-tls1_2"))

    def test_the_certificate(self):
        chain = self.host.speak("-showcerts")
        certificates = re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", chain, re.S)
        self.assertEqual(len(certificates), 2)
        (folder := work_dir() / "tls-look").mkdir()
        for name, text in zip(("host", "ca"), certificates):
            (folder / f"{name}.pem").write_text(text)
        verified = subprocess.run(["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", "localhost", "-CAfile", folder / "ca.pem", folder / "host.pem"],
                                  capture_output=True, text=True)
        self.assertEqual(verified.returncode, 0, verified)
        printed = subprocess.run(["openssl", "x509", "-in", folder / "ca.pem", "-noout", "-fingerprint", "-sha256"], capture_output=True, text=True).stdout
        self.assertEqual(self.url.split("#sha256:")[1], printed.strip().split("=")[1].replace(":", "").lower())
        keys = [self.host.home / "state/tls" / name for name in ("ca.key", "host.key")]
        self.assertEqual([oct(key.stat().st_mode & 0o777) for key in keys], ["0o600", "0o600"])
        self.assertEqual((self.host.home / "state/tls").stat().st_mode & 0o777, 0o700)

    def test_who_speaks_http_to_it_is_told(self):
        with socket.create_connection(("127.0.0.1", self.host.port), 10) as raw:
            raw.sendall(b"GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n")
            raw.settimeout(10 * PATIENCE)
            said = b""
            while part := raw.recv(65536):
                said += part
        self.assertTrue(said.startswith(b"HTTP/1.1 400 "), said)
        self.assertIn("https://", json.loads(said.split(b"\r\n\r\n", 1)[1])["detail"])
        result = self.ask("riverbox", "node", "list", url=f"http://127.0.0.1:{self.host.port}")
        self.assertNotEqual(result.code, 0)
        self.assertIn("https://", result.err)

    def test_one_that_never_ends_its_handshake_stops_nobody(self):
        silent = [socket.create_connection(("127.0.0.1", self.host.port), 10) for _ in range(50)]
        for half in silent[:25]:
            half.sendall(b"\x16\x03\x01\x02\x00")
        self.assertEqual(self.ask("riverbox", "node", "list").code, 0)
        for each in silent:
            each.close()

    def test_bytes_that_are_no_tls_end_that_connection_only(self):
        for garbage in (b"\x16\x03\x01\x00\x05hello", b"\x16" + b"\xff" * 300):
            with socket.create_connection(("127.0.0.1", self.host.port), 10) as raw:
                raw.sendall(garbage)
                raw.settimeout(30 * PATIENCE)
                try:
                    while raw.recv(65536):
                        pass
                except ConnectionResetError:
                    pass
            self.assertEqual(self.ask("riverbox", "node", "list").code, 0)

    def test_a_page_that_came_without_tls_is_somebody_elses(self):
        context = ssl.create_default_context(cafile=str(self.host.home / "state/tls/ca.pem"))
        for origin, status in ((f"http://localhost:{self.host.port}", b"403"), (f"https://localhost:{self.host.port}", b"201")):
            with socket.create_connection(("127.0.0.1", self.host.port), 10) as raw, context.wrap_socket(raw, server_hostname="localhost") as tls:
                body = b'{"path":"/x"}'
                tls.sendall(f"POST /api/tickets HTTP/1.0\r\nHost: localhost:{self.host.port}\r\nOrigin: {origin}\r\nAuthorization: Bearer {self.host.token}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
                self.assertEqual(tls.recv(65536).split()[1], status, origin)

    def test_a_refusal_arrives_although_the_client_still_sends(self):
        context = ssl.create_default_context(cafile=str(self.host.home / "state/tls/ca.pem"))
        with socket.create_connection(("127.0.0.1", self.host.port), 10) as raw, context.wrap_socket(raw, server_hostname="localhost") as tls:
            tls.sendall(b"POST /api/submit HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 3_000_000)
            self.assertIn(b" 413 ", tls.recv(65536))

    def test_only_the_host_itself_makes_its_certificate(self):
        stranger = {"HOME": str(work_dir() / "tls-nobodys-home"), "RIVERBOX_PATHS_STATE_DIR": str(work_dir() / "tls-nobodys-state")}
        result = self.host.cli("riverbox", "host", "fingerprint", env=stranger)
        self.assertEqual((result.code, result.out), (78, ""), result)
        self.assertFalse((work_dir() / "tls-nobodys-state").exists())

    # ---- who is trusted

    def test_clients_trust_the_fingerprint_and_nothing_else(self):
        self.assertEqual(self.ask("riverbox", "node", "list").code, 0)
        plain = self.url.split("#")[0]
        result = self.ask("riverbox", "node", "list", url=plain)
        self.assertEqual(result.code, 69, result)
        self.assertIn("riverbox host fingerprint", result.err)
        result = self.ask("riverbox", "node", "list", url=plain + "#sha256:" + "ab" * 32)
        self.assertEqual(result.code, 69, result)
        self.assertIn("another fingerprint", result.err)
        for wrong in ("#sha256:abcd", "#sha256:" + "x" * 64):
            result = self.ask("riverbox", "node", "list", url=plain + wrong)
            self.assertNotEqual(result.code, 0)
            self.assertIn("fingerprint", result.err)
        self.assertIn("needs https", self.ask("riverbox", "node", "list", url=plain.replace("https", "http") + "#sha256:" + "ab" * 32).err)

    def test_a_host_with_another_authority_of_the_same_name_is_not_trusted(self):
        other = TlsHost(None, work_dir() / "tls-share-2", "tls-stranger", security={"tls": "auto"})
        self.addCleanup(other.stop)
        result = self.ask("riverbox", "node", "list", url=f"https://127.0.0.1:{other.port}#" + self.url.split("#")[1])
        self.assertEqual(result.code, 69, result)
        self.assertIn("another fingerprint", result.err)

    def test_a_browser_that_has_the_authority_is_content(self):
        context = ssl.create_default_context(cafile=str(self.host.home / "state/tls/ca.pem"))
        with socket.create_connection(("127.0.0.1", self.host.port), 10) as raw, context.wrap_socket(raw, server_hostname="localhost") as tls:
            tls.sendall(b"GET /api/version HTTP/1.0\r\nHost: localhost\r\n\r\n")
            self.assertIn(b"200 OK", tls.recv(65536))

    # ---- everything through it

    def test_a_runner_joins_works_and_is_followed(self):
        command = self.host.cli("riverbox", "node", "join-command", env={"RIVERBOX_HOST": self.url}, check=True).out.split()
        self.assertIn(self.url, command)
        runner = Runner(self.host, self.runner_engine, name="tls-node", token="", start=False)
        result = run([bin_dir() / "riverbox", *command[1:], "--name", "tls-node"], runner.env)
        self.assertEqual(result.code, 0, result)
        runner.process = Process([bin_dir() / "riverbox", "runner", "--name", "tls-node"], runner.home / "log", env=runner.env)  # it knows its host
        self.addCleanup(runner.stop)
        listed = lambda: {n["hostname"]: n["status"] for n in self.ask("riverbox", "node", "list", "--json").json()}
        wait_until(lambda: listed().get("tls-node") == "online", 20, "the runner to connect")
        self.ask("hakuriver.docker", "create-container", self.image, "tls-env", check=True)
        shell = self.host.cli("hakuriver.docker-shell", "tls-env", input=b"echo through-$((6*7)) > /made; head -c 3000000 /dev/zero | wc -c\n", env={"RIVERBOX_HOST": self.url, "RIVERBOX_TOKEN": self.host.token})
        self.assertEqual((shell.code, shell.out.strip()), (0, "3000000"), shell)
        self.ask("hakuriver.docker", "create-tar", "tls-env", check=True)
        done = self.ask("riverbox", "client", "--container", "tls-env", "--wait", "--", "sh", "-c", "cat /made; seq 200000 | tail -1")
        self.assertEqual((done.code, done.out.split()), (0, ["through-42", "200000"]), done)
        self.ask("hakuriver.docker", "delete-container", "tls-env")

    def test_the_certificate_stays_over_a_restart_and_learns_new_names(self):
        before = (self.host.home / "state/tls/host.pem").read_text()
        self.host.stop()
        self.host.start()
        self.assertEqual((self.host.home / "state/tls/host.pem").read_text(), before)
        self.host.stop()
        self.host.env["RIVERBOX_SECURITY_ALLOWED_HOSTS"] = "cluster.example.org"
        self.host.start()
        self.assertNotEqual((self.host.home / "state/tls/host.pem").read_text(), before)
        self.assertEqual(self.ask("riverbox", "node", "list").code, 0, "the authority is the one that was pinned")
        context = ssl.create_default_context(cafile=str(self.host.home / "state/tls/ca.pem"))
        with socket.create_connection(("127.0.0.1", self.host.port), 10) as raw:
            context.wrap_socket(raw, server_hostname="cluster.example.org").close()


class GivenCertificate(unittest.TestCase):
    def files(self, name, days="30"):
        folder = work_dir() / f"tls-{name}"
        folder.mkdir()
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days", days,
                        "-keyout", folder / "key.pem", "-out", folder / "cert.pem"], check=True, capture_output=True)
        return folder

    def test_it_is_used_and_can_be_trusted_by_either_way(self):
        folder = self.files("given")
        host = TlsHost(None, work_dir() / "tls-share-3", "tls-given-host", security={"tls": "files", "tls_certificate": folder / "cert.pem", "tls_key": folder / "key.pem"})
        self.addCleanup(host.stop)
        url = host.url_for_clients()
        self.assertEqual(host.cli("riverbox", "node", "list", env={"RIVERBOX_HOST": url}).code, 0)
        plain = f"https://localhost:{host.port}"
        self.assertEqual(host.cli("riverbox", "node", "list", env={"RIVERBOX_HOST": plain}).code, 69)
        self.assertEqual(host.cli("riverbox", "node", "list", env={"RIVERBOX_HOST": plain, "SSL_CERT_FILE": str(folder / "cert.pem")}).code, 0)
        other = host.cli("riverbox", "node", "list", env={"RIVERBOX_HOST": f"https://127.0.0.2:{host.port}", "SSL_CERT_FILE": str(folder / "cert.pem")})
        self.assertEqual(other.code, 69, "a name that is not in it")

    def test_one_that_others_have_signed_is_not_known_by_a_fingerprint(self):
        folder = self.files("department")
        sign = lambda name: (subprocess.run(["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.csr"],
                                            check=True, capture_output=True),
                             subprocess.run(["openssl", "x509", "-req", "-in", folder / f"{name}.csr", "-CA", folder / "cert.pem", "-CAkey", folder / "key.pem", "-CAcreateserial", "-copy_extensions", "copy", "-days", "30",
                                             "-out", folder / f"{name}.pem"], check=True, capture_output=True))
        for name in ("host", "printer"):
            sign(name)
        authority = (folder / "cert.pem").read_text()
        (folder / "chain.pem").write_text((folder / "host.pem").read_text() + authority)
        host = TlsHost(None, work_dir() / "tls-share-5", "tls-signed", security={"tls": "files", "tls_certificate": folder / "chain.pem", "tls_key": folder / "host.key"})
        self.addCleanup(host.stop)
        result = host.cli("riverbox", "host", "fingerprint", check=True)
        self.assertEqual(result.out.strip(), f"https://127.0.0.1:{host.port}")
        self.assertIn("have to trust", result.err)
        trusting = {"RIVERBOX_HOST": result.out.strip(), "SSL_CERT_FILE": str(folder / "cert.pem")}
        self.assertEqual(host.cli("riverbox", "node", "list", env=trusting).code, 0)
        # whoever pins the department's authority all the same does not talk to its printer
        printed = subprocess.run(["openssl", "x509", "-in", folder / "cert.pem", "-noout", "-fingerprint", "-sha256"], capture_output=True, text=True).stdout.strip().split("=")[1]
        self.assertEqual(host.cli("riverbox", "node", "list", env={"RIVERBOX_HOST": f"{result.out.strip()}#sha256:{printed}"}).code, 69)

    def test_what_cannot_be_used_is_told(self):
        good, other = self.files("good"), self.files("other")
        for security, words in (({"tls": "files"}, "tls_certificate"), ({"tls": "files", "tls_certificate": good / "none.pem", "tls_key": good / "key.pem"}, "none.pem"),
                                ({"tls": "files", "tls_certificate": good / "cert.pem", "tls_key": other / "key.pem"}, "key"),
                                ({"tls": "files", "tls_certificate": good / "key.pem", "tls_key": good / "key.pem"}, "certificate")):
            with self.subTest(words):
                host = TlsHost(None, work_dir() / "tls-share-4", f"tls-bad-{len(str(security))}", start=False, security=security)
                result = host.cli("riverbox", "host", timeout=30)
                self.assertEqual(result.code, 78, result)
                self.assertIn(words, result.err)


if __name__ == "__main__":
    unittest.main()
