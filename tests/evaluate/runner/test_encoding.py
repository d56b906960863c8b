"""How a task's texts become token ids: the pair encoding of OLMES and lm-eval, BOS, truncation."""

import json

import pytest
from tokenizers.processors import TemplateProcessing

from olmoflow.errors import UserError
from olmoflow.evaluate.runner.encoding import RequestEncoder, TooLong
from olmoflow.evaluate.tasks.task import GenerateRequest, LoglikelihoodRequest
from olmoflow.tokens.chat.template import load_template
from olmoflow.tokens.tokenizer import Tokenizer, load_tokenizer


def encode(tokenizer, request, max_length=512, **settings):
    (encoded,) = RequestEncoder(tokenizer, max_length, **settings).encode([(request, "t/0")])
    return encoded


@pytest.mark.parametrize(
    ("context", "continuation"),
    [("The sky is", " blue"), ("The sky is ", "blue"), ("Two and two are\n", "four"), ("a  ", "b")],
)
def test_spaces_go_to_the_continuation_and_both_are_encoded_in_one_piece(
    tokenizer, context, continuation
):
    encoded = encode(tokenizer, LoglikelihoodRequest(context, continuation))
    stripped = tokenizer.encode(context.rstrip())
    whole = tokenizer.encode(context + continuation)
    assert encoded.request.context_ids == whole[: len(stripped)]
    assert encoded.request.continuation_ids == whole[len(stripped) :]
    assert (encoded.tokens, encoded.truncated) == (len(whole), 0)


def test_an_empty_context_is_the_end_of_document_token(tokenizer):
    encoded = encode(tokenizer, LoglikelihoodRequest("", " Once upon"))
    assert encoded.request.context_ids == [tokenizer.eos_id]
    assert encoded.request.continuation_ids == tokenizer.encode(" Once upon")


def test_a_context_that_does_not_fit_loses_its_beginning(tokenizer):
    request = LoglikelihoodRequest("The sky on a clear day is", " blue")
    whole = encode(tokenizer, request)
    continuation = whole.request.continuation_ids
    short = encode(tokenizer, request, max_length=whole.tokens - 3)
    assert short.truncated == 3
    assert short.request.context_ids == whole.request.context_ids[3:]
    assert short.request.continuation_ids == continuation
    least = encode(tokenizer, request, max_length=len(continuation) + 1)
    assert len(least.request.context_ids) == 1
    too_long = encode(tokenizer, request, max_length=len(continuation))
    assert isinstance(too_long, TooLong)
    assert f"a continuation of {len(continuation)} tokens" in too_long.reason


def test_a_prompt_leaves_room_for_its_answer(tokenizer):
    request = GenerateRequest("The sky on a clear day is", ("\n\n",), 8)
    prompt = tokenizer.encode(request.context)
    encoded = encode(tokenizer, request, max_length=8 + 4)
    assert encoded.request.prompt_ids == prompt[-4:]
    assert encoded.truncated == len(prompt) - 4
    assert "an answer of up to 8 tokens" in encode(tokenizer, request, max_length=8).reason


def test_bos_begins_a_text_only_where_the_tokenizer_puts_one(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    config["bos_token"] = config["pad_token"]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    named = load_tokenizer(tmp_path)
    assert named.bos_id is None  # it has such a token, but no text of its begins with it
    named.backend.post_processor = TemplateProcessing(
        single="<|pad|> $A", special_tokens=[("<|pad|>", named.pad_id)]
    )
    named.backend.save(str(tmp_path / "tokenizer.json"))
    prepends = load_tokenizer(tmp_path)
    assert prepends.bos_id == named.pad_id
    encoded = encode(prepends, LoglikelihoodRequest("The sky", " blue"))
    assert encoded.request.context_ids == [prepends.bos_id, *tokenizer.encode("The sky")]
    prompt = encode(prepends, GenerateRequest("The sky", (), 4)).request.prompt_ids
    assert prompt == [prepends.bos_id, *tokenizer.encode("The sky")]


def test_a_stop_text_that_is_a_special_token_stops_by_its_id(tokenizer):
    request = GenerateRequest("The sky", ("<|pad|>", "\n\n"), 4)
    encoded = encode(tokenizer, request).request
    assert encoded.stop_ids == {tokenizer.eos_id, tokenizer.pad_id}
    assert encoded.stop_texts == ("\n\n",)


def test_what_is_sampled_depends_on_the_question_and_the_seed(tokenizer):
    request = GenerateRequest("The sky", (), 4, temperature=1.0)
    encoder = RequestEncoder(tokenizer, 512, seed=3)
    seeds = [e.request.seed for e in encoder.encode([(request, "t/0"), (request, "t/1")])]
    assert seeds[0] != seeds[1]
    assert encode(tokenizer, request, seed=3).request.seed == seeds[0]
    assert encode(tokenizer, request, seed=4).request.seed != seeds[0]


def test_a_question_in_chat_format_goes_into_the_models_own_template(tokenizer):
    turn = "<|user|>{{ message['content'] }}<|end|>"
    template = "{% for message in messages %}" + turn + "{% endfor %}"
    template += "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    config = {**tokenizer.config, "chat_template": template}
    speaks = Tokenizer(tokenizer.backend, config, "speaks")
    request = GenerateRequest("Two and two are", (), 4, chat=True)
    expected = tokenizer.encode("<|user|>Two and two are<|end|><|assistant|>")
    assert encode(speaks, request).request.prompt_ids == expected
    with pytest.raises(UserError, match="has no chat template"):
        encode(tokenizer, request)


def test_an_answer_in_chat_format_ends_with_its_turn(tokenizer):
    template = load_template("think_sft_32b").source
    speaks = Tokenizer(tokenizer.backend, {**tokenizer.config, "chat_template": template}, "speaks")
    for chat in (True, False):
        encoded = encode(speaks, GenerateRequest("Two and two are", (), 4, chat=chat)).request
        assert (tokenizer.special_id("<|im_end|>") in encoded.stop_ids) == chat
        assert tokenizer.eos_id in encoded.stop_ids
