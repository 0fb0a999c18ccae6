"""Images for the tests without any registry: busybox from one file, Debian from mmdebstrap (made once, then cached)."""
import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from urllib.parse import quote

from process import CACHE


def _add(tar, name, data=b"", mode=0o644, kind=tarfile.REGTYPE, link=""):
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.type, entry.linkname = len(data), mode, kind, link
    tar.addfile(entry, io.BytesIO(data))


def busybox_rootfs(extra=None):
    """A root file system as tar bytes: busybox-static with a link for every applet; `extra` = {path: bytes} on top."""
    program = Path("/bin/busybox").read_bytes()
    applets = subprocess.run(["/bin/busybox", "--list"], capture_output=True, text=True, check=True).stdout.split()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for folder in ("bin", "etc", "root", "proc", "sys", "dev", "var", "home", "usr", "usr/bin", "sbin"):
            _add(tar, folder, mode=0o755, kind=tarfile.DIRTYPE)
        _add(tar, "tmp", mode=0o1777, kind=tarfile.DIRTYPE)
        _add(tar, "bin/busybox", program, 0o755)
        for applet in applets:
            if applet != "busybox":
                _add(tar, f"bin/{applet}", kind=tarfile.SYMTYPE, link="busybox")
        _add(tar, "usr/bin/env", kind=tarfile.SYMTYPE, link="/bin/busybox")
        _add(tar, "etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n")
        _add(tar, "etc/group", b"root:x:0:\n")
        for name, data in (extra or {}).items():
            _add(tar, name, data, 0o755)
    return out.getvalue()


def import_image(engine, rootfs, reference, command=("sh",)):
    """Makes an image of a root file system (bytes, or the path of a tar); returns its ID."""
    repo, _, tag = reference.rpartition(":")
    changes = "".join("&changes=" + quote(c) for c in (
        "CMD [" + ",".join(f'"{c}"' for c in command) + "]",
        "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"))
    body = rootfs if isinstance(rootfs, bytes) else open(rootfs, "rb")
    try:
        engine.api("POST", f"/images/create?fromSrc=-&repo={quote(repo, safe='')}&tag={tag}{changes}", body,
                   {"Content-Type": "application/x-tar"}, timeout=300)
    finally:
        if not isinstance(rootfs, bytes):
            body.close()
    return engine.image(reference)["Id"]


def busybox(engine, reference="busybox:latest", extra=None):
    return import_image(engine, busybox_rootfs(extra), reference)


# What people run inside environments. The tests must not reach the network, so the package managers of the manual's
# sessions are stand-ins that leave a visible change behind, as the real ones would.
_STAND_IN = b"""#!/bin/sh
# stand-in of the tests for %s
mkdir -p /var/lib/stand-in
echo "$@" >> /var/lib/stand-in/%s
echo "stand-in: %s $*"
"""


def stand_ins(*names):
    return {f"usr/local/bin/{name}": _STAND_IN % ((name.encode(),) * 3) for name in names}


def debian_mirror():
    listed = subprocess.run(["apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)", "Created-By: Packages"],
                            capture_output=True, text=True).stdout
    for line in listed.splitlines():
        if line.startswith("Debian|Debian|http"):
            return line.split("|")[2]
    return "http://deb.debian.org/debian"


def debian_rootfs():
    """The path of a cached Debian 12 tar with python3, vim, less, htop, tmux, and servers of SSH; None where it cannot be made."""
    cached = CACHE / "debian12-tools-2.tar"
    if cached.exists():
        return cached
    if not shutil.which("mmdebstrap"):
        return None
    CACHE.mkdir(parents=True, exist_ok=True)
    partial = cached.with_suffix(f".{os.getpid()}.tar")
    made = subprocess.run(
        ["mmdebstrap", "--variant=minbase", "--quiet", "--include=python3-minimal,vim-tiny,less,htop,tmux,procps,openssh-server,dropbear-bin,rsync",
         "--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/doc/*",
         "--dpkgopt=path-exclude=/usr/share/locale/*",
         '--customize-hook=rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*.bin "$1"/var/log/*.log',
         '--customize-hook=ln -sf python3 "$1"/usr/bin/python',
         "bookworm", str(partial), debian_mirror()], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if made.returncode:
        partial.unlink(missing_ok=True)
        print(f"mmdebstrap failed: {made.stderr[-400:]}")
        return None
    partial.rename(cached)
    return cached


def debian(engine, reference="debian:12"):
    """Imports the Debian image; returns its ID, or None where there is no way to make one."""
    rootfs = debian_rootfs()
    return import_image(engine, rootfs, reference, ("bash",)) if rootfs else None


def derive(engine, base, reference, files):
    """`base` plus {path: bytes} (mode 755) as a new image, as a Dockerfile's COPY would make it."""
    container = engine.api("POST", "/containers/create", {"Image": base, "Cmd": ["true"]})["Id"]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            _add(tar, name, data, 0o755)
    engine.api("PUT", f"/containers/{container}/archive?path=/", out.getvalue(), {"Content-Type": "application/x-tar"})
    repo, _, tag = reference.rpartition(":")
    command = engine.image(base)["Config"]["Cmd"]
    image = engine.api("POST", f"/commit?container={container}&repo={quote(repo, safe='')}&tag={tag}", {"Cmd": command})["Id"]
    engine.api("DELETE", f"/containers/{container}?force=1")
    return image
