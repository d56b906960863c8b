"""Accuracies and bits per byte on numbers that can be checked by hand."""

import math

import pytest

from olmoflow.evaluate.metrics.likelihood import Choice, bits_per_byte, choice_metrics


def test_each_normalisation_divides_by_its_own_length():
    """Lengths with the leading space: 3, 5 and 9 characters; é takes two bytes."""
    choices = [
        Choice(" ab", -3.0, 1, -1.0),
        Choice(" éééé", -4.0, 2, -9.0),
        Choice(" abcdefgh", -6.0, 8, -2.0),
    ]
    found = [choice_metrics(choices, gold) for gold in range(3)]

    def right(metric):
        return [scores[metric] for scores in found]

    assert right("acc_raw") == [1.0, 0.0, 0.0]  # -3, -4, -6
    assert right("acc_per_token") == [0.0, 0.0, 1.0]  # -3, -2, -0.75
    assert right("acc_per_char") == [0.0, 0.0, 1.0]  # -1, -0.8, -0.667
    assert right("acc_per_byte") == [0.0, 1.0, 0.0]  # -3/3, -4/9, -6/9
    assert right("acc_uncond") == [0.0, 1.0, 0.0]  # -2, 5, -4
    assert right("sum_logits_corr") == [-3.0, -4.0, -6.0]
    assert right("logits_per_token_corr") == [-3.0, -2.0, -0.75]
    assert right("logits_per_char_corr") == pytest.approx([-1.0, -0.8, -2 / 3])
    assert right("bits_per_byte_corr") == pytest.approx(
        [v / math.log(2) for v in (1.0, 4 / 9, 6 / 9)]
    )


def test_bits_per_byte_is_that_of_a_uniform_model_of_bytes():
    assert bits_per_byte(-5 * math.log(256), " äbc") == pytest.approx(8.0)


def test_of_equal_choices_the_first_is_taken():
    choices = [Choice(" a", -2.0, 1), Choice(" b", -2.0, 1)]
    assert [choice_metrics(choices, gold)["acc_raw"] for gold in (0, 1)] == [1.0, 0.0]


def test_without_unconditional_likelihoods_there_is_no_such_accuracy():
    choices = [Choice(" a", -2.0, 1, -1.0), Choice(" b", -3.0, 1)]
    assert "acc_uncond" not in choice_metrics(choices, 0)
