"""A private Docker Engine: own bridge, own data root, own socket. It touches no other Engine and removes all it made."""
import http.client
import json
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

from engines import INSTALLED
from process import Process, at_exit, children, end, wait_until, wipe, work_dir

_RUNC_WITHOUT_SYS_RESOURCE = """#!/bin/sh
# Where this machine's capability bounding set lacks CAP_SYS_RESOURCE, plain runc fails for --privileged.
prev=
for a in "$@"; do
  case "$prev" in
    --bundle|-b) f=$a/config.json ;;
    --process|-p) f=$a ;;
    *) f= ;;
  esac
  [ -z "$f" ] || [ ! -f "$f" ] || sed -i -e 's/,"CAP_SYS_RESOURCE"//g' -e 's/"CAP_SYS_RESOURCE",//g' "$f"
  prev=$a
done
exec runc "$@"
"""


def _lacks_sys_resource():
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapBnd:"):
            return not int(line.split()[1], 16) >> 24 & 1
    return False


class EngineError(Exception):
    def __init__(self, status, text):
        super().__init__(f"HTTP {status}: {text}")
        self.status = status


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("docker", timeout=timeout)
        self._path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Engine:
    """`name` at most 5 characters. `socket` is the path, `host` what DOCKER_HOST takes. `kind` is one of engines.KINDS; raises
    engines.Unavailable where this machine cannot have it."""

    def __init__(self, name, extra_flags=(), kind=INSTALLED):
        self.name, self.extra_flags, self.kind = name, list(extra_flags), kind
        self.programs = kind.programs()
        self.dir = work_dir() / f"engine-{name}"
        self.dir.mkdir()
        self.socket = self.dir / "docker.sock"
        self.host = f"unix://{self.socket}"
        self.process = None
        at_exit(self.wipe)
        self._make_bridge()
        if _lacks_sys_resource():
            wrapper = self.dir / "runc"
            wrapper.write_text(_RUNC_WITHOUT_SYS_RESOURCE)
            wrapper.chmod(0o755)
            self.extra_flags += ["--add-runtime", f"bounded={wrapper}", "--default-runtime", "bounded"]
        if self.kind.daemon_json():
            (self.dir / "daemon.json").write_text(json.dumps(self.kind.daemon_json()))
            self.extra_flags += ["--config-file", self.dir / "daemon.json"]
        self.start()

    def _make_bridge(self):
        # With --bridge=none a dockerd deletes its neighbour's docker0: the bridge is made here, before.
        self.bridge = f"rv-{self.name}{os.getpid() % 10000000}"[:15]
        routes = subprocess.run(["ip", "-4", "addr"], capture_output=True, text=True, check=True).stdout
        third = next(n for n in range(16 + os.getpid() % 64, 128) if f"172.30.{n}." not in routes)
        for command in (["link", "add", "name", self.bridge, "type", "bridge"],
                        ["addr", "add", f"172.30.{third}.1/24", "dev", self.bridge],
                        ["link", "set", self.bridge, "up"]):
            subprocess.run(["ip", *command], check=True)
        (self.dir / "bridge").write_text(self.bridge)

    def start(self):
        for stale in (self.dir / "docker.pid", self.dir / "exec/containerd/containerd.pid"):
            stale.unlink(missing_ok=True)
        # Only one Engine of a machine may manage iptables, and it is not this one.
        # An unpacked dockerd finds its own containerd and shim first, and runc and docker-init of this machine.
        dockerd = self.programs / "dockerd" if self.programs else "/usr/sbin/dockerd"
        env = {**os.environ, "PATH": f"{self.programs}:{os.environ['PATH']}"} if self.programs else None
        self.process = Process([dockerd, "--data-root", self.dir / "data", "--exec-root", self.dir / "exec",
                                "-p", self.dir / "docker.pid", "-H", self.host, "-b", self.bridge,
                                "--iptables=false", "--ip-masq=false", *self.extra_flags], self.dir / "log", env=env)
        at_exit(self.wipe)  # again: before the process is ended as every process is, it is told to remove its networks
        wait_until(lambda: not self.process.running() or self._pings(), 60, "the private Engine to answer", step=0.05)
        if not self.process.running():
            raise RuntimeError(f"dockerd ended: {self.process.output()[-800:]}")

    def _pings(self):
        try:
            return self.api("GET", "/_ping", timeout=2) is not None
        except (OSError, http.client.HTTPException, EngineError):
            return False

    def stop(self):
        if self.process and self.process.running():
            try:  # dockerd's own shutdown waits 10 s for a container whose pid 1 ignores SIGTERM
                for container in self.api("GET", "/containers/json"):
                    self.api("POST", f"/containers/{container['Id']}/kill")
                self.api("POST", "/networks/prune")  # their bridges would stay
            except (OSError, EngineError):
                pass
            self.process.end(20)

    def kill(self):
        self.process.kill()

    def crash(self):
        """As when the plug is pulled: dockerd, containerd, shims and containers are gone at once."""
        prefix = f"{self.dir}/"
        doomed = [self.process.pid]
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                command = (entry / "cmdline").read_bytes().decode(errors="replace")
                shim = os.readlink(entry / "cwd").startswith(prefix)
            except OSError:
                continue
            if shim:  # containers first: nobody is to see them end
                doomed = children(int(entry.name)) + doomed + [int(entry.name)]
            elif prefix in command and "containerd" in command.split("\0")[0]:
                doomed.append(int(entry.name))
        self.process.kill()
        for pid in doomed:
            end(pid, now=True)
        for line in Path("/proc/mounts").read_text().splitlines():  # of a folder that is empty after a start of the machine
            if line.split()[1].startswith(f"{prefix}exec/"):
                subprocess.run(["umount", "-l", line.split()[1]], stderr=subprocess.DEVNULL)
        shutil.rmtree(self.dir / "exec", ignore_errors=True)

    def _remove_networks(self):
        """Their bridges would stay behind. A network goes when none of its containers is left."""
        try:
            if not [n for n in self.api("GET", "/networks") if n["Driver"] == "bridge" and n["Name"] != "bridge"]:
                return
            for container in self.containers():
                self.api("DELETE", f"/containers/{container['Id']}?force=1")
            self.api("POST", "/networks/prune")
        except (OSError, http.client.HTTPException, EngineError):
            pass

    def wipe(self):
        if self.process and self.process.running():
            self._remove_networks()
        self.stop()
        containerd = self.dir / "exec/containerd/containerd.pid"
        if containerd.exists() and containerd.read_text().strip().isdigit():
            end(int(containerd.read_text()), now=True)
        subprocess.run(["ip", "link", "del", self.bridge], stderr=subprocess.DEVNULL)
        wipe(self.dir)

    # ---- talking to it

    def request(self, method, path, body=None, headers=None, timeout=120):
        """One request; returns the open response (read it, then close its `connection`)."""
        connection = _UnixConnection(self.socket, timeout)
        if body is not None and not isinstance(body, (bytes, bytearray)) and not hasattr(body, "read"):
            body, headers = json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})}
        connection.request(method, path, body=body, headers=headers or {})
        response = connection.getresponse()
        response.connection = connection
        return response

    def api(self, method, path, body=None, headers=None, timeout=120):
        """The answer as JSON (or text, or True when empty). Raises EngineError from 400 on."""
        response = self.request(method, path, body, headers, timeout)
        text = response.read().decode(errors="replace")
        response.connection.close()
        if response.status >= 400:
            raise EngineError(response.status, text)
        try:
            return json.loads(text) if text else True
        except ValueError:
            return text

    def docker(self, *args, check=True, input=None, timeout=300, text=True):
        """The docker command against this Engine; returns its stdout (stripped when text)."""
        env = {k: v for k, v in os.environ.items() if not k.startswith("DOCKER_")}
        run = subprocess.run(["docker", *map(str, args)], env={**env, "DOCKER_HOST": self.host}, input=input,
                             capture_output=True, text=text, timeout=timeout)
        if check and run.returncode:
            raise AssertionError(f"docker {' '.join(map(str, args))}: {run.returncode}\n{run.stdout}\n{run.stderr}")
        return run.stdout.strip() if text else run.stdout

    def left_unpacked(self):
        """Folders of loads that are not under way. One may wait for a load to come: it has nothing but the beginning of it."""
        return [f for f in (self.dir / "data/tmp").glob("*") if set(os.listdir(f) if f.exists() else []) - {"oci-layout"}]

    def containers(self, label=None):
        """All containers, running or not, as GET /containers/json lists them."""
        filters = quote(json.dumps({"label": [label]} if label else {}))
        return self.api("GET", f"/containers/json?all=1&filters={filters}")

    def container(self, environment, prefix="hakuriver"):
        """The environment's container as inspected, or None (also while another one takes its place)."""
        found = self.containers(f"{prefix}.environment={environment}")
        found = [c for c in found if c["Labels"].get(f"{prefix}.managed") == "true" and "task_id" not in
                 "".join(c["Labels"])]
        return self.inspected(f"/containers/{found[0]['Id']}/json") if found else None

    def image(self, reference):
        """The image as inspected, or None."""
        return self.inspected(f"/images/{reference}/json")

    def inspected(self, path):
        try:
            return self.api("GET", path)
        except EngineError as error:
            if error.status == 404:
                return None
            raise

    def processes_in(self, container_id):
        """Command lines of the processes in a container."""
        answer = self.api("GET", f"/containers/{container_id}/top?ps_args=-eo%20pid,args")
        return [" ".join(row[1:]) for row in answer["Processes"]]

    def tags(self):
        return sorted(tag for image in self.api("GET", "/images/json") for tag in image.get("RepoTags") or []
                      if tag != "<none>:<none>")
