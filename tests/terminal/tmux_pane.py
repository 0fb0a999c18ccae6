"""A terminal that a test can type on and look at: one window of a private tmux server."""
import atexit
import os
import re
import shutil
import subprocess
import tempfile
import time

from process import PATIENCE


class Pane:
    """Runs `argv` in a terminal of `columns` x `rows` and sees what a user would see."""

    _number = 0

    def __init__(self, argv, rows=24, columns=80, env=None):
        Pane._number += 1
        self.folder = tempfile.mkdtemp(prefix="rb-tmux-")
        self.socket = f"{self.folder}/socket"
        config = f"{self.folder}/tmux.conf"
        with open(config, "w") as out:
            out.write("set -g status off\nset -g default-terminal xterm-256color\nset -g escape-time 0\nset -g remain-on-exit on\n"
                      "set -g history-limit 5000\nunbind-key -a\nset -g prefix None\n")
        self.env = {**(os.environ if env is None else env), "TERM": "xterm-256color"}
        self.env.pop("TMUX", None)
        self._tmux("-f", config, "new-session", "-d", "-x", str(columns), "-y", str(rows), *argv)
        atexit.register(self.close)

    def _tmux(self, *args):
        done = subprocess.run(["tmux", "-S", self.socket, "-u", *args], env=self.env, capture_output=True, timeout=20)
        if done.returncode:
            raise AssertionError(f"tmux {' '.join(args)}: {done.stderr.decode(errors='replace')}")
        return done.stdout.decode(errors="replace")

    def close(self):
        if self.folder:
            subprocess.run(["tmux", "-S", self.socket, "kill-server"], capture_output=True)
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = None
            atexit.unregister(self.close)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---- typing

    def text(self, text):
        """Types the characters as they are."""
        self._tmux("send-keys", "-l", text)

    def line(self, text):
        self.text(text)
        self.keys("Enter")

    def keys(self, *names):
        """Types keys by tmux's names: C-c, Enter, Escape, Up."""
        self._tmux("send-keys", *names)

    def resize(self, rows, columns):
        self._tmux("resize-window", "-x", str(columns), "-y", str(rows))

    # ---- looking

    def screen(self, attributes=False):
        """The lines of the screen, without the empty end; with `attributes`, colours as escape sequences."""
        shown = self._tmux("capture-pane", "-p", *(["-e"] if attributes else []))
        return [line.rstrip() for line in shown.rstrip("\n").split("\n")]

    def wait(self, pattern, seconds=10):
        """The match of a regular expression on the screen, once it is there."""
        deadline = time.monotonic() + seconds * PATIENCE
        while True:
            shown = "\n".join(self.screen())
            if found := re.search(pattern, shown, re.MULTILINE):
                return found
            if time.monotonic() > deadline:
                raise AssertionError(f"{pattern!r} did not appear within {seconds * PATIENCE:g} s. The screen:\n{shown}")
            time.sleep(0.03)

    def settled(self, seconds=10, quiet=0.4, attributes=False):
        """The screen once it has not changed for a moment."""
        deadline = time.monotonic() + seconds * PATIENCE
        last, since = self.screen(attributes), time.monotonic()
        while time.monotonic() < deadline:
            time.sleep(0.05)
            now = self.screen(attributes)
            if now != last:
                last, since = now, time.monotonic()
            elif time.monotonic() - since >= quiet:
                return now
        raise AssertionError("the screen does not come to rest:\n" + "\n".join(last))

    def cursor(self):
        x, y = self._tmux("display-message", "-p", "#{cursor_x} #{cursor_y}").split()
        return int(x), int(y)

    def pid(self):
        """Of the program that was started in it."""
        return int(self._tmux("display-message", "-p", "#{pane_pid}"))
