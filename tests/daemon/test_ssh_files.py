"""riverbox ssh-server: scp, sftp and rsync; and all of it in a container with nothing but busybox."""
import os
import pwd
import re
import shutil
import struct
import subprocess
import tempfile
import unittest
from pathlib import Path

from process import binary, work_dir
from ssh import ME, ROOT_USER, WithServer, make_key, sha256


class Files(WithServer):
    NAMES = ["plain", "two words", "new\nline", "'quoted\"", "-dash", "*?[x]", "\\back", "ümlaut", "$HOME `id`", "  ", "~"]

    def test_scp_both_ways(self):
        data = os.urandom(50 << 20)
        (self.folder / "big").write_bytes(data)
        for old in ((), ("-O",)):
            there, back = self.folder / f"there{len(old)}", self.folder / f"back{len(old)}"
            self.good(self.server.copy(*old, self.folder / "big", f"{ME}@127.0.0.1:{there}"))
            self.assertEqual(sha256(there.read_bytes()), sha256(data))
            self.good(self.server.copy(*old, f"{ME}@127.0.0.1:{there}", back))
            self.assertEqual(sha256(back.read_bytes()), sha256(data))

    def test_scp_of_a_tree(self):
        tree = self.folder / "tree"
        (tree / "a/b").mkdir(parents=True)
        (tree / "a/x").write_text("x")
        (tree / "a/b/y").write_text("y")
        (tree / "a/b/y").chmod(0o750)
        for old in ((), ("-O",)):
            target = self.folder / f"copy{len(old)}"
            self.good(self.server.copy(*old, "-rp", tree, f"{ME}@127.0.0.1:{target}"))
            self.assertEqual(((target / "a/b/y").read_text(), (target / "a/b/y").stat().st_mode & 0o777), ("y", 0o750))
            self.assertEqual(int((target / "a/x").stat().st_mtime), int((tree / "a/x").stat().st_mtime))

    def test_scp_where_there_is_none(self):
        """scp's other end as containers without scp have it, without a container: instead of ssh, scp starts a script that runs ours."""
        wrapper = self.folder / "wrapper"
        wrapper.write_text(f'#!/bin/sh\nfor last; do :; done\neval "set -- $last"\nshift\nexec {binary()} __scp "$@"\n')
        wrapper.chmod(0o755)

        def scp(*arguments):
            return subprocess.run(["scp", "-O", "-S", wrapper, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
        tree = self.folder / "tree"
        (tree / "sub/empty").mkdir(parents=True)
        names = ["plain", "two words", "'quoted\"", "-dash", "ümlaut"]
        for i, name in enumerate(names):
            (tree / "sub" / name).write_bytes(os.urandom(i * 100000))
        (tree / "sub/plain").chmod(0o751)
        os.utime(tree / "sub/plain", (1600000000, 1500000000))
        there, back = self.folder / "there", self.folder / "back"
        self.good(scp("-rp", tree, f"box:{there}"))
        self.good(scp("-rp", f"box:{there}", back))
        for copy in (there, back):
            self.assertEqual(subprocess.run(["diff", "-r", tree, copy]).returncode, 0)
            info = (copy / "sub/plain").stat()
            self.assertEqual((info.st_mode & 0o777, info.st_mtime), (0o751, 1500000000))
        self.good(scp(tree / "sub/plain", tree / "sub/two words", f"box:{back}"))  # several, so it must be a folder
        self.assertEqual(sorted(n for n in os.listdir(back)), ["plain", "sub", "two words"])
        for wrong in ((f"box:{self.folder}/none", back), (tree / "sub/plain", f"box:{self.folder}/none/x"), (f"box:{tree}", back), (tree / "sub/plain", tree / "sub/-dash", f"box:{back}/plain")):
            result = scp(*wrong)
            self.assertEqual(result.returncode, 1, wrong)
            self.assertIn(b"scp: ", result.stderr)
        (there / "sub/plain").write_bytes(b"x" * 500000)
        self.good(scp(tree / "sub/two words", f"box:{there}/sub/plain"))  # what was longer is cut off
        self.assertEqual((there / "sub/plain").read_bytes(), (tree / "sub/two words").read_bytes())

    def test_sftp(self):
        f = self.folder
        (f / "here").write_bytes(b"content")
        result = self.good(self.server.sftp(f"""
put {f}/here {f}/there
get {f}/there {f}/back
mkdir {f}/dir
rename {f}/there {f}/dir/moved
symlink moved {f}/dir/link
ln {f}/dir/moved {f}/dir/hard
chmod 640 {f}/dir/moved
df {f}
ls -l {f}/dir
ls -1 {f}/dir
rm {f}/dir/hard
mkdir {f}/empty
rmdir {f}/empty
pwd
"""))
        self.assertEqual((f / "back").read_bytes(), b"content")
        self.assertEqual(os.readlink(f / "dir/link"), "moved")
        self.assertEqual((f / "dir/moved").stat().st_mode & 0o777, 0o640)
        self.assertEqual(sorted(os.listdir(f / "dir")), ["link", "moved"])
        self.assertIn(b"-rw-r-----", result.stdout)
        self.assertIn(b"Remote working directory: " + os.path.expanduser("~").encode(), result.stdout)
        self.assertNotEqual(self.server.sftp(f"get {f}/none {f}/x\n").returncode, 0)

    def test_odd_names(self):
        source, target = self.folder / "source", self.folder / "target"
        source.mkdir()
        for name in self.NAMES:
            (source / name).write_text(name)
        Path(os.fsdecode(os.fsencode(source) + b"/\xff\xfe bytes")).write_text("bytes")
        self.good(self.server.copy("-r", source, f"{ME}@127.0.0.1:{target}"))
        self.assertEqual(sorted(os.listdir(os.fsencode(target))), sorted(os.listdir(os.fsencode(source))))
        for name in self.NAMES:
            self.assertEqual((target / name).read_text(), name)
        back = self.folder / "back"
        self.good(self.server.copy("-r", f"{ME}@127.0.0.1:{target}", back))
        self.assertEqual(sorted(os.listdir(os.fsencode(back))), sorted(os.listdir(os.fsencode(source))))

    def test_many_files_in_a_folder(self):
        many = self.folder / "many"
        many.mkdir()
        for i in range(1500):
            (many / f"file-{i:04}").touch()
        out = self.good(self.server.sftp(f"ls -1 {many}\n")).stdout.decode()
        self.assertEqual(len(re.findall(r"file-\d+", out)), 1500)

    def test_rsync_twice(self):
        tree, target = self.folder / "tree", self.folder / "target"
        for i in range(30):
            (tree / f"d{i % 5}").mkdir(parents=True, exist_ok=True)
            (tree / f"d{i % 5}" / f"f{i}").write_bytes(os.urandom(20000))
        (tree / "link").symlink_to("d0/f0")
        command = ["rsync", "-a", "--stats", "-e", " ".join(["ssh", "-p", str(self.server.port), *map(str, self.server.options_for())]), f"{tree}/", f"{ME}@127.0.0.1:{target}/"]
        first = self.good(subprocess.run(command, capture_output=True, timeout=60))
        self.assertIn(b"files transferred: 30", first.stdout)
        second = self.good(subprocess.run(command, capture_output=True, timeout=60))
        self.assertIn(b"files transferred: 0", second.stdout)
        self.assertEqual(subprocess.run(["diff", "-r", tree, target]).returncode, 0)

    def test_rename_does_not_replace(self):
        # sftp(1) asks for posix-rename, so this speaks the protocol itself.
        (self.folder / "a").write_text("a")
        (self.folder / "b").write_text("b")
        client = subprocess.Popen(self.server.ssh_command("-s", "sftp"), stdin=subprocess.PIPE, stdout=subprocess.PIPE)

        def ask(kind, *texts, number=1):
            body = bytes([kind]) + struct.pack(">I", number) + b"".join(struct.pack(">I", len(t)) + t for t in texts)
            client.stdin.write(struct.pack(">I", len(body)) + body)
            client.stdin.flush()
            size, = struct.unpack(">I", client.stdout.read(4))
            return client.stdout.read(size)
        self.assertEqual(ask(1, number=3)[:5], b"\x02\0\0\0\x03")
        a, b, c = (os.fsencode(self.folder / n) for n in "abc")
        self.assertEqual(struct.unpack(">I", ask(18, a, b)[5:9])[0], 4)
        self.assertEqual(struct.unpack(">I", ask(18, a, c)[5:9])[0], 0)
        self.assertEqual(struct.unpack(">I", ask(99, a)[5:9])[0], 8)  # unknown
        self.assertEqual(struct.unpack(">I", ask(17, b"/a\0b")[5:9])[0], 5)
        self.assertEqual(struct.unpack(">I", ask(4, b"7")[5:9])[0], 4)
        client.stdin.close()
        self.assertEqual(client.wait(10), 0)


def is_static():
    return b"not a dynamic executable" in subprocess.run(["ldd", binary()], capture_output=True).stderr


@unittest.skipUnless(ROOT_USER and is_static(), "needs root, and the static build")
class InAlmostNothing(unittest.TestCase):
    """A root with our executable and a shell: no /etc, no /dev, no /proc."""

    def test_root_and_files(self):
        root = Path(tempfile.mkdtemp(prefix="ssh-root-", dir=work_dir()))
        (root / "bin").mkdir()
        shutil.copy(shutil.which("busybox"), root / "bin/sh")
        os.link(binary().resolve(), root / "bin/riverbox") if os.stat(binary()).st_dev == os.stat(root).st_dev else shutil.copy(binary(), root / "bin/riverbox")
        home = root.parent / (root.name + "-client")
        home.mkdir()
        key = make_key(home / "key")
        (root / "keys").write_text(key.with_suffix(".pub").read_text())
        (home / "data").write_bytes(os.urandom(100000))
        proxy = f"chroot {root} /bin/riverbox ssh-server --stdio --authorized-keys /keys"
        options = ["-F", "none", "-o", "StrictHostKeyChecking=accept-new", "-o", f"UserKnownHostsFile={home}/known", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR", "-o", f"ProxyCommand={proxy}", "-i", str(key)]
        done = subprocess.run(["ssh", *options, "root@box", 'echo "$HOME $USER $SHELL"; pwd; exit 3'], stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
        self.assertEqual((done.returncode, done.stdout), (3, b"/ root /bin/sh\n/\n"), done.stderr)
        for old in ((), ("-O",)):
            done = subprocess.run(["scp", *options, *old, home / "data", "root@box:/copy"], stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
            self.assertEqual(done.returncode, 0, (old, done.stderr))
            self.assertEqual((root / "copy").read_bytes(), (home / "data").read_bytes())
            (root / "copy").unlink()
        self.assertEqual(subprocess.run(["ssh", *options, "daemon@box", "true"], stdin=subprocess.DEVNULL, capture_output=True, timeout=30).returncode, 255)

    def test_a_server_that_is_not_root_has_one_user(self):
        name = pwd.getpwuid(65534).pw_name
        home = Path(tempfile.mkdtemp(prefix="ssh-nobody-", dir=work_dir()))
        os.chown(home, 65534, 65534)
        key = make_key(home / "key")
        (home / "keys").write_text(key.with_suffix(".pub").read_text())
        proxy = f"setpriv --reuid 65534 --regid 65534 --clear-groups {binary()} ssh-server --stdio --authorized-keys {home}/keys --host-keys {home}/host"
        for user, status in ((name, 0), ("root", 255), ("daemon", 255)):
            done = subprocess.run(["ssh", "-F", "none", "-o", "StrictHostKeyChecking=accept-new", "-o", f"UserKnownHostsFile={home}/known", "-o", "BatchMode=yes", "-o", f"ProxyCommand={proxy}", "-i", key,
                                   f"{user}@box", "true"], stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
            shell_says_no = user == name and done.returncode == 1 and b"not available" in done.stdout  # it is in, and its shell is nologin
            self.assertTrue(done.returncode == status or shell_says_no, (user, done))


@unittest.skipUnless(ROOT_USER and is_static(), "needs root, and the static build")
class InContainer(unittest.TestCase):
    """An image with nothing but busybox: no /etc/passwd that names a shell of ours, no sftp-server, no scp."""

    @classmethod
    def setUpClass(cls):
        from cluster import shared
        cls.engine = shared().host_engine
        cls.home = Path(tempfile.mkdtemp(prefix="ssh-", dir=work_dir()))
        cls.key = make_key(cls.home / "key")
        keys = cls.home / "authorized_keys"
        keys.write_text(cls.key.with_suffix(".pub").read_text())
        cls.name = "ssh-in-busybox"
        cls.engine.docker("run", "-d", "--init", "--name", cls.name, "--network", "none", "-e", "IMAGE_HAS=set it", "-v", f"{binary().resolve()}:/usr/local/bin/riverbox:ro",
                          "-v", f"{keys}:/etc/riverbox/authorized_keys:ro", "busybox:latest", "riverbox", "ssh-server")

    @classmethod
    def tearDownClass(cls):
        cls.engine.docker("rm", "-f", cls.name)

    def options(self):
        proxy = f"docker -H {self.engine.host} exec -i {self.name} riverbox ssh-server --stdio"
        return ["-F", "none", "-o", "StrictHostKeyChecking=accept-new", "-o", f"UserKnownHostsFile={self.home}/known", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR",
                "-o", f"ProxyCommand={proxy}", "-i", str(self.key)]

    def run_client(self, program, *arguments, input=b""):
        return subprocess.run([program, *self.options(), *map(str, arguments)], input=input, capture_output=True, timeout=60)

    def test_shell_commands_and_files(self):
        done = self.run_client("ssh", "root@box", 'id -un; echo "$IMAGE_HAS"; pwd; cat; exit 6', input=b"through\n")
        self.assertEqual((done.returncode, done.stdout), (6, b"root\nset it\n/root\nthrough\n"), done.stderr)
        data = os.urandom(3 << 20)
        (self.home / "data").write_bytes(data)
        for old in ((), ("-O",)):
            for arguments in ((self.home / "data", "root@box:/tmp/data"), ("root@box:/tmp/data", self.home / "back")):
                done = self.run_client("scp", *old, *arguments)
                self.assertEqual(done.returncode, 0, (old, done.stderr))
            self.assertEqual(sha256((self.home / "back").read_bytes()), sha256(data))
            (self.home / "back").unlink()
        self.engine.docker("exec", self.name, "test", "-s", "/etc/riverbox/ssh/host_ed25519_key")

    def test_it_listens_there(self):
        done = self.engine.docker("exec", self.name, "sh", "-c", "sleep 1 | nc 127.0.0.1 22 | head -c 8")
        self.assertEqual(done.strip(), "SSH-2.0-")


if __name__ == "__main__":
    unittest.main()
