"""Long documents in which words and phrases come back."""

import random

import pyarrow as pa
import pytest


@pytest.fixture(scope="session")
def documents():
    """Three long documents of real words, and one that is too short."""
    draw = random.Random(7)
    named = "harbour lighthouse captain storm anchor sailor island compass cargo voyage"
    named += " violin orchestra melody rehearsal conductor audience overture concert"
    common = ["and", "of", "the", "with", "near"]
    topics = [*named.split(), *common]
    phrases = ["the old lighthouse keeper", "the second violin section", "a sudden winter storm"]

    def sentence():
        words = [draw.choice(topics) for _ in range(12)]
        if draw.random() < 0.3:
            words[3:3] = draw.choice(phrases).split()
        return " ".join(words).capitalize() + "."

    def paragraph():
        return " ".join(sentence() for _ in range(8))

    texts = ["\n\n".join(paragraph() for _ in range(n)) for n in (20, 60, 150)]
    column = pa.array([*texts, "Too short.\n\nReally."], pa.large_string())
    return pa.table({"id": list("abcd"), "text": column})
