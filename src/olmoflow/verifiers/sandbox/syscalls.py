"""Numbers of the system calls that a program in the sandbox may make.

From the kernel's tables (`asm/unistd_64.h`, `asm-generic/unistd.h`): x86_64, aarch64. Everything
that is not here is refused. `tests/verifiers/sandbox/test_syscalls.py` compares them with the
headers of the machine.
"""

# fmt: off
NUMBERS: dict[str, tuple[int | None, int | None]] = {
    # files, once Landlock or the mounts say which
    "open": (2, None), "openat": (257, 56), "openat2": (437, 437), "creat": (85, None),
    "close": (3, 57), "read": (0, 63), "write": (1, 64),
    "readv": (19, 65), "writev": (20, 66), "pread64": (17, 67), "pwrite64": (18, 68),
    "preadv": (295, 69), "pwritev": (296, 70), "preadv2": (327, 286), "pwritev2": (328, 287),
    "lseek": (8, 62), "stat": (4, None), "fstat": (5, 80), "lstat": (6, None),
    "newfstatat": (262, 79), "statx": (332, 291), "statfs": (137, 43), "fstatfs": (138, 44),
    "access": (21, None), "faccessat": (269, 48), "faccessat2": (439, 439),
    "getdents": (78, None), "getdents64": (217, 61), "getcwd": (79, 17), "chdir": (80, 49),
    "fchdir": (81, 50), "mkdir": (83, None), "mkdirat": (258, 34), "rmdir": (84, None),
    "unlink": (87, None), "unlinkat": (263, 35), "rename": (82, None), "renameat": (264, 38),
    "renameat2": (316, 276), "link": (86, None), "linkat": (265, 37), "symlink": (88, None),
    "symlinkat": (266, 36), "readlink": (89, None), "readlinkat": (267, 78),
    "ftruncate": (77, 46), "fallocate": (285, 47), "flock": (73, 32), "fsync": (74, 82),
    "fdatasync": (75, 83), "fadvise64": (221, 223), "readahead": (187, 213), "umask": (95, 166),
    "sendfile": (40, 71), "copy_file_range": (326, 285), "splice": (275, 76), "tee": (276, 77),
    # memory
    "brk": (12, 214), "mmap": (9, 222), "mprotect": (10, 226), "munmap": (11, 215),
    "mremap": (25, 216), "madvise": (28, 233), "msync": (26, 227), "mincore": (27, 232),
    "membarrier": (324, 283),
    # waiting
    "poll": (7, None), "ppoll": (271, 73), "select": (23, None), "pselect6": (270, 72),
    "epoll_create": (213, None), "epoll_create1": (291, 20), "epoll_ctl": (233, 21),
    "epoll_wait": (232, None), "epoll_pwait": (281, 22), "epoll_pwait2": (441, 441),
    "eventfd": (284, None), "eventfd2": (290, 19), "pipe": (22, None), "pipe2": (293, 59),
    "dup": (32, 23), "dup2": (33, None), "dup3": (292, 24), "nanosleep": (35, 101),
    "clock_nanosleep": (230, 115), "timerfd_create": (283, 85), "timerfd_settime": (286, 86),
    "timerfd_gettime": (287, 87), "timer_create": (222, 107), "timer_settime": (223, 110),
    "timer_gettime": (224, 108), "timer_delete": (226, 111), "timer_getoverrun": (225, 109),
    "getitimer": (36, 102), "setitimer": (38, 103), "alarm": (37, None), "pause": (34, None),
    # signals to itself
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139),
    "rt_sigtimedwait": (128, 137), "rt_sigpending": (127, 136), "rt_sigsuspend": (130, 133),
    "sigaltstack": (131, 132), "signalfd": (282, None), "signalfd4": (289, 74),
    "restart_syscall": (219, 128),
    # threads and the end
    "futex": (202, 98), "futex_waitv": (449, 449), "set_robust_list": (273, 99),
    "set_tid_address": (218, 96), "rseq": (334, 293), "arch_prctl": (158, None),
    "sched_yield": (24, 124), "exit": (60, 93), "exit_group": (231, 94), "wait4": (61, 260),
    "waitid": (247, 95),
    # what it may know
    "clock_gettime": (228, 113), "clock_getres": (229, 114), "gettimeofday": (96, 169),
    "time": (201, None), "times": (100, 153), "getrandom": (318, 278), "getpid": (39, 172),
    "getppid": (110, 173), "gettid": (186, 178), "getuid": (102, 174), "geteuid": (107, 175),
    "getgid": (104, 176), "getegid": (108, 177), "getgroups": (115, 158), "getpgrp": (111, None),
    "getpgid": (121, 155), "getsid": (124, 156), "getresuid": (118, 148), "getresgid": (120, 150),
    "getrusage": (98, 165), "getrlimit": (97, 163), "setrlimit": (160, 164), "sysinfo": (99, 179),
    "uname": (63, 160), "getcpu": (309, 168), "getpriority": (140, 141),
    "sched_getaffinity": (204, 123), "sched_getparam": (143, 121),
    "sched_getscheduler": (145, 120), "sched_get_priority_max": (146, 125),
    "sched_get_priority_min": (147, 126),
    # its own pairs of sockets; not sendmsg, which could park open files in them
    "shutdown": (48, 210), "sendto": (44, 206), "recvfrom": (45, 207), "getsockopt": (55, 209),
    "setsockopt": (54, 208), "getsockname": (51, 204), "getpeername": (52, 205),
    # only with certain arguments (`seccomp.py`)
    "clone": (56, 220), "clone3": (435, 435), "kill": (62, 129), "tgkill": (234, 131),
    "prlimit64": (302, 261), "fcntl": (72, 25), "ioctl": (16, 29), "socketpair": (53, 199),
    # used while the sandbox is put up, and refused after that
    "landlock_create_ruleset": (444, 444), "landlock_add_rule": (445, 445),
    "landlock_restrict_self": (446, 446), "pivot_root": (155, 41), "capset": (126, 91),
    "seccomp": (317, 277),
}
# fmt: on

ON_CONDITION = ("clone", "clone3", "kill", "tgkill", "prlimit64", "fcntl", "ioctl", "socketpair")
FOR_SETUP = (
    "landlock_create_ruleset",
    "landlock_add_rule",
    "landlock_restrict_self",
    "pivot_root",
    "capset",
    "seccomp",
)
ALLOWED = tuple(name for name in NUMBERS if name not in (*ON_CONDITION, *FOR_SETUP))
MACHINES = ("x86_64", "aarch64")


def number(name: str, machine: str) -> int | None:
    """The call's number on this kind of machine; None where it has no such call."""
    return NUMBERS[name][MACHINES.index(machine)]
