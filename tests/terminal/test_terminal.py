"""docker-shell on a real terminal. A tmux window is the user's terminal; what a program shows through docker-shell must be what the
same program shows when it runs in such a window directly. place.py says which environment is used. Needs tmux."""
import hashlib
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from place import place  # noqa: E402
from process import PATIENCE  # noqa: E402
from tmux_pane import Pane  # noqa: E402

PREPARE = r"""export PS1='in> ' LANG=C.UTF-8 LESS= EDITOR=; unset PROMPT_COMMAND LS_COLORS; bind 'set enable-bracketed-paste off'; trap 'tmux -L rb-$$ kill-server 2>/dev/null; rm -rf /tmp/rb-$$' EXIT; mkdir -p /tmp/rb-$$; cd /tmp/rb-$$; clear"""
TEXT = r"""for i in $(seq 1 300); do printf '%d: é € 🚢 the quick brown fox jumps over the lazy dog\n' $i; done > text; clear"""


class TerminalCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not shutil.which("tmux"):
            raise unittest.SkipTest("SKIPPED: tmux is not installed, no terminal was looked at")
        cls.place = place()
        if cls.place is None:
            raise unittest.SkipTest("SKIPPED: no Debian image can be made here, and there is no other environment with bash")

    def outer(self, rows=24, columns=80):
        """A terminal with a plain shell, from which docker-shell can be started as users do."""
        pane = Pane(["bash", "--norc", "--noprofile"], rows, columns, {**self.place.env, "PS1": "outer> "})
        self.addCleanup(pane.close)
        pane.wait(r"outer>$")
        return pane

    def enter(self, pane):
        """Starts docker-shell in it and waits for the prompt of the inner shell."""
        pane.line("clear; " + " ".join(self.place.command))
        pane.wait(r"[#$>] ?$")
        return self.prepare(pane)

    def prepare(self, pane):
        pane.line(PREPARE)
        pane.wait(r"\Ain>\s*\Z")
        return pane

    def inside(self, rows=24, columns=80):
        return self.enter(self.outer(rows, columns))

    def directly(self, rows=24, columns=80):
        """The reference: the same shell in a window of its own."""
        pane = Pane(["bash", "--norc", "--noprofile"], rows, columns, self.place.env)
        self.addCleanup(pane.close)
        pane.wait(r"[#$>] ?$")
        return self.prepare(pane)

    def need(self, program):
        if program not in self.place.programs or not shutil.which(program):
            self.skipTest(f"SKIPPED: {program} is not in the environment and on this machine")

    def assert_same(self, ours, reference, what):
        deadline = time.monotonic() + 8  # on a busy machine one may be late
        while True:
            a, b = shown(ours.settled(attributes=True)), shown(reference.settled(attributes=True))
            if (a == b and ours.cursor() == reference.cursor()) or time.monotonic() > deadline:
                break
        self.assertEqual(a, b, f"{what}: through docker-shell (first) it looks otherwise than directly (second)")
        self.assertEqual(ours.cursor(), reference.cursor(), f"{what}: the cursor stands elsewhere")


def shown(rows):
    """Without what stands below the last text: tmux tells of attributes there that nobody sees."""
    while rows and not re.sub(r"\x1b\[[0-9;]*m", "", rows[-1]).strip():
        rows = rows[:-1]
    return rows


