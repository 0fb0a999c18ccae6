"""The example sessions of the manual, run as they are written (*.session in this folder).

A session is typed line by line. What follows `hakuriver.docker-shell NAME` goes into that shell, on a real terminal, until its `exit`;
lines that the manual shows as "# root@hostname:/# COMMAND" are typed there as COMMAND. Other comments are comments, except
  #= TEXT   the task that was just submitted prints TEXT.
Images with the names of the manual are made here, and the package managers in them are stand-ins, so that nothing leaves the machine.
"""
import json
import re
import unittest
from pathlib import Path

import images
from cluster import Host, Runner, shared
from process import work_dir

HERE = Path(__file__).resolve().parent
IMAGES = ("python:3.11-slim", "python:3.9-slim", "ubuntu:22.04", "ubuntu:20.04", "tensorflow/tensorflow:latest-gpu")
PROGRAMS = {"analyze_data.py": "print('analyzed')\n", "train_model.py": "print('trained')\n"}


def steps(text):
    """[("run", line) | ("shell", name, [lines]) | ("expect", text)]"""
    found, shell = [], None
    for line in text.splitlines():
        line = line.strip()
        prompt = re.match(r"#\s*root@[^#]*#\s*(.*)", line)
        if prompt:
            line = prompt.group(1)
        if line.startswith("#="):
            found.append(("expect", line[2:].strip()))
        elif not line or line.startswith("#"):
            continue
        elif shell is not None:
            shell.append(line)
            if line == "exit":
                shell = None
        elif line.startswith("hakuriver.docker-shell "):
            shell = []
            found.append(("shell", line.split()[1], shell))
        else:
            found.append(("run", line))
    assert shell is None, "a shell without an exit"
    return found


class Sessions(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        c = shared()
        engine = c.host_engine
        stand_ins = images.stand_ins("pip", "apt-get", "apt", "apk")
        base = c.debian()
        if base is None:  # no Debian can be made here: busybox with a python that can print
            base = c.busybox
            stand_ins["usr/local/bin/python"] = b"#!/bin/sh\nsed -n \"s/^print('\\(.*\\)')$/\\1/p\" \"$1\"\n"
        for reference in IMAGES:
            images.derive(engine, base, reference, stand_ins)
        cls.host = Host(engine, work_dir() / "session-share", name="session-host")
        cls.host.env["SHARED_DIR"] = str(cls.host.share)
        data = cls.host.share / "shared_data"
        data.mkdir(exist_ok=True)
        for name, text in PROGRAMS.items():
            (data / name).write_text(text)
        cls.runners = [Runner(cls.host, c.runner_engine, name) for name in ("my-node", "gpu-node")]

    @classmethod
    def tearDownClass(cls):
        for container in cls.host.docker("list-containers").json():
            if container.get("managed"):
                cls.host.docker("delete-container", container["name"])
        for runner in cls.runners:
            runner.stop()
        cls.host.stop()

    def play(self, file):
        task = None
        for kind, *what in steps(file.read_text()):
            if kind == "run":
                result = self.host.bash(what[0], timeout=120)
                self.assertEqual(result.code, 0, (what[0], result))
                if what[0].startswith("hakuriver."):
                    answer = json.loads(result.out)  # piped: documented JSON, and nothing else, on stdout
                    task = answer["task_ids"][0] if "task_ids" in answer else task
            elif kind == "shell":
                name, lines = what
                typed = "".join(line + "\r" for line in lines).encode()
                result = self.host.tty("hakuriver.docker-shell", name, input=typed, timeout=60)
                self.assertEqual(result.code, 0, (name, result))
                for line in lines:
                    if line.startswith("pip install"):
                        self.assertIn(f"stand-in: {line}", result.out)
            else:
                done = self.host.wait_task(task)
                self.assertEqual(done["status"], "completed", done)
                self.assertEqual(self.host.client("logs", task, check=True).out, what[0] + "\n")


for _file in sorted(HERE.glob("*.session")):
    setattr(Sessions, "test_" + _file.stem.replace("-", "_"), lambda self, file=_file: self.play(file))

if __name__ == "__main__":
    unittest.main()
