#!/usr/bin/env python3
"""Writes the seed inputs under corpus/: the same bytes at every run. Only needed when a seed is added.

usage: tests/fuzz/make_corpus.py
"""
import gzip
import hashlib
import io
import json
import pathlib
import shutil
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
    yield "span-odd", json.dumps(dict(good, **dict(spans, config=[]))).encode()
    layer = dict(good["layers"][0], offset=2**64 - 1)
    yield "layer-outside", json.dumps(dict(good, layers=[layer])).encode()
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


def main():
    for target, seeds in {"answer": answers(), "archive": archives(), "index": indexes(), "layer": layers(), "registry": requests(), "share_name": names(), "tar_split": records()}.items():
        folder = ROOT / target
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name, data in seeds:
            (folder / name).write_bytes(data)


main()
