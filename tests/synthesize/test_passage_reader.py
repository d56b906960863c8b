"""A corpus is counted first and then taken, the same each time."""

import json

import pytest

from olmoflow.errors import UserError
from olmoflow.synthesize.passage_reader import PassageReader
from olmoflow.synthesize.passages import Cutter


@pytest.fixture
def read(tmp_path):
    """``read(…)``: the survey of fifty documents, and the ids of those that are taken."""
    rows = [{"id": f"d{n}", "text": f"this is text number {n}"} for n in range(50)]
    (tmp_path / "web.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def reads(**settings):
        told = []
        reader = PassageReader(tmp_path, Cutter(max_characters=100), seed=3, **settings)
        survey = reader.survey(tmp_path / "work", lambda *at: told.append(at))
        assert told[-1] == ((tmp_path / "web.jsonl").stat().st_size,) * 2
        return survey, [p.document.id for p in reader.passages(survey.highest)]

    return reads


def test_a_larger_limit_takes_the_same_and_more(read):
    (few, some), (_, more) = read(limit=10), read(limit=20)
    assert few.count.over_limit == 40
    assert len(some) == 10
    assert set(some) < set(more)
    assert some == [each for each in more if each in some]


@pytest.mark.parametrize("limit", [None, 99])
def test_without_a_limit_that_matters_all_are_taken(read, limit):
    survey, taken = read(limit=limit)
    assert survey.count.passages == len(taken) == 50
    assert survey.count.over_limit == 0


def test_a_corpus_without_passages_is_refused(read):
    with pytest.raises(UserError, match="none of 50 documents has a passage"):
        read(min_characters=99)
