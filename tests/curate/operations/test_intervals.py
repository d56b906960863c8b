"""Marked byte ranges are cut out, at boundaries where that is asked for."""

import pyarrow as pa
import pytest

TEXT = "0123456789" * 3


def cut_out(outcome, documents, intervals, texts=None, **settings):
    texts = texts or [TEXT] * len(intervals)
    table = documents(texts, metadata=[{"cut": i} for i in intervals])
    return outcome("interval_filter", table, interval_field="metadata.cut", **settings)


def test_ranges_are_cut_out(outcome, documents):
    result = cut_out(outcome, documents, [[[0, 10], [5, 12]], [[29, 99]], [], None, [[0, 30]]])
    assert result.documents.column("text").to_pylist() == [TEXT[12:], TEXT[:29], TEXT, TEXT, ""]
    assert result.keep.tolist() == [True, True, True, True, False]
    assert result.errors == {}


def test_what_covered_ranges_enclose_is_cut_out(outcome, documents):
    result = cut_out(
        *(outcome, documents, [[[0, 8], [10, 20]]]), fuzzy_merge=True, merge_fuzziness=0.9
    )
    assert result.documents.column("text").to_pylist() == [TEXT[20:]]
    result = cut_out(outcome, documents, [[[0, 8], [10, 20]]])
    assert result.documents.column("text").to_pylist() == ["89" + TEXT[20:]]


def test_what_is_left_may_go_elsewhere(outcome, documents):
    result = cut_out(outcome, documents, [[[0, 20]]], output_text_field="metadata.rest")
    assert result.documents.column("text").to_pylist() == [TEXT]
    assert result.documents.column("metadata.rest").to_pylist() == [TEXT[20:]]


def test_what_is_no_range_is_an_error_of_its_document(outcome, documents):
    result = cut_out(outcome, documents, [[5], [[1, 2]], "text"])
    assert set(result.errors) == {0, 2}
    assert "metadata.cut: 5 is no interval" in result.errors[0]
    assert result.documents.column("text").to_pylist() == [TEXT, TEXT[:1] + TEXT[2:], TEXT]


@pytest.mark.parametrize("kind", [pa.list_(pa.int64()), pa.list_(pa.int64(), 2)])
def test_ranges_may_be_a_column(outcome, documents, kind):
    column = pa.array([[[0, 10]], None], pa.list_(kind))
    table = documents([TEXT, TEXT], metadata__dot__cut=column)
    after = outcome("interval_filter", table, interval_field="metadata.cut").documents
    assert after.column("text").to_pylist() == [TEXT[10:], TEXT]


PAGE = "Some opening words.\n\nThis was copied a lot. So was this.\n\nThe end is its own again."


def repeated(outcome, documents, start, end, **settings):
    table = documents([PAGE], metadata=[{"suffix_array": [[start, end]]}])
    return outcome("sa_byte_modifier", table, **settings)


def test_repeated_ranges_are_cut_at_paragraphs(outcome, documents):
    start, end = PAGE.index("was copied"), PAGE.index("The end")
    result = repeated(
        *(outcome, documents, start, end),
        old_text_key="metadata.old",
        metadata_key="metadata.removed",
        check_width=10,
    )
    after = result.documents
    expected = "Some opening words.\n\nThe end is its own again."
    assert after.column("text").to_pylist() == [expected]
    assert after.column("metadata.old").to_pylist() == [PAGE]
    assert after.column("metadata.removed").to_pylist() == [
        [[PAGE.index("This was"), PAGE.index("The end")]]
    ]
    assert result.keep.tolist() == [True]


def test_repeated_ranges_are_cut_where_they_are_if_nothing_is_checked(outcome, documents):
    off = {"check_paragraph": False, "check_newline": False, "check_sentences": False}
    result = repeated(outcome, documents, 5, 13, **off)
    assert result.documents.column("text").to_pylist() == [PAGE[:5] + PAGE[13:]]
    result = repeated(outcome, documents, 5, 13, **off, proportion_removal=0.05)
    assert result.keep.tolist() == [False]
    result = repeated(outcome, documents, 5, 13, **off, proportion_removal=0.5)
    assert result.keep.tolist() == [True]
    result = repeated(outcome, documents, 5, 13, **off, doc_min_length=len(PAGE) - 7)
    assert result.keep.tolist() == [False]


def test_ranges_that_lie_close_together_are_one(outcome, documents):
    off = {"check_paragraph": False, "check_newline": False, "check_sentences": False}
    table = documents([TEXT], metadata=[{"suffix_array": [[0, 5], [8, 10]]}])
    for gap, expected in ((3, TEXT[10:]), (2, TEXT[5:8] + TEXT[10:])):
        after = outcome("sa_byte_modifier", table, gap_width=gap, **off).documents
        assert after.column("text").to_pylist() == [expected]
