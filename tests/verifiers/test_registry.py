"""Verifiers are found by name, and mistakes are told."""

import subprocess
import sys

import pytest

from olmoflow.errors import UserError
from olmoflow.verifiers import VERIFIERS, Answer, Verifier, find_verifier


@pytest.mark.parametrize("name", VERIFIERS)
def test_every_name_makes_a_verifier(name):
    verifier = find_verifier(name)
    assert isinstance(verifier, Verifier)
    assert verifier.verify([]) == []
    verifier.close()


def test_settings_reach_the_verifier():
    strict = find_verifier("gsm8k", strict=True)
    assert strict.verify([Answer("72", "72")])[0].outcome == "no_answer"


def test_unknown_names_and_settings_are_told_with_those_that_exist():
    with pytest.raises(UserError, match="found maths, expected one of math, gsm8k, code"):
        find_verifier("maths")
    with pytest.raises(
        UserError, match="timeout: no setting of the verifier math, expected extract"
    ):
        find_verifier("math", timeout=3)


def test_naming_verifiers_imports_nothing_heavy():
    code = (
        "import sys, olmoflow.verifiers; "
        "print([name for name in ('sympy', 'torch', 'nltk', 'pebble') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
