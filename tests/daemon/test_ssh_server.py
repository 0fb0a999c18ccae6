"""riverbox ssh-server: who gets in, what runs, terminals."""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import threading
import unittest

from process import binary, wait_until
from ssh import ROOT_USER, Server, WithServer, make_key, sha256


class Login(WithServer):
    def test_the_right_key_only(self):
        self.assertEqual(self.good(self.ssh("echo hello")).stdout, b"hello\n")
        refused = self.ssh("echo hello", key=self.server.wrong_key)
        self.assertEqual((refused.returncode, refused.stdout), (255, b""))
        self.assertIn(b"Permission denied (publickey)", refused.stderr)

    def test_no_other_way(self):
        for method in ("none", "password", "keyboard-interactive", "gssapi-with-mic"):
            refused = self.ssh("echo hello", options=("-o", f"PreferredAuthentications={method}", "-o", "PubkeyAuthentication=no", "-o", "GSSAPIAuthentication=yes"))
            self.assertEqual((refused.returncode, refused.stdout), (255, b""), method)
            self.assertIn(b"Permission denied (publickey)", refused.stderr)

    def test_nobody_who_is_not_there(self):
        refused = self.ssh("echo hello", user="who-is-this")
        self.assertEqual(refused.returncode, 255)
        self.assertTrue(self.server.said("there is no such user"))

    def test_keys_of_all_kinds(self):
        for kind, options in (("rsa", ("-b", "3072")), ("ecdsa", ("-b", "256")), ("ecdsa", ("-b", "521"))):
            server = Server()
            key = server.home / "other"
            subprocess.run(["ssh-keygen", "-q", "-t", kind, *options, "-N", "", "-f", key], check=True, stdin=subprocess.DEVNULL)
            self.assertEqual(server.ssh("true", key=key).returncode, 255)
            server.authorize(server.key, key)
            self.good(server.ssh("true", key=key))  # the file is read at every login
            server.process.end()

    def test_lines_with_options_and_files_that_others_write_count_for_nothing(self):
        server = Server()
        server.authorize(server.key, prefix='command="echo forced" ')
        self.assertEqual(server.ssh("echo hello").returncode, 255)
        self.assertTrue(server.said("options in front of the key"))
        server.authorize(server.key)
        server.authorized.chmod(0o666)
        self.assertEqual(server.ssh("echo hello").returncode, 255)
        self.assertTrue(server.said("others may write it"))
        server.authorized.chmod(0o600)
        self.good(server.ssh("true"))
        server.process.end()

    def test_so_many_tries_and_no_more(self):
        keys = [make_key(self.folder / f"k{i}") for i in range(8)]
        options = [word for key in keys for word in ("-i", str(key))]
        refused = self.ssh("echo hello", key=keys[0], options=(*options, "-i", str(self.server.key)))
        self.assertEqual(refused.returncode, 255)
        wait_until(lambda: self.server.said("too many tries"), 5, "the log to say so")
        self.good(self.ssh("true", key=keys[0], options=("-i", str(keys[1]), "-i", str(self.server.key))))

    def test_without_authentication_when_told_so(self):
        server = Server("--no-auth", keys=False)
        self.assertEqual(self.good(server.ssh("echo hello", key=server.wrong_key, options=("-o", "PubkeyAuthentication=no"))).stdout, b"hello\n")
        server.process.end()

    @unittest.skipUnless(ROOT_USER, "needs root")
    def test_it_becomes_the_user(self):
        name = f"rbssh{os.getpid()}"
        subprocess.run(["useradd", "-M", "-d", "/tmp", "-s", "/bin/sh", name], check=True, capture_output=True)
        self.addCleanup(subprocess.run, ["userdel", name], capture_output=True)
        uid = subprocess.run(["id", "-u", name], capture_output=True, text=True).stdout.strip()
        command = 'id -u; pwd; echo "$HOME:$USER:$SHELL:$LOGNAME"; grep ^Uid /proc/$PPID/status; ! cat /etc/shadow 2>/dev/null'
        out = self.good(self.ssh(command, user=name)).stdout.decode().splitlines()
        self.assertEqual(out[:3], [uid, "/tmp", f"/tmp:{name}:/bin/sh:{name}"])
        self.assertEqual(out[3].split()[1:], [uid] * 4)  # the process of the connection as well
        self.assertEqual(len(out), 4, "it could read what is root's")

    def test_the_host_key_stays(self):
        server = Server()
        self.good(server.ssh("true"))
        key = server.host_keys / "host_ed25519_key"
        self.assertEqual((key.stat().st_mode & 0o777, server.host_keys.stat().st_mode & 0o777), (0o600, 0o700))
        before = key.read_bytes()
        server.process.end()
        server.start()
        self.assertEqual(key.read_bytes(), before)
        self.good(server.ssh("true", options=("-o", "StrictHostKeyChecking=yes")))
        server.process.end()


