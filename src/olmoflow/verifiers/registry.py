"""Verifiers by name."""

from __future__ import annotations

import importlib
import inspect
from typing import Any, cast

from olmoflow.errors import UserError
from olmoflow.verifiers.verdict import Verifier

VERIFIERS = {
    "math": "olmoflow.verifiers.math.MathVerifier",
    "gsm8k": "olmoflow.verifiers.gsm8k.GSM8KVerifier",
    "code": "olmoflow.verifiers.code.CodeVerifier",
    "instructions": "olmoflow.verifiers.instructions.verifier.InstructionVerifier",
    "exact_match": "olmoflow.verifiers.text_match.ExactMatchVerifier",
    "f1": "olmoflow.verifiers.text_match.F1Verifier",
    "reasoning_gym": "olmoflow.verifiers.reasoning_gym.ReasoningGymVerifier",
}
"""Name to class; a class is imported when it is asked for."""


def find_verifier(name: str, **settings: Any) -> Verifier:
    """A new verifier.

    Args:
        name: One of `VERIFIERS`.
        **settings: Arguments of its class.

    Raises:
        UserError: The name or a setting is unknown, or a setting has no meaning.
    """
    if name not in VERIFIERS:
        raise UserError(f"verifier: found {name}, expected one of {', '.join(VERIFIERS)}")
    module, _, class_name = VERIFIERS[name].rpartition(".")
    class_ = getattr(importlib.import_module(module), class_name)
    known = inspect.signature(class_).parameters
    for setting in settings:
        if setting not in known:
            raise UserError(
                f"{setting}: no setting of the verifier {name}, expected {', '.join(known)}"
            )
    return cast(Verifier, class_(**settings))
