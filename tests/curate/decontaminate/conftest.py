"""The SIMPLE algorithm once more, in plain Python, to hold the compiled one against."""

import math
from collections import Counter

import pytest


@pytest.fixture
def simple():
    return Simple


def ngrams(words, size):
    return [tuple(words[i : i + size]) for i in range(len(words) - size + 1)]


def idfs(texts, size):
    df = Counter(one for words in texts for one in set(ngrams(words, size)))
    return {one: math.log(len(texts) / count) for one, count in df.items()}


class Simple:
    def __init__(self, references, s):
        self.references, self.s = references, s
        questions = [r["question"] for r in references]
        self.idf = idfs(questions, s.ngram_size)
        self.answer_idf = idfs([r["answer"] for r in references], s.answer_ngram_size)
        self.passage_idf = idfs([r["passage"] for r in references], s.passage_ngram_size)
        self.postings = {}
        for number, words in enumerate(questions):
            for one in ngrams(words, s.ngram_size):
                self.postings.setdefault(one, set()).add(number)

    def matches(self, words):
        """(entry, first token, last n-gram, score) of all that pass, in order."""
        grams = ngrams(words, self.s.ngram_size)
        place, found = 0, []
        while place < len(grams) and len(words) >= 2 * self.s.ngram_size:
            if grams[place] not in self.postings:
                place += self.s.sample_every_m_tokens
                continue
            started = self.postings[grams[place]]
            met = {entry: {grams[place]} for entry in started}
            left, _ = self.walk(grams, place, -1, met)
            right, end = self.walk(grams, place, 1, met)
            for entry in sorted(started):
                score = self.score(words, entry, met[entry], left[entry], right[entry])
                if score >= self.s.contamination_score_threshold - 1e-9:
                    found.append((entry, left[entry], right[entry], score))
            place = end + 1
        return found

    def walk(self, grams, place, step, met):
        edge = dict.fromkeys(met, place)
        misses = dict.fromkeys(met, 0)
        while misses and 0 <= place + step < len(grams):
            place += step
            for entry in list(misses):
                if entry in self.postings.get(grams[place], ()):
                    edge[entry] = place
                    if grams[place] not in met[entry]:
                        met[entry].add(grams[place])
                        misses[entry] = 0
                else:
                    misses[entry] += 1
                    if misses[entry] >= self.s.question_max_consecutive_misses:
                        del misses[entry]
        return edge, place

    def score(self, words, entry, met, first, last):
        s, reference = self.s, self.references[entry]
        question, answer, passage = (reference[n] for n in ("question", "answer", "passage"))
        size = len(set(ngrams(question, s.ngram_size)))
        overlap = ratio(met, ngrams(question, s.ngram_size), self.idf)
        least = max(0, (s.contamination_score_threshold - 0.3) / 0.7)
        if overlap < self.needed(len(question), least) - 1e-12:
            return 0
        end = last + s.ngram_size
        end -= max(0, end - first - len(question))
        sure = min(1, 0.5 + 0.5 * size / 20)
        weights = {"q": 1.0}
        if answer and passage:
            lost = 0.7 * (1 - sure) / 2
            kept = (0.2 + lost) * min(1, 0.5 + 0.5 * len(set(answer)) / 4)
            weights = {"q": 0.7 * sure, "a": kept, "p": 0.1 + lost + 0.2 + lost - kept}
        elif answer:
            weights = {"q": 0.75 * sure, "a": 0.25 + 0.75 * (1 - sure)}
        elif passage:
            weights = {"q": 0.85 * sure, "p": 0.15 + 0.85 * (1 - sure)}
        parts = {"q": overlap, "a": self.answer(words, end, answer)}
        parts["p"] = self.passage(words, first, passage)
        score = sum(weight * parts[name] for name, weight in weights.items())
        if score > 1 - 1e-9:
            return 1
        length = len(question) + len(set(answer)) + len(passage)
        threshold = s.contamination_score_threshold
        return score * threshold / self.needed(length, threshold)

    def needed(self, length, threshold):
        start, end = self.s.perfect_match_decay_start, self.s.perfect_match_decay_end
        share = min(1, max(0, (length - start) / (end - start)))
        return 1 - (1 - threshold) * share

    def answer(self, words, start, answer):
        s = self.s
        if len(answer) <= s.short_answer_token_threshold:
            places = range(start, min(start + s.short_answer_window_length, len(words)))
            return float(any(words[i : i + len(answer)] == answer for i in places))
        window = words[start : start + max(2 * len(answer), s.min_long_answer_window)]
        wanted = ngrams(answer, s.answer_ngram_size)
        return ratio(
            set(wanted) & set(ngrams(window, s.answer_ngram_size)), wanted, self.answer_idf
        )

    def passage(self, words, first, passage):
        s = self.s
        window = words[max(0, first - max(2 * len(passage), s.min_passage_distance)) : first]
        wanted, met, misses = ngrams(passage, s.passage_ngram_size), set(), 0
        for one in reversed(ngrams(window, s.passage_ngram_size)):
            misses = 0 if one in wanted else misses + bool(met)
            if misses > s.passage_max_consecutive_misses:
                break
            met |= {one} & set(wanted)
        return ratio(met, wanted, self.passage_idf)


def ratio(met, wanted, idf):
    if set(wanted) and met >= set(wanted):
        return 1.0
    total = math.fsum(idf[one] for one in set(wanted))
    return math.fsum(idf[one] for one in met) / total if total else 0.0
