"""A file system of one's own, by user and mount namespaces, for kernels without Landlock.

The process becomes alone in new user, mount, network and IPC namespaces; its root is a small tmpfs
in which the readable folders are mounted read-only and the scratch folder is memory of bounded
size. Everything else, and every network interface, does not exist there.
"""

from __future__ import annotations

import ctypes
import os

from .landlock import call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWNET = 0x20000, 0x8000000, 0x10000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_NOATIME, MS_NODIRATIME, MS_RELATIME = 1024, 2048, 1 << 21
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
MNT_DETACH = 2
# A mount that was made elsewhere keeps these; a remount must repeat them.
KEPT = {
    os.ST_NOSUID: MS_NOSUID,
    os.ST_NODEV: MS_NODEV,
    os.ST_NOEXEC: MS_NOEXEC,
    os.ST_NOATIME: MS_NOATIME,
    os.ST_NODIRATIME: MS_NODIRATIME,
    os.ST_RELATIME: MS_RELATIME,
}

_libc = ctypes.CDLL(None, use_errno=True)


def restrict(
    readable: Iterable[str], scratch: str, devices: Iterable[str], scratch_bytes: int
) -> None:
    """Leave this process these folders to read and a fresh, empty scratch folder.

    Args:
        readable: Absolute paths.
        scratch: An existing folder; the new root is put up over it, and inside it has this path.
        devices: Such as ``/dev/null``.
        scratch_bytes: What the scratch folder may hold.

    Raises:
        OSError: The machine does not give namespaces to this user.
    """
    user, group = os.getuid(), os.getgid()
    _check(_libc.unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC), "unshare")
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{user} {user} 1")
    _write("/proc/self/gid_map", f"{group} {group} 1")
    _mount("none", "/", None, MS_REC | MS_PRIVATE)
    _mount("tmpfs", scratch, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=755")
    for path in readable:
        if os.path.isdir(path):
            os.makedirs(scratch + path, exist_ok=True)
            _bind(path, scratch + path, MS_RDONLY)
    for path in devices:
        if os.path.exists(path):
            os.makedirs(os.path.dirname(scratch + path), exist_ok=True)
            os.close(os.open(scratch + path, os.O_CREAT, 0o600))
            _bind(path, scratch + path, 0)
    os.makedirs(scratch + scratch)
    options = f"size={scratch_bytes},mode=700"
    _mount("tmpfs", scratch + scratch, "tmpfs", MS_NOSUID | MS_NODEV, options)
    _enter(scratch)


def _enter(root: str) -> None:
    """Make this folder the root, and let go of the old one."""
    os.mkdir(root + "/.old")
    call("pivot_root", root.encode(), (root + "/.old").encode())
    os.chdir("/")
    _check(_libc.umount2(b"/.old", MNT_DETACH), "umount")
    os.rmdir("/.old")
    _mount("none", "/", None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)


def _bind(source: str, target: str, flags: int) -> None:
    _mount(source, target, None, MS_BIND | MS_REC)
    if flags:
        held = os.statvfs(target).f_flag
        kept = sum(flag for status, flag in KEPT.items() if held & status)
        _mount("none", target, None, MS_REMOUNT | MS_BIND | kept | flags)


def _mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    arguments = (source.encode(), target.encode(), kind and kind.encode())
    _check(_libc.mount(*arguments, ctypes.c_ulong(flags), options.encode()), f"mount {target}")


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def _check(result: int, what: str) -> None:
    if result:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")