class Screens(TerminalCase):
    def compare(self, program, command, steps):
        self.need(program)
        panes = [self.inside(), self.directly()]
        for pane in panes:
            pane.line(TEXT)
            pane.settled()
            pane.line(command)
        self.assert_same(*panes, f"{program} at the start")
        for name, step in steps:
            for pane in panes:
                step(pane)
            self.assert_same(*panes, f"{program} after {name}")

    def test_vim(self):
        self.compare("vim", "vim -u NONE -N -n -i NONE -c 'set nu ruler laststatus=2 showcmd' text", [
            ("moving", lambda p: p.keys("C-f", "C-f", "j", "w", "w")),
            ("inserting", lambda p: (p.keys("i"), p.text("größer 漢字 "), p.keys("Escape"))),
            ("a search", lambda p: (p.text("/fox jumps"), p.keys("Enter"))),
            ("growing", lambda p: p.resize(40, 120)),
            ("shrinking", lambda p: p.resize(12, 50)),
            ("leaving", lambda p: (p.text(":q!"), p.keys("Enter"))),
        ])

    def test_less(self):
        self.compare("less", "less text", [
            ("paging", lambda p: p.keys("Space", "Space")),
            ("a search", lambda p: (p.text("/250"), p.keys("Enter"))),
            ("a resize", lambda p: p.resize(30, 60)),
            ("the end", lambda p: p.keys("G")),
            ("leaving", lambda p: p.keys("q")),
        ])

    def test_tmux(self):
        self.compare("tmux", "PS1='nested> ' tmux -L rb-$$ -f /dev/null new -s x 'bash --norc' \\; set status-right '' \\; set default-command 'bash --norc'", [
            ("a command", lambda p: p.line("seq 5; echo é € 🚢")),
            ("a split", lambda p: p.keys("C-b", "%")),
            ("a resize", lambda p: p.resize(30, 100)),
            ("leaving", lambda p: p.keys("C-d", "C-d")),
        ])

    def test_htop(self):
        self.need("htop")
        pane = self.inside(30, 100)
        pane.line("htop")
        pane.wait(r"PID USER")
        pane.wait(r"^F1Help\s+F2Setup.*F10Quit")
        pane.resize(20, 80)
        pane.wait(r"^F1Help\s+F2Setup")
        self.assertTrue(pane.screen()[19].startswith("F1Help"), pane.screen())
        pane.keys("q")
        pane.wait(r"^in>$")

    def test_lines_longer_than_the_screen_wrap_alike(self):
        panes = [self.inside(24, 80), self.directly(24, 80)]
        for pane in panes:
            pane.text("echo " + "0123456789 " * 20)
            pane.keys("C-a", "Right", "Right", "C-e", "BSpace", "BSpace")
        self.assert_same(*panes, "a long line in readline")

    def test_utf8_is_never_split(self):
        panes = [self.inside(), self.directly()]
        for pane in panes:
            pane.line("clear; for i in $(seq 1 4000); do printf 'é€🚢漢%d' $i; done; echo; echo done")
            pane.wait(r"^done$", 30)
        self.assert_same(*panes, "a wall of multi-byte characters")


class Sizes(TerminalCase):
    def test_the_first_size_is_right_from_the_first_byte(self):
        pane = self.outer(41, 133)
        pane.line("clear; " + " ".join(self.place.command))
        pane.text("stty size; tput lines 2>/dev/null\n")  # typed ahead
        pane.wait(r"^41 133$")

    def test_the_size_follows(self):
        pane = self.inside(24, 80)
        for rows, columns in ((50, 132), (10, 40), (24, 80)):
            pane.resize(rows, columns)
            time.sleep(0.3)
            pane.line("clear; stty size")
            pane.wait(rf"^{rows} {columns}$")

    # fault: resize-storm
    def test_a_storm_of_sizes_ends_with_the_last(self):
        pane = self.inside(24, 80)
        for i in range(40):
            pane.resize(20 + i % 7, 70 + i)
        pane.resize(33, 99)
        time.sleep(0.5)
        pane.line("clear; stty size")
        pane.wait(r"^33 99$")


class Keys(TerminalCase):
    def test_ctrl_c_ends_what_runs_and_nothing_else(self):
        pane = self.inside()
        pane.line("sleep 100")
        time.sleep(0.3)
        start = time.monotonic()
        pane.keys("C-c")
        pane.line("echo status=$?")
        pane.wait(r"^status=130$", 3)
        self.assertLess(time.monotonic() - start, 2 * PATIENCE)

    def test_ctrl_z_suspends_inside(self):
        pane = self.inside()
        pane.line("sleep 100")
        time.sleep(0.3)
        pane.keys("C-z")
        pane.wait(r"Stopped\s+sleep 100")
        pane.line("kill %1; wait 2>/dev/null; clear; echo still inside")
        pane.wait(r"^still inside$")

    def test_ctrl_d_ends_the_shell(self):
        pane = self.inside()
        pane.keys("C-d")
        pane.wait(r"outer>$")
        pane.line("s=$?; clear; echo status=$s")
        pane.wait(r"^status=0$\n^outer>")

    def test_the_exit_status_is_ours(self):
        pane = self.inside()
        pane.line("exit 42")
        pane.wait(r"outer>$")
        pane.line("s=$?; clear; echo status=$s")
        pane.wait(r"^status=42$")

    def test_the_detach_keys(self):
        pane = self.inside()
        pane.keys("C-p")
        time.sleep(0.2)
        pane.keys("C-q")
        pane.wait(r"detached from[^$]*outer>$")
        pane.line("s=$?; clear; echo status=$s")
        pane.wait(r"^status=0$")

    def test_a_lone_ctrl_p_is_the_previous_command(self):
        pane = self.inside()
        pane.line("echo first")
        pane.wait(r"^first$")
        pane.keys("C-p")
        pane.wait(r"^in> echo first$", 4)

    def test_tab_arrows_and_history(self):
        panes = [self.inside(), self.directly()]
        for pane in panes:
            pane.line("mkdir unmistakable; clear")
            pane.settled()
            pane.text("cd unm")
            pane.keys("Tab", "Enter")
            pane.line("echo one two")
            pane.keys("Up", "Left", "Left", "Left", "BSpace")
            pane.text("-")
            pane.keys("Enter")
            pane.wait(r"^one-two$")
        self.assert_same(*panes, "readline")


