#!/usr/bin/env python3
"""The kinds of Docker Engine that the tests know: the installed one, and newer ones of Debian's later releases unpacked beside it.

usage: engines.py [--check]     fetches what is missing into the cache; --check only says what is missing

dockerd and containerd of the later releases run on Debian 12 as they are; runc is that of this machine, which their own would not (it wants a newer glibc).
Nothing is installed: the few programs lie in a folder of the cache (about 160 MB each, 52 MB to fetch), and an Engine of the tests is started from there.
"""
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True
import images  # noqa: E402
from process import CACHE  # noqa: E402

# The packages by their hash, so that a test means the same everywhere and always: (folder of the pool, file, SHA-256).
_PACKAGES = {
    "26.1.5": (("d/docker.io", "docker.io_26.1.5+dfsg1-9+deb13u1_amd64.deb", "142fe32f839a20720b2e6074b8d28d883b01bc45345f7315586b0c2d348dae87"),
               ("c/containerd", "containerd_1.7.24~ds1-6+deb13u1_amd64.deb", "ed708deb96fe476a3bce4efa5c0538dfbcf717ab9a7c7944ba7260342c25899c")),
    "28.5.2": (("d/docker.io", "docker.io_28.5.2+dfsg4-5_amd64.deb", "69a59cc77a1fb8ee9ad6859abc2e6de5d76b70887405595c2b1307818fecf682"),
               ("c/containerd", "containerd_2.1.9+ds1-5_amd64.deb", "2dda86ce7033fd612fc50e136679d8174ccad680eb29cd4611e0d2a1b84cf591")),
}
_PROGRAMS = ("dockerd", "docker-proxy", "containerd", "containerd-shim-runc-v2")
_SNAPSHOT = "http://snapshot.debian.org/archive/debian/20261115T000000Z"  # keeps what the mirrors have dropped


class Kind:
    """`release` None: the Engine of this machine. `store`: where it keeps images, "graph" (overlay2) or "containerd"."""

    def __init__(self, name, release=None, store="graph"):
        self.name, self.release, self.store = name, release, store

    def programs(self):
        """The folder that has to come first in PATH, None for the installed Engine. Raises Unavailable."""
        return fetch(self.release) if self.release else None

    def daemon_json(self):
        """What its configuration file says."""
        return {"features": {"containerd-snapshotter": self.store == "containerd"}} if self.release else {}


INSTALLED = Kind("installed")
KINDS = (INSTALLED, Kind("26", "26.1.5"), Kind("26-containerd", "26.1.5", "containerd"), Kind("28", "28.5.2"), Kind("28-containerd", "28.5.2", "containerd"))


class Unavailable(Exception):
    """This machine cannot have that Engine; the text says why."""


_unavailable = {}  # release -> reason: nobody waits twice for a network that is not there


def folder(release):
    return CACHE / "engines" / release


def fetch(release):
    """The folder with the programs of that release; they are fetched at the first call of all. Raises Unavailable."""
    there = folder(release)
    if there.is_dir():
        return there
    if release not in _unavailable:
        try:
            return _unpack(release, there)
        except Unavailable as reason:
            _unavailable[release] = str(reason)
    raise Unavailable(_unavailable[release])


def _unpack(release, there):
    machine = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True).stdout.strip() if shutil.which("dpkg-deb") else ""
    if machine != "amd64":
        raise Unavailable(f"Docker {release} is unpacked from Debian's amd64 packages, and this is {machine or 'no Debian'}")
    there.parent.mkdir(parents=True, exist_ok=True)
    partial = there.parent / f".{release}.{os.getpid()}"
    try:
        partial.mkdir()
        for pool, file, digest in _PACKAGES[release]:
            _download(pool, file, digest, partial / file)
            content = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", partial / file], stdout=subprocess.PIPE)
            subprocess.run(["tar", "-x", "-C", partial, "--wildcards", "--transform=s,.*/,,", "--no-anchored",
                            *(f"./usr/*bin/{p}" for p in _PROGRAMS)], stdin=content.stdout, stderr=subprocess.DEVNULL)
            content.stdout.close()
            content.wait()
            (partial / file).unlink()
        missing = [p for p in _PROGRAMS if not (partial / p).exists()]
        if missing:
            raise Unavailable(f"the packages of Docker {release} lack {', '.join(missing)}")
        said = subprocess.run([partial / "dockerd", "--version"], capture_output=True, text=True)
        if said.returncode:
            raise Unavailable(f"dockerd {release} does not run here: {said.stderr.strip()[-300:]}")
        try:
            partial.rename(there)
        except OSError:  # somebody else was faster
            if not there.is_dir():
                raise
    except OSError as error:
        raise Unavailable(f"Docker {release} cannot be unpacked into {there.parent}: {error}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return there


def _download(pool, file, digest, to):
    """apt's own downloader, because it knows the proxy of this machine."""
    helper, reasons = "/usr/lib/apt/apt-helper", []
    if not Path(helper).exists():
        raise Unavailable(f"{helper}, which fetches {file}, is not there")
    for mirror in (images.debian_mirror().rstrip("/"), _SNAPSHOT):
        url = f"{mirror}/pool/main/{pool}/{file}"
        done = subprocess.run([helper, "-o", "Acquire::http::Timeout=15", "-o", "Acquire::Retries=1", "-o", "APT::Sandbox::User=root",
                               "download-file", url, to], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode == 0:
            with open(to, "rb") as data:
                if hashlib.file_digest(data, "sha256").hexdigest() == digest:
                    return
            reasons.append(f"{url.split('/')[2]}: the file has another SHA-256")
        else:
            said = (done.stdout + done.stderr).splitlines()
            why = next((after.strip() for line, after in zip(said, said[1:]) if line.startswith("Err:")), "it failed")
            reasons.append(f"{url.split('/')[2]}: {why}")
        to.unlink(missing_ok=True)
    raise Unavailable(f"cannot fetch {file}: " + "; ".join(reasons))


def main():
    check, bad = "--check" in sys.argv[1:], 0
    for release in _PACKAGES:
        if folder(release).is_dir():
            continue
        bad += 1
        if check:
            print(f"Docker {release} for the tests: not in {folder(release).parent}")
            continue
        print(f"fetching Docker {release} for the tests", flush=True)
        try:
            fetch(release)
            bad -= 1
        except Unavailable as reason:
            print(f"warning: {reason}\n  The tests with Docker {release} will be skipped.", file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
