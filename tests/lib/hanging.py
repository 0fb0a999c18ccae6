"""A share whose server does not answer: a FUSE file system of our own that stops to answer when it is told. It is what an NFS hard mount does when its server
has gone: who looks at it waits in the kernel, and SIGKILL does not help."""
import ctypes
import errno
import os
import select
import stat
import struct
import threading
import time

from process import at_exit

LOOKUP, GETATTR, OPEN, READ, STATFS, RELEASE, INIT, OPENDIR, READDIR, RELEASEDIR = 1, 3, 14, 15, 17, 18, 26, 27, 28, 29
CHANGES = (6, 8, 9, 10, 11, 12, 13, 16, 35)  # symlink, mknod, mkdir, unlink, rmdir, rename, link, write, create
_libc = ctypes.CDLL(None, use_errno=True)


class Unavailable(Exception):
    """This machine has no FUSE, or may not mount."""


class HangingShare:
    """An empty folder, mounted at `point`, that answers until hang() and again after go_on()."""

    def __init__(self, point):
        self.point = point
        point.mkdir(parents=True, exist_ok=True)
        try:
            self.fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise Unavailable(f"/dev/fuse: {error}") from None
        options = f"fd={self.fd},rootmode=40000,user_id=0,group_id=0,allow_other"
        if _libc.mount(b"riverbox-test", str(point).encode(), b"fuse", 0, options.encode()):
            error = ctypes.get_errno()
            os.close(self.fd)
            raise Unavailable(f"mount: {os.strerror(error)}")
        self._answers, self._over = threading.Event(), False
        self._answers.set()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        at_exit(self.end)

    def hang(self):
        self._answers.clear()

    def go_on(self):
        self._answers.set()

    def end(self):
        """Whoever waits gets an error, and the mount is gone."""
        if self._over:
            return
        self._over = True
        self._answers.set()
        _libc.umount2(str(self.point).encode(), 2)  # MNT_DETACH
        self._thread.join(10)
        os.close(self.fd)  # the connection ends with it: what still waits fails

    def _serve(self):
        while not self._over:
            try:
                if not select.select([self.fd], [], [], 0.05)[0]:
                    continue
                request = os.read(self.fd, 1 << 17)
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.EINTR, errno.EAGAIN):
                    continue
                return  # unmounted
            self._answers.wait()
            opcode, unique = struct.unpack_from("<IQ", request, 4)
            failed, body = self._answer(opcode)
            if failed is None:
                continue  # nobody waits for it
            try:
                os.write(self.fd, struct.pack("<IiQ", 16 + len(body), -failed, unique) + body)
            except OSError:
                pass  # who asked has gone

    def _answer(self, opcode):
        now = int(time.time())
        attributes = struct.pack("<QQQQQQIIIIIIIIII", 1, 0, 0, now, now, now, 0, 0, 0, stat.S_IFDIR | 0o777, 2, 0, 0, 0, 4096, 0)
        if opcode == INIT:
            return 0, struct.pack("<IIIIHHIIHH8I", 7, 31, 0, 0, 12, 10, 65536, 1, 0, 0, *[0] * 8)
        if opcode == GETATTR:
            return 0, struct.pack("<QII", 0, 0, 0) + attributes  # nothing may be remembered, so every look asks
        if opcode == STATFS:
            return 0, struct.pack("<QQQQQIIII", 1 << 30, 1 << 29, 1 << 29, 1000, 1000, 4096, 255, 4096, 0) + bytes(24)
        if opcode in (OPEN, OPENDIR):
            return 0, struct.pack("<QII", 1, 0, 0)
        if opcode in (READ, READDIR, RELEASE, RELEASEDIR):
            return 0, b""
        if opcode in (2, 36, 42):  # FORGET, INTERRUPT, BATCH_FORGET
            return None, b""
        return errno.ENOENT if opcode == LOOKUP else errno.EROFS if opcode in CHANGES else errno.ENOSYS, b""
