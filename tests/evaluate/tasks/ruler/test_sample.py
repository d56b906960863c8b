"""The size of a sample that fits a length."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from olmoflow.errors import UserError
from olmoflow.evaluate.tasks.ruler.sample import Sample, fitting_sample, largest_size


class Lines:
    """Samples of so many lines, whose tokens a function gives."""

    tokens_to_generate = 1
    smallest = 2

    def __init__(self, tokens, largest=None):
        self.tokens, self.largest = tokens, largest

    def sample(self, rng, size):
        return Sample(str(self.tokens(size)), ("x",))


def seeded():
    return Random(0)


@given(
    unit=st.integers(1, 40),
    fixed=st.integers(0, 500),
    bump=st.integers(0, 39),
    room=st.integers(100, 100_000),
)
def test_the_largest_size_that_fits_is_found(unit, fixed, bump, room):
    def tokens(size):  # grows with the size, not evenly
        return fixed + unit * size + bump * (size // 7)

    lines, probes = Lines(tokens), []

    def count(text):
        probes.append(int(text))
        return int(text)

    if tokens(2) > room:
        with pytest.raises(UserError, match=f"the smallest prompt has {tokens(2)} tokens, but"):
            largest_size(lines, seeded, count, room)
        return
    size = largest_size(lines, seeded, count, room)
    assert tokens(size) <= room < tokens(size + 1)
    assert len(probes) < 60


def test_words_that_do_not_suffice_are_said():
    with pytest.raises(UserError, match="needs more than the 50 different ones that there are"):
        largest_size(Lines(lambda size: size, largest=50), seeded, int, 100)
    assert largest_size(Lines(lambda size: 2 * size, largest=50), seeded, int, 99) == 49


def test_a_sample_that_came_out_longer_is_made_smaller():
    lines = Lines(lambda size: 10 * size)
    sample, size, tokens = fitting_sample(lines, seeded, int, 1000, 103)
    assert (size, tokens, sample.text) == (100, 1000, "1000")
    with pytest.raises(UserError, match="the smallest prompt has 20 tokens, but there is room for"):
        fitting_sample(lines, seeded, int, 19, 100)
