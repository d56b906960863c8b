"""Does this program do what its tests ask?

A reference is one of

- a list of statements, such as ``["assert f(1) == 2"]`` (MBPP), or a mapping with ``tests`` and,
  where needed, ``setup``, which runs after the program and before each test
- a mapping with ``check``, a text that defines ``check(candidate)``, and ``entry_point``, the name
  of the function to be checked (HumanEval)
- a mapping with ``stdio``, a list of pairs of standard input and expected output, or of mappings
  with ``input`` and ``output``; each is a run of its own

``prefix`` in a mapping stands before what the model wrote: the beginning of a function that it
completed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

from olmoflow.environment import usable_cores
from olmoflow.errors import UserError
from olmoflow.verifiers.extraction import without_thinking
from olmoflow.verifiers.fences import last_program
from olmoflow.verifiers.sandbox.guard import guarded
from olmoflow.verifiers.sandbox.isolation import choose
from olmoflow.verifiers.sandbox.outcome import Ended, Limits, describe
from olmoflow.verifiers.sandbox.runner import Sandbox, SandboxError
from olmoflow.verifiers.verdict import Answer, Verdict

Extract = Literal["auto", "block", "whole"]
EXPECTED = (
    "expected a list of assertions, or a mapping with tests, with check and entry_point, or with "
    "stdio"
)


@dataclass(frozen=True)
class Tests:
    """A reference, understood.

    Attributes:
        statements: Run after the program, in its namespace.
        stdio: Pairs of standard input and expected output.
        before: What stands before the program.
    """

    statements: tuple[str, ...] = ()
    stdio: tuple[tuple[str, str], ...] = ()
    before: str = ""


class CodeVerifier:
    """The share of its tests that a program passes.

    Args:
        mode: ``fraction`` scores the share; ``all`` scores 1 if every test passed, else 0.
        threshold: A share below it scores 0.
        extract: ``block`` takes the last fenced block of Python, or without a language where none
            is of Python; ``whole`` the text as it stands, ``auto`` a block where there is one.
        sandbox: ``auto``, ``landlock``, ``namespaces``, or ``none``, which runs programs with the
            rights of this user.
        workers: Programs at one time; as many as cores if not given.
        cpu_seconds: For one program.
        wall_seconds: For one program.
        memory_mb: For one program.
    """

    def __init__(
        self,
        mode: Literal["fraction", "all"] = "fraction",
        threshold: float = 0.0,
        extract: Extract = "auto",
        sandbox: str = "auto",
        workers: int | None = None,
        cpu_seconds: int = 10,
        wall_seconds: float = 30.0,
        memory_mb: int = 1024,
    ) -> None:
        _one_of("mode", mode, ("fraction", "all"))
        _one_of("extract", extract, ("auto", "block", "whole"))
        if not 0 <= threshold <= 1:
            raise UserError(f"threshold: found {threshold}, expected a share from 0 to 1")
        limits = Limits(cpu_seconds=cpu_seconds, wall_seconds=wall_seconds, memory_mb=memory_mb)
        self._all, self._threshold, self._extract = mode == "all", threshold, extract
        self._sandbox = Sandbox(choose(sandbox), limits)
        self._workers = workers or usable_cores()

    def verify(self, answers: Sequence[Answer]) -> list[Verdict]:
        """One verdict for each answer."""
        tests = [understood(answer.reference) for answer in answers]
        programs = [program(answer.text, self._extract) for answer in answers]
        with ThreadPoolExecutor(self._workers) as threads:
            return list(threads.map(self._verdict, programs, tests))

    def close(self) -> None:
        """Nothing runs between two calls of `verify`."""

    def _verdict(self, code: str | None, tests: Tests) -> Verdict:
        if code is None:
            return Verdict(0.0, "no_answer", detail="no block of code found in the text")
        source = tests.before + code
        if "\0" in source:
            return Verdict(0.0, extracted=code, detail="SyntaxError: a null byte")
        run = self._statements if tests.statements else self._stdio
        try:
            errors, late = run(source, tests)
        except (SandboxError, OSError) as problem:
            return Verdict(0.0, "error", extracted=code, detail=f"sandbox: {problem}"[:300])
        return self._scored(code, errors, late)

    def _scored(self, code: str, errors: Sequence[str | None], late: bool) -> Verdict:
        share = sum(error is None for error in errors) / len(errors)
        score = float(share == 1) if self._all else share if share >= self._threshold else 0.0
        failed = next((place for place, error in enumerate(errors) if error is not None), None)
        detail = None if failed is None else f"test {failed + 1}: {errors[failed]}"[:300]
        return Verdict(score, "timeout" if late and score == 0 else "scored", code, detail)

    def _statements(self, source: str, tests: Tests) -> tuple[Sequence[str | None], bool]:
        tested = self._sandbox.test(source, tests.statements, stop=self._all)
        return tested.errors, tested.ended is not None and tested.ended.outcome == "wall"

    def _stdio(self, source: str, tests: Tests) -> tuple[Sequence[str | None], bool]:
        """Each pair is a run of its own; none follows one that took too long."""
        errors: list[str | None] = []
        late = False
        for stdin, expected in tests.stdio:
            ended = self._sandbox.run(source, stdin)
            errors.append(difference(ended, expected, self._sandbox.limits))
            late = ended.outcome == "wall"
            if ended.outcome in ("wall", "cpu") or (self._all and errors[-1] is not None):
                break
        return [*errors, *["not run"] * (len(tests.stdio) - len(errors))], late


def program(text: str, extract: Extract) -> str | None:
    """The program in an answer; None where there is none."""
    answer = without_thinking(text) if "</think>" in text or extract != "whole" else text
    if extract == "whole":
        return answer if answer.strip() else None
    block = last_program(answer)
    return answer if block is None and extract == "auto" and answer.strip() else block


def difference(ended: Ended, expected: str, limits: Limits) -> str | None:
    """What is wrong with a run; None if it wrote what was expected and ended well.

    Spaces at the ends of lines and empty lines at the end do not count, nor do numbers' spellings.
    """
    if ended.outcome != "exited" or ended.code:
        last_line = (ended.stderr.strip().splitlines() or [""])[-1]
        return f"{describe(ended, limits)} {last_line}".strip()
    found = _lines(ended.stdout.decode(errors="replace"))
    wanted = _lines(expected)
    if found == wanted or (len(found) == len(wanted) and all(map(_same_numbers, found, wanted))):
        return None
    place = next(
        (i for i, pair in enumerate(zip(found, wanted, strict=False)) if pair[0] != pair[1]), -1
    )
    if place < 0:
        return f"wrote {len(found)} lines, expected {len(wanted)}"
    return f"line {place + 1}: wrote {found[place]!r:.60}, expected {wanted[place]!r:.60}"


def understood(reference: Any) -> Tests:
    """The tests in a reference.

    Raises:
        UserError: There are none, or they have another form.
    """
    if isinstance(reference, list | tuple):
        kind = "stdio" if reference and not isinstance(reference[0], str) else "tests"
        reference = {kind: reference}
    if not isinstance(reference, Mapping):
        raise UserError(f"reference: found {reference!r:.80}, {EXPECTED}")
    before = _text(reference, "prefix")
    if "stdio" in reference:
        return Tests(stdio=_each(reference["stdio"], _pair, "stdio"), before=before)
    if "check" in reference:
        name = _text(reference, "entry_point")
        if not name.isidentifier():
            raise UserError(
                f"reference.entry_point: found {name!r:.80}, expected a function's name"
            )
        check = f"{_text(reference, 'check')}\n\ncheck({name})\n"
        return Tests(statements=(_statement(check),), before=before)
    setup = _text(reference, "setup")
    tests = _each(reference.get("tests"), _statement, "tests")
    if setup:
        tests = tuple(_statement(f"{setup}\n{test}") for test in tests)
    return Tests(statements=tests, before=before)


def _each(tests: Any, read: Callable[[Any], Any], name: str) -> tuple[Any, ...]:
    if not isinstance(tests, list | tuple) or not tests:
        raise UserError(f"reference.{name}: found {tests!r:.80}, {EXPECTED}")
    return tuple(read(test) for test in tests)


def _statement(test: Any) -> str:
    if not isinstance(test, str):
        raise UserError(f"reference.tests: found {test!r:.80}, expected assertions as text")
    try:
        guarded(test)
    except (SyntaxError, ValueError, RecursionError) as problem:
        raise UserError(
            f"reference.tests: found {test!r:.80}, expected Python: {problem}"
        ) from None
    return test


def _pair(test: Any) -> tuple[str, str]:
    if isinstance(test, Mapping):
        test = (test.get("input"), test.get("output"))
    pair = isinstance(test, list | tuple) and len(test) == 2
    if not pair or not all(isinstance(part, str) for part in test):
        raise UserError(f"reference.stdio: found {test!r:.80}, expected input and output as texts")
    stdin, stdout = test
    return stdin, stdout


def _text(reference: Mapping[str, Any], key: str) -> str:
    text = reference.get(key) or ""
    if not isinstance(text, str):
        raise UserError(f"reference.{key}: found {text!r:.80}, expected text")
    return text


def _one_of(key: str, value: str, expected: Sequence[str]) -> None:
    if value not in expected:
        raise UserError(f"{key}: found {value}, expected one of {', '.join(expected)}")


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip().splitlines()]


def _same_numbers(one: str, other: str) -> bool:
    """Whether two lines are the same word by word, decimals to within 1e-9 of their size."""
    mine, theirs = one.split(), other.split()
    return len(mine) == len(theirs) and all(map(_same_word, mine, theirs))


def _same_word(one: str, other: str) -> bool:
    if one == other or "." not in one + other:
        return one == other
    try:
        a, b = float(one), float(other)
    except ValueError:
        return False
    return abs(a - b) <= 1e-9 * max(1.0, abs(a), abs(b))
