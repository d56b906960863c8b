"""Words, phrases and numbers of texts, as tasks over long documents count and write them."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_WORD = re.compile(r"\w+(?:['’]\w+)*")
_LONGEST_PHRASE = 4
_SHORTEST_TOPIC = 4  # letters

_SMALL = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
sixteen seventeen eighteen nineteen
"""
_TENS = "zero ten twenty thirty forty fifty sixty seventy eighty ninety"
_UNTELLING = """
a about above across after again against all almost along already also although always am among
an and another any anyone anything are around as ask at away back be became because become been
before began behind being below between both but by came can cannot come could did do does doing
done down during each either else enough even ever every everyone everything few first for from
further gave get give given go goes going gone good got had has have having he her here hers
herself him himself his how however i if in indeed instead into is it its itself just keep kept
knew know known last later least less let like little long look looked made make many may maybe
me mean might mine more most much must my myself near need neither never new next no nobody none
nor not nothing now of off often old on once one only onto or other others our ours out over own
part per perhaps put quite rather really said same saw say says see seem seemed seen several
shall she should since so some someone something soon still such take taken tell than that the
their theirs them themselves then there therefore these they thing things think this those
though thought three through thus to together told too took toward towards two under unless
until up upon us use used using very want was way we well went were what when where whether
which while who whole whom whose why will with within without would yes yet you your yours
yourself
"""
_BELOW_20, _BY_TEN = _SMALL.split(), _TENS.split()
# English words that say nothing of what a text is about.
STOP_WORDS = frozenset(_UNTELLING.split())


class Token(NamedTuple):
    """A word in small letters, and where it stands: ``text[start:end]``."""

    word: str
    start: int
    end: int


class Phrase(NamedTuple):
    """Words that come back in a text, and where: as many starts as ends, rising."""

    words: str
    starts: list[int]
    ends: list[int]


def tokens(text: str) -> list[Token]:
    """The words of a text in order; an apostrophe within a word is part of it."""
    found = (
        (match[0].casefold().replace("’", "'"), *match.span()) for match in _WORD.finditer(text)
    )
    return [Token(*one) for one in found]


def telling(word: str) -> bool:
    """Whether a word may say what a text is about."""
    return len(word) >= _SHORTEST_TOPIC and word.isalpha() and word not in STOP_WORDS


def common_words(text: str, number: int) -> list[tuple[str, int]]:
    """The telling words that a text has most often, with their counts; of equals the first."""
    counts = Counter(token.word for token in tokens(text) if telling(token.word))
    return [(word, count) for word, count in counts.most_common(number) if count > 1]


def recurring_phrases(sections: Sequence[str], gap: str, number: int) -> list[Phrase]:
    """Phrases of two to four words that come back in sections, where the joined text has them.

    They are ranked by tf-idf summed over the sections, as REX ranks its n-grams. A phrase begins
    and ends with a telling word, stands in two sections at least and not in all of them, and is
    neither within a phrase that ranks above it nor around one.

    Args:
        sections: Of a part of a document.
        gap: What stands between them where they are joined.
        number: At most so many.
    """
    places: dict[str, list[tuple[int, int]]] = {}
    counts: list[Counter[str]] = []
    shift = 0
    for section in sections:
        counts.append(Counter())
        for phrase, start, end in _phrases(section):
            counts[-1][phrase] += 1
            places.setdefault(phrase, []).append((shift + start, shift + end))
        shift += len(section) + len(gap)
    presence = Counter(phrase for one in counts for phrase in one)
    mass: dict[str, float] = {}
    for one in counts:
        for phrase, count in one.items():
            if 1 < presence[phrase] < len(sections):
                idf = math.log(len(sections) / presence[phrase]) + 1
                mass[phrase] = mass.get(phrase, 0.0) + count * idf
    chosen: list[str] = []
    for phrase in sorted(mass, key=lambda one: (-mass[one], -len(one), one)):
        if len(chosen) == number:
            break
        if not any(_within(phrase, other) or _within(other, phrase) for other in chosen):
            chosen.append(phrase)
    return [Phrase(one, *map(list, zip(*places[one], strict=True))) for one in chosen]


def _within(phrase: str, other: str) -> bool:
    return f" {phrase} " in f" {other} "


def _phrases(text: str) -> Iterator[tuple[str, int, int]]:
    """Each phrase at each place, with its start and end; only white space is within, no border."""
    found = tokens(text)
    ends = [telling(token.word) for token in found]
    for first in range(len(found)):
        if not ends[first]:
            continue
        for last in range(first + 1, min(first + _LONGEST_PHRASE, len(found))):
            between = text[found[last - 1].end : found[last].start]
            if not between.isspace() or between.count("\n") > 1:
                break
            if ends[last]:
                words = " ".join(token.word for token in found[first : last + 1])
                yield words, found[first].start, found[last].end


def in_words(number: int) -> str:
    """A whole number from 0 to 999,999 in English words."""
    if number < 20:
        return _BELOW_20[number]
    if number < 100:
        tens, rest = divmod(number, 10)
        return _BY_TEN[tens] + (f"-{_BELOW_20[rest]}" if rest else "")
    size, name = (1000, "thousand") if number >= 1000 else (100, "hundred")
    many, rest = divmod(number, size)
    tail = "" if not rest else f" and {in_words(rest)}" if rest < 100 else f" {in_words(rest)}"
    return f"{in_words(many)} {name}{tail}"
