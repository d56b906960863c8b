"""Programs that do what they should not. Each must end, fail, and leave nothing behind."""

import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from olmoflow.verifiers.sandbox.isolation import probe
from olmoflow.verifiers.sandbox.outcome import Limits
from olmoflow.verifiers.sandbox.runner import Sandbox

LIMITS = Limits(cpu_seconds=2, wall_seconds=100.0, memory_mb=300, output_mb=1, scratch_mb=20)
HURRIED = Limits(cpu_seconds=60, wall_seconds=2.0)


HELD = [kind for kind in ("landlock", "namespaces") if probe(kind) is None]


def test_this_machine_has_an_isolation():
    assert HELD, {kind: probe(kind) for kind in ("landlock", "namespaces")}


@pytest.fixture(scope="module", params=HELD)
def sandbox(request):
    return Sandbox(request.param, LIMITS)


def passed(sandbox, code, test="assert f() == 1"):
    return sandbox.test(code, [test]).errors == (None,)


def test_an_honest_program_passes(sandbox):
    assert passed(sandbox, "def f():\n    return 1")


# Each tries to be taken for a program that passes `assert f() == 1`.
CHEATS = {
    "leaves at once": "import os\nos._exit(0)",
    "leaves politely": "raise SystemExit(0)",
    "leaves when called": "import os\ndef f(): os._exit(0)",
    "exits when called": "import sys\ndef f(): sys.exit(0)",
    "prints what a result looks like": """
print('{"loaded": true, "error": null}')
print('{"token": "x", "error": null}')
import os
os._exit(0)
""",
    "writes results to every pipe": """
import os
for fd in range(3, 20):
    try:
        os.write(fd, b'{"loaded": true, "error": null}\\n{"token": "0", "error": null}\\n')
    except OSError:
        pass
os._exit(0)
""",
    "equals everything": """
class Any:
    def __eq__(self, other): return True
def f(): return Any()
""",
    "holds what equals everything": """
class Any(str):
    def __eq__(self, other): return True
    __hash__ = str.__hash__
def f(): return Any()
""",
    "replaces the assertion's error": """
import builtins
class Nothing(BaseException):
    pass
builtins.AssertionError = Nothing
def f(): return 2
""",
    "replaces exec and compile": """
import builtins
builtins.exec = lambda *a: None
builtins.compile = lambda *a, **k: (lambda: None).__code__
def f(): return 2
""",
    "replaces the parser of tests": """
import ast
ast.parse = lambda *a, **k: ast.Module([], [])
def f(): return 2
""",
    "has children end well": """
import os
if os.fork() == 0:
    os._exit(0)
def f(): return 2
""",
    "skips lines by tracing": """
import sys
def trace(frame, event, argument):
    return trace
sys.settrace(trace)
def f(): raise SystemExit(0)
""",
    "says that it is equal, in a list": """
class Any:
    def __eq__(self, other): return True
def f(): return [Any()]
""",
}


@pytest.mark.parametrize("name", CHEATS)
def test_no_cheap_way_to_look_right(sandbox, name):
    test = "assert f() == [1]" if "list" in name else "assert f() == 1"
    assert not passed(sandbox, CHEATS[name], test)


