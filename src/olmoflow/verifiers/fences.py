"""Fenced blocks of code in what a model says (CommonMark, section 4.5).

A block ends at a fence of its own kind that is at least as long, has no tag and is not indented by
four more spaces, as an example in a docstring is. So a block of another language is a block too,
and its end begins none. Unlike in CommonMark, where Python begins a block begins, whatever is open:
models put whole answers into a block of Markdown, and forget to end others.
"""

from __future__ import annotations

from dataclasses import dataclass, field

PYTHON = ("python", "python3", "py")
DEEP = 4
"""Spaces by which a line has to be indented more than a fence to be no fence of that block."""


@dataclass
class Block:
    """A block.

    Attributes:
        fence: What opened it, such as three backticks.
        indent: Spaces before the fence, as in a list; its lines lose as many.
        tag: Its language in small letters; empty where none is named.
        lines: What it holds.
    """

    fence: str
    indent: int
    tag: str
    lines: list[str] = field(default_factory=list)

    @property
    def code(self) -> str:
        """Its lines."""
        return "".join(f"{line}\n" for line in self.lines)


def last_program(text: str) -> str | None:
    """The last block of Python, or where none is said to be Python the last without a language."""
    closed = blocks(text)
    for tags in (PYTHON, ("",)):
        if found := [block for block in closed if block.tag in tags]:
            return found[-1].code
    return None


def blocks(text: str) -> list[Block]:
    """All blocks that end."""
    closed: list[Block] = []
    block: Block | None = None
    for line in text.split("\n"):
        indent = len(line) - len(line.lstrip(" \t"))
        fence, tag = _fence(line)
        shallow = block is None or indent < block.indent + DEEP
        if fence and shallow and (block is None or tag in PYTHON):
            block = Block(fence, indent, tag)
        elif block is not None and shallow and fence.startswith(block.fence) and not tag:
            closed.append(_tagged_inside(block))
            block = None
        elif block is not None:
            block.lines.append(line[min(indent, block.indent) :])
    return closed


def _fence(line: str) -> tuple[str, str]:
    """The fence that a line is, and its tag; empty where it is none."""
    bare = line.strip()
    rest = bare.lstrip(bare[:1]) if bare[:1] in ("`", "~") else bare
    fence, info = bare[: len(bare) - len(rest)], rest.strip()
    if len(fence) < 3 or "`" in info:
        return "", ""
    words = "".join(letter if letter.isalnum() else " " for letter in info[:100]).split()
    return fence, words[0].lower() if words else info[:1]


def _tagged_inside(block: Block) -> Block:
    """With the tag of its first line: the template of Olmo 3's RL-Zero asks for it there."""
    if not block.tag and block.lines and block.lines[0].strip().lower() in PYTHON:
        return Block(block.fence, block.indent, PYTHON[0], block.lines[1:])
    return block
