"""Programs are scored by the tests that they pass."""

import pytest

from olmoflow.errors import UserError
from olmoflow.verifiers import Answer
from olmoflow.verifiers.code import CodeVerifier, program

ADD = "def add(a, b):\n    return a + b\n"
DOCUMENTED = '"""\n    ```\n    f()\n    ```\n"""\n'
BLOCK = f"Here it is:\n```python\n{ADD}```\nDone."
CHECK = "def check(candidate):\n    assert candidate(1, 2) == 3\n"


@pytest.fixture(scope="module")
def verifier():
    return CodeVerifier(workers=2)


def score(verifier, text, reference):
    verdict = verifier.verify([Answer(text, reference)])[0]
    assert verdict.outcome == "scored", verdict
    return verdict.score


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        (["assert add(1, 2) == 3"], 1),
        (["assert add(1, 2) == 3", "assert add(1, 2) == 4"], 0.5),
        ({"tests": ["assert x == 3"], "setup": "x = add(1, 2)"}, 1),
        ({"check": CHECK, "entry_point": "add"}, 1),
        ({"check": CHECK.replace("3", "4"), "entry_point": "add"}, 0),
        ({"check": CHECK, "entry_point": "subtract"}, 0),
        (["raise SystemExit(0)"], 0),
    ],
)
def test_the_share_of_tests_that_pass(verifier, reference, expected):
    assert score(verifier, BLOCK, reference) == expected


ECHO = "import sys\nfor line in sys.stdin:\n    print(int(line) * 2)"


@pytest.mark.parametrize(
    ("code", "reference", "expected"),
    [
        (ECHO, {"stdio": [["1\n2\n", "2\n4\n"]]}, 1),
        (ECHO, {"stdio": [["1", "2"], ["3", "7"]]}, 0.5),
        (ECHO, [{"input": "1\n", "output": "2  \n\n"}], 1),
        (ECHO, {"stdio": [["", ""]]}, 1),
        ("print(0.1 + 0.2)", {"stdio": [["", "0.3"]]}, 1),
        ("print('0.3000')", {"stdio": [["", "0.3"]]}, 1),
        ("print('1 2')", {"stdio": [["", "1\n2"]]}, 0),
        ("print(2)\nraise SystemExit(1)", {"stdio": [["", "2"]]}, 0),
        ("print(input())", {"stdio": [["ü € 𝔸", "ü € 𝔸"]]}, 1),
        ("if __name__ == '__main__':\n    print(1)", {"stdio": [["", "1"]]}, 1),
        ("import sys\nprint(len(sys.stdin.read()))", {"stdio": [["x" * 10**6, str(10**6)]]}, 1),
    ],
)
def test_programs_are_compared_by_what_they_write(verifier, code, reference, expected):
    assert score(verifier, code, reference) == expected


def test_all_or_nothing_and_a_threshold():
    half = Answer(BLOCK, ["assert add(1, 2) == 3", "assert add(1, 2) == 4"])
    assert CodeVerifier(mode="all").verify([half])[0].score == 0
    assert CodeVerifier(threshold=0.5).verify([half])[0].score == 0.5
    assert CodeVerifier(threshold=0.99).verify([half])[0].score == 0


def test_a_completion_follows_its_beginning():
    reference = {"prefix": "def add(a, b):\n", "check": CHECK, "entry_point": "add"}
    verifier = CodeVerifier(extract="whole")
    assert score(verifier, "    return a + b\n", reference) == 1


