#!/usr/bin/env python3
"""Writes the seed inputs under corpus/: the same bytes at every run. Only needed when a seed is added.

usage: tests/fuzz/make_corpus.py
"""
import base64
import gzip
import hashlib
import io
import json
import pathlib
import shutil
import struct
import tarfile

ROOT = pathlib.Path(__file__).resolve().parent / "corpus"


def sha(data):
    return hashlib.sha256(data).hexdigest()


def tar(members, fmt=tarfile.GNU_FORMAT):
    """members: (name, bytes) or (name, type, link)"""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=fmt) as archive:
        for member in members:
            info = tarfile.TarInfo(member[0])
            if len(member) == 2:
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
            else:
                info.type, info.linkname = member[1], member[2]
                archive.addfile(info)
    data = out.getvalue().rstrip(b"\0")  # without the padding of records: small seeds
    return data + b"\0" * (-len(data) % 512 + 1024)


def image(oci=False, packed=False, tags=("hakuriver/env:base",), twins=False, config_name=None, tweak=None, extra=(), oci_manifest=None):
    layers = [b"layer one"] * (2 if twins else 1)
    config = json.dumps({"architecture": "amd64", "os": "linux", "created": "2026-11-21T23:10:12.372627458Z",
                         "rootfs": {"type": "layers", "diff_ids": ["sha256:" + sha(layer) for layer in layers]}}).encode()
    stored = [gzip.compress(layer, mtime=0) if packed else layer for layer in layers]
    paths, members = [], list(extra)
    for number, blob in enumerate(stored):
        path = "blobs/sha256/" + sha(blob) if oci else "%s/layer.tar" % sha(b"id%d" % number)
        paths.append(path)
        first = layers.index(layers[number])
        if first == number:
            members.append((path, blob))
        elif not oci:
            members.append((path, tarfile.SYMTYPE, "../" + paths[first]))
    config_path = config_name or ("blobs/sha256/" + sha(config) if oci else sha(config) + ".json")
    manifest = [{"Config": config_path, "RepoTags": list(tags) or None, "Layers": paths}]
    if tweak:
        manifest = tweak(manifest)
    members.append((config_path, config))
    if oci_manifest:
        entries = [{"digest": "sha256:" + sha(blob), "size": len(blob)} for blob in stored]
        text = json.dumps(oci_manifest({"config": {"digest": "sha256:" + sha(config), "size": len(config)}, "layers": entries})).encode()
        index = {"manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": "sha256:" + sha(text), "size": len(text)}]}
        members += [("blobs/sha256/" + sha(text), text), ("index.json", json.dumps(index).encode()), ("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')]
    elif oci:
        members += [("index.json", b'{"schemaVersion":2,"manifests":[{"annotations":{"io.containerd.image.name":"docker.io/hakuriver/env:base"}}]}'),
                    ("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')]
    members.append(("manifest.json", json.dumps(manifest).encode()))
    return members


def archives():
    plain = tar(image())
    yield "legacy", plain
    yield "legacy-untagged", tar(image(tags=()))
    yield "legacy-twins", tar(image(twins=True))
    yield "legacy-gzip", tar(image(packed=True))
    yield "free-config-name", tar(image(config_name="config.json"))
    yield "oci", tar(image(oci=True))
    yield "oci-gzip", tar(image(oci=True, packed=True))
    yield "oci-manifest", tar(image(oci=True, twins=True, oci_manifest=lambda m: m))
    yield "oci-manifest-of-another", tar(image(oci=True, oci_manifest=lambda m: dict(m, layers=[])))
    yield "oci-manifest-twice", tar(image(oci=True, oci_manifest=lambda m: dict(m, Layers=[])))
    yield "oci-manifest-damaged", tar(image(oci=True, oci_manifest=lambda m: m)).replace(b'{"config": {', b'{"config" :{')
    yield "foreign-tag", tar(image(tags=("debian:12",)))
    yield "two-images", tar(image(tweak=lambda m: m * 2))
    yield "missing-layer", tar(image(tweak=lambda m: [dict(m[0], Layers=["gone"])]))
    yield "long-name-gnu", tar(image(extra=[("n" * 180, b"x")]))
    yield "long-name-pax", tar(image(extra=[("ü" * 90, b"x")]), tarfile.PAX_FORMAT)
    yield "traversal", tar(image(extra=[("../../x", b"x")]))
    yield "link-outside", tar(image(extra=[("x", tarfile.SYMTYPE, "../../etc/passwd")]))
    yield "fifo", tar(image(extra=[("x", tarfile.FIFOTYPE, "")]))
    yield "truncated", plain[:-1]
    yield "no-end", plain[:-1024]
    yield "garbage-after-end", plain + b"garbage!" * 64
    yield "empty", b""
    yield "root-file-system", tar([("etc/passwd", b"root"), ("bin/sh", b"#!")])
    yield "deep-json", tar([("manifest.json", b"[" * 2000)])


def indexes():
    digest = "sha256:" + sha(b"config")
    good = {"format": 1, "tarball": "env-5.tar", "size_bytes": 10240, "config_digest": digest, "created": "2026-11-21T23:10:12.372627458Z",
            "architecture": "amd64", "os": "linux", "repo_tags": ["hakuriver/env:base"],
            "layers": [{"member": "a/layer.tar", "diff_id": digest, "offset": 512, "size_bytes": 9, "compressed": False}]}
    text = json.dumps(good, indent=1)
    yield "good", text.encode()
    yield "half", text[: len(text) // 2].encode()
    for key, value in {"format": 2, "size_bytes": 1, "config_digest": "sha256:../x", "created": "yesterday", "layers": {}, "repo_tags": [1]}.items():
        yield "wrong-" + key, json.dumps(dict(good, **{key: value})).encode()
    spans = {"manifest_digest": digest, "config": {"offset": 1024, "size_bytes": 100}, "manifest": {"offset": 2048, "size_bytes": 100}}
    yield "spans", json.dumps(dict(good, **spans)).encode()
    yield "span-outside", json.dumps(dict(good, **dict(spans, manifest={"offset": 10240, "size_bytes": 1}))).encode()
    yield "size-huge", json.dumps(dict(good, size_bytes=1e300)).encode()
    yield "span-odd", json.dumps(dict(good, **dict(spans, config=[]))).encode()
    layer = dict(good["layers"][0], offset=2**64 - 1)
    yield "layer-outside", json.dumps(dict(good, layers=[layer])).encode()
    key = "be5d5ad9a3b5a3d1"
    for what, value in {"signed": {"key": key, "ed25519": "5a" * 64}, "signed-short": {"key": key, "ed25519": "5a"}, "signed-odd": {"key": 5, "ed25519": []}, "signed-list": [], "signed-null": None,
                        "signed-upper": {"key": key, "ed25519": "5A" * 64}}.items():
        yield what, json.dumps(dict(good, **spans, signature=value)).encode()
    yield "deep", b"[" * 1000
    yield "empty", b""


def records():
    entries = [{"type": 2, "payload": "aGVhZA==", "position": 0}, {"type": 1, "name": "usr/bin/x", "size": 7, "payload": "AAA=", "position": 1},
               {"type": 1, "name_raw": "eP95", "size": 9, "position": 2}, {"type": 1, "name": "empty", "position": 3}]
    good = "".join(json.dumps(entry) + "\n" for entry in entries).encode()
    yield "good", good
    yield "gzip", gzip.compress(good, mtime=0)
    yield "truncated-gzip", gzip.compress(good, mtime=0)[:-6]
    yield "no-newline-at-the-end", good[:-1]
    yield "nested", b'{"type":{"type":1}}\n'
    yield "negative", b'{"type":1,"size":-5,"name":"x"}\n'
    yield "not-base64", b'{"type":2,"payload":"?"}\n'


def layers():
    change = [("etc", tarfile.DIRTYPE, ""), ("etc/passwd", b"root"), ("etc/.wh.gone", b""), ("opt/.wh..wh..opq", b""), ("opt/x", b"1"),
              ("y", tarfile.LNKTYPE, "opt/x"), ("bin", tarfile.SYMTYPE, "usr/bin"), ("dev/null", tarfile.CHRTYPE, ""), ("pipe", tarfile.FIFOTYPE, "")]
    plain = tar(change)
    yield "plain", plain
    yield "gzip", gzip.compress(plain, mtime=0)
    yield "gzip-two-members", gzip.compress(plain[:1024], mtime=0) + gzip.compress(plain[1024:], mtime=0)
    yield "gzip-truncated", gzip.compress(plain, mtime=0)[:-12]
    yield "pax", tar([("\u00fc" * 90, b"x")], tarfile.PAX_FORMAT)
    yield "long-name", tar([("n" * 180, b"x"), ("l", tarfile.SYMTYPE, "t" * 180)])
    yield "two-layers", tar([("a/b", b"1"), ("a/c", b"2")])[:2048] + tar([(".wh.a", b""), ("a", b"file"), ("a", tarfile.DIRTYPE, "")])
    yield "packages", tar([("var/lib/dpkg/status", b"Package: a\nStatus: install ok installed\nVersion: 1\n\n"), ("lib/apk/db/installed", b"P:b\nV:2\n\n"),
                           ("x/c-3.dist-info/METADATA", b"Name: c\nVersion: 3\n\nVersion: 4\n")])
    yield "traversal", tar([("../../x", b"x")])
    yield "link-outside", tar([("x", tarfile.LNKTYPE, "../../etc/passwd")])
    yield "absolute", tar([("/etc/x", b"x")])
    yield "deletes-dots", tar([("a/.wh...", b"")])
    yield "truncated", plain[:-1600]
    yield "no-end", plain[:-1024]
    yield "deep", tar([("d/" * 300 + "x", b"x")])
    yield "zstd", b"\x28\xb5\x2f\xfd" + b"x" * 60
    yield "text", b"layer one"
    yield "empty", b""


def answers():
    head = b"HTTP/1.1 200 OK\r\n"
    yield "length", head + b"Content-Length: 5\r\n\r\nhello"
    yield "chunked", head + b"Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nTrailer: x\r\n\r\n"
    yield "to-the-end", b"HTTP/1.0 200 OK\r\n\r\nhello"
    yield "continue", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno"
    yield "no-content", b"HTTP/1.1 204 No Content\r\n\r\n"
    yield "chunk-too-large", head + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n"
    yield "no-http", b"SSH-2.0-OpenSSH\r\n"
    yield "empty", b""


def names():
    for number, name in enumerate(["env-1700000000.tar", "a-007.tar", "x-1700000000-1700000001.tar", "a-9223372036854775808.tar", "MyEnv-1.tar", "py3.11",
                                   "a__b--c.d", "../x", "-rf", "a..b-1.tar", ".riverbox-env-5.tar.12.abcdef.part", "\N{WHALE}-1.tar", "env\n", "a" * 129]):
        yield "%02d" % number, name.encode()


def requests():
    """Path, and the headers Range, If-Range, If-None-Match, Authorization, Accept, a line each."""
    digest = b"sha256:" + sha(b"layer one").encode()
    yield "blob", b"/v2/env/blobs/" + digest + b"\nbytes=0-3"
    yield "resumed", b"/v2/env/blobs/" + digest + b"\nbytes=5-\n\"" + digest + b"\""
    yield "suffix", b"x\nbytes=-4"
    yield "suffix-too-long", b"x\nBYTES=-99999999999999999999999"
    yield "backwards", b"x\nbytes=9-3"
    yield "several", b"x\nbytes=0-1,3-4"
    yield "overflow", b"x\nbytes=18446744073709551615-18446744073709551616"
    yield "manifest", b"/v2/env/manifests/latest\n\n\nW/\"a\", *\nBasic " + b"eDp0b2tlbg=="
    yield "number", b"/v2/env/manifests/1700000000\n\n\n\nbearer token"
    yield "digest", b"/v2/env/manifests/" + digest
    yield "other-digest", b"/v2/env/manifests/sha512:" + b"0" * 128
    yield "escapes", b"/v2/e%6ev/blobs/sha256%3a" + b"0" * 64
    yield "traversal", b"/v2/..%2f..%2fetc/manifests/latest"
    yield "many-segments", b"/v2/library/env/manifests/latest"
    yield "basic-without-colon", b"x\n\n\n\nBasic dG9rZW4="
    yield "basic-not-base64", b"x\n\n\n\nBasic ?"
    yield "empty", b""


def connections():
    """What one connection sends. The last byte says how the reads fall."""
    host, upgrade = b"Host: node0:8000\r\n", b"Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
    post = b"POST /api/submit HTTP/1.1\r\n" + host
    for name, data in {
            "get": b"GET /api/nodes?state=online&x=%20+1 HTTP/1.1\r\n" + host + b"Authorization: Bearer 00\r\n\r\n", "body": post + b"Content-Length: 5\r\n\r\nhello", "empty": b"",
            "chunked": post + b"Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nhel\r\n2\r\nlo\r\n0\r\nX: y\r\n\r\n", "pipelined": (b"GET /a HTTP/1.1\r\n" + host + b"\r\n") * 3, "old": b"GET / HTTP/1.0\r\n\r\n",
            "two-framings": post + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "two-lengths": post + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", "negative": post + b"Content-Length: -1\r\n\r\n",
            "chunk-too-large": post + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", "gzip": post + b"Transfer-Encoding: gzip\r\n\r\n", "expect": post + b"Expect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
            "absolute": b"GET http://node0:8000?q HTTP/1.1\r\n" + host + b"\r\n", "folded": b"GET / HTTP/1.1\r\n" + host + b"X: a\r\n b\r\n\r\n", "bare-lf": b"GET / HTTP/1.1\nHost: a\n\n", "no-host": b"GET / HTTP/1.1\r\n\r\n",
            "two-hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "asterisk": b"OPTIONS * HTTP/1.1\r\n" + host + b"\r\n", "upgrade": b"GET /api/runner/link HTTP/1.1\r\n" + host + upgrade + b"\r\n",
            "many": b"GET / HTTP/1.1\r\n" + host + b"a: b\r\n" * 250 + b"\r\n", "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "fragment": b"GET /a#b?c HTTP/1.1\r\n" + host + b"\r\n"}.items():
        yield name, data + b"\x07"
    yield "chunks-end-by-bytes", post + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n\0"  # the last byte: one byte at a time


def frames():
    for number, data in enumerate([b"\0ls\n", b"\1error", b"\2\0\x18\0\x50", b"\2\0\0\0\0", b"\2\xff\xff\xff\xff", b"\3", b"\4\0\0\1\0", b"\5\0\0\0\x2a", b"\6no such container", b"\7", b"\x08", b"", b"\x10\x11", b"a\x10b\x10\x10\x11c",
                                   b'{"type":"input","data":"ls\\n"}', b'{"type":"resize","rows":24,"cols":80}', b'{"type":"resize","rows":0,"cols":65535}', b'{"type":"resize","rows":1e99,"cols":"80"}', b'{"type":"output","data":"\\ud83d"}',
                                   b'{"type":"error","message":"no"}', b'{"type":"exit","code":3}', b'{"type":7}', b"[" * 300, b"null", "größer 漢字 🚢".encode(), b"\xf0\x9f\x9a", b"\x08\0\0\0\0\0\0\x01\0shown",
                                   b"\x1b[?1049h\x1b[?1;2004h\x1b=\x1b[?25l\x1b[6n~\x1b[c", b"\x1b]11;?\x07\x1bP$qm\x1b\\\x1b(0\x0eq\x0f\x1b(B", b"\x1b]0;a title\x18\x1b[!p\x1bc\x1b", b"\x1bP" + b"~" * 5000 + b"\x1b\\.", b"\xc3\x28 \xed\xa0\x80"]):
        yield "%02d" % number, data


def messages():
    """The first byte says what it is: fuzz_messages.cpp."""
    attempt = {"task_id": "7530000000000000000", "attempt": 1}
    spec = {"task_id": "7530000000000000000", "attempt": 2, "epoch": 3, "command": "echo", "arguments": ["a b"], "env": {"A": "1"}, "cores": 2, "memory_bytes": 1 << 30, "numa": 0, "gpus": [0, 1],
            "environment": "py311", "mounts": [{"source": "/a", "target": "/b", "read_only": True}], "stdout_file": "task_outputs/1.out"}
    report = {"task_id": "7530000000000000000", "attempt": 1, "epoch": 1, "state": "failed", "exit_code": 3, "message": "Exit code 3.", "started_at": "2026-11-21T23:10:12.5Z", "completed_at": ""}
    submission = {"command": "python", "arguments": ["train.py"], "env_vars": {"A": "1"}, "required_cores": 2, "required_memory_bytes": 1 << 30, "targets": ["node1:0", "node2::0,1"], "required_gpus": [[], [0, 1]],
                  "container_name": "py311@1700000000", "additional_mounts": ["/data:/data:ro"], "priority": 5, "retries": 2, "time_limit_seconds": 60, "after": ["7530000000000000000"], "name": "x"}
    gpu = {"gpu_id": 0, "name": "H100", "memory_total_mib": 81559.0, "temperature": 40}
    for name, kind, value in (
            ("welcome", 0, {"type": "welcome", "epoch": 3, "heartbeat_interval_s": 5, "shared_dir": "/mnt"}), ("refused", 0, {"type": "refused", "message": "no"}), ("ack", 0, {"type": "ack", "sequence": 7}),
            ("heard", 0, {"type": "heard", "sent": 12345}), ("keys", 0, {"type": "keys", "keys": ["ed25519:" + "5" * 64]}), ("keys-odd", 0, {"type": "keys", "keys": ["ed25519:" + "5" * 63 + "\x1b", 7, None]}),
            ("dispatch", 0, {"type": "dispatch", "task": spec}), ("kill", 0, {"type": "kill", **attempt}), ("pause", 0, {"type": "pause", "request": "1", **attempt}),
            ("open-logs", 0, {"type": "open_logs", "stream": "abc", "from": [0, 5], **attempt}), ("sync", 0, {"type": "sync", "environment": "py311", "tarball": "py311-5.tar", "exact": True, "request": "2"}), ("unknown", 0, {"type": "dance"}),
            ("spec", 1, spec), ("spec-nulls", 1, dict.fromkeys(spec)), ("report", 2, report), ("submission", 3, submission), ("submission-null", 3, {"command": "true", "container_name": "NULL"}),
            ("submission-nulls", 3, dict.fromkeys(submission)), ("batch", 4, {"tasks": [{"command": "true"}, submission]}), ("gpus", 5, [gpu, {"gpu_id": 1}]), ("numa", 6, {"0": {"cores": [0, 1], "memory_bytes": 5}, "x": 1}),
            ("numa-odd", 6, {"0": {"core": []}}), ("numa-huge", 6, {"0": {"cores": [1e300, 1], "memory_bytes": 5}}), ("cpus", 7, [[0, 2], [1, 3]]), ("client-id", 8, {"client_id": "abc"}), ("deep", 0, [[[[]]]]), ("numbers", 3, {"command": "x", "required_cores": 1e300, "priority": -2**63})):
        yield name, bytes([kind]) + json.dumps(value).encode()


def words():
    """The first byte says what it is: fuzz_words.cpp."""
    listed = [
        ["größe \x1b[31m 100%41 aGVsbG8=", "a=1&b=%20c&&=&%zz"], ["node1", "node1:0", "node1::0,1", "node1:1:0", "node:", "node::", "node:99", "node::0,0", "node:0:0", "no de"], ["/a:/b", "/a:/b:ro", "a:/b", "/a", "/a:/b:rw"],
        ["/data", "/data:ro", "/data/../x"], ["172.30.0.0/16", "10.0.0.1/8", "0.0.0.0/0", "1.2.3/4"], ["7530000000000000000", "0", "-1", "99999999999999999999"], ["node-1", "Node", "-x"], ["sha256:" + "0" * 64, "SHA256:" + "0" * 64, "md5:1"],
        ["ubuntu", "127.0.0.1:5000/a/b:1", "a@sha256:" + "1" * 64, "UPPER/case", "x:y:z", "a@/b@/c", "a:b:c@d:e"], ["http://node0:8000/a?b", "[::1]:8000", "wss://a", "https://u@h/"], ["1G", "1GiB", "0", "-1", "99999999999G", "NaN", "5.5M"],
        ["90", "1h30m", "2d", "1e9", "-5s"], ["2026-11-21T23:10:12.372627458Z", "2026-11-21T23:10:12+01:00", "0001-01-01T00:00:00Z", "2026-02-30T00:00:00Z"], ["2026-11-21T23:10:12", "2026-11-21 23:10:12.5"],
        ["INT", "SIGTERM", "9", "RTMIN+3", "KILL", "STOP", "RTMAX-99"], ["0, NVIDIA H100, 535.1, 00000000:01:00.0, 5, 1000, 3, 2000, 81559, 10, 81549, 40, [N/A], 70.5, 700\n", "No devices were found\n"],
        ["Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\neth0\t0000A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\n"], ['{"auths":{"https://index.docker.io/v1/":{"auth":"dTpw"}}}', "/hakuriver-task-7530000000000000000", "kohakuriver-env-x"]]
    for kind, texts in enumerate(listed):
        for number, text in enumerate(texts):
            yield "%02d-%d" % (kind, number), bytes([kind]) + text.encode()


def configurations():
    yield "empty", b""
    yield "bom", "\ufeff[network]\r\nhost_port = 1234\r\n".encode()
    yield "several", b'[network]\nhost_port = 8000\nhost_reachable_address = "10.0.0.1"\n[paths]\nshared_dir = "/mnt/share"\n[docker]\nadditional_mounts = ["/a:/b"]\nkeep_versions = 3\n[timing]\nheartbeat_interval = 5\n'
    yield "classic", b'HOST_PORT = 8000\nSHARED_DIR = "/mnt"\n[environment]\nrunner_user = "nobody"\n'
    yield "unknown", b"[netwrok]\nhost_prot = 1\n"
    yield "wrong-type", b'[network]\nhost_port = "x"\n'
    yield "twice", b"[a]\nb = 1\nb = 2\n"
    yield "broken", b"[network\n"
    yield "nested", b"[a.b.c]\nd = {e = [1, [2, 'x']], f = 1979-05-27T07:32:00Z}\n"
    yield "sizes", b'[tasks]\nmax_output = "10G"\n[timing]\nlease = "1h"\nlost_after = -5\n'
    yield "bytes", b"\x00\xff\xfe"
    yield "latin-1", b"[a]\nb = {c = [0, 'd\xf6']}\n"


def bodies():
    yield "load", b'{"stream":"Loaded image: hakuriver/env:base\\n"}\r\n'
    yield "load-failed", b'{"errorDetail":{"message":"no space left on device"},"error":"no space left on device"}\n'
    yield "pull", b'{"status":"Downloading","progressDetail":{"current":5,"total":10},"id":"abc"}\n{"status":"Pull complete","id":"abc"}\n'
    yield "pull-odd", b'{"status":"Downloading","progressDetail":{"current":-5,"total":1e99},"id":7}\n{"status":null}\n'
    yield "no-newline", b'{"stream":"x"}'
    yield "not-json", b"<html>\n"
    yield "frames", b"\1\0\0\0\0\0\0\5hello\2\0\0\0\0\0\0\3err\1\0\0\0\0\0\0\0"
    yield "frame-large", b"\1\0\0\0\xff\xff\xff\xffx"
    yield "frame-odd", b"\7\0\0\0\0\0\0\1x"
    yield "empty", b""


def tunnels():
    """Messages as they stand on a unix socket: the length before each."""
    def message(kind, number=0, payload=b"", proto=0, port=0):
        return struct.pack(">IBBIH", 8 + len(payload), kind, proto, number, port) + payload
    hello = message(16, 0, struct.pack(">HHII", 1, 0, 256 << 10, 1024))
    accept = message(22, 0x80000001, struct.pack(">I", 3), port=4711)
    yield "hello", hello
    yield "hello-short", message(16, 0, b"\0\1")
    yield "hello-twice", hello * 2
    yield "answers", hello + message(2, 1) + message(2, 2, proto=1) + message(3, 1, b"hello") + message(3, 2, b"datagram", 1) + message(18, 1) + message(4, 2)
    yield "windows", hello + message(2, 1) + message(17, 1, b"\0\1\0\0") + message(17, 1, b"\xff\xff\xff\xff") + message(17, 2, b"x")
    yield "refused", hello + message(5, 1, b"connection refused \x1b[31m") + message(5, 2, b"\xff") + message(5, 0, b"go")
    yield "accepts", hello + message(2, 1) + message(20, 3, port=4711) + accept + message(3, 0x80000001, b"x") + message(18, 0x80000001) + accept
    yield "connects", hello + b"".join(message(1, number, port=number) for number in range(1, 9)) + message(3, 1, b"x") + message(18, 1) + message(18, 1)
    yield "connects-udp", hello + message(1, 5, proto=1, port=4) + message(3, 5, b"", 1) + message(3, 5, b"x" * 1000, 1) + message(4, 5)
    yield "listens", hello + message(19, 1, port=8080) + message(19, 2, port=1) + message(19, 3, proto=1) + message(21, 1) + message(21, 1)
    yield "too-much", hello + message(2, 1) + message(3, 1, b"x" * 65536) + message(3, 1, b"x" * 65537)
    yield "classic", message(1, 1, port=4) + message(3, 1, b"question") + message(1, 1, port=4) + message(6, 0, b"ping") + message(7) + message(4, 1)
    yield "classic-early", message(1, 1, port=5) + message(3, 1, b"x") + message(18, 1) + message(16, 0, b"x" * 12)
    yield "odd", hello + message(200, 7, b"later") + message(1, 0) + message(1, 0x80000001)
    yield "proto", message(1, 1, proto=2)
    yield "lengths", b"\0\0\0\7" + hello
    yield "cut", hello[:9]


def ssh_text(value):
    value = value if isinstance(value, bytes) else value.encode()
    return len(value).to_bytes(4, "big") + value


def ssh_keys():
    key = base64.b64encode(ssh_text("ssh-ed25519") + ssh_text(b"k" * 32)).decode()
    yield "plain", f"ssh-ed25519 {key} ann@desk\n".encode()
    yield "several", f"# who may\n\n\tssh-ed25519 {key}\r\nssh-rsa {key}\nssh-dss AAAA x".encode()
    yield "options", f'command="echo \\"x\\" # y",from="10.0.0.0/8" ssh-ed25519 {key}\nrestrict ssh-ed25519 {key}\n'.encode()
    yield "damaged", b"ssh-ed25519\nssh-ed25519 ====\necdsa-sha2-nistp256 AAAAE2\nsk-ssh-ed25519@openssh.com \xff\0\n"
    yield "empty", b""


def sftp_packets():
    def packet(kind, *fields):
        return bytes([kind]) + b"".join(f if isinstance(f, bytes) else f.to_bytes(4, "big") for f in fields)
    path, every = ssh_text("/tmp/a b"), (13 | 2 | 2**31).to_bytes(4, "big") + b"\0" * 8 + b"\0\0\0\1" * 5 + b"\0\0\0\1" + ssh_text("x@y") + ssh_text("z")
    yield "init", packet(1, 3)
    yield "open", packet(3, 1, path, 0x1a, every)
    yield "write", packet(6, 2, ssh_text("0"), b"\0" * 8, ssh_text(b"data\0"))
    yield "read", packet(5, 3, ssh_text("0"), b"\xff" * 8, 2**32 - 1)
    yield "rename", packet(18, 4, path, ssh_text("\u00fc"))
    yield "nul", packet(17, 5, ssh_text(b"a\0b"))
    yield "short", packet(9, 6, path)[:-3]
    yield "extended", packet(200, 7, ssh_text("posix-rename@openssh.com"), path, path)
    yield "lsetstat", packet(200, 8, ssh_text("lsetstat@openssh.com"), path, every)
    yield "unknown", packet(99, 9)
    yield "huge", packet(4, 10, 2**32 - 1) + b"x"
    yield "empty", b""


def ssh_lines():
    for name, data in (("file", b"C0644 12 two words"), ("folder", b"D2755 0 f"), ("times", b"T1700000000 0 1600000000 0"), ("up", b"C0644 1 ../x"), ("huge", b"C0644 99999999999999999999 x"),
                       ("modes", b"\x03\0\0\0\x08\x35\0\0\0\0\x01\0\0\0\xff\x2a\0\0\0\1\0"), ("modes-end", b"\x80\0\0\x96\0\xa0\0"), ("empty", b"")):
        yield name, data


def main():
    for target, seeds in {"answer": answers(), "archive": archives(), "config": configurations(), "engine": bodies(), "http": connections(), "index": indexes(), "layer": layers(), "messages": messages(), "registry": requests(),
                          "sftp": sftp_packets(), "share_name": names(), "ssh_keys": ssh_keys(), "ssh_lines": ssh_lines(), "tar_split": records(), "terminal": frames(), "tunnel": tunnels(), "words": words()}.items():
        folder = ROOT / target
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name, data in seeds:
            (folder / name).write_bytes(data)


main()
