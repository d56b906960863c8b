"""Prose stays; what repeats itself goes."""

import pytest

PROSE = (
    "Curating text is the patient work of reading what nobody will read again. A filter looks at "
    "one property, such as how often a phrase returns, and decides on that alone.\n\nGood rules "
    "remove noise; better ones leave poetry in place, where refrains come back for a reason."
)


def test_gopher_keeps_prose_and_drops_what_repeats_itself(kept):
    texts = [
        PROSE,
        "",
        "Home\nNews\n" * 4 + PROSE,
        PROSE + "\n\n" + PROSE,
        PROSE + " buy now" * 40,
        PROSE + " a much longer phrase which returns" * 3,
        "\n\n\n",
        "One line.",
        # Two of seven lines are equal, which is 2 / 7; of six it is a third.
        "\n".join([*"aabcdef"]) + PROSE.replace("\n\n", " "),
        "\n".join([*"aabcde"]) + PROSE.replace("\n\n", " "),
    ]
    expected = [True, False, False, False, False, False, False, True, True, False]
    assert kept("massive_web_repetition_filter", texts) == expected


@pytest.mark.parametrize("tokenizer", ["uniseg", "bytes", "cl100k"])
def test_pieces_in_a_row_are_found(kept, tokenizer):
    texts = [PROSE, PROSE + "ha! " * 40 + PROSE, "x" * 20, "", None]
    settings = {"tokenizer_name": tokenizer}
    assert kept("ngram_repetition_filter", texts, **settings) == [True, False, True, True, True]


def test_as_many_times_as_is_said_is_enough(kept):
    texts = ["-ab" * 5, "-ab" * 4, "#" + "-ab" * 5 + "-"]
    settings = {"tokenizer_name": "bytes", "rep_count": 5}
    assert kept("ngram_repetition_filter", texts, **settings) == [False, True, False]
    # Only pieces that start a multiple of three bytes into the text: "b-a" four times.
    settings |= {"skip_offsets": True}
    assert kept("ngram_repetition_filter", texts, **settings) == [False, True, True]
    settings |= {"period_lb": 4}
    assert kept("ngram_repetition_filter", texts, **settings) == [True, True, True]