class Commands(WithServer):
    def test_exit_status_and_signal(self):
        for status in (0, 1, 7, 255):
            self.assertEqual(self.ssh(f"exit {status}").returncode, status)
        self.assertEqual(self.ssh("kill -TERM $$").returncode, 255)
        told = self.ssh("kill -SEGV $$", options=("-o", "LogLevel=DEBUG1"))
        self.assertIn(b"exit-signal", told.stderr)

    def test_stderr_is_apart(self):
        result = self.good(self.ssh("echo out; echo err >&2; echo more"))
        self.assertEqual((result.stdout, result.stderr), (b"out\nmore\n", b"err\n"))

    def test_much_data_both_ways(self):
        data = os.urandom(50 << 20)
        back = self.good(self.ssh("cat", input=data, timeout=240)).stdout
        self.assertEqual(sha256(back), sha256(data))

    def test_much_data_with_new_keys_meanwhile(self):
        data = os.urandom(20 << 20)
        back = self.good(self.ssh("cat", input=data, options=("-o", "RekeyLimit=1M"), timeout=240)).stdout
        self.assertEqual(sha256(back), sha256(data))

    def test_every_cipher(self):
        for cipher in ("chacha20-poly1305@openssh.com", "aes256-gcm@openssh.com", "aes128-gcm@openssh.com", "aes256-ctr", "aes128-ctr"):
            data = os.urandom(1 << 20)
            self.assertEqual(self.good(self.ssh("cat", input=data, options=("-c", cipher))).stdout, data, cipher)
        for exchange in ("curve25519-sha256", "ecdh-sha2-nistp256", "ecdh-sha2-nistp521", "diffie-hellman-group16-sha512"):
            self.good(self.ssh("true", options=("-o", f"KexAlgorithms={exchange}")))
        for weak in (("-c", "aes128-cbc"), ("-o", "KexAlgorithms=diffie-hellman-group14-sha1"), ("-o", "HostKeyAlgorithms=ssh-rsa"), ("-m", "hmac-sha1", "-c", "aes128-ctr")):
            self.assertEqual(self.ssh("true", options=weak).returncode, 255, weak)

    def test_half_closed(self):
        self.assertEqual(self.good(self.ssh("cat >/dev/null; echo read all", input=b"x" * 100000)).stdout, b"read all\n")
        client = subprocess.Popen(self.server.ssh_command("exec >&- 2>&-; cat >" + str(self.folder / "late")), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.assertEqual(client.stdout.read(), b"")  # the end of the output comes while the input is open
        client.stdin.write(b"late")
        client.stdin.close()
        self.assertEqual(client.wait(20), 0)
        self.assertEqual((self.folder / "late").read_bytes(), b"late")
        self.assertEqual(self.ssh("exec >&- 2>&-; sleep 0.5; exit 9").returncode, 9)  # both directions have ended long before
        self.assertEqual(self.ssh("exec <&-; sleep 0.2; exit 4", input=b"y" * (5 << 20)).returncode, 4)

    def test_environment(self):
        env = {**os.environ, "LANG": "de_DE.UTF-8", "LC_TIME": "C", "RIVERBOX_X": "1 2", "EDITOR": "vi", "LD_PRELOAD_": "x", "BASH_ENV": "/tmp/evil"}
        out = self.good(self.ssh("env", options=("-o", "SendEnv=*"), env=env)).stdout.decode().splitlines()
        for line in ("LANG=de_DE.UTF-8", "LC_TIME=C", "RIVERBOX_X=1 2", "EDITOR=vi"):
            self.assertIn(line, out)
        for name in ("LD_PRELOAD_", "BASH_ENV"):
            self.assertFalse([line for line in out if line.startswith(name + "=")])
        self.assertTrue(any(re.fullmatch(rf"SSH_CONNECTION=127.0.0.1 \d+ 127.0.0.1 {self.server.port}", line) for line in out), out)
        self.assertTrue(any(re.fullmatch(rf"SSH_CLIENT=127.0.0.1 \d+ {self.server.port}", line) for line in out), out)

    def test_a_login_shell(self):
        result = self.good(self.ssh(input=b'echo "[$0]"\nexit 0\n'))
        self.assertRegex(result.stdout.decode(), r"(?m)^\[-\w+\]$")

    def test_many_sessions_over_one_connection(self):
        control = self.folder / "c"
        master = subprocess.Popen(self.server.ssh_command("-N", options=("-M", "-S", str(control))), stdin=subprocess.DEVNULL)
        try:
            wait_until(control.exists, 10, "the master")
            pieces = [os.urandom(1 << 20) for _ in range(10)]
            results = [None] * 10

            def one(i):
                results[i] = self.ssh(f"cat; exit {i}", options=("-S", str(control)), input=pieces[i])
            threads = [threading.Thread(target=one, args=(i,)) for i in range(10)]
            [t.start() for t in threads]
            [t.join() for t in threads]
            for i, result in enumerate(results):
                self.assertEqual((result.returncode, sha256(result.stdout)), (i, sha256(pieces[i])))
            self.assertEqual(len(self.server.connections()), 1)
        finally:
            master.terminate()
            master.wait()

    def test_over_stdin_and_stdout(self):
        proxy = f"{binary()} ssh-server --stdio --host-keys {self.server.host_keys} --authorized-keys {self.server.authorized}"
        data = os.urandom(3 << 20)
        result = self.good(self.ssh("cat; echo err >&2", options=("-o", f"ProxyCommand={proxy}"), input=data))
        self.assertEqual(sha256(result.stdout), sha256(data))
        self.assertTrue(result.stderr.endswith(b"err\n"))


class Terminal(WithServer):
    def open(self, *command, rows=33, columns=101, options=()):
        pid, fd = pty.fork()
        if pid == 0:
            os.environ["TERM"] = "xterm-256color"
            argv = self.server.ssh_command(*command, options=("-tt", *options))
            os.execvp(argv[0], argv)
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.addCleanup(os.close, fd)
        self.seen = b""

        def clean():
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self.addCleanup(clean)
        return pid, fd

    def until(self, fd, text):
        def there():
            while select.select([fd], [], [], 0)[0]:
                try:
                    self.seen += os.read(fd, 65536)
                except OSError:
                    break
            return re.search(text, self.seen)
        self.assertTrue(wait_until(there, 40, raising=False), f"{text!r} is not on the screen; there is {self.seen!r}")

    def test_size_resize_and_the_end(self):
        pid, fd = self.open("sh", rows=33, columns=101)
        self.until(fd, rb"[#$] ")
        os.write(fd, b"stty size; echo $TERM $SSH_TTY\r")
        self.until(fd, rb"\n33 101\r\n")
        self.until(fd, rb"xterm-256color /dev/pts/\d+\r\n")
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 140, 0, 0))
        os.kill(pid, signal.SIGWINCH)
        os.write(fd, b"while [ \"$(stty size)\" != '50 140' ]; do sleep 0.1; done; echo re''sized\r")
        self.until(fd, rb"\nresized\r\n")
        os.write(fd, b"sh -c 'echo sl\"\"eeps; exec sleep 100'\r")
        self.until(fd, rb"\nsleeps\r\n")
        os.write(fd, b"\x03")
        self.until(fd, rb"sleeps\r\n[^$#]*[$#] $")
        os.write(fd, b"echo in''terrupted\r")
        self.until(fd, rb"\ninterrupted\r\n")

    def test_modes(self):
        result = subprocess.run(["script", "-qec", "stty erase '^H' -ixon; " + " ".join(f"'{word}'" for word in self.server.ssh_command("stty -a", options=("-tt",))), "/dev/null"],
                                capture_output=True, stdin=subprocess.DEVNULL, timeout=30)
        self.assertIn(b"erase = ^H", result.stdout)
        self.assertIn(b"-ixon", result.stdout)

    def test_hanging_up_ends_what_runs(self):
        mark = f"86{os.getpid()}"
        pid, fd = self.open(f"echo ready; exec sleep {mark}")
        self.until(fd, rb"ready")
        runs = lambda: subprocess.run(["pgrep", "-fx", f"sleep {mark}"], capture_output=True).returncode == 0
        self.assertTrue(wait_until(runs, 5, "it to run"))
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not runs(), 10, "it to end")


if __name__ == "__main__":
    unittest.main()
