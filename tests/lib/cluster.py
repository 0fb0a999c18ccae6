"""Hosts, runners and commands of the real binary, each in a home of its own, and a cluster of them that the tests share."""
import http.client
import json
import os
import pty
import select
import shlex
import subprocess
import time
import unittest
from pathlib import Path

from process import PATIENCE, Process, at_exit, binary, free_port, last_words, wait_until, work_dir

NAMES = ("docker", "docker-shell", "host", "runner", "client", "task", "vps", "ssh")


class Result:
    """What a command did."""

    def __init__(self, code, out, err, seconds):
        self.code, self.out, self.err, self.seconds = code, out, err, seconds

    def json(self):
        return json.loads(self.out)

    def __repr__(self):
        return f"exit {self.code} in {self.seconds:.2f} s\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


def bin_dir():
    """A folder with `riverbox` and its hakuriver.* names, for PATH."""
    folder = work_dir() / "bin"
    if not folder.exists():
        folder.mkdir()
        (folder / "riverbox").symlink_to(binary())
        for name in NAMES:
            (folder / f"hakuriver.{name}").symlink_to("riverbox")
    return folder


def environment(home, **extra):
    """A clean environment for a program of ours: nothing of the caller's configuration gets through."""
    keep = {k: v for k, v in os.environ.items()
            if k == "RIVERBOX_TEST_PROGRAM" or not k.startswith(("RIVERBOX", "HAKURIVER", "DOCKER_", "XDG_")) and k not in ("NOTIFY_SOCKET", "STATE_DIRECTORY")}
    return {**keep, "HOME": str(home), "PATH": f"{bin_dir()}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8", **extra}


def run(argv, env, input=None, timeout=60, cwd=None, text=True):
    """Runs a command to its end without a terminal."""
    start = time.monotonic()
    try:
        done = subprocess.run([str(a) for a in argv], env=env, input=input, capture_output=True, timeout=timeout, cwd=cwd,
                              **({"stdin": subprocess.DEVNULL} if input is None else {}))
    except subprocess.TimeoutExpired as slow:
        raise AssertionError(f"{argv} did not end within {timeout} s\n{slow.stdout}\n{slow.stderr}") from None
    decode = (lambda b: b.decode(errors="replace")) if text else (lambda b: b)
    return Result(done.returncode, decode(done.stdout), done.stderr.decode(errors="replace"), time.monotonic() - start)


def run_on_tty(argv, env, timeout=60, rows=24, columns=100, input=b""):
    """Runs a command on a terminal of its own; stdout and stderr come together in `out`. `input` is typed once something, such as
    a prompt, has been shown and nothing more comes."""
    import fcntl
    import struct
    import termios
    start = time.monotonic()
    pid, fd = pty.fork()
    if pid == 0:
        os.execvpe(str(argv[0]), [str(a) for a in argv], {**env, "TERM": "xterm-256color"})
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    out = b""
    while time.monotonic() - start < timeout:
        if not select.select([fd], [], [], 0.2)[0]:
            if input and out:
                os.write(fd, input)
                input = b""
        else:
            try:
                data = os.read(fd, 65536)
            except OSError:
                data = b""
            if not data:
                break
            out += data
    else:
        os.kill(pid, 9)
    _, status = os.waitpid(pid, 0)
    os.close(fd)
    return Result(os.waitstatus_to_exitcode(status), out.decode(errors="replace"), "", time.monotonic() - start)


