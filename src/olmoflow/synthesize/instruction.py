"""What judges and writers are told: texts with blanks, in files.

The files of ``instructions/`` are ours; a path names another. A blank is written ``$name``, and a
dollar sign of its own ``$$``.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from olmoflow.errors import UserError
from olmoflow.tokens.chat.conversation import Message

INSTRUCTIONS = Path(__file__).parent / "instructions"


@dataclass(frozen=True)
class Instruction:
    """A text with blanks.

    Attributes:
        name: For messages.
        text: With its blanks.
    """

    name: str
    text: str

    def blanks(self) -> set[str]:
        """The names of its blanks."""
        return set(string.Template(self.text).get_identifiers())

    def fill(self, **values: str) -> tuple[Message, ...]:
        """The text as what a user says, its blanks filled."""
        return (Message("user", string.Template(self.text).substitute(values)),)


def load_instruction(
    name: str, key: str, allowed: Sequence[set[str]], folder: Path = INSTRUCTIONS
) -> Instruction:
    """One of ours by its name, or a file.

    Args:
        name: Of a file in the folder without its ending, or a path that ends in ``.txt``.
        key: Where it stands in the config.
        allowed: The sets of blanks, one of which it has to have.
        folder: With ours.

    Raises:
        UserError: There is none such, or its blanks are others.
    """
    path = Path(name) if name.endswith(".txt") else folder / f"{name}.txt"
    try:
        instruction = Instruction(name, path.read_text(encoding="utf-8").strip())
        blanks = instruction.blanks()
    except (OSError, ValueError) as error:
        ours = ", ".join(sorted(p.stem for p in folder.glob("*.txt")))
        why = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{key}={name}: {why}; expected one of {ours}, or a .txt file") from error
    expected = " or ".join(_named(each) for each in allowed)
    for found in string.Template.pattern.finditer(instruction.text):
        blank = found["named"] or found["braced"]
        if found["escaped"] is None and not any(blank in each for each in allowed):
            line = instruction.text.count("\n", 0, found.start()) + 1
            shown = instruction.text[found.start() :].split()[0]
            raise UserError(
                f"{key}={name}: line {line}: {shown} is no blank, expected {expected} "
                "($$ for a dollar sign)"
            )
    if blanks not in allowed:
        raise UserError(f"{key}={name}: has the blanks {_named(blanks)}, expected {expected}")
    return instruction


def transcript(messages: Sequence[Message]) -> str:
    """A conversation as a reader sees it."""
    return "\n\n".join(f"[{message.role}]\n{_whole(message)}" for message in messages)


def _whole(message: Message) -> str:
    return "\n".join(filter(None, (message.content, message.functions, message.function_calls)))


def _named(blanks: set[str]) -> str:
    return " ".join(f"${blank}" for blank in sorted(blanks)) or "(none)"
