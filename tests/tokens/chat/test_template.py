"""Chat templates: our rendering is transformers', and the published variants say what they say."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from olmoflow.errors import UserError
from olmoflow.tokens.chat.conversation import Message
from olmoflow.tokens.chat.template import (
    ChatTemplate,
    load_template,
    own_template,
    template_names,
)
from olmoflow.tokens.tokenizer import Tokenizer

TOOLS = [{"type": "function", "function": {"name": "add", "description": "a <b> & 'ö'"}}]
ASKED = [Message("user", "Two and two?")]
ANSWERED = [*ASKED, Message("assistant", "<think>Easy.</think>Four.")]
CALLED = [
    Message("system", "Help.", functions="[add]"),
    *ASKED,
    Message("assistant", "Let me see.", function_calls="add(a=2, b=2)"),
    Message("environment", "4"),
    Message("assistant", "Four."),
]
# The published texts, written out: system prompts are part of what the models were trained on.
NONE = "You do not currently have access to any functions. <functions></functions>"
OLMO = (
    "You are Olmo, a helpful AI assistant built by Ai2. Your date cutoff is December 2024, and your"
    " model weights are available at https://huggingface.co/allenai."
)
QUESTION = "<|im_start|>user\nTwo and two?<|im_end|>\n<|im_start|>assistant\n"
REST = (
    "<|im_end|>\n" + QUESTION + "Let me see.<function_calls>add(a=2, b=2)</function_calls>"
    "<|im_end|>\n<|im_start|>environment\n4<|im_end|>\n<|im_start|>assistant\nFour.<|endoftext|>"
)
STEPS = (
    "Solve the following problem step by step. The last line of your response should be the answer "
    "to the problem in form Answer: $Answer (without quotes) where $Answer is the answer to the "
    'problem.\n\nTwo and two?\n\nRemember to put your answer on its own line after "Answer:"'
)


@pytest.fixture(scope="module")
def transformers_tokenizer(room):
    return PreTrainedTokenizerFast(
        tokenizer_object=room.opened.backend, eos_token="<|endoftext|>", pad_token="<|pad|>"
    )


@pytest.mark.parametrize("name", template_names())
@settings(max_examples=60)
@given(data=st.data())
def test_we_render_what_transformers_renders(name, data, conversations, transformers_tokenizer):
    template = load_template(name)
    messages = data.draw(conversations)
    prompt, tools = data.draw(st.booleans()), data.draw(st.sampled_from([None, [], TOOLS]))
    assert template.render(messages, prompt, tools) == transformers_tokenizer.apply_chat_template(
        [message.as_dict() for message in messages],
        chat_template=template.source,
        add_generation_prompt=prompt,
        tools=tools,
        tokenize=False,
    )


@pytest.mark.parametrize(
    ("name", "system", "thought"),
    [
        ("think", "You are a helpful AI assistant.", "<think>"),
        ("think_sft_32b", "You are a helpful AI assistant.", ""),
        ("think_sft_7b", OLMO, ""),
        ("instruct", f"You are a helpful function-calling AI assistant. {NONE}", ""),
    ],
)
def test_without_a_system_turn_the_published_one_is_there(name, system, thought):
    template, start = load_template(name), f"<|im_start|>system\n{system}<|im_end|>\n{QUESTION}"
    assert template.render(ASKED, add_generation_prompt=True) == start + thought
    assert template.render(ANSWERED) == f"{start}<think>Easy.</think>Four.<|endoftext|>"


@pytest.mark.parametrize("name", ["think", "think_sft_7b", "think_sft_32b", "instruct"])
def test_functions_are_called_and_the_environment_answers(name):
    system = "<|im_start|>system\nHelp. <functions>[add]</functions>"
    assert load_template(name).render(CALLED) == system + REST


def test_functions_stand_as_each_variant_writes_them():
    system = [Message("system", "Help."), *ASKED]
    start = "<|im_start|>system\nHelp."
    assert load_template("think").render(system).startswith(f"{start} {NONE}<|im_end|>")
    assert load_template("instruct").render(system).startswith(f"{start}<|im_end|>")
    user = [Message("user", "Add.", functions="[add]")]
    assert "Add.\n<functions>[add]</functions><|im_end|>" in load_template("think").render(user)
    instruct = load_template("instruct").render(ASKED, tools=TOOLS)
    assert "Do not make assumptions about what values to plug into functions.<functions>[{" in (
        instruct
    )
    assert "a <b> & 'ö'" in instruct


def test_marks_for_training_change_nothing(transformers_tokenizer):
    source = (
        "{% for m in messages %}\n  {% generation %}\n{{ m.content }}\n  {% endgeneration %}\n"
        "{% if loop.index > 1 %}{% break %}{% endif %}\n{% endfor %}"
        "{{ strftime_now('%Y') | length }}"
    )
    assert ChatTemplate("marked", source).render(
        ANSWERED
    ) == transformers_tokenizer.apply_chat_template(
        [message.as_dict() for message in ANSWERED], chat_template=source, tokenize=False
    )


def test_rl_zero_asks_in_plain_text():
    assert load_template("rl_zero_math").render(ASKED, add_generation_prompt=True) == STEPS
    code = load_template("rl_zero_code").render(ASKED, add_generation_prompt=True)
    fence = "```\npython\nCODE\n```"
    assert code.endswith(f"\n\nTwo and two?\nRemember to put your solution inside the {fence} tags")
    assert f"in form {fence} where CODE is the solution for the problem.\n\n" in code


def test_a_template_of_ones_own_is_a_file(tmp_path):
    path = tmp_path / "mine.jinja"
    path.write_text(
        "{% for m in messages %}{{ m.role }}: {{ m.content }}{{ eos_token }}{% endfor %}"
    )
    assert load_template(str(path)).render(ASKED) == "user: Two and two?<|endoftext|>"
    path.write_text("{% for m in messages %}\n{{ m.role }\n{% endfor %}")
    with pytest.raises(UserError, match=r"mine\.jinja: line 2: "):
        load_template(str(path))
    with pytest.raises(UserError, match="No such file or directory; expected a file of Jinja"):
        load_template(str(tmp_path / "other.jinja"))


def test_an_unknown_name_lists_the_known():
    with pytest.raises(UserError, match="template=olmo123: expected one of instruct, "):
        load_template("olmo123")


def test_a_tokenizer_without_the_tokens_is_named(room):
    config, backend = (
        room.opened.config,
        type(room.opened.backend).from_str(
            room.opened.backend.to_str().replace("<functions>", "<elsewhere>")
        ),
    )
    tokenizer = Tokenizer(backend, config, "old")
    load_template("think").check(tokenizer)
    with pytest.raises(UserError, match="template instruct: the tokenizer old has no <functions>;"):
        load_template("instruct").check(tokenizer)
    with pytest.raises(UserError, match="old: has no chat template"):
        own_template(tokenizer)


def test_a_template_stays_in_its_sandbox(room):
    escape = "{{ messages.__class__.__mro__[1].__subclasses__() }}"
    with pytest.raises(UserError, match="unsafe"):
        ChatTemplate("escape", escape).render(ASKED)
    with pytest.raises(UserError, match="template strict: user first"):
        ChatTemplate("strict", "{{ raise_exception('user first') }}").render(ASKED)
