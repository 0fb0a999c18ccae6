"""Shell completion names what is there, within 200 ms."""
import shutil
import subprocess
import time
import unittest

from cluster import bin_dir, run, shared
from process import PATIENCE, ROOT


class Completion(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.host = shared().host
        cls.host.environment_from("busybox:latest", "complete-me")
        if not cls.host.tars_of("complete-me"):
            cls.host.docker("create-tar", "complete-me", check=True)

    def complete(self, applet, *words):
        result = self.host.cli("riverbox", "__complete", applet, *words)
        self.assertEqual((result.code, result.err), (0, ""), result)
        return result.out.splitlines(), result.seconds

    def test_candidates(self):
        for applet, words, wanted in (("docker", ["stop-container", "comp"], "complete-me"), ("docker", ["st"], "stop-container"),
                                      ("docker-shell", [""], "complete-me"), ("client", ["--container", ""], "complete-me"),
                                      ("client", ["--target", "no"], "node1"), ("docker", ["create-tar", ""], "complete-me")):
            candidates, seconds = self.complete(applet, *words)
            self.assertIn(wanted, candidates, (applet, words))
            self.assertTrue(all(c.startswith(words[-1]) for c in candidates), candidates)
            self.assertLess(seconds, 0.2 * PATIENCE, (applet, words))

    def test_silence_when_the_host_is_away(self):
        start = time.monotonic()
        result = self.host.cli("riverbox", "__complete", "docker", "stop-container", "", env={"RIVERBOX_HOST": "http://127.0.0.1:1"})
        self.assertEqual((result.code, result.out, result.err), (0, "", ""), result)
        self.assertLess(time.monotonic() - start, 0.3 * PATIENCE)

    def bash_completes(self, line):
        """What bash would offer for the line, by the completion file that is installed."""
        script = f"""
            source {ROOT}/completions/riverbox.bash
            COMP_LINE={line!r}; COMP_POINT=${{#COMP_LINE}}
            read -ra COMP_WORDS <<<"$COMP_LINE"; [[ $COMP_LINE == *' ' ]] && COMP_WORDS+=('')
            COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
            function_of() {{ complete -p "$1" | sed 's/.*-F \\([^ ]*\\).*/\\1/'; }}
            $(function_of "${{COMP_WORDS[0]}}")
            printf '%s\\n' "${{COMPREPLY[@]}}"
        """
        result = run(["bash", "--norc", "-c", script], self.host.env)
        self.assertEqual((result.code, result.err), (0, ""), result)
        return result.out.split(), result.seconds

    def test_bash(self):
        for line in ("hakuriver.docker-shell comp", "riverbox docker stop-container comp", "hakuriver.docker create-tar "):
            offered, seconds = self.bash_completes(line)
            self.assertIn("complete-me", offered, line)
        timed = min(self.bash_completes("hakuriver.docker-shell comp")[1] for _ in range(3))
        self.assertLess(timed, 0.2 * PATIENCE)

    def test_the_binary_prints_the_same_files(self):
        for shell, file in (("bash", "riverbox.bash"), ("zsh", "_riverbox"), ("fish", "riverbox.fish")):
            printed = self.host.cli("riverbox", "completion", shell, check=True).out
            self.assertIn("__complete", printed)
            self.assertIn("__complete", (ROOT / "completions" / file).read_text())

    def test_the_other_shells_read_their_files(self):
        for shell, flags, file in (("zsh", ["-n"], "_riverbox"), ("fish", ["--no-execute"], "riverbox.fish"), ("bash", ["-n"], "riverbox.bash")):
            if shutil.which(shell):
                done = subprocess.run([shell, *flags, ROOT / "completions" / file], capture_output=True, text=True)
                self.assertEqual((done.returncode, done.stderr), (0, ""), shell)


if __name__ == "__main__":
    unittest.main()