class TheLocalTerminal(TerminalCase):
    def settings(self, pane):
        pane.line("clear; stty -a | tr '\\n' ' ' | md5sum")
        return pane.wait(r"^([0-9a-f]{32})  -").group(1)

    def client(self, pane):
        """The process id of docker-shell in it."""
        children = Path(f"/proc/{pane.pid()}/task/{pane.pid()}/children").read_text().split()
        self.assertEqual(len(children), 1, children)
        return int(children[0])

    def test_is_as_before_after_a_normal_end(self):
        pane = self.outer()
        before = self.settings(pane)
        self.enter(pane).line("exit")
        pane.wait(r"outer>$")
        self.assertEqual(self.settings(pane), before)

    # fault: client-killed
    def test_is_as_before_when_the_client_is_killed(self):
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGABRT):
            with self.subTest(signal=number.name):
                pane = self.outer()
                pane.line("ulimit -c 0")
                before = self.settings(pane)
                os.kill(self.client(self.enter(pane)), number)
                pane.wait(r"outer>$")
                pane.line("s=$?; clear; echo status=$s")
                pane.wait(rf"^status={128 + number}$")
                self.assertEqual(self.settings(pane), before)
                pane.close()

    # fault: client-killed
    def test_a_stop_from_outside_gives_the_terminal_back_until_it_continues(self):
        pane = self.outer()
        before = self.settings(pane)
        client = self.client(self.enter(pane))
        os.kill(client, signal.SIGTSTP)
        pane.wait(r"Stopped")
        self.assertEqual(self.settings(pane), before)
        pane.resize(30, 90)
        pane.line("fg")
        pane.wait(r"docker-shell")
        pane.keys("Enter")
        pane.line("clear; stty size")
        pane.wait(r"^30 90$")

    def test_stdin_is_not_left_non_blocking(self):
        pane = self.outer()
        self.enter(pane).line("exit")
        pane.wait(r"outer>$")
        pane.line("clear; grep flags /proc/self/fdinfo/0")
        flags = int(pane.wait(r"^flags:\s*(\d+)$").group(1), 8)
        self.assertFalse(flags & os.O_NONBLOCK)


# fault: client-killed
class TheShellInside(TerminalCase):
    def alive(self, mark):
        # The brackets keep the command line of the search itself from matching.
        script = f"cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -c 'sleep [{mark[0]}]{mark[1:]}'\nexit 0\n"
        return int(self.place.run(script).stdout or b"0") > 0

    def wait_gone(self, mark, seconds=10):
        deadline = time.monotonic() + seconds
        while self.alive(mark):
            self.assertLess(time.monotonic(), deadline, f"sleep {mark} still runs in the environment")
            time.sleep(0.2)

    def test_ends_with_a_client_that_is_killed(self):
        for i, number in enumerate((signal.SIGTERM, signal.SIGKILL)):
            mark = f"9871{i}"
            pane = self.inside()
            pane.line(f"sleep {mark}")
            time.sleep(0.5)
            self.assertTrue(self.alive(mark))
            client = int(Path(f"/proc/{pane.pid()}/task/{pane.pid()}/children").read_text().split()[0])
            os.kill(client, number)
            self.wait_gone(mark)
            pane.close()

    def test_ends_with_the_window(self):
        pane = self.inside()
        pane.line("sleep 98721")
        time.sleep(0.5)
        self.assertTrue(self.alive("98721"))
        pane.close()
        self.wait_gone("98721")

    def test_ends_when_detached(self):
        pane = self.inside()
        pane.line("sleep 98731")
        time.sleep(0.5)
        pane.keys("C-p", "C-q")
        pane.wait(r"detached from")
        self.wait_gone("98731")


