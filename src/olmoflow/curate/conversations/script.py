"""A filter by script: an answer half in Chinese to a question in English."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from olmoflow.curate.conversations.outcome import without_faults
from olmoflow.curate.conversations.turns import check_which, texts_of
from olmoflow.curate.operations.arguments import refuse, require_share
from olmoflow.curate.operations.operation import Outcome

_STEP = "script_share_filter"


@dataclass(frozen=True)
class ScriptShareFilter:
    """Keep conversations of which less than a share of the characters is of a script.

    Olmo 3 leaves out what has 5 % and more of Chinese characters. White space does not count.

    Args:
        script: Unicode's name of it: ``Han``, ``Cyrillic`` …
        max_share: From this share of the characters on a conversation goes.
        turns: Which turns are looked at, by a name of `turns.WHICH`.
        unless_asked: Keep a conversation whose user turns reach the share as well.
    """

    script: str = "Han"
    max_share: float = 0.05
    turns: str = "assistant"
    unless_asked: bool = False

    def __post_init__(self) -> None:
        check_which(_STEP, self.turns)
        require_share(_STEP, "max_share", self.max_share)
        of_script(self.script)

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        high = self._shares(documents, self.turns) >= self.max_share
        if self.unless_asked:
            high &= self._shares(documents, "user") < self.max_share
        reason = f"{self.max_share:.0%} or more {self.script} characters"
        return without_faults(documents, [reason if h else None for h in high.tolist()], {})

    def _shares(self, documents: pa.Table, turns: str) -> NDArray[np.float64]:
        table, white = of_script(self.script), of_script("White_Space")
        shares = np.zeros(len(documents))
        for row, text in enumerate(texts_of(documents, turns)):
            points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
            visible = len(points) - int(np.count_nonzero(white[points]))
            shares[row] = int(np.count_nonzero(table[points])) / max(1, visible)
        return shares


@cache
def of_script(name: str) -> NDArray[np.bool_]:
    """[0x110000] which code points are of a script, or have a property."""
    import regex

    table = np.zeros(0x110000, np.bool_)
    try:
        pattern = regex.compile(rf"\p{{{name}}}+")
    except regex.error:
        refuse(_STEP, "script", name, "a script's name in Unicode: Han, Cyrillic, Arabic …")
    # Beyond these planes there is nothing but tags and private use.
    for found in pattern.finditer("".join(map(chr, range(0x40000)))):
        table[found.start() : found.end()] = True
    return table
