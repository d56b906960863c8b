"""Which prompts are read for which continuations, and what is made of the answers."""

import pytest

from olmoflow.errors import UserError
from olmoflow.inference.engine import Score, ScoreRequest
from olmoflow.inference.vllm.answers import Generated
from olmoflow.inference.vllm.score import readings, scores


def answer(tokens, prompt=None):
    """Log-probabilities of the tokens that may follow, the sampled one first, and of the prompt."""
    top = [{"token_id": token, "logprob": value} for token, value in tokens]
    content = [{**top[0], "top_logprobs": top}]
    choice = {"token_ids": [tokens[0][0]], "finish_reason": "length"}
    choice["logprobs"] = {"content": content}
    return Generated.model_validate({"choices": [choice], "prompt_logprobs": prompt})


def test_letters_of_one_question_are_one_reading():
    requests = [ScoreRequest([1, 2, 3], [letter]) for letter in (7, 8, 9, 7)]
    (reading,) = readings(requests)
    assert (reading.prompt, reading.start) == ((1, 2, 3), 3)
    assert "prompt_logprobs" not in reading.parameters()
    found = dict(scores(reading, answer([(5, -0.1), (7, -2.0), (8, -3.0), (9, -4.0)])))
    assert [found[number].logprobs for number in range(4)] == [[-2.0], [-3.0], [-4.0], [-2.0]]
    assert not any(score.greedy for score in found.values())


def test_many_letters_are_several_readings():
    found = readings([ScoreRequest([1], [i]) for i in range(40)])
    assert [len(reading.last) for reading in found] == [16, 16, 8]
    for reading in found:
        sent = reading.parameters()
        assert sent["logprobs"] == len(sent["logprob_token_ids"]) <= 20


def test_longer_continuations_are_part_of_the_prompt():
    requests = [ScoreRequest([1, 2], [3, 4]), ScoreRequest([1, 2], [3, 5]), ScoreRequest([1], [2])]
    pair, single = readings(requests)
    assert (pair.prompt, pair.start, pair.last) == ((1, 2, 3), 2, {4: [0], 5: [1]})
    assert pair.parameters()["prompt_logprobs"] == 1
    places = [None, {"2": {"logprob": -9.0}}, {"3": {"logprob": -0.7}, "8": {"logprob": -0.7}}]
    found = dict(scores(pair, answer([(4, -0.2), (5, -1.2)], places)))
    # 3 is as likely as 8: in bfloat16 that happens, and both are the likeliest.
    assert found == {0: Score([-0.7, -0.2], True), 1: Score([-0.7, -1.2], False)}
    assert (single.prompt, single.last) == ((1,), {2: [2]})


def test_the_same_text_split_elsewhere_is_another_reading():
    """Contexts of other lengths want other places of the prompt."""
    assert len(readings([ScoreRequest([1, 2], [3, 4]), ScoreRequest([1], [2, 3, 4])])) == 2


def test_a_missing_log_probability_is_an_error():
    (reading,) = readings([ScoreRequest([1, 2], [3, 4])])
    for incomplete in (
        answer([(4, -0.2)]),
        answer([(5, -0.2)], [None, None, {"3": {"logprob": 0}}]),
    ):
        with pytest.raises(UserError, match="request 0: the server left out a log-probability"):
            list(scores(reading, incomplete))


def test_nan_is_an_error_and_no_small_number():
    (reading,) = readings([ScoreRequest([1], [4])])
    with pytest.raises(UserError, match="request 0: the served model computes NaN"):
        list(scores(reading, answer([(4, -9999.0)])))