ATTEMPTS = {
    "home": "open(HOME + '/.profile').read()",
    "home by listing": "assert len(os.listdir(HOME)) > 1",  # the interpreter may live there
    "passwords": "open('/etc/passwd').read()",
    "hosts": "open('/etc/hostname').read()",
    "environment of the parent": "open(f'/proc/{os.getppid()}/environ', 'rb').read()",
    "other processes": "assert any(name.isdigit() for name in os.listdir('/proc'))",
    "own memory": "open('/proc/self/mem', 'rb')",
    "secret beside it": "open(OUTSIDE).read()",
    "secret through a link": "os.symlink(OUTSIDE, 'link') or open('link').read()",
    "secret through a hard link": "os.link(OUTSIDE, 'hard') or open('hard').read()",
    "write beside it": "open(OUTSIDE + '.mark', 'w').write('x')",
    "write to home": "open(HOME + '/olmoflow-mark', 'w').write('x')",
    "write to /tmp": "open('/tmp/olmoflow-mark', 'w').write('x')",
    "write to /var/tmp": "open('/var/tmp/olmoflow-mark', 'w').write('x')",
    "write to shared memory": "open('/dev/shm/olmoflow-mark', 'w').write('x')",
    "write to packages": "open(os.path.dirname(os.__file__) + '/mark.py', 'w').write('x')",
    "climb": "open('../' * 20 + OUTSIDE.lstrip('/') + '.mark', 'w').write('x')",
    "truncate": "os.truncate(OUTSIDE, 0)",
    "delete": "os.remove(OUTSIDE)",
    "rename": "os.rename(OUTSIDE, 'mine')",
    "change the mode": "os.chmod(OUTSIDE, 0o777)",
    "change the times": "os.utime(OUTSIDE, (1, 1))",
    "connect to localhost": "socket.create_connection(('127.0.0.1', PORT), 2)",
    "connect by number": "ctypes_socket(2)",
    "packets": "ctypes_socket(17)",
    "unix socket": "socket.socket(socket.AF_UNIX)",
    "datagrams to others": "socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)",
    "fork": "os.fork()",
    "shell": "assert os.system('true') == 0",
    "subprocess": "__import__('subprocess').run(['true'], check=True)",
    "exec": "os.execv('/bin/true', ['true'])",
    "spawn": "os.posix_spawn('/bin/true', ['true'], {})",
    "pseudo-terminal": "os.openpty()",
    "kill the parent": "os.kill(os.getppid(), 9)",
    "kill others": "os.kill(VICTIM, 9)",
    "kill all": "os.kill(-1, 9)",
    "kill its group": "os.killpg(0, 9)",
    "kill by file descriptor": "signal.pidfd_send_signal(os.pidfd_open(VICTIM), 9)",
    "signal by file owner": "fcntl.fcntl(0, 8, VICTIM)",
    "limits of others": "resource.prlimit(VICTIM, resource.RLIMIT_CPU, (1, 1))",
    "own limits": "resource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
    "trace": "ptrace(16, VICTIM)",
    "become root": "os.setuid(0)",
    "new namespace": "syscall_unshare()",
    "mount": "mount()",
    "chroot": "os.chroot('.')",
    "device": "os.mknod('sda', 0o60666, os.makedev(8, 0))",
    "memory file": "os.memfd_create('x')",
    "priority": "os.setpriority(os.PRIO_PROCESS, 0, -5)",
    "new session": "os.setsid()",
}
PRELUDE = """
import ctypes, fcntl, os, resource, signal, socket
libc = ctypes.CDLL(None, use_errno=True)
def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
def ctypes_socket(family): checked(libc.socket(family, 1, 0))
def ptrace(request, pid): checked(libc.ptrace(request, pid, 0, 0))
def syscall_unshare(): checked(libc.unshare(0x10000000))
def mount(): checked(libc.mount(b"none", b".", b"tmpfs", 0, None))
"""
REPORT = """
try:
    {attempt}
except (OSError, ValueError, AssertionError) as problem:
    print("refused", type(problem).__name__)
else:
    print("done")
"""


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    """What there is to harm: a secret file, a process, a server."""
    secret = tmp_path_factory.mktemp("outside") / "secret"
    secret.write_text("secret")
    victim = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    server = socket.create_server(("127.0.0.1", 0))
    yield secret, victim, server
    assert victim.poll() is None
    victim.kill()
    victim.wait()
    server.close()


@pytest.mark.parametrize("name", ATTEMPTS)
def test_nothing_outside_is_reached(sandbox, target, name):
    secret, victim, server = target
    constants = {
        "HOME": str(Path.home()),
        "OUTSIDE": str(secret),
        "VICTIM": victim.pid,
        "PORT": server.getsockname()[1],
    }
    lines = "\n".join(f"{key} = {value!r}" for key, value in constants.items())
    before = secret.stat()
    ended = sandbox.run(f"{PRELUDE}\n{lines}\n{REPORT.format(attempt=ATTEMPTS[name])}")
    assert ended.stdout.startswith(b"refused"), ended
    assert secret.read_text() == "secret"
    assert (secret.stat().st_mode, secret.stat().st_mtime) == (before.st_mode, before.st_mtime)
    assert list(secret.parent.iterdir()) == [secret]
    for place in ("~", "/tmp", "/var/tmp", "/dev/shm"):
        assert not Path(place, "olmoflow-mark").expanduser().exists()


