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
    result = cut_out(outcome, documents, [[[0, 20]], None], output_text_field="metadata.rest")
    assert result.documents.column("text").to_pylist() == [TEXT, TEXT]
    assert result.documents.column("metadata.rest").to_pylist() == [TEXT[20:], None]


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


def test_repeated_ranges_are_cut_at_the_nearest_marks(outcome, documents):
    start, end = PAGE.index("was copied"), PAGE.index("The end") + 3
    result = repeated(
        *(outcome, documents, start, end),
        old_text_key="metadata.old",
        metadata_key="metadata.removed",
        check_width=10,
    )
    after = result.documents
    # The second of two newlines is cut off before "This", and stays before "The".
    expected = "Some opening words.\n\nThe end is its own again."
    assert after.column("text").to_pylist() == [expected]
    assert after.column("metadata.old").to_pylist() == [PAGE]
    figures = {
        "intervals_before_merge": 1,
        "intervals_after_merge": 1,
        "bytes_to_remove_before": end - start,
        "bytes_to_remove_after": PAGE.index("\nThe end") - 20,
        "original_bytes": len(PAGE),
        "remaining_bytes": len(PAGE) - (PAGE.index("\nThe end") - 20),
        "coherent_interval_mods": 1,
    }
    for name, value in figures.items():
        assert after.column(f"metadata.removed.{name}").to_pylist() == [value], name
    assert result.keep.tolist() == [True]


OFF = {"check_paragraph": False, "check_newline": False, "check_sentences": False, "check_width": 0}


def test_repeated_ranges_are_cut_where_they_are_if_nothing_is_searched(outcome, documents):
    result = repeated(outcome, documents, 5, 13, **OFF)
    assert result.documents.column("text").to_pylist() == [PAGE[:5] + PAGE[13:]]
    # The share is the least that must be left.
    share = (len(PAGE) - 8) / len(PAGE)
    result = repeated(outcome, documents, 5, 13, **OFF, proportion_removal=share)
    assert result.keep.tolist() == [True]
    result = repeated(outcome, documents, 5, 13, **OFF, proportion_removal=share + 0.01)
    assert result.keep.tolist() == [False]
    result = repeated(outcome, documents, 5, 13, **OFF, doc_min_length=len(PAGE) - 7)
    assert result.keep.tolist() == [False]


def test_without_ranges_a_document_stays_as_it_is(outcome, documents):
    table = documents([PAGE, PAGE], metadata=[{}, {"suffix_array": []}])
    settings = {
        "doc_min_length": 1000,
        "old_text_key": "metadata.old",
        "metadata_key": "metadata.k",
    }
    result = outcome("sa_byte_modifier", table, **settings)
    assert result.keep.tolist() == [True, True]
    assert result.documents.column("text").to_pylist() == [PAGE, PAGE]
    assert result.documents.column("metadata.old").to_pylist() == [None, None]
    assert result.documents.column("metadata.k.original_bytes").to_pylist() == [None, None]


def test_ranges_that_lie_close_together_are_one(outcome, documents):
    table = documents([TEXT], metadata=[{"suffix_array": [[0, 5], [8, 10]]}])
    for gap, expected in ((3, TEXT[10:]), (2, TEXT[5:8] + TEXT[10:])):
        after = outcome("sa_byte_modifier", table, gap_width=gap, **OFF).documents
        assert after.column("text").to_pylist() == [expected]
