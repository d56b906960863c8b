"""What a match is worth: decon's score of a question, its answer and its passage, compiled.

Each part has an overlap between 0 and 1: the idf of its n-grams that were found over the idf of all
of them. The score is their weighted mean. Questions with few n-grams and short answers say little,
so they lose weight to the other parts; and short entries have to match better than long ones.
"""

from __future__ import annotations

from olmoflow.compiled import njit

# Question, answer and passage; question and answer; question and passage.
QAP = (0.7, 0.2, 0.1)
QA = (0.75, 0.25)
QP = (0.85, 0.15)

INFORMATIVE_NGRAMS = 20
INFORMATIVE_ANSWER = 4
# Sums of the same terms in another order differ by less than this.
_ROUNDING = 1e-9


@njit(cache=True, nogil=True)
def confidence(count: int, informative: int) -> float:
    """0.5 for nothing up to 1 for what is long enough to be telling."""
    return 1.0 if count >= informative else 0.5 + 0.5 * count / informative


@njit(cache=True, nogil=True)
def weighted(
    question: float,
    ngrams: int,
    has_answer: bool,
    answer: float,
    answer_tokens: int,
    has_passage: bool,
    passage: float,
) -> float:
    """The weighted mean of the overlaps, at most 1.

    Args:
        question: Overlap of the question.
        ngrams: Different n-grams of the question.
        has_answer: Whether the entry has an answer.
        answer: Its overlap.
        answer_tokens: Different tokens of the answer.
        has_passage: Whether the entry has a passage.
        passage: Its overlap.
    """
    sure = confidence(ngrams, INFORMATIVE_NGRAMS)
    if has_answer and has_passage:
        lost = QAP[0] * (1 - sure) / 2
        of_answer = QAP[1] + lost
        kept = of_answer * confidence(answer_tokens, INFORMATIVE_ANSWER)
        of_passage = QAP[2] + lost + of_answer - kept
        score = question * QAP[0] * sure + answer * kept + passage * of_passage
    elif has_answer:
        score = question * QA[0] * sure + answer * (QA[1] + QA[0] * (1 - sure))
    elif has_passage:
        score = question * QP[0] * sure + passage * (QP[1] + QP[0] * (1 - sure))
    else:
        score = question
    return 1.0 if score > 1 - _ROUNDING else score


@njit(cache=True, nogil=True)
def required(length: int, start: int, end: int, threshold: float) -> float:
    """What a match of a length has to reach: 1 up to ``start``, falling to ``threshold``."""
    if length >= end and length > start:
        return threshold
    if length <= start:
        return 1.0
    return 1.0 - (1.0 - threshold) * (length - start) / (end - start)


@njit(cache=True, nogil=True)
def adjusted(score: float, length: int, start: int, end: int, threshold: float) -> float:
    """A score such that ``threshold`` can be held against it at any length; 1 stays 1.

    Args:
        score: From `weighted`.
        length: Tokens of the question, different tokens of the answer, tokens of the passage.
        start: Up to this length only 1 passes.
        end: From this length on the score stands.
        threshold: Of contamination.
    """
    if score >= 1:
        return 1.0
    return score * threshold / required(length, start, end, threshold)