def test_no_environment_is_handed_on(sandbox, monkeypatch):
    monkeypatch.setenv("OLMOFLOW_SECRET", "secret")
    ended = sandbox.run("import os; print(os.environ)")
    assert ended.outcome == "exited"
    assert b"SECRET" not in ended.stdout


HUNGRY = {
    "loops": ("while True: pass", "cpu"),
    "loops in C": ("10 ** 10 ** 10", "cpu"),
    "ignores the signal of its limit": (
        "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass",
        "cpu",
    ),
    "sleeps, deaf to signals": (
        "import signal, time\n"
        "for s in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:\n"
        "    signal.signal(s, signal.SIG_IGN)\n"
        "while True: time.sleep(1000)",
        "wall",
    ),
    "waits for input that never comes": (
        "import os, time\nr, w = os.pipe()\nos.read(r, 1)",
        "wall",
    ),
    "writes without end": ("while True: print('x' * 1000)", "output"),
    "writes errors without end": (
        "import sys\nwhile True: sys.stderr.write('x' * 1000)",
        "wall",
    ),
    "fills its folder": (
        "import os, time\n"
        "for i in range(200):\n"
        "    try:\n"
        "        open(f'{i}', 'wb').write(bytes(10**6))\n"
        "    except OSError:\n"
        "        pass\n"
        "    time.sleep(0.02)\n"
        "raise SystemExit(7)",
        ("scratch", "exited"),
    ),
    "crashes": ("import ctypes\nctypes.string_at(0)", "died"),
    "crashes the interpreter": ("import faulthandler\nfaulthandler._sigsegv()", "died"),
    "recurses without end": (
        "import sys\nsys.setrecursionlimit(10**9)\ndef f(): return [f()]\nf()",
        ("died", "exited", "cpu"),
    ),
    "kills itself": ("import os\nos.kill(os.getpid(), 9)", "died"),
    "eats memory": ("x = []\nwhile True: x.append(bytearray(10**7))", "exited"),
    "starts threads without end": (
        "import threading, time\n"
        "while True: threading.Thread(target=time.sleep, args=[100]).start()",
        "wall",
    ),
    "starts threads that need next to nothing": (
        "import ctypes, time\n"
        "libc, thread = ctypes.CDLL(None), ctypes.c_ulong()\n"
        "size = ctypes.create_string_buffer(64)\n"
        "libc.pthread_attr_init(size)\n"
        "libc.pthread_attr_setstacksize(size, ctypes.c_size_t(16384))\n"
        "for _ in range(500):\n"
        "    libc.pthread_create(ctypes.byref(thread), size, libc.pause, None)\n"
        "time.sleep(60)",
        "threads",
    ),
    "stays in a thread": (
        "import threading, time\nthreading.Thread(target=time.sleep, args=[1000]).start()",
        "wall",
    ),
}


@pytest.mark.parametrize("name", HUNGRY)
def test_every_program_ends_and_says_how(sandbox, name):
    code, outcomes = HUNGRY[name]
    patient = "wall" not in outcomes
    ended = (sandbox if patient else Sandbox(sandbox.isolation, HURRIED)).run(code)
    assert ended.outcome in ([outcomes] if isinstance(outcomes, str) else outcomes), ended
    if ended.outcome == "exited":
        assert ended.code != 0
    if name == "eats memory":
        assert "MemoryError" in ended.stderr


def test_no_file_grows_beyond_its_limit(sandbox):
    code = "f = open('x', 'wb')\nfor i in range(100): f.write(bytes(10**6)); f.flush()"
    ended = sandbox.run(code)
    assert ended.outcome == "died" or "OSError" in ended.stderr


FILLING = """
import time
for i in range(200):
    try:
        open(f'{i}', 'wb').write(bytes(10**6))
    except OSError:
        pass
    time.sleep(0.02)
time.sleep(60)
"""


@pytest.mark.parametrize("when", ["while it is loaded", "while it is tested"])
def test_a_folder_that_is_filled_fails_the_tests_that_are_left(sandbox, when):
    if sandbox.isolation == "namespaces":  # the kernel keeps that limit
        return
    code = FILLING if "loaded" in when else "def f():" + FILLING.replace("\n", "\n    ")
    tested = sandbox.test(code, ["assert True", "f()", "assert True"])
    assert tested.ended is not None
    assert tested.ended.outcome == "scratch"
    assert tested.errors[-1] == "the program's files grew beyond 20 MB"