def _toml(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    return str(value) if isinstance(value, int) else json.dumps(str(value))


def write_config(path, **sections):
    """write_config(p, network={"host_port": 1}, ...)"""
    text = "".join(f"[{name}]\n" + "".join(f"{k} = {_toml(v)}\n" for k, v in keys.items()) + "\n"
                   for name, keys in sections.items())
    Path(path).write_text(text)
    return Path(path)


class Host:
    """`riverbox host` on a free port. `share` is the shared_dir; other config sections by keyword."""

    def __init__(self, engine, share, name="host", start=True, **sections):
        self.engine, self.share, self.name = engine, Path(share), name
        self.home = work_dir() / name
        self.home.mkdir()
        self.share.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.ssh_proxy_port = free_port()
        merged = {"network": {"host_port": self.port, "host_bind_ip": "127.0.0.1", "unix_socket": "none", "host_ssh_proxy_port": self.ssh_proxy_port},
                  "paths": {"shared_dir": self.share, "state_dir": self.home / "state"},
                  "timing": {"heartbeat_interval": 1}}
        for section, keys in sections.items():
            merged[section] = {**merged.get(section, {}), **keys}
        self.prefix = merged.get("docker", {}).get("prefix", "hakuriver")
        self.auth = merged.get("security", {}).get("auth", "token")
        self.config = write_config(self.home / "config.toml", **merged)
        self.env = environment(self.home, DOCKER_HOST=engine.host if engine else "unix:///nonexistent/docker.sock",
                               RIVERBOX_CONFIG=str(self.config))
        self.process = None
        if start:
            self.start()

    @property
    def tars(self):
        return self.share / f"{self.prefix}-containers"

    @property
    def token(self):
        file = self.home / ".riverbox/token"
        return file.read_text().strip() if file.exists() else ""

    def start(self, wait=True):
        self.process = Process([bin_dir() / "riverbox", "host"], self.home / "log", env=self.env)
        if wait:
            wait_until(lambda: not self.process.running() or self.answers(), 20, "the host to answer")
            if not self.process.running():
                raise AssertionError(f"the host ended with {self.process.popen.returncode}:\n{self.process.output()[-2000:]}")
        return self

    def stop(self):
        return self.process.end()

    def kill(self):
        self.process.kill()

    def log(self):
        return self.process.output()

    def answers(self):
        try:
            return self.http("GET", "/nodes", timeout=2)[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    # ---- REST

    def http(self, method, path, body=None, token=None, headers=None, timeout=120, raw=False):
        """(status, headers, JSON or text). `token`: None = the host's own, "" = none, else that one."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        send = dict(headers or {})
        token = self.token if token is None else token
        if token:
            send.setdefault("Authorization", f"Bearer {token}")
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
            send.setdefault("Content-Type", "application/json")
        connection.request(method, path, body=body, headers=send)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        fields = {k.lower(): v for k, v in answer.getheaders()}
        if raw:
            return answer.status, fields, data
        try:
            return answer.status, fields, json.loads(data)
        except ValueError:
            return answer.status, fields, data.decode(errors="replace")

    # ---- commands, as a user of this machine types them

    def cli(self, *argv, input=None, timeout=120, env=None, check=False, text=True):
        """cli("hakuriver.docker", "list-tars"): stdout, stderr, exit code."""
        result = run([bin_dir() / argv[0], *argv[1:]], {**self.env, **(env or {})}, input=input, timeout=timeout, text=text)
        if check and result.code:
            raise AssertionError(f"{' '.join(map(str, argv))}: {result!r}")
        return result

    def docker(self, *args, **options):
        return self.cli("hakuriver.docker", *args, **options)

    def shell(self, name, script, **options):
        """docker-shell with piped input."""
        return self.cli("hakuriver.docker-shell", name, input=script.encode() if isinstance(script, str) else script, **options)

    def client(self, *args, **options):
        return self.cli("hakuriver.client", *args, **options)

    def tty(self, *argv, **options):
        return run_on_tty([bin_dir() / argv[0], *argv[1:]], self.env, **options)

    def bash(self, script, **options):
        """A script as it stands in the manual, run by bash with our names in PATH."""
        return run(["bash", "-euo", "pipefail", "-c", script], self.env, **options)

    # ---- waiting

    def tars_of(self, name):
        """Tarball names of an environment in the share, newest first."""
        return sorted((p.name for p in self.tars.glob(f"{name}-*.tar")), reverse=True)

    def nodes(self):
        status, _, nodes = self.http("GET", "/nodes")
        return {n["hostname"]: n for n in nodes} if status == 200 else {}

    def wait_online(self, node, seconds=20):
        return wait_until(lambda: self.nodes().get(node, {}).get("status") == "online", seconds, f"node {node} online", step=0.05)

    def wait_offline(self, node, seconds=20):
        return wait_until(lambda: self.nodes().get(node, {}).get("status") == "offline", seconds, f"node {node} offline", step=0.05)

    def status(self, task):
        return self.http("GET", f"/status/{task}")[2]

    def wait_task(self, task, states=("completed", "failed", "killed", "killed_oom", "lost"), seconds=60):
        """The task once it is in one of the states."""
        try:
            return wait_until(lambda: (s := self.status(task)) and s.get("status") in states and s, seconds, "x", step=0.05)
        except AssertionError:
            raise AssertionError(f"task {task} is not {states} after {seconds * PATIENCE:g} s: {self.status(task)}\n{last_words(work_dir())}") from None

    def submit(self, command, **fields):
        """POST /submit; the first task id."""
        status, _, answer = self.http("POST", "/submit", {"command": command, **fields})
        if status != 202:
            raise AssertionError(f"submit: {status} {answer}")
        return answer["task_ids"][0]

    def environment_from(self, image, name):
        """create-container unless it is there."""
        if not self.engine.container(name, self.prefix):
            self.docker("create-container", image, name, check=True)
        return name


class Runner:
    """`riverbox runner` against a host; on an `island` (island.Island), in a network of its own."""

    def __init__(self, host, engine, name="node1", token=None, start=True, island=None, **sections):
        self.host, self.engine, self.name, self.island = host, engine, name, island
        self.home = work_dir() / f"runner-{name}"
        self.home.mkdir()
        merged = {"paths": {"shared_dir": host.share, "local_temp_dir": self.home / "local_temp", "state_dir": self.home / "state"},
                  "timing": {"heartbeat_interval": 1},
                  "docker": {"tasks_network": "bridge"}}  # the Engine's own, which ends with it
        for section, keys in sections.items():
            merged[section] = {**merged.get(section, {}), **keys}
        config = write_config(self.home / "config.toml", **merged)
        self.env = environment(self.home, DOCKER_HOST=engine.host, RIVERBOX_CONFIG=str(config))
        self.token = host.token if token is None else token
        self.process = None
        if start:
            self.start()
            host.wait_online(name)

    def start(self):
        token = ["--token", self.token] if self.token else []
        inside, url = (self.island.inside, self.island.url(self.host)) if self.island else ([], self.host.url)
        self.process = Process([*inside, bin_dir() / "riverbox", "runner", "--host", url, *token, "--name", self.name],
                               self.home / "log", env=self.env)
        return self

    def stop(self):
        return self.process.end()

    def kill(self):
        self.process.kill()

    def log(self):
        return self.process.output()


class Cluster:
    """One host and one runner, each with an Engine of its own, busybox and Debian images, a registry."""

    def __init__(self):
        import images
        from engine import Engine
        self.host_engine, self.runner_engine = Engine("h"), Engine("r")
        self.busybox = images.busybox(self.host_engine)
        self._registry = None
        self._debian = False
        # Whether a node has a version is for each test to decide.
        self.host = Host(self.host_engine, work_dir() / "share", docker={"preload": False})
        self.runner = Runner(self.host, self.runner_engine)

    @property
    def registry(self):
        if self._registry is None:
            from registry import Registry
            self._registry = Registry()
        return self._registry

    def debian(self):
        """The ID of debian:12 on the host's Engine, or None where it cannot be made."""
        import images
        if self._debian is False:
            self._debian = images.debian(self.host_engine)
        return self._debian


_shared = None


def shared():
    """The cluster that all tests of this process use; made at the first call."""
    global _shared
    if _shared is None:
        try:
            _shared = Cluster()
        except BaseException as error:
            _shared = error  # every further test says the same instead of trying again
            raise
    if isinstance(_shared, BaseException):
        raise AssertionError(f"the cluster of the tests could not be made: {_shared}")
    return _shared


def shell_words(text):
    return shlex.split(text, comments=True)


class OwnCluster(unittest.TestCase):
    """A host and a runner of its own with an environment, all of them named after NAME: for tests that stop and kill them, or take all that they have."""
    NAME = None
    HOST = {}  # sections of the host's configuration

    @classmethod
    def setUpClass(cls):
        c = shared()
        cls.node, cls.environment = f"{cls.NAME}-node", f"{cls.NAME}-env"
        cls.host = Host(c.host_engine, work_dir() / f"{cls.NAME}-share", name=f"{cls.NAME}-host", **cls.HOST)
        cls.runner = Runner(cls.host, c.runner_engine, cls.node)
        cls.host.docker("create-container", "busybox:latest", cls.environment, check=True)
        cls.host.docker("create-tar", cls.environment, check=True)
        cls.host.wait_online(cls.node)

    @classmethod
    def tearDownClass(cls):
        cls.host.docker("delete-container", cls.environment)
        cls.runner.stop()
        cls.host.stop()
