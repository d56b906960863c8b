"""A filter by what a model must not say of itself: another's name, maker, or last date of training.

The phrases stand in a YAML file: ``assistants`` and ``developers`` are names, ``phrases`` what is
looked for, in which ``{assistant}`` and ``{developer}`` stand for each of the names.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from olmoflow.curate.conversations.outcome import without_faults
from olmoflow.curate.conversations.turns import check_which, texts_of
from olmoflow.curate.operations.arguments import refuse, require_file
from olmoflow.curate.operations.operation import Outcome

OURS = Path(__file__).with_name("identity.yaml")
_STEP = "identity_filter"
_KEYS = {"assistants", "developers", "phrases"}
_SPELLING = str.maketrans({"’": "'", "\n": " ", "\t": " ", "\xa0": " "})


class IdentityFilter:
    """Keep conversations in which the assistant claims no other name, maker or date cutoff.

    A name alone is no claim: "I am Claude" goes, "Claude is a model" stays. Case does not count,
    and a phrase has to begin and end where words do.

    Args:
        turns: Which turns are looked at, by a name of `turns.WHICH`.
        phrases: A YAML file of phrases; None: ``identity.yaml`` beside this module.
        allowed: Names of the file that may be claimed: ``[Olmo]`` is on no list of ours.
    """

    def __init__(
        self, turns: str = "assistant", phrases: str | None = None, allowed: tuple[str, ...] = ()
    ) -> None:
        from ahocorasick_rs import AhoCorasick

        check_which(_STEP, turns)
        file = OURS if phrases is None else require_file(_STEP, "phrases", phrases)
        found = _phrases(file, {name.lower() for name in allowed})
        self.turns, self.phrases = turns, list(dict.fromkeys(p.lower() for p in found))
        self._automaton: Any = AhoCorasick(self.phrases)

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        faults: list[str | None] = []
        for text in texts_of(documents, self.turns):
            spelled = text.translate(_SPELLING).lower()
            found = self._automaton.find_matches_as_indexes(spelled, overlapping=True)
            whole = (self.phrases[p] for p, start, end in found if _is_whole(spelled, start, end))
            phrase = next(whole, None)
            faults.append(None if phrase is None else f"says: {phrase}")
        return without_faults(documents, faults, {})


def _is_whole(text: str, start: int, end: int) -> bool:
    before = text[start - 1 : start] if start else ""
    return not before.isalnum() and not text[end : end + 1].isalnum()


def _phrases(file: Path, allowed: set[str]) -> Iterator[str]:
    """The phrases of a file, with the names in their places."""
    try:
        lists = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        line = " ".join(str(error).split())
        refuse(_STEP, "phrases", str(file), f"a YAML file of phrases ({line})")
    expected = f"a YAML file of the lists {', '.join(sorted(_KEYS))}"
    if not isinstance(lists, dict) or not lists.get("phrases") or not set(lists) <= _KEYS:
        refuse(_STEP, "phrases", str(file), expected)
    if not all(isinstance(p, str) and p for each in lists.values() for p in each or []):
        refuse(_STEP, "phrases", str(file), f"{expected}, all of texts")
    for phrase in lists["phrases"]:
        key = next((k for k in ("assistant", "developer") if f"{{{k}}}" in phrase), None)
        if key is None:
            yield phrase
            continue
        for name in lists.get(f"{key}s") or []:
            if name.lower() not in allowed:
                yield phrase.replace(f"{{{key}}}", name)
