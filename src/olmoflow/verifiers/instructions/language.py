"""Sentences, words and syllables, as IFEval and IFBench count them.

The published checkers take NLTK's models from a server. Here nothing is downloaded: words come from
NLTK's tokenizer, which needs no model; sentences from its Punkt algorithm with a list of
abbreviations in place of the trained one; and whether a word can be a verb from lemminflect's
dictionary. `docs/verifiers.md` says where that may differ.
"""

from __future__ import annotations

import functools
import re
import string
import unicodedata
from typing import Any

PUNCTUATION = string.punctuation
_NO_PUNCTUATION = str.maketrans("", "", PUNCTUATION)
_SHORT = (
    "dr mr mrs ms prof st jr sr vs etc inc ltd co corp e.g i.e cf fig vol pp eds dept approx "
    "col sgt capt lt rep sen gov hon rev jan feb mar apr jun jul aug sep sept oct nov dec u.s "
    "u.k u.n a.m p.m ph.d b.a m.a m.d d.c"
)
_ABBREVIATIONS = set(_SHORT.split())
_STOP_WORDS = (
    "i me my myself we our ours ourselves you your yours yourself yourselves he him his "
    "himself she her hers herself it its itself they them their theirs themselves what which "
    "who whom this that these those am is are was were be been being have has had having do "
    "does did doing a an the and but if or because as until while of at by for with about "
    "against between into through during before after above below to from up down in out on "
    "off over under again further then once here there when where why how all any both each "
    "few more most other some such no nor not only own same so than too very s t can will "
    "just don should now d ll m o re ve y ain aren couldn didn doesn hadn hasn haven isn ma "
    "mightn mustn needn shan shouldn wasn weren won wouldn"
)
STOP_WORDS = frozenset(_STOP_WORDS.split())
"""NLTK's English list, without the contractions: words are counted as runs of letters and digits,
which none of those is."""

# What ends no sentence is hidden behind this while the text is cut.
_DOT, _CUT = "<prd>", "<stop>"
_STARTERS = (
    r"(Mr|Mrs|Ms|Dr|Prof|Capt|Cpt|Lt|He\s|She\s|It\s|They\s|Their\s|Our\s|We\s|But\s|However\s|"
    r"That\s|This\s|Wherever)"
)
_HIDDEN: tuple[tuple[str, str], ...] = (
    (r"(Mr|St|Mrs|Ms|Dr)[.]", rf"\1{_DOT}"),
    (r"[.](com|net|org|io|gov|edu|me)", rf"{_DOT}\1"),
    (r"([0-9])[.]([0-9])", rf"\1{_DOT}\2"),
)
_HIDDEN_LATER: tuple[tuple[str, str], ...] = (
    (r"Ph[.]D[.]", f"Ph{_DOT}D{_DOT}"),
    (r"\s([A-Za-z])[.] ", rf" \1{_DOT} "),
    (rf"([A-Z][.][A-Z][.](?:[A-Z][.])?) {_STARTERS}", rf"\1{_CUT} \2"),
    (r"([A-Za-z])[.]([A-Za-z])[.]([A-Za-z])[.]", rf"\1{_DOT}\2{_DOT}\3{_DOT}"),
    (r"([A-Za-z])[.]([A-Za-z])[.]", rf"\1{_DOT}\2{_DOT}"),
    (rf" (Inc|Ltd|Jr|Sr|Co)[.] {_STARTERS}", rf" \1{_CUT} \2"),
    (r" (Inc|Ltd|Jr|Sr|Co)[.]", rf" \1{_DOT}"),
    (r" ([A-Za-z])[.]", rf" \1{_DOT}"),
)
_QUOTED = ((".”", "”."), ('."', '".'), ('!"', '"!'), ('?"', '"?'))


def sentences(text: str) -> list[str]:
    """Cut at full stops, question and exclamation marks, as IFBench does (rules, no model)."""
    text = f" {text}  ".replace("\n", " ")
    for pattern, replacement in _HIDDEN:
        text = re.sub(pattern, replacement, text)
    text = re.sub(r"\.{2,}", lambda dots: _DOT * len(dots.group()) + _CUT, text)
    for pattern, replacement in _HIDDEN_LATER:
        text = re.sub(pattern, replacement, text)
    for inside, outside in _QUOTED:
        text = text.replace(inside, outside)
    for mark in ".?!":
        text = text.replace(mark, mark + _CUT)
    cut = [sentence.strip() for sentence in text.replace(_DOT, ".").split(_CUT)]
    return cut if cut[-1] else cut[:-1]


def count_sentences(text: str) -> int:
    """Sentences by Punkt, as IFEval counts them."""
    return len(_punkt().tokenize(text))


def words(text: str) -> list[str]:
    """Runs of letters and digits."""
    return re.findall(r"\w+", text)


def tokens(text: str) -> list[str]:
    """Words and punctuation by the rules of the Penn Treebank."""
    found: list[str] = _treebank().tokenize(text)
    return found


def bare(text: str) -> str:
    """Without ASCII punctuation."""
    return text.translate(_NO_PUNCTUATION)


def trimmed(text: str) -> str:
    """Without punctuation and spaces at both ends."""
    return text.strip(PUNCTUATION + " ")


def plain(text: str) -> str:
    """In ASCII: São as Sao."""
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def language(text: str) -> str | None:
    """ISO 639-1 code of the text's language; None where there is nothing to tell it by."""
    from langdetect import DetectorFactory, LangDetectException, detect

    DetectorFactory.seed = 0  # it draws
    try:
        return str(detect(text))
    except LangDetectException:
        return None


def can_be_verb(word: str) -> bool:
    """Whether the dictionary knows a form of a verb that is spelled so."""
    from lemminflect import getAllLemmas

    return bool(getAllLemmas(word.lower(), upos="VERB"))


def syllables(word: str) -> int:
    """How many syllables the word has."""
    import syllapy

    return int(syllapy.count(word))


def is_emoji(letter: str) -> bool:
    """Whether this one character is an emoji."""
    import emoji

    return bool(emoji.is_emoji(letter))


@functools.cache
def _punkt() -> Any:
    from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer

    parameters = PunktParameters()
    parameters.abbrev_types = _ABBREVIATIONS
    return PunktSentenceTokenizer(parameters)


@functools.cache
def _treebank() -> Any:
    from nltk.tokenize.destructive import NLTKWordTokenizer

    return NLTKWordTokenizer()
