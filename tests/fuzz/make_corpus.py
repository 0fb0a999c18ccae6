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


def image(oci=False, packed=False, tags=("hakuriver/env:base",), twins=False, config_name=None, tweak=None, extra=()):
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
    if oci:
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
    layer = dict(good["layers"][0], offset=2**64 - 1)
    yield "layer-outside", json.dumps(dict(good, layers=[layer])).encode()
    yield "deep", b"[" * 1000
    yield "empty", b""


def names():
    for number, name in enumerate(["env-1700000000.tar", "a-007.tar", "x-1700000000-1700000001.tar", "a-9223372036854775808.tar", "MyEnv-1.tar", "py3.11",
                                   "a__b--c.d", "../x", "-rf", "a..b-1.tar", ".riverbox-env-5.tar.12.abcdef.part", "\N{WHALE}-1.tar", "env\n", "a" * 129]):
        yield "%02d" % number, name.encode()


def main():
    for target, seeds in {"archive": archives(), "index": indexes(), "share_name": names()}.items():
        folder = ROOT / target
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name, data in seeds:
            (folder / name).write_bytes(data)


main()
