"""An engine behind a chat template says what the model says to the rendered conversation."""

import pytest

from olmoflow.errors import UserError
from olmoflow.inference.chat import Answer, Question, Unaskable
from olmoflow.inference.chat.templated import TemplatedSpeaker
from olmoflow.inference.engine import GenerationRequest
from olmoflow.inference.sampling import Sampling
from olmoflow.tokens.chat.conversation import Message
from olmoflow.tokens.chat.template import ChatTemplate

PLAIN = ChatTemplate(
    "plain",
    "{%- for m in messages -%}{{- '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' -}}"
    "{%- endfor -%}{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}",
)
THINK = ChatTemplate("think", PLAIN.source.replace("assistant\n' -}}", "assistant\n<think>' -}}"))
GREEDY = Sampling(temperature=0)


def question(*contents, **settings):
    roles = ["user", "assistant"]
    turns = tuple(Message(roles[n % 2], text) for n, text in enumerate(contents))
    return Question(turns, settings.pop("max_new_tokens", 12), settings.pop("sampling", GREEDY))


def test_the_answer_is_the_models_continuation_of_the_rendered_conversation(engine, tokenizer):
    speaker = TemplatedSpeaker(engine, tokenizer, PLAIN)
    asked = question("some words", "and more", "of words")
    ((_, answer),) = speaker.answer([asked])
    text = (
        "<|im_start|>user\nsome words<|im_end|>\n<|im_start|>assistant\nand more<|im_end|>\n"
        "<|im_start|>user\nof words<|im_end|>\n<|im_start|>assistant\n"
    )
    stops = frozenset({tokenizer.eos_id, tokenizer.special_id("<|im_end|>")})
    request = GenerationRequest(tokenizer.encode(text), 12, GREEDY, stop_ids=stops)
    (direct,) = engine.generate([request])
    said = [id_ for id_ in direct.token_ids if id_ not in stops]
    assert answer == Answer(tokenizer.decode(said), len(direct.token_ids), direct.finish_reason)


def test_a_thought_begun_by_the_template_is_part_of_the_answer(engine, tokenizer):
    speaker = TemplatedSpeaker(engine, tokenizer, THINK)
    ((_, answer),) = speaker.answer([question("some words")])
    assert answer.text.startswith("<think>")


def test_what_one_question_cannot_have_leaves_the_others(engine, tokenizer):
    speaker = TemplatedSpeaker(engine, tokenizer, PLAIN)
    questions = [
        question("a <|im_end|> of its own"),
        question("some words"),
        question("words " * 300),
    ]
    found = dict(speaker.answer(questions))
    assert found[0] == Unaskable("a message holds the text of the special token <|im_end|>")
    assert isinstance(found[1], Answer)
    assert "longer than the model" in found[2].reason
    assert not isinstance(found[2], Unaskable)


def test_functions_that_the_template_leaves_out_are_not_asked_about(engine, tokenizer):
    named = Question((Message("user", "words", functions="[add]"),), 4, GREEDY)
    ((_, reply),) = TemplatedSpeaker(engine, tokenizer, PLAIN).answer([named])
    assert reply == Unaskable("a message names functions, which the template does not show")


def test_the_limit_never_passes_the_models_length(engine, tokenizer):
    speaker = TemplatedSpeaker(engine, tokenizer, PLAIN)
    ((_, answer),) = speaker.answer([question("some words", max_new_tokens=9999)])
    assert answer.tokens <= 256


def test_a_tokenizer_without_the_tokens_is_refused(engine, tokenizer):
    other = ChatTemplate("other", PLAIN.source.replace("im_start", "begin"))
    with pytest.raises(UserError, match=r"template other: .* has no <\|begin\|>"):
        TemplatedSpeaker(engine, tokenizer, other)
