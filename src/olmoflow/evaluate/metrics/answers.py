"""Exact match, F1 and recall of short answers: as SQuAD scores them, and as DROP does.

SQuAD: Rajpurkar et al. (arXiv 1606.05250, section 6.1) and its script, version 1.1. DROP: Dua et
al. (arXiv 1903.00161, section 5) and its script, for a prediction that is one span, which is all
that a generated text is.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

from olmoflow.verifiers.normalization import squad as squad_normal
from olmoflow.verifiers.text_match import f1

_PUNCTUATION = frozenset(string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


def squad_metrics(prediction: str, references: Sequence[str]) -> dict[str, float]:
    """Scores of a text against the best of its references.

    Returns:
        ``exact_match`` after normalisation, ``f1`` of the words (1 where neither text has any,
        which SQuAD's script gives 0), and ``recall``: whether a reference occurs in the text
        (open-instruct's; without normalisation but for case).
    """
    said = prediction.strip().lower()
    normal = squad_normal(prediction)
    return {
        "exact_match": max(float(squad_normal(ref) == normal) for ref in references),
        "f1": max(f1(prediction, ref) for ref in references),
        "recall": max(float(ref.strip().lower() in said) for ref in references),
    }


def drop_metrics(prediction: str, references: Sequence[Sequence[str]]) -> dict[str, float]:
    """Scores of a text against the best of its references, each a list of spans.

    Returns:
        ``exact_match``: the text is the reference's only span; ``f1`` of sets of words, a number
        being wrong unless it is the reference's, shared among the reference's spans, to two digits.
    """
    said = drop_normal(prediction)
    answers = [[drop_normal(span) for span in ref] for ref in references if ref[0].strip()]
    if not answers:
        raise ValueError("a DROP question has no reference answer")
    return {
        "exact_match": max(float(spans == [said]) for spans in answers),
        "f1": max(
            round(max(_bag_f1(said, span) for span in spans) / len(spans), 2) for spans in answers
        ),
    }


def drop_normal(text: str) -> str:
    """SQuAD's normalisation word by word, hyphens parting words and numbers brought to one form."""
    words = (_drop_word(word.lower()) for word in re.split(r" |-", text))
    return " ".join(word for word in words if word)


def _drop_word(word: str) -> str:
    if not _is_number(word):
        word = "".join(char for char in word if char not in _PUNCTUATION)
    if _is_number(word):
        word = str(float(word))
    return " ".join(_ARTICLES.sub(" ", word).split())


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _bag_f1(prediction: str, reference: str) -> float:
    said, right = set(prediction.split()), set(reference.split())
    numbers = {word for word in right if _is_number(word)}
    if numbers and not numbers & said:
        return 0.0
    shared = len(said & right)
    precision = shared / len(said) if said else 1.0
    recall = shared / len(right) if right else 1.0
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
