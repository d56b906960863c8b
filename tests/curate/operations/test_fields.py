"""Fields compared, renamed and noted, whether columns or within the JSON."""

import json

import pyarrow as pa
import pytest


def test_numbers_are_bounded(outcome, documents):
    metadata = [{"score": 0.5}, {"score": 2}, {}, {"score": None}]
    table = documents(["t"] * 4, metadata=metadata)
    settings = {"float_field": "metadata.score", "lower_bound": 0.5, "upper_bound": 1}
    assert outcome("float_filter", table, **settings).keep.tolist() == [True, False, False, False]
    settings |= {"negate": True}
    assert outcome("float_filter", table, **settings).keep.tolist() == [False, True, True, True]
    settings = {"float_field": "metadata.score", "lower_bound": 0.6, "default": 0.6}
    assert outcome("float_filter", table, **settings).keep.tolist() == [False, True, True, True]


def test_what_is_no_number_is_an_error_of_its_document(outcome, documents):
    table = documents(["t"] * 3, metadata=[{"score": "0.7"}, {"score": 1}, {"score": True}])
    result = outcome("float_filter", table, float_field="metadata.score")
    assert result.errors == {
        0: "metadata.score: '0.7' is no number",
        2: "metadata.score: True is no number",
    }


@pytest.mark.parametrize("kind", [pa.float32(), pa.float64()])
def test_numbers_are_compared_in_single_precision(outcome, documents, kind):
    scores = pa.array([0.65, 0.65 - 1e-9, 0.65 - 1e-6], kind)
    table = documents(["t"] * 3, metadata__dot__score=scores)
    settings = {"float_field": "metadata.score", "lower_bound": 0.65}
    assert outcome("float_filter", table, **settings).keep.tolist() == [True, True, False]


def test_a_column_of_numbers_is_taken_before_the_json(outcome, documents):
    table = documents(["t"] * 2, metadata=[{"n": 9}, {"n": 9}], metadata__dot__n=[1, None])
    settings = {"float_field": "metadata.n", "lower_bound": 1}
    assert outcome("float_filter", table, **settings).keep.tolist() == [True, False]


def test_strings_are_compared(outcome, documents):
    table = documents(["t"] * 3, metadata=[{"lang": "en"}, {"lang": "de"}, {}])
    settings = {"str_field": "metadata.lang", "eq": "en"}
    assert outcome("string_eq_filter", table, **settings).keep.tolist() == [True, False, False]
    settings |= {"keep_matches": False}
    assert outcome("string_eq_filter", table, **settings).keep.tolist() == [False, True, True]


def test_texts_are_searched_by_a_regular_expression(kept):
    texts = ["lorem ipsum", "Lorem", "", None]
    settings = {"regex_string": "(?i)lorem i"}
    assert kept("regex_text_filter", texts, **settings) == [False, True, True, True]
    settings |= {"remove_matches": False}
    assert kept("regex_text_filter", texts, **settings) == [True, False, False, False]


def test_fields_are_renamed(outcome, documents):
    table = documents(
        ["a", "b"], metadata=[{"x": 1}, {}], s__dot__en=[0.5, None], s__dot__de=[1.0, 2]
    )
    after = outcome("rename_modifier", table, old_field="s", new_field="metadata.lang").documents
    assert after.column("metadata.lang.en").to_pylist() == [0.5, None]
    assert "s.en" not in after.column_names
    assert "metadata.lang" not in after.column_names
    after = outcome("rename_modifier", table, old_field="metadata.x", new_field="y").documents
    assert after.column("y").to_pylist() == [1, None]
    # The columns that every document has stay.
    after = outcome("rename_modifier", table, old_field="text", new_field="old").documents
    assert after.column("old").to_pylist() == ["a", "b"]
    assert after.column("text").to_pylist() == [None, None]
    after = outcome("rename_modifier", table, old_field="id", new_field="url").documents
    assert after.column("url").to_pylist() == ["d0", "d1"]


@pytest.mark.parametrize("value", [1, "x", {"a": 0.5}, [[0, 3]]])
def test_what_stands_in_the_json_alone_is_renamed_there(outcome, documents, value):
    table = documents(["a", "b"], metadata=[{"in": {"x.y": value}, "z": 2}, {"z": 3}])
    settings = {"old_field": "metadata.in.x.y", "new_field": "metadata.new.v"}
    after = outcome("rename_modifier", table, **settings).documents
    assert list(map(json.loads, after.column("metadata").to_pylist())) == [
        {"in": {}, "z": 2, "new": {"v": value}},
        {"z": 3},
    ]
    after = outcome("rename_modifier", table, old_field="metadata.z", new_field="z").documents
    assert after.column("z").to_pylist() == [2, 3]
    assert "z" not in json.loads(after.column("metadata")[0].as_py())


@pytest.mark.parametrize("value", ["web", 3, 0.5, True])
def test_a_constant_is_noted(outcome, value):
    after = outcome("constant_annotator", ["a", "b"], key="metadata.kind", value=value).documents
    assert after.column("metadata.kind").to_pylist() == [value, value]
    assert outcome("constant_annotator", [], key="k", value=value).documents.num_rows == 0


@pytest.mark.parametrize("as_columns", [True, False])
def test_the_highest_score_is_noted_by_its_name(outcome, documents, as_columns):
    scores = [{"a": 0.2, "b": 0.7}, {"a": 0.4}, {}, {"a": 0.5, "b": 0.1}]
    if as_columns:
        columns = {
            f"metadata__dot__topic__dot__{key}": pa.array(
                [s.get(key) for s in scores], pa.float32()
            )
            for key in "ab"
        }
        table = documents(["t"] * 4, **columns)
    else:
        table = documents(["t"] * 4, metadata=[{"topic": s} for s in scores])
    settings = {"main_attribute": "metadata.topic", "output_attribute": "metadata.best"}
    result = outcome("max_extractor", table, **settings)
    assert result.documents.column("metadata.best").to_pylist() == ["b", "a", None, "a"]
    assert result.keep is None
    settings |= {"lower_bound": 0.45, "keep_nulls": False}
    result = outcome("max_extractor", table, **settings)
    assert result.documents.column("metadata.best").to_pylist() == ["b", None, None, "a"]
    assert result.keep.tolist() == [True, False, False, True]


def test_of_equal_scores_the_last_name_is_noted_and_what_was_there_stays(outcome, documents):
    scores = [{"c": 0.5, "a": 0.5}, {"a": -0.1}]
    metadata = [{"topic": s, "best": "old"} for s in scores]
    settings = {"main_attribute": "metadata.topic", "output_attribute": "metadata.best"}
    after = outcome("max_extractor", documents(["t"] * 2, metadata=metadata), **settings)
    assert after.documents.column("metadata.best").to_pylist() == ["c", "old"]


def test_the_highest_attribute_with_a_prefix_is_noted(outcome, documents):
    attributes = [
        {"topic__Art": [[0, 9, 0.2]], "topic__War": [[0, 9, 0.9]], "size": [[0, 9, 99.0]]},
        {"topic__Art": [[0, 4, -0.5], [4, 9, 0.3]]},
        {"topic__War": [[0.5]], "topic__Art": 0.5},
        {"topic__Art": -1},
        {},
    ]
    table = documents(["t"] * 5, metadata=[{"attributes": a} for a in attributes])
    settings = {"prefix": "topic__", "output_attribute": "metadata.topic"}
    after = outcome("dd_max_getter", table, **settings).documents
    assert after.column("metadata.topic").to_pylist() == [
        *("topic__War", "topic__Art", "topic__Art", "null", "null")
    ]