class Streams(TerminalCase):
    def test_pipes(self):
        done = self.place.run("echo ls; exit 3\n")
        self.assertEqual((done.returncode, done.stdout), (3, b"ls\n"), done)
        null = subprocess.run(self.place.command, stdin=subprocess.DEVNULL, capture_output=True, env=self.place.env, timeout=30)
        self.assertEqual((null.returncode, null.stdout), (0, b""), null)

    # fault: client-killed
    def test_head_ends_it_quietly(self):
        script = f"echo 'yes riverbox' | {' '.join(self.place.command)} | head -n 2; echo ${{PIPESTATUS[1]}}"
        done = subprocess.run(["bash", "-c", script], capture_output=True, env=self.place.env, timeout=30)
        self.assertEqual((done.stdout, done.stderr), (b"riverbox\nriverbox\n141\n", b""))

    # fault: reader-stops, characters-cut
    def test_fifty_megabytes_on_a_terminal(self):
        """Through a terminal that is read as fast as it can be: nothing is lost, nothing stalls."""
        count = 50_000_000
        pid, fd = pty.fork()
        if pid == 0:
            os.execve(self.place.command[0], self.place.command, {**self.place.env, "TERM": "dumb"})
        try:
            def read_until(end, seconds):
                seen, digest, total, deadline = b"", hashlib.sha256(), 0, time.monotonic() + seconds
                while end not in seen:
                    self.assertGreater(deadline, time.monotonic(), f"stalled after {total} bytes: {seen[-200:]!r}")
                    if select.select([fd], [], [], 0.5)[0]:
                        data = os.read(fd, 1 << 16)
                        total += len(data)
                        digest.update(seen[:-100] if len(seen) > 100 else b"")
                        seen = (seen[-100:] if len(seen) > 100 else seen) + data
                return digest, seen
            os.write(fd, b"stty -echo -onlcr; echo rea''dy; read -r a; eval \"$a\"; read -r b; eval \"$b\"\n")
            read_until(b"ready\n", 15)
            start = time.monotonic()
            os.write(fd, f"yes riverbox | head -c {count}; echo fin''ished\n".encode())
            digest, rest = read_until(b"finished\n", 120)
            seconds = time.monotonic() - start
            digest.update(rest[:rest.index(b"finished\n")])
            expected = (b"riverbox\n" * (count // 9 + 1))[:count]
            self.assertEqual(digest.hexdigest(), hashlib.sha256(expected).hexdigest(), "bytes were lost or changed")
            print(f"50 MB through a terminal in {seconds:.2f} s ({count / seconds / 1e6:.0f} MB/s)", flush=True)
            os.write(fd, b"exit 5\n")
            _, status = os.waitpid(pid, 0)
            pid = None
            self.assertEqual(os.waitstatus_to_exitcode(status), 5)
        finally:
            if pid:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            os.close(fd)


class Refusals(TerminalCase):
    def refused(self, name):
        done = self.place.run("echo no\n", argv=self.place.other(name))
        self.assertEqual((done.returncode, done.stdout), (1, b""), done)
        self.assertLessEqual(done.stderr.count(b"\n"), 2, done.stderr)
        return done.stderr.decode()

    def test_no_such_environment(self):
        self.assertRegex(self.refused("no-such-env"), r"no-such-env|no such environment")

    def test_a_stopped_environment_names_the_command_that_helps(self):
        if not self.place.stopped:
            self.skipTest("SKIPPED: no stopped environment was named")
        self.assertIn("start-container", self.refused(self.place.stopped))

    # fault: terminal-odd
    def test_terminals_of_every_kind(self):
        for term in ("dumb", "no-such-terminal", ""):
            env = {**self.place.env, "TERM": term, "COLUMNS": "0"}
            done = subprocess.run(self.place.command, input=b"echo fine\n", capture_output=True, env=env, timeout=30)
            self.assertEqual((done.returncode, done.stdout), (0, b"fine\n"), term)


if __name__ == "__main__":
    unittest.main(verbosity=2)
