"""IFBench's instructions about words: which, how many, how often, in what order.

IFBench: Pyatkin et al. 2025, arXiv 2507.02833. See `ifbench` for the rest.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from itertools import pairwise

from olmoflow.verifiers.instructions import language as lang

_NAMES = (
    "Emma Liam Sophia Jackson Olivia Noah Ava Lucas Isabella Mason Mia Ethan Charlotte "
    "Alexander Amelia Benjamin Harper Leo Zoe Daniel Chloe Samuel Lily Matthew Grace Owen "
    "Abigail Gabriel Ella Jacob Scarlett Nathan Victoria Elijah Layla Nicholas Audrey David "
    "Hannah Christopher Penelope Thomas Nora Andrew Aria Joseph Claire Ryan Stella Jonathan"
)
NAMES = _NAMES.split()
_PRONOUNS = (
    "i me my mine myself we us our ours ourselves you your yours yourself yourselves he him "
    "his himself she her hers herself it its itself they them their theirs themselves"
)
PRONOUNS = frozenset(_PRONOUNS.split())
CONJUNCTIONS = frozenset(["and", "but", "for", "nor", "or", "so", "yet"])
PRIMES = frozenset(n for n in range(2, 100) if all(n % m for m in range(2, n)))
ALPHABET = "abcdefghijklmnopqrstuvwxyz"
VOWELS = frozenset("aeiou")
CONSONANTS = frozenset(ALPHABET) - VOWELS
_JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")


def word_count_range(text: str, min_words: float, max_words: float) -> bool:
    """So many words."""
    return min_words <= len(lang.words(text)) <= max_words


def unique_word_count(text: str, N: float) -> bool:  # noqa: N803 (the data's name)
    """At least so many different words."""
    return len({lang.trimmed(word) for word in text.lower().split()}) >= N


def stop_words(text: str, percentage: float) -> bool:
    """No more stop words than this percentage of all words."""
    words = lang.words(text)
    found = sum(word.lower() in lang.STOP_WORDS for word in words)
    return bool(words) and found / len(words) * 100 <= percentage


def conjunctions(text: str, small_n: float) -> bool:
    """At least so many different coordinating conjunctions."""
    # Spelled differently, they count as different, as published.
    found = {word for word in text.split() if lang.trimmed(word).lower() in CONJUNCTIONS}
    return len(found) >= small_n


def person_names(text: str, N: float) -> bool:  # noqa: N803
    """At least so many names of the list."""
    return sum(name in text for name in NAMES) >= N


def overlap(text: str, reference_text: str, percentage: float) -> bool:
    """Trigrams (of characters) that are also the reference's: the percentage, give or take 2."""
    mine, theirs = _trigrams(text), _trigrams(reference_text)
    if not mine:
        return False
    return abs(len(mine & theirs) / len(mine) * 100 - percentage) <= 2


def _trigrams(text: str) -> set[str]:
    return {text[i : i + 3] for i in range(len(text) - 2)}


def numbers(text: str, N: float) -> bool:  # noqa: N803
    """Exactly so many numbers."""
    return len(re.findall(r"\d+", lang.bare(text))) == N


def alphabet(text: str) -> bool:
    """Each word begins with the next letter, and a follows z."""
    words = [word.lower() for word in lang.bare(text).split()]
    if not words or words[0][0] not in ALPHABET:
        return False
    first = ALPHABET.index(words[0][0])
    return all(word[0] == ALPHABET[(first + place) % 26] for place, word in enumerate(words))


def vowel(text: str) -> bool:
    """One paragraph with at most three different vowels."""
    return "\n" not in text.strip() and len(VOWELS & set(text.lower())) <= 3


def consonants(text: str) -> bool:
    """Two consonants beside each other in each word."""
    return all(
        any(a in CONSONANTS and b in CONSONANTS for a, b in pairwise(word))
        for word in text.lower().split()
    )


def palindrome(text: str) -> bool:
    """At least 10 palindromes of 5 letters or more."""
    words = lang.bare(text).lower().split()
    return sum(len(word) >= 5 and word == word[::-1] for word in words) >= 10


def prime_lengths(text: str) -> bool:
    """The length of each word is prime."""
    return all(len(word) in PRIMES for word in lang.bare(text).split())


def words_japanese(text: str, N: float) -> bool:  # noqa: N803
    """Every Nth word is Japanese, or a number."""
    each = int(N)
    chosen = [lang.trimmed(word) for word in text.split()[each - 1 :: each]]
    return all(_JAPANESE.search(word) for word in chosen if word and not word.isdigit())


def start_verb(text: str) -> bool:
    """The first word is a verb's form."""
    tokens = lang.tokens(text)
    return bool(tokens) and lang.can_be_verb(lang.trimmed(tokens[0]))


def repeats(text: str, small_n: float) -> bool:
    """No word occurs more often than this."""
    counts = Counter(lang.bare(text.lower()).split())
    return all(count <= small_n for count in counts.values())


def pronouns(text: str, N: float) -> bool:  # noqa: N803
    """At least so many personal and possessive pronouns."""
    words = lang.bare(text.replace("/", " ").lower()).split()
    return sum(word in PRONOUNS for word in words) >= N


def odd_even_syllables(text: str) -> bool:
    """Words with odd and even numbers of syllables take turns."""
    odd = [lang.syllables(word) % 2 for word in lang.bare(text).lower().split()]
    return all(a != b for a, b in pairwise(odd))


def no_consecutive(text: str) -> bool:
    """No two words in a row begin with the same letter."""
    words = lang.bare(text.lower()).split()
    return all(a[0] != b[0] for a, b in pairwise(words))


def keywords_multiple(
    text: str, keyword1: str, keyword2: str, keyword3: str, keyword4: str, keyword5: str
) -> bool:
    """Five keywords occur once, twice, three, five and seven times."""
    keywords = (keyword1, keyword2, keyword3, keyword4, keyword5)
    counts = [text.lower().count(keyword.strip().lower()) for keyword in keywords]
    return counts == [1, 2, 3, 5, 7]


def keywords_specific_position(text: str, keyword: str, n: float, m: float) -> bool:
    """The mth word of the nth sentence is the keyword."""
    sentences = lang.sentences(text)
    tokens = lang.tokens(sentences[int(n) - 1]) if len(sentences) >= n else []
    return len(tokens) >= m and tokens[int(m) - 1] == keyword.strip()


def words_position(text: str, keyword: str) -> bool:
    """The second word and the last but one are the keyword."""
    tokens = lang.tokens(text)
    return len(tokens) >= 2 and tokens[1] == tokens[-2] == keyword.strip()


INSTRUCTIONS: dict[str, Callable[..., bool]] = {
    "count:word_count_range": word_count_range,
    "count:unique_word_count": unique_word_count,
    "ratio:stop_words": stop_words,
    "count:conjunctions": conjunctions,
    "count:person_names": person_names,
    "ratio:overlap": overlap,
    "count:numbers": numbers,
    "words:alphabet": alphabet,
    "words:vowel": vowel,
    "words:consonants": consonants,
    "words:palindrome": palindrome,
    "words:prime_lengths": prime_lengths,
    "count:words_japanese": words_japanese,
    "words:start_verb": start_verb,
    "words:repeats": repeats,
    "count:pronouns": pronouns,
    "words:odd_even_syllables": odd_even_syllables,
    "words:no_consecutive": no_consecutive,
    "count:keywords_multiple": keywords_multiple,
    "words:keywords_specific_position": keywords_specific_position,
    "words:words_position": words_position,
}
