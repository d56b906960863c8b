"""``olmoflow generate``: samples, stop texts, and what is streamed."""

import pytest

from olmoflow.commands.main import main

PROMPT = "the quick brown"
ASK = ["generate", "checkpoint=spoken", "max_new_tokens=30", "runtime.accelerator=cpu"]


@pytest.fixture
def ask(tiny, capfd):
    """Asks a model that is trained once; ``text=True`` gives what people see."""
    tiny("train", "shards=s", *tiny.settings, "name=spoken")

    def ask(*arguments, text=False, status=0):
        if not text:
            return tiny(*ASK, *arguments, status=status)
        capfd.readouterr()
        assert main([*ASK, *arguments]) == status
        return capfd.readouterr().out

    return ask


def test_several_samples_of_a_prompt(ask):
    result = ask(f"prompt={PROMPT}", "n=3", "seed=4")
    assert {"prompt_ids", "token_ids", "text", "logprobs", "finish_reason"} <= set(result)
    assert len({tuple(sample["token_ids"]) for sample in result["samples"]}) == 3
    first = result["samples"][0]
    assert first == {key: result[key] for key in first}
    # A sample does not depend on how many there are.
    assert ask(f"prompt={PROMPT}", "seed=4")["token_ids"] == first["token_ids"]


def test_a_stop_text_is_never_shown(ask):
    whole = ask(f"prompt={PROMPT}", "seed=1")["text"]
    stop = whole[12:14]
    settings = [f"prompt={PROMPT}", "seed=1", f"stop=['{stop}']"]
    result = ask(*settings)
    assert result["finish_reason"] == "stop"
    assert result["text"] == whole.partition(stop)[0]
    assert ask(*settings, text=True) == PROMPT + result["text"] + "\n"


def test_a_chat_needs_a_template(ask):
    asked = ask(f"prompt={PROMPT}", "chat=true", status=2)
    assert "has no chat template; expected a model that was trained on conversations" in asked
    assert "expected prompt=" in ask("prompt_ids=[1]", "chat=true", status=2)


def test_packed_weights(ask):
    assert len(ask(f"prompt={PROMPT}", "quantize=int8", "stop_at_eos=false")["token_ids"]) == 30


def test_mistakes_are_named(ask):
    assert "n=0: expected at least 1" in ask(f"prompt={PROMPT}", "n=0", status=2)
    assert "quantize=int3: expected one of" in ask(f"prompt={PROMPT}", "quantize=int3", status=2)
    assert "stop=['']: expected texts" in ask(f"prompt={PROMPT}", "stop=['']", status=2)
