"""``olmoflow generate``: samples, stop texts, and what is streamed."""

import inspect
from dataclasses import replace

import pytest

from olmoflow.commands.generate import _Stream
from olmoflow.commands.main import main
from olmoflow.tokens.bpe import train_bpe
from olmoflow.tokens.tokenizer import Tokenizer

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


def test_what_is_shown_is_the_text(ask):
    """The token that ends a document is none of it."""
    settings = [f"prompt={PROMPT}", "temperature=1000", "max_new_tokens=400"]
    results = {seed: ask(*settings, f"seed={seed}") for seed in range(4)}
    seed = next(seed for seed, each in results.items() if each["finish_reason"] == "stop")
    shown = ask(*settings, f"seed={seed}", text=True)
    assert shown == PROMPT + results[seed]["text"] + "\n"


def test_each_token_is_decoded_once_or_twice_however_long_the_text(capsys):
    texts = [inspect.getsource(inspect), "naïve – 漢字 " * 40]
    tokenizer = train_bpe(texts, 600)
    decoded = []

    def decode(ids, **options):
        decoded.extend(ids)
        return Tokenizer.decode(tokenizer, ids, **options)

    tokenizer.decode = decode
    ids = [token for text in texts for token in tokenizer.encode(text)]
    stream = _Stream(tokenizer, ids[:10], ("never said \N{SNOWMAN}",))
    for token in ids[10:]:
        stream(0, 0, token)
    stream.finish()
    assert capsys.readouterr().out == "".join(texts)
    assert len(decoded) < 2.5 * len(ids)


def test_a_chat_needs_a_template(ask):
    asked = ask(f"prompt={PROMPT}", "chat=true", status=2)
    assert "has no chat template; expected a model that was trained on conversations" in asked
    assert "expected prompt=" in ask("prompt_ids=[1]", "chat=true", status=2)


def test_packed_weights(ask):
    assert len(ask(f"prompt={PROMPT}", "quantize=int8", "stop_at_eos=false")["token_ids"]) == 30


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["n=0"], "n=0: expected at least 1"),
        (["n=2.5"], "n=2.5: expected a number of samples"),
        (["max_new_tokens=many"], "max_new_tokens=many: expected a number of tokens"),
        (["temperature=hot"], "temperature=hot: expected a number"),
        (["chat=maybe"], "chat=maybe: expected true or false"),
        (["quantize=int3"], "quantize=int3: expected one of"),
        (["stop=['']"], "stop=['']: expected texts"),
        (["max_new_tokens=1000000"], "than the 512 that the model takes; expected at most "),
        ([f"prompt={PROMPT * 600}"], " tokens; the model takes 512 with the answer"),
        (["prompt="], "prompt: empty; expected some text to continue"),
    ],
)
def test_mistakes_are_named(ask, arguments, expected):
    prompt = [] if arguments[0].startswith("prompt") else [f"prompt={PROMPT}"]
    error = ask(*prompt, *arguments, status=2)
    assert expected in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize(
    "mistake", [[f"prompt={PROMPT}", "max_new_tokens=1000000"], ["prompt_ids=[1,320]"]]
)
def test_nothing_is_shown_before_a_mistake(ask, mistake):
    assert ask(*mistake, text=True, status=2) == ""


def test_a_model_without_a_tokenizer_says_no_texts(ask, tiny):
    folder = tiny.folder / "without"
    tiny("export", "checkpoint=spoken", f"target={folder}")
    (folder / "tokenizer.json").unlink()
    asked = ["generate", f"checkpoint={folder}", "prompt_ids=[1,2]", "max_new_tokens=3", *ASK[3:]]
    assert len(tiny(*asked)["token_ids"]) == 3
    assert "has no tokenizer, so it says no texts" in tiny(*asked, "stop=[x]", status=2)


@pytest.mark.parametrize("token", [-1, 320, 2**70])
def test_tokens_that_the_model_lacks(ask, token):
    error = ask(f"prompt_ids=[1,{token}]", status=2)
    assert f"prompt_ids[1]={token}: expected ids from 0 to 319" in error


def test_a_broken_model_says_nothing(ask, monkeypatch):
    """Of NaN any token is the likeliest."""
    from olmoflow.inference.native import NativeEngine

    generate = NativeEngine.generate
    monkeypatch.setattr(
        NativeEngine,
        "generate",
        lambda *given, **named: (
            replace(each, logprobs=[float("nan")]) for each in generate(*given, **named)
        ),
    )
    assert "the model computes NaN" in ask(f"prompt={PROMPT}", status=2)
    assert ask(f"prompt={PROMPT}", text=True, status=2).endswith("\n")