@pytest.mark.parametrize(
    ("text", "extract", "code"),
    [
        (BLOCK, "auto", ADD),
        ("```\nfirst\n```\n```py\nlast\n```", "auto", "last\n"),
        ("```\npython\nx = 1\n```", "auto", "x = 1\n"),  # as RL-Zero's template asks
        # What is no program: how to install it, what it prints.
        ("```bash\npip install x\n```\nThen:\n```python\nx = 1\n```", "auto", "x = 1\n"),
        ("```python\nx = 1\n```\nIt prints:\n```\n1\n```", "auto", "x = 1\n"),
        ("```Python\nx = 1\n```\nDone.", "auto", "x = 1\n"),
        ("```{.python title=a.py}\nx = 1\n```", "auto", "x = 1\n"),
        ("~~~python\ns = '''\n```\n'''\n~~~", "auto", "s = '''\n```\n'''\n"),
        ("1. So:\n   ```python\n   if x:\n       y\n   ```", "auto", "if x:\n    y\n"),
        ("````markdown\n# So\n```python\nx = 1\n```\n````", "auto", "x = 1\n"),
        ("Solution\n~~~~~~~~\n```python\nx = 1\n```", "auto", "x = 1\n"),
        ("```bash\npip install x\n```python\nx = 1\n```", "auto", "x = 1\n"),
        ('```python\n"""\n    ```\n    f()\n    ```\n"""\n```', "auto", DOCUMENTED),
        ("```bash\nls\n```", "block", None),
        ("x = 1", "auto", "x = 1"),
        ("x = 1", "block", None),
        ("", "auto", None),
        ("<think>```python\nx = 1\n```</think>no code", "block", None),
        ("    return 1", "whole", "    return 1"),
    ],
)
def test_the_program_is_the_last_block(text, extract, code):
    assert program(text, extract) == code


def test_a_fence_that_never_ends_is_read_at_once():
    """In quadratic time it would take an hour."""
    text = "```" + " " * 200_000 + "`x"
    assert program(text, "block") is None
    assert program(text, "auto") == text


def test_what_failed_is_told(verifier):
    reference = ["assert add(1, 2) == 3", "assert add('1', 2) == 3"]
    verdicts = verifier.verify(
        [
            Answer(BLOCK, reference),
            Answer("def add(", reference),
            Answer("import os\nos._exit(0)", reference),
            Answer("print(1)", {"stdio": [["", "2"]]}),
            Answer("x\0y", reference),
        ]
    )
    assert "test 2: TypeError" in verdicts[0].detail
    assert "SyntaxError" in verdicts[1].detail
    assert "ended by itself with status 0" in verdicts[2].detail
    assert "line 1: wrote '1', expected '2'" in verdicts[3].detail
    assert "null byte" in verdicts[4].detail
    assert [verdict.score for verdict in verdicts] == [0.5, 0, 0, 0, 0]


def test_computing_too_long_is_wrong_and_waiting_too_long_is_a_timeout():
    verifier = CodeVerifier(cpu_seconds=1, wall_seconds=120)
    verdict = verifier.verify([Answer("while True: pass", ["assert True"])])[0]
    assert (verdict.score, verdict.outcome) == (0, "scored")
    verifier = CodeVerifier(wall_seconds=0.5)
    verdicts = verifier.verify(
        [
            Answer("import time\ntime.sleep(100)", ["assert True"]),
            Answer("import time\ntime.sleep(100)", {"stdio": [["", ""], ["", ""]]}),
        ]
    )
    assert [verdict.outcome for verdict in verdicts] == ["timeout", "timeout"]


def test_no_code_is_no_answer(verifier):
    assert verifier.verify([Answer(" ", ["assert True"])])[0].outcome == "no_answer"


@pytest.mark.parametrize(
    "reference",
    [
        None,
        [],
        {},
        {"tests": []},
        [1],
        {"stdio": [["a"]]},
        {"check": CHECK},
        ["assert ("],
        "assert",
    ],
)
def test_a_reference_without_tests_is_the_users_mistake(verifier, reference):
    with pytest.raises(UserError, match=r"reference.*: found .*, expected"):
        verifier.verify([Answer(BLOCK, reference)])


def test_settings_are_checked():
    for settings in ({"mode": "some"}, {"extract": "first"}, {"threshold": 2}, {"sandbox": "box"}):
        with pytest.raises(UserError, match=rf"{next(iter(settings))}: found"):
            CodeVerifier(**settings)
