"""The other side of the sandbox: runs in a fresh interpreter, confines itself, then runs a program.

Whoever started it speaks first, over two pipes; it hears marshalled mappings in hexadecimal lines
and answers in lines of JSON (importing little, it starts in half the time):

    settings          -> ready, or why not
    program           -> what loading it came to        (for tests only)
    test and token    -> the token, and what the test came to; as often as there are tests

A program that wants to be taken for one that passed would have to answer in place of this module,
with a token that it can only come by after its own code was loaded. What a program does before
that (leaving, printing, replacing functions) leaves the tests unanswered, and so failed.

The module is imported without the rest of olmoflow, hence its relative imports, and keeps its own
references to what it needs, since a program may replace whatever it can name.
"""

from __future__ import annotations

import builtins
import marshal
import os
import sys

from .confine import confine
from .equality import NAME as EQUAL
from .equality import compare

TYPE_CHECKING = False  # typing would take a fifth of the start
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

NAME = "__main__"
LONGEST_ERROR = 300
CHUNK = 65536


def main() -> None:
    """Serve one program: the pipes' numbers are the arguments."""
    source, sink = int(sys.argv[1]), int(sys.argv[2])
    receive, send = reader(source), writer(sink)
    settings = receive()
    try:
        confine(settings)
    except OSError as problem:
        send({"refused": str(problem)})
        os._exit(1)
    send({"ready": True})
    program = receive()
    hide()
    sys.argv = [NAME]
    sys.path.extend(settings["packages"])
    sys.path.insert(0, settings["scratch"])
    if program["kind"] == "script":
        os.close(source)
        os.close(sink)
        exec(compile(program["code"], "program.py", "exec"), fresh_main().__dict__)
    else:
        run_tests(program["code"], receive, send)


def hide() -> None:
    """Take this package out of what can be imported."""
    for name in [name for name in sys.modules if name.partition(".")[0] == __package__]:
        del sys.modules[name]


def run_tests(
    code: str, receive: Callable[[], dict[str, Any]], send: Callable[[dict[str, Any]], None]
) -> None:
    """Load a program, then run the tests that come, until no more come."""
    settrace, compile_, execute = sys.settrace, compile, exec
    namespace = fresh_main().__dict__
    untouched = dict(builtins.__dict__)
    error = attempt(lambda: exec(compile(code, "program.py", "exec"), namespace))
    send({"loaded": error is None, "error": error})
    while True:
        message = receive()
        builtins.__dict__.update(untouched)
        settrace(None)
        test = message.pop("test")

        def run(test: str = test) -> None:
            execute(compile_(test, "test.py", "exec"), namespace | {EQUAL: compare})

        send({"token": message["token"], "error": attempt(run)})


def fresh_main() -> ModuleType:
    """The module that a program believes to be: the main one, so that its classes pickle."""
    module = type(sys)(NAME)
    module.__dict__["__builtins__"] = builtins
    sys.modules[NAME] = module
    return module


def attempt(action: Callable[[], object]) -> str | None:
    """None if the action went through, else what was raised."""
    try:
        action()
    except BaseException as problem:  # SystemExit is no success either
        return f"{type(problem).__name__}: {describe(problem)}"[:LONGEST_ERROR]
    return None


def describe(problem: BaseException) -> str:
    """The message of an exception of unknown making."""
    try:
        return str(problem)
    except BaseException:
        return "(no message)"


def reader(source: int) -> Callable[[], dict[str, Any]]:
    """A function that reads the next message, and ends the process when there are no more."""
    read, leave, loads, buffer = os.read, os._exit, marshal.loads, bytearray()

    def receive() -> dict[str, Any]:
        while (end := buffer.find(b"\n")) < 0:
            chunk = read(source, CHUNK)
            if not chunk:
                leave(0)
            buffer.extend(chunk)
        message: dict[str, Any] = loads(bytes.fromhex(buffer[:end].decode()))
        del buffer[: end + 1]
        return message

    return receive


def writer(sink: int) -> Callable[[dict[str, Any]], None]:
    """A function that writes one message of texts, truths and nothing."""
    write = os.write

    def send(message: dict[str, Any]) -> None:
        parts = [f"{quoted(key)}: {quoted(value)}" for key, value in message.items()]
        line = ("{" + ", ".join(parts) + "}\n").encode()
        while line:
            line = line[write(sink, line) :]

    return send


def quoted(value: str | bool | None) -> str:
    """The value in JSON."""
    if isinstance(value, str):
        units = value.encode("utf-16-be", "surrogatepass").hex()
        return '"' + "".join("\\u" + units[i : i + 4] for i in range(0, len(units), 4)) + '"'
    return {True: "true", False: "false", None: "null"}[value]
