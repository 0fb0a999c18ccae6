"""The description of the API, held against the answers of a real host: what is not described is found, and so is what is described and not there."""
import json
import re

from cluster import OwnCluster
from process import wait_until
from websocket import WebSocket


def problems(value, schema, schemas, where="answer"):
    """What is wrong with a value, by the part of JSON Schema that the description uses. An object has the fields that are described and no others."""
    if "$ref" in schema:
        return problems(value, schemas[schema["$ref"].rsplit("/", 1)[1]], schemas, where)
    if "anyOf" in schema:
        each = [problems(value, one, schemas, where) for one in schema["anyOf"]]
        return [] if not all(each) else min(each, key=len)
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool, "null": type(None)}
    kind = schema.get("type")
    if kind and (not isinstance(value, kinds[kind]) or isinstance(value, bool) != (kind == "boolean")):
        return [f"{where} is {json.dumps(value)[:100]}, not of type {kind}"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{where} is {value!r}, not one of {schema['enum']}"]
    if schema.get("format") == "date-time" and not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", value):
        return [f"{where} is {value!r}, not a time"]
    found = []
    if kind == "array":
        for i, one in enumerate(value):
            found += problems(one, schema["items"], schemas, f"{where}[{i}]")
    if kind == "object" and "additionalProperties" in schema:
        for key, one in value.items():
            found += problems(one, schema["additionalProperties"], schemas, f"{where}.{key}")
    elif kind == "object":
        described = schema["properties"]
        found += [f"{where}.{key} is not described" for key in value if key not in described]
        found += [f"{where}.{key} is not there" for key in schema.get("required", []) if key not in value]
        for key, one in value.items():
            found += problems(one, described[key], schemas, f"{where}.{key}") if key in described else []
    return found


class OpenApi(OwnCluster):
    NAME = "openapi"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        status, headers, cls.document = cls.host.http("GET", "/openapi.json", token="")
        assert (status, headers["content-type"]) == (200, "application/json"), status
        cls.schemas = cls.document["components"]["schemas"]
        cls.called = {}

    def vps_snapshots(self, vps, call, get):
        running = lambda: get(f"/api/vps/{vps}")["status"] == "running"
        wait_until(running, 30, "the VPS to run")
        first = call("POST", f"/api/vps/snapshots/{vps}?message=one")["snapshot"]["timestamp"]
        second = call("POST", f"/api/vps/snapshots/{vps}", {"message": "two"})["tag"]
        self.assertEqual(get(f"/api/vps/snapshots/{vps}")["count"], 2)
        self.assertEqual(get(f"/api/vps/snapshots/{vps}/latest")["tag"], second)
        call("POST", f"/api/vps/restart/{vps}", {"from": first, "discard": True}, expected=202)
        wait_until(running, 30, "the VPS to run")
        call("POST", f"/api/vps/restore/{vps}", {"snapshot": "latest", "discard": True}, expected=202)
        wait_until(running, 30, "the VPS to run")
        call("DELETE", f"/api/vps/snapshots/{vps}/{first}")
        call("POST", f"/api/vps/publish/{vps}", {"name": "openapi-published"})
        call("POST", "/api/docker/delete_tar/openapi-published", {})
        call("POST", f"/api/vps/restart/{vps}", {"fresh": True, "discard": True}, expected=202)
        wait_until(running, 30, "the VPS to run")
        self.assertEqual(call("DELETE", f"/api/vps/snapshots/{vps}")["deleted_count"], 1)

    def call(self, method, path, body=None, expected=None, pattern=None, token=None):
        """Calls a route and holds body and answer against their descriptions."""
        plain = path.split("?")[0]
        pattern = pattern or next(p for p in sorted(self.document["paths"], key=lambda p: p.count("{"))
                                  if method.lower() in self.document["paths"][p] and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", p), plain))
        operation = self.document["paths"][pattern][method.lower()]
        for name in re.findall(r"[?&](\w+)", path):
            self.assertIn(name, [p["name"] for p in operation["parameters"] if p["in"] == "query"], path)
        if body is not None:
            described = operation["requestBody"]["content"]["application/json"]["schema"]
            self.assertEqual(problems(body, described, self.schemas, "body"), [], path)
        status, headers, answer = self.host.http(method, path, body, token=token)
        if status >= 400:
            refused = self.document["components"]["responses"]["Refused"]["content"]["application/json"]["schema"]
            self.assertEqual(problems(answer, refused, self.schemas), [], path)
        else:
            self.assertIn(str(status), operation["responses"], (method, path, answer))
            (kind, content), = operation["responses"][str(status)]["content"].items()
            self.assertEqual(headers["content-type"].split(";")[0], kind, path)
            if "schema" in content:
                self.assertEqual(problems(answer, content["schema"], self.schemas), [], f"{method} {path}")
            self.called.setdefault((method, pattern), status)
        self.assertEqual(status, expected or (200 if status < 400 else status), (method, path, answer))
        return answer

    def test_the_document_is_whole(self):
        text = json.dumps(self.document)
        for name in re.findall(r'"#/components/schemas/(\w+)"', text):
            self.assertIn(name, self.schemas)
        for name in re.findall(r'"#/components/responses/(\w+)"', text):
            self.assertIn(name, self.document["components"]["responses"])
        for path, operations in self.document["paths"].items():
            for operation in operations.values():
                self.assertEqual({p["name"] for p in operation["parameters"] if p["in"] == "path"}, set(re.findall(r"\{(\w+)\}", path)))

    def test_every_answer_is_as_described(self):
        env, node = self.environment, self.node
        call, get = self.call, lambda path, **more: self.call("GET", path, **more)
        # environments and their versions
        call("POST", "/api/docker/host/create", {"image_name": "busybox:latest", "container_name": "openapi-other"})
        self.addCleanup(lambda: self.host.docker("delete-container", "openapi-other"))
        self.assertTrue(get("/api/docker/host/containers"))
        self.assertTrue(get("/api/docker/host/containers?all=1&size=1"))
        for verb in ("stop", "start"):
            call("POST", f"/api/docker/host/{verb}/{env}")
        self.host.shell(env, "echo 1 > /one; rm /etc/hostname2; ln -s /one /two; mkdir -p /usr/lib/python3/dist-packages\n")
        call("POST", f"/api/docker/create_tar/{env}?squash=1")
        call("POST", f"/api/docker/create_tar/{env}")
        pinned = get(f"/api/docker/versions/{env}")[0]["timestamp"]
        call("POST", f"/api/docker/versions/{env}/{pinned}/pin")
        self.host.shell(env, "echo 2 > /one; rm /two\n")
        newest = call("POST", f"/api/docker/create_tar/{env}")["timestamp"]
        self.assertEqual(len(get(f"/api/docker/versions/{env}")), 2)
        self.assertTrue(get(f"/api/docker/versions/{env}/diff?a={pinned}&b={newest}")["files"]["list"])
        get("/api/docker/list")
        get(f"/api/docker/container/{env}")
        get(f"/api/docker/versions/{env}/{newest}/tarball")
        call("POST", f"/api/docker/versions/{env}/{pinned}/rollback", {"container": True})
        call("POST", f"/api/docker/versions/{env}/{pinned}/rollback", {})
        call("POST", f"/api/docker/versions/{env}/{pinned}/unpin")
        call("POST", f"/api/docker/versions/{env}/{pinned}/sign")
        self.assertTrue(get("/api/docker/keys")["believed"])
        self.assertTrue(call("POST", f"/api/docker/sync/{env}", {"version": "newest", "nodes": [node]})["nodes"])
        call("POST", "/api/docker/verify")
        self.assertTrue(call("POST", f"/api/docker/verify/{env}")["versions"])
        # the registry
        self.assertEqual(get("/v2/"), {})
        self.assertIn(env, get("/v2/_catalog?n=10")["repositories"])
        get(f"/v2/{env}/tags/list")
        manifest = get(f"/v2/{env}/manifests/latest")
        get(f"/v2/{env}/blobs/{manifest['config']['digest']}")
        # nodes
        wait_until(lambda: get(f"/api/nodes/{node}")["environments"], 20, "the node to tell what it holds")
        self.assertTrue(get("/api/nodes"))
        wait_until(lambda: get("/api/nodes/history?hours=1")["nodes"], 20, "a beat of the node")
        call("POST", f"/api/nodes/{node}/drain")
        call("POST", f"/api/nodes/{node}/resume")
        get("/api/health")
        self.assertTrue(get(f"/api/health?hostname={node}"))
        # tasks
        submission = {"command": "sh", "arguments": ["-c", "echo out; echo err >&2"], "name": "one", "env_vars": {"A": "b"}, "container_name": env, "required_cores": 1,
                      "required_memory_bytes": 64 << 20, "targets": [node], "priority": 1, "retries": 1, "time_limit_seconds": 60, "client_id": "openapi"}
        done, = call("POST", "/api/submit", submission, 202)["task_ids"]
        first, second = call("POST", "/api/submit/batch", {"tasks": [{"command": "sleep 600", "container_name": env, "required_cores": 1, "exclusive": True},
                                                                     {"command": "true", "container_name": env, "required_cores": 0}]}, 202)["task_ids"]
        follower, = call("POST", "/api/submit", {"command": "true", "container_name": env, "after": [first]}, 202)["task_ids"]
        waiting, = call("POST", "/api/submit", {"command": "true", "container_name": env, "required_cores": self.host.nodes()[node]["total_cores"]}, 202)["task_ids"]
        call("POST", "/api/submit", {"command": "true", "container_name": env, "targets": [node, "no-such-node"]}, 202)
        for task in (done, second):
            self.host.wait_task(task)
        self.host.wait_task(first, ("running",))
        self.assertTrue(get(f"/api/tasks/{follower}/explain")["after"])
        self.assertTrue(get(f"/api/tasks/{waiting}/explain")["reasons"])
        self.assertTrue(get(f"/api/nodes/{node}")["tasks"])
        watcher = WebSocket(self.host.port, f"/api/tasks/{first}/terminal?session=main", {"Authorization": f"Bearer {self.host.token}"}, ["riverbox.terminal.v1"])
        watcher.receive()  # it is ready
        self.assertEqual([one["name"] for one in get(f"/api/tasks/{first}/sessions")], ["main"])
        watcher.close()
        for action in ("pause", "resume"):
            call("POST", f"/api/command/{first}/{action}")
            self.host.wait_task(first, ("paused" if action == "pause" else "running",))
        for task in (done, first, second, follower, waiting):
            get(f"/api/status/{task}")
            get(f"/api/tasks/{task}/explain")
        self.assertEqual(get(f"/api/tasks/{done}/stdout"), "out\n")
        self.assertEqual(get(f"/api/tasks/{done}/stderr?tail=1"), "err\n")
        get(f"/api/task/{done}/stdout")
        get(f"/api/task/{done}/stderr")
        get(f"/api/tasks/{done}/events")
        call("POST", f"/api/tasks/{done}/rerun", expected=202)
        call("POST", f"/api/kill/{follower}", expected=202)
        call("POST", f"/api/kill/{first}?batch=1", expected=202)
        self.assertGreater(len(get("/api/tasks?status=completed&limit=50&offset=0")), 1)
        self.assertTrue(get(f"/api/tasks?status=completed,killed&node={node}&owner=admin&environment={env}&q=o&before={waiting}"))
        self.assertTrue(get("/api/tasks/summary")["total"])
        # VPSs
        vps = call("POST", "/api/vps/create", {"name": "openapi-vps", "container_name": env, "required_cores": 0, "target_hostname": node})["task_id"]
        self.addCleanup(lambda: self.host.cli("riverbox", "vps", "rm", "--force", "openapi-vps"))
        self.assertEqual([one["task_id"] for one in get("/api/vps")], [vps])
        self.assertEqual(get("/api/vps/openapi-vps")["task_id"], get(f"/api/vps/{vps}")["task_id"])
        self.assertEqual([one["task_id"] for one in get("/api/vps/status")], [vps])
        classic = call("POST", "/api/submit", {"task_type": "vps", "command": "", "container_name": env, "required_cores": 0}, expected=202)
        call("POST", f"/api/kill/{classic['task_ids'][0]}", expected=202)
        call("POST", "/api/tokens", {"user": "openapi-guest"}, 201)
        call("POST", f"/api/vps/{vps}/assign", ["openapi-guest"])
        self.assertEqual([guest["username"] for guest in get("/api/vps/openapi-vps/assignments")["assignments"]], ["openapi-guest"])
        self.assertEqual([guest["id"] for guest in get(f"/api/vps/{vps}")["assignees"]], ["openapi-guest"])
        call("DELETE", f"/api/vps/{vps}/assign/openapi-guest")
        self.assertEqual(get("/api/vps/my"), [])
        call("POST", f"/api/vps/stop/{vps}", expected=202)
        call("POST", f"/api/vps/start/{vps}", expected=202)
        call("POST", f"/api/vps/restart/{vps}", expected=202)
        self.vps_snapshots(vps, call, get)
        call("POST", "/api/vps/remove/openapi-vps", expected=409)
        call("POST", f"/api/vps/stop/{vps}", expected=202)
        call("POST", f"/api/vps/remove/{vps}")
        call("POST", f"/api/docker/delete_tar/{env}", {"all": True, "force": True})
        call("POST", "/api/docker/host/delete/openapi-other")
        # who may do what
        get("/api/whoami")
        call("POST", "/api/nodes/invite", {"expires_seconds": 60}, 201)
        call("POST", "/api/nodes/join", {"node": "openapi-ghost"}, 201)
        call("POST", "/api/nodes/openapi-ghost/remove", {"force": True})
        made = call("POST", "/api/tokens", {"user": "anna", "role": "operator", "expires_seconds": 600, "note": "a note"}, 201)
        get("/api/whoami", token=made["token"])
        self.assertTrue(get("/api/tokens"))
        call("POST", f"/api/tokens/{made['id']}/revoke")
        # browsers
        if asset := re.search(r"/assets/[\w.-]+\.js", get("/api/")):
            get("/api" + asset[0])
            get("/api/icon.svg")
        else:
            self.called.update({("GET", "/api/assets/{file}"): 404, ("GET", "/api/icon.svg"): 404})  # built without the dashboard
        get("/api/login")
        call("POST", "/api/login", {"token": self.host.token})
        call("POST", "/api/tickets", {"path": "/api/x"}, 201)
        call("POST", "/api/logout")
        # the product itself
        self.assertEqual({e["type"] for e in get("/api/events?since=2020-01-01T00:00:00Z&limit=1000")}, {"task", "node", "environment", "host", "token"})
        get("/api/events?type=node&nodes=1")
        self.assertEqual({e["subject"] for e in get(f"/api/events?type=node&subject={node}&since=2020-01-01T00:00:00Z")}, {node})
        get("/api/metrics")
        get("/api/openapi.json")
        get("/api/version")
        for kind in ("containers", "nodes", "environments", "tasks", "tokens", "versions?name=" + env):
            get(f"/api/complete/{kind}")
        # refusals look all the same
        for method, path in (("GET", "/api/status/1"), ("POST", "/api/docker/host/start/no-such-env"), ("GET", "/api/nodes/no-such-node"), ("POST", "/api/tokens/no-such/revoke")):
            self.assertEqual(set(self.call(method, path, expected=404)), {"detail"})
        self.assertEqual(set(get("/api/tokens", token="wrong", expected=401)), {"detail"})
        every = {(method.upper(), path) for path, operations in self.document["paths"].items() for method, one in operations.items() if not one.get("x-websocket")}
        self.assertEqual(every - set(self.called), set(), "routes that this test does not call")
        print(f"({len(self.called)} routes, {len(self.schemas)} shapes)", flush=True)

    def test_the_validator_finds_faults(self):
        node = self.host.http("GET", "/api/nodes")[2][0]
        schema = {"$ref": "#/components/schemas/Node"}
        self.assertEqual(problems(node, schema, self.schemas), [])
        self.assertEqual(problems({**node, "more": 1}, schema, self.schemas), ["answer.more is not described"])
        self.assertEqual(len(problems({**node, "status": "so so"}, schema, self.schemas)), 1)
        self.assertEqual(len(problems({**node, "draining": 1}, schema, self.schemas)), 1)
        self.assertEqual(len(problems({k: v for k, v in node.items() if k != "url"}, schema, self.schemas)), 1)
        self.assertEqual(len(problems([node], schema, self.schemas)), 1)