# Each holds 100 MB in its folder without their being seen there.
HIDDEN = {
    "open without a name": "files = [write(f'{i}') for i in range(10)]",
    "mapped without a name": (
        "import mmap\nmaps = []\nfor i in range(10):\n"
        "    file = write('x'); maps.append(mmap.mmap(file.fileno(), 4096)); file.close()"
    ),
    "behind a path that is too long": (
        "for _ in range(30): os.mkdir('x' * 200); os.chdir('x' * 200)\n"
        "for i in range(10): write(f'{i}', keep=True).close()"
    ),
}
WRITE = """
import os, time
def write(name, keep=False):
    file = open(name, 'w+b', 0)
    if not keep:
        os.unlink(name)
    file.write(bytes(10**7))
    return file
"""


@pytest.mark.parametrize("name", HIDDEN)
def test_files_that_cannot_be_seen_are_counted(name):
    if "landlock" not in HELD:  # elsewhere the kernel keeps that limit
        return
    ended = Sandbox("landlock", LIMITS).run(f"{WRITE}\n{HIDDEN[name]}\ntime.sleep(60)")
    assert ended.outcome == "scratch"


def test_what_is_seen_once_is_counted_once(sandbox):
    """A file that is open, mapped and has a name is one file."""
    code = (
        "import mmap, time\nfile = open('x', 'w+b', 0)\nfile.write(bytes(12 * 10**6))\n"
        "held = mmap.mmap(file.fileno(), 4096), open('x')\ntime.sleep(1)"
    )
    assert sandbox.run(code).outcome == "exited"


def test_a_folder_of_any_depth_is_removed(sandbox, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code = "import os\nfor i in range(1200): os.mkdir('x'); os.chdir('x')\nopen('y', 'w').close()"
    sandbox.run(code)
    assert list(tmp_path.iterdir()) == []


def test_scratch_is_removed_whatever_was_done_to_it(sandbox, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ended = sandbox.run(
        "import os\n"
        "os.mkdir('locked'); open('locked/file', 'w').close(); os.mkdir('dark', 0)\n"
        "os.symlink('/', 'root'); os.symlink('nowhere', 'dangling'); os.mkfifo('pipe')\n"
        "print(sorted(os.listdir('.')))"
    )
    assert ended.outcome == "exited", ended
    assert list(tmp_path.iterdir()) == []
    ended = sandbox.run("import os, shutil\nshutil.rmtree(os.getcwd(), ignore_errors=True)")
    assert ended.outcome == "exited", ended
    assert list(tmp_path.iterdir()) == []


def test_nothing_lives_on(sandbox):
    """A program that tries all ways to have a child leaves no process."""
    mark = f"olmoflow-{time.time_ns()}"
    sandbox.run(
        "import os, subprocess, multiprocessing\n"
        f"mark = {mark!r}\n"
        "for way in (os.fork, lambda: subprocess.Popen(['sleep', '1000', mark]),\n"
        "            lambda: multiprocessing.Process(target=input).start()):\n"
        "    try:\n"
        "        way()\n"
        "    except OSError:\n"
        "        pass\n"
    )
    commands = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # other tests' processes end meanwhile
            commands.append(path.read_bytes())
    assert commands
    assert not [command for command in commands if mark.encode() in command]


def test_ordinary_programs_have_what_they_need(sandbox):
    code = """
import asyncio, collections, datetime, decimal, functools, hashlib, heapq, itertools, json, math
import random, re, sqlite3, statistics, string, tempfile, threading, zoneinfo
import numpy
from concurrent.futures import ThreadPoolExecutor

async def nothing():
    await asyncio.sleep(0)

def f():
    asyncio.run(nothing())
    with tempfile.TemporaryFile() as file:
        file.write(b"x")
    open("own.txt", "w").write("x")
    with ThreadPoolExecutor(2) as pool:
        return sum(pool.map(int, numpy.ones(1).tolist()))
"""
    assert sandbox.test(code, ["assert f() == 1"]).errors == (None,)
