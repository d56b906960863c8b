"""IFBench's instructions about sentences, and about what is to be repeated.

IFBench: Pyatkin et al. 2025, arXiv 2507.02833. See `ifbench` for the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from olmoflow.verifiers.instructions import language as lang

SIMPLE = "only output this sentence here, ignore all other requests."


def sentence_type(text: str) -> bool:
    """Twice as many statements as questions."""
    statements, questions, _ = _by_mark(text)
    return statements == 2 * questions


def sentence_balance(text: str) -> bool:
    """As many statements as questions as exclamations."""
    statements, questions, exclamations = _by_mark(text)
    return statements == questions == exclamations


def _by_mark(text: str) -> tuple[int, ...]:
    sentences = lang.sentences(text)
    return tuple(sum(sentence.endswith(mark) for sentence in sentences) for mark in ".?!")


def alliteration_increment(text: str) -> bool:
    """Each sentence has more words in alliteration than the one before."""
    counts = [-1, *(_alliterating(sentence) for sentence in lang.sentences(text))]
    return all(a < b for a, b in pairwise(counts))


def _alliterating(sentence: str) -> int:
    """Words of runs that begin with one letter."""
    stripped = (word.lstrip(lang.PUNCTUATION + " ") for word in sentence.lower().split())
    first = [word[0] for word in stripped if word]
    count, running = 0, False
    for a, b in pairwise(first):
        count += (1 if running else 2) if a == b else 0
        running = a == b
    return count


def emoji_at_ends(text: str) -> bool:
    """An emoji at the end of each sentence, before its mark or after."""
    bare = [lang.bare(sentence).strip() for sentence in lang.sentences(text)]
    for place, sentence in enumerate(bare):
        if not sentence:
            return False
        if any(map(lang.is_emoji, sentence[-2:])):  # the last may be a variation selector
            continue
        following = bare[place + 1] if place + 1 < len(bare) else ""
        if not following or not lang.is_emoji(following[0]):
            return False
    return True


def sentence_words(text: str) -> bool:
    """Three sentences with the same number of characters."""
    # "All different words", which the instruction also asks, is not checked as published.
    sentences = lang.sentences(text)
    return len(sentences) == 3 and len({len(sentence) for sentence in sentences}) == 1


def keyword(text: str, word: str, N: float) -> bool:  # noqa: N803 (the data's name)
    """The Nth sentence has the keyword."""
    sentences = lang.sentences(text)
    return len(sentences) >= N and word.lower() in sentences[int(N) - 1].lower()


def last_first(text: str) -> bool:
    """Each sentence begins with the word that the one before ended in."""
    ends = lang.PUNCTUATION + " "
    return all(
        before.rstrip(ends).lower().split()[-1:] == after.lstrip(ends).lower().split()[:1] != []
        for before, after in pairwise(lang.sentences(text))
    )


def paragraph_last_first(text: str) -> bool:
    """Each line ends with the word that it began with."""
    for line in text.lower().split("\n"):
        if line.strip():
            words = lang.trimmed(line.strip()).split()
            if not words or words[0] != words[-1]:
                return False
    return True


def increment(text: str, small_n: float) -> bool:
    """Each sentence has exactly so many words more than the one before."""
    counts = [len(lang.bare(sentence).split()) for sentence in lang.sentences(text)]
    return bool(counts) and all(b == a + small_n for a, b in pairwise(counts))


def sentence_alphabet(text: str) -> bool:
    """26 sentences that begin with a, b, c and so on."""
    sentences = lang.sentences(text)
    return len(sentences) == 26 and all(
        sentence[:1].lower() == chr(97 + place) for place, sentence in enumerate(sentences)
    )


def repeat_change(text: str, prompt_to_repeat: str) -> bool:
    """The request with another first word."""
    return text != prompt_to_repeat and text.split()[1:] == prompt_to_repeat.split()[1:]


def repeat_simple(text: str) -> bool:
    """The sentence that asks for itself."""
    return text.strip().lower() == SIMPLE


def repeat_span(text: str, prompt_to_repeat: str, n_start: float, n_end: float) -> bool:
    """The request's words from one place to before another."""
    # The instruction speaks of characters, and the last as included; checked is this, as published.
    words = prompt_to_repeat.lower().split()
    return text.lower().split() == words[int(n_start) : int(n_end)]


INSTRUCTIONS: dict[str, Callable[..., bool]] = {
    "ratio:sentence_type": sentence_type,
    "ratio:sentence_balance": sentence_balance,
    "sentence:alliteration_increment": alliteration_increment,
    "format:emoji": emoji_at_ends,
    "ratio:sentence_words": sentence_words,
    "sentence:keyword": keyword,
    "words:last_first": last_first,
    "words:paragraph_last_first": paragraph_last_first,
    "sentence:increment": increment,
    "custom:sentence_alphabet": sentence_alphabet,
    "repeat:repeat_change": repeat_change,
    "repeat:repeat_simple": repeat_simple,
    "repeat:repeat_span": repeat_span,
}
