"""The output of tasks: ranges and last lines, live events, followers that outlive restarts, the limit."""
import base64
import http.client
import json
import socket
import subprocess
import threading
import time
import unittest

from cluster import OwnCluster, Runner, bin_dir, shared
from process import MEMORY, wait_until, work_dir

LIMIT = 6_000_000
# Five seconds of both streams, with characters of several bytes, carriage returns, and at last bytes that are no text.
LONG = ("i=0; while [ $i -lt 250 ]; do printf 'line %s \\303\\251\\342\\202\\254\\r\\n' $i; echo error $i >&2; i=$((i+1)); usleep 20000; done; "
        "printf '\\377\\376\\303'; sleep 0.2; printf '\\251 end'")
LONG_OUT = "".join(f"line {i} é€\r\n" for i in range(250)).encode() + b"\xff\xfe\xc3\xa9 end"
LONG_ERR = "".join(f"error {i}\n" for i in range(250)).encode()


def request(host, task, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", host.port, timeout=30)
    connection.request("GET", f"/api/tasks/{task}/events", headers={"Authorization": f"Bearer {host.token}", **headers})
    return connection, connection.getresponse()


def events(host, task, last=None):
    """Those of one connection, as (type, id, data)."""
    connection, answer = request(host, task, **({"Last-Event-ID": last} if last else {}))
    try:
        assert answer.status == 200, (answer.status, answer.read())
        assert answer.getheader("Content-Type") == "text/event-stream"
        fields = {}
        for line in answer:
            line = line.decode()
            assert line.endswith("\n"), line
            if line != "\n":
                key, _, value = line[:-1].partition(": ")
                fields[key] = value
                continue
            if "data" in fields:
                yield fields["event"], fields["id"], json.loads(fields["data"])
            fields = {}
    finally:
        connection.close()


def bytes_of(data):
    return data["text"].encode() if "text" in data else base64.b64decode(data["base64"])


class Follower(threading.Thread):
    """Follows the events of a task as a browser does: comes back with the id of the last one."""

    def __init__(self, host, task):
        super().__init__(daemon=True)
        self.host, self.task = host, task
        self.output, self.kinds, self.connections, self.ended, self.problem = {"stdout": b"", "stderr": b""}, set(), 0, None, None
        self.start()

    def run(self):
        last = None
        while not self.ended and not self.problem:
            try:
                self.connections += 1
                for event, last, data in events(self.host, self.task, last):
                    self.take(event, last, data)
            except (OSError, http.client.HTTPException):
                time.sleep(0.1)
            except Exception as error:
                self.problem = error

    def take(self, event, last, data):
        if event in self.output:
            self.output[event] += bytes_of(data)
            self.kinds.update(data)
        if event == "end":
            self.ended = data
        at = last.split("-")
        assert at[1:3] == [str(len(self.output["stdout"])), str(len(self.output["stderr"]))], (last, event)


class Logs(OwnCluster):
    NAME = "logs"
    HOST = {"tasks": {"max_output": "6MB"}}

    def submit(self, command, **fields):
        task = self.host.submit(command, container_name=self.environment, required_cores=0, **fields)
        self.addCleanup(lambda: self.host.http("POST", f"/kill/{task}"))
        return task

    def done(self, command, **fields):
        task = self.submit(command, **fields)
        self.host.wait_task(task)
        return task

    def get(self, path, **headers):
        return self.host.http("GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()}, raw=True)

    # ---- parts of it

    def test_ranges(self):
        task = self.done("printf 0123456789")
        path = f"/api/tasks/{task}/stdout"
        status, headers, body = self.get(path)
        self.assertEqual((status, body, headers["content-length"], headers["accept-ranges"]), (200, b"0123456789", "10", "bytes"))
        self.assertEqual((headers["content-type"], headers["x-content-type-options"]), ("text/plain; charset=utf-8", "nosniff"))
        for wanted, part, where in (("0-3", b"0123", "0-3"), ("4-", b"456789", "4-9"), ("-3", b"789", "7-9"), ("8-100", b"89", "8-9"), ("-100", b"0123456789", "0-9")):
            status, headers, body = self.get(path, Range=f"bytes={wanted}")
            self.assertEqual((status, body, headers["content-range"]), (206, part, f"bytes {where}/10"), wanted)
        status, headers, _ = self.get(path, Range="bytes=10-")
        self.assertEqual((status, headers["content-range"]), (416, "bytes */10"))
        self.assertEqual(self.get(path, Range="bytes=5-4")[::2], (200, b"0123456789"))  # not a range: as if there were none
        self.assertEqual(self.get(f"/api/tasks/{task}/stderr", Range="bytes=0-")[0], 416)
        status, headers, body = self.host.http("HEAD", path, raw=True)
        self.assertEqual((status, headers["content-length"], body), (200, "10", b""))
        self.assertEqual(self.get(f"/task/{task}/stdout", Range="bytes=-1")[::2], (206, b"9"))

    def test_last_lines(self):
        task = self.done("seq 1 10000; seq 1 5 >&2")
        size = sum(len(str(i)) + 1 for i in range(1, 10001))
        status, headers, body = self.get(f"/api/tasks/{task}/stdout?tail=3")
        self.assertEqual((status, body), (200, b"9998\n9999\n10000\n"))
        self.assertEqual((headers["riverbox-offset"], headers["riverbox-attempt"]), (str(size - len(body)), "1"))
        self.assertEqual(self.get(f"/api/tasks/{task}/stdout?lines=1")[2], b"10000\n")  # of older clients
        self.assertEqual(self.get(f"/api/tasks/{task}/stdout?tail=0")[2], b"")
        self.assertEqual(len(self.get(f"/api/tasks/{task}/stdout?tail=1000000")[2]), size)
        for wrong in ("x", "-1", "", "1.5"):
            self.assertEqual(self.get(f"/api/tasks/{task}/stdout?tail={wrong}")[0], 400, wrong)
        cli = lambda *args: self.host.cli("riverbox", "task", *args)
        self.assertEqual(cli("stdout", "--tail", "2", task).out, "9999\n10000\n")
        self.assertEqual(cli("stderr", "--tail", "1", task).out, "5\n")
        both = cli("logs", "--tail", "2", task)
        self.assertEqual((both.out, both.err), ("9999\n10000\n", "4\n5\n"))
        followed = cli("logs", "-f", "--tail", "1", task)
        self.assertEqual((followed.out, followed.err), ("10000\n", "5\n"))
        self.assertEqual(cli("logs", "--tail", "some", task).code, 64)

    def test_the_last_lines_and_what_comes(self):
        task = self.submit("seq 1 1000; while [ ! -e /shared/go-on ]; do usleep 50000; done; echo after")
        wait_until(lambda: self.get(f"/api/tasks/{task}/stdout")[2].endswith(b"1000\n"), 10, "the first lines")
        follower = subprocess.Popen([bin_dir() / "riverbox", "task", "logs", "-f", "--tail", "2", task], env=self.host.env, stdout=subprocess.PIPE)
        self.addCleanup(follower.kill)
        self.assertEqual(follower.stdout.readline(), b"999\n")
        (self.host.share / "shared_data/go-on").touch()
        self.assertEqual(follower.stdout.read(), b"1000\nafter\n")
        self.assertEqual(follower.wait(10), 0)
        follower.stdout.close()

    # fault: task-unruly
    def test_bytes_are_not_touched(self):
        task = self.done("printf 'a\\000\\377\\r\\n'")
        self.assertEqual(self.get(f"/api/tasks/{task}/stdout")[2], b"a\0\xff\r\n")
        self.assertEqual(self.host.cli("riverbox", "task", "stdout", task, text=False).out, b"a\0\xff\r\n")

    def test_what_lies_on_a_node_without_the_share(self):
        own = work_dir() / "own-share"
        own.mkdir()
        alone = Runner(self.host, shared().runner_engine, "logs-alone", paths={"shared_dir": own})
        self.addCleanup(alone.stop)
        task = self.submit("seq 1 5000; echo error >&2; while [ ! -e /shared/go-on ]; do usleep 50000; done", targets=["logs-alone"])
        path = f"/api/tasks/{task}/stdout"
        seq = "".join(f"{i}\n" for i in range(1, 5001)).encode()
        for finished in (False, True):
            if finished:
                (own / "shared_data/go-on").touch()
                self.host.wait_task(task)
                alone.kill()  # the next one does not remember the attempt
                alone.start()
                self.host.wait_online("logs-alone")
            wait_until(lambda: self.get(path)[2] == seq, 10, "the output")
            status, headers, body = self.get(path, Range="bytes=1000-1999")
            self.assertEqual((status, body, headers["content-range"]), (206, seq[1000:2000], f"bytes 1000-1999/{len(seq)}"))
            self.assertEqual(self.get(path, Range=f"bytes={len(seq)}-")[0], 416)
            self.assertEqual(self.get(f"{path}?tail=2")[2], b"4999\n5000\n")
            self.assertEqual(self.host.http("HEAD", path, raw=True)[1]["content-length"], str(len(seq)))
            result = self.host.cli("riverbox", "task", "logs", "--tail", "1", task)
            self.assertEqual((result.out, result.err), ("5000\n", "error\n"))
        alone.stop()
        self.host.wait_offline("logs-alone")
        self.assertEqual(self.get(path)[::2], (200, b""))  # nobody is there to ask

    # ---- live

    # fault: network-changes
    def test_no_byte_is_lost_or_doubled_when_the_runner_and_the_host_are_killed(self):
        task = self.submit(LONG)
        files = [work_dir() / "followed.out", work_dir() / "followed.err"]
        with open(files[0], "wb") as out, open(files[1], "wb") as err:
            terminal = subprocess.Popen([bin_dir() / "riverbox", "task", "logs", "-f", task], env=self.host.env, stdout=out, stderr=err)
        self.addCleanup(terminal.kill)
        page = Follower(self.host, task)
        enough = lambda lines: wait_until(lambda: files[0].read_bytes().count(b"\n") > lines and page.output["stdout"].count(b"\n") > lines, 20, "output")
        for restart, lines in ((self.runner, 30), (self.host, 80), (self.runner, 130), (self.host, 180)):
            enough(lines)
            restart.kill()
            time.sleep(0.2)
            restart.start()
        done = self.host.wait_task(task)
        self.assertEqual(done["status"], "completed", done)
        terminal.wait(20)
        page.join(20)
        self.assertIsNone(page.problem)
        stored = [open(done[key], "rb").read() for key in ("stdout_path", "stderr_path")]
        self.assertEqual(stored, [LONG_OUT, LONG_ERR])
        self.assertEqual([file.read_bytes() for file in files], stored)
        self.assertEqual([page.output["stdout"], page.output["stderr"]], stored)
        self.assertGreater(page.connections, 2)
        self.assertEqual(page.kinds, {"text", "base64"})

    def test_events_of_a_task_that_is_over(self):
        task = self.done("echo out; echo err >&2; exit 3")
        told = list(events(self.host, task))
        self.assertEqual([event for event, _, _ in told if event != "status"], ["stdout", "stderr", "end"])
        self.assertEqual([bytes_of(data) for event, _, data in told if event.startswith("std")], [b"out\n", b"err\n"])
        self.assertEqual((told[0][0], told[-1][2]["status"], told[-1][2]["exit_code"]), ("status", "failed", 3))
        self.assertEqual(told[-1][1], "1-4-4-end")
        again = list(events(self.host, task, "1-2-4"))
        self.assertEqual([(event, bytes_of(data)) for event, _, data in again if event.startswith("std")], [("stdout", b"t\n")])
        connection, answer = request(self.host, task, **{"Last-Event-ID": "1-4-4-end"})
        self.assertEqual((answer.status, answer.read()), (204, b""))
        connection.close()

    def test_events_of_every_attempt(self):
        task = self.submit("n=$(cat /shared/tries 2>/dev/null || echo 0); echo $((n+1)) > /shared/tries; echo try $n; exit 1", retries=2)
        told = list(events(self.host, task))
        self.assertEqual(b"".join(bytes_of(data) for event, _, data in told if event == "stdout"), b"try 0\ntry 1\ntry 2\n")
        attempts = [(event, data["attempt"]) if event == "status" else (event, int(at.split("-")[0])) for event, at, data in told]
        self.assertEqual(sorted(attempts, key=lambda pair: pair[1]), attempts)
        self.assertEqual(told[-1][1], "3-6-0-end")
        # What is known of an attempt before does not count for this one.
        self.assertEqual([bytes_of(data) for event, _, data in events(self.host, task, "1-6-0") if event == "stdout"], [b"try 2\n"])

    def test_events_of_a_task_that_waits(self):
        first = self.submit("sleep 300")
        task = self.submit("echo never", after=[first])
        told = events(self.host, task)
        self.assertEqual(next(told)[2]["status"], "pending")
        self.host.http("POST", f"/kill/{first}")
        end = list(told)[-1]
        self.assertEqual((end[0], end[2]["status"]), ("end", "failed"))

    def test_events_that_are_refused(self):
        task = self.done("true")
        for wrong in ("1", "1-2", "1-2-x", "0-0-0", "1-2-3-4", "1-2-3-end-"):
            self.assertEqual(self.get(f"/api/tasks/{task}/events?since={wrong}")[0], 400, wrong)
        self.assertEqual(self.get("/api/tasks/1/events")[0], 404)
        self.assertEqual(self.get("/api/tasks/x/events")[0], 400)
        path = f"/api/tasks/{task}/events"
        self.assertEqual(self.host.http("GET", path, token="")[0], 401)
        self.assertEqual(self.host.http("GET", f"{path}?token={self.host.token}", token="")[0], 401)
        self.assertEqual(self.host.http("GET", f"{path}?token={self.host.token}", token="", headers={"Accept": "text/event-stream"})[0], 200)
        self.assertEqual(self.host.http("HEAD", path)[0], 200)

    # ---- the limit

    # fault: task-unruly
    def test_what_is_beyond_the_limit_is_dropped_and_everybody_is_told(self):
        task = self.submit(f"head -c {LIMIT + 500_000} /dev/zero | tr '\\0' x; echo fine >&2; while [ ! -e /shared/enough ]; do usleep 50000; done")
        self.addCleanup((self.host.share / "shared_data/enough").touch)
        path = self.host.share / f"task_outputs/{task}.out"
        expected = b"x" * LIMIT + b"\n[riverbox] The output goes on, but only its first 6000000 bytes are kept ([tasks] max_output).\n"
        wait_until(lambda: path.exists() and path.stat().st_size == len(expected), 30, "the whole file")
        self.slow_readers_cost_nothing(task)
        self.runner.kill()  # another one writes the same file
        self.runner.start()
        self.host.wait_online(self.node)
        time.sleep(1)
        (self.host.share / "shared_data/enough").touch()
        done = self.host.wait_task(task)
        self.assertEqual((done["status"], done["error_message"]), ("completed", "Of its stdout only the first 6.0 MB are kept."))
        self.assertTrue(path.read_bytes() == expected)
        self.assertEqual(open(done["stderr_path"]).read(), "fine\n")
        told = b"".join(bytes_of(data) for event, _, data in events(self.host, task) if event == "stdout")
        self.assertTrue(told == expected)

    def slow_readers_cost_nothing(self, task):
        def resident():
            status = open(f"/proc/{self.host.process.popen.pid}/status").read()
            return int(status.split("VmRSS:")[1].split()[0]) * 1024
        before, readers = resident(), []
        for _ in range(20):
            reader = socket.socket()
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.connect(("127.0.0.1", self.host.port))
            reader.sendall(f"GET /api/tasks/{task}/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {self.host.token}\r\n\r\n".encode())
            readers.append(reader)
        time.sleep(2)
        grown = resident() - before
        for reader in readers:
            reader.close()
        self.assertLess(grown, 40 * MEMORY << 20)  # of 120 MB that they were to read


if __name__ == "__main__":
    unittest.main()
