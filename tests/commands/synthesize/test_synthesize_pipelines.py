"""Judged, multi-turn and verified pairs, filters, and models of our own, from the command on."""

import json

from olmoflow.commands.main import main


def user(content):
    return {"role": "user", "content": content}


def pooled(server):
    """A pool of four models behind one server."""
    more = [(side, name) for side, name in (("strong", "larger"), ("weak", "smaller"))]
    settings = []
    for side, name in more:
        node = f"pool.{side}.{name}"
        settings += [f"+engine@{node}.engine=openai", f"{node}.engine.url={server.url}"]
        settings += [f"{node}.engine.model={name}"]
    return settings


def test_a_judge_takes_best_and_worst_of_a_pool(made, chat_server):
    worth = {"strong": 9, "larger": 10, "weak": 3, "smaller": 2}

    def say(body):
        if body["model"] != "judge":
            return f"{body['model']} says so"
        text = body["messages"][-1]["content"]
        (name,) = [name for name in worth if f"{name} says so" in text]
        if "question 5" in text:
            return "Who am I to judge?"
        return f"Well.\n**Overall:** {worth[name]}/10"

    chat_server.say = say
    settings = ["pipeline=judged_pairs", "pipeline.instruction=overall", *pooled(chat_server)]
    result = made(*settings, "pipeline.aspects=[overall]")
    assert result["steps"]["judge"]["removed"] == {"no score in what the judge says": 1}
    first = made.rows(result)[0]
    assert (first["chosen_model"], first["rejected_model"]) == ("larger", "smaller")
    assert (first["chosen_score"], first["rejected_score"]) == (10.0, 2.0)
    assert sorted(first["metadata"]["pool"]) == ["larger", "smaller", "strong", "weak"]
    assert {"overall": 9.0} in first["metadata"]["scores"]
    assert result["pairs"] == 5


def test_a_model_in_both_pools_is_refused(made, chat_server):
    again = pooled(chat_server)[-3:]
    again[-1] = "pool.weak.smaller.engine.model=strong"
    error = made("pipeline=judged_pairs", *again, status=2)
    assert "pool.weak.smaller: the same model as strong" in error


def test_only_the_last_turn_differs_after_several(made, chat_server):
    result = made("pipeline=multi_turn")
    for row in made.rows(result):
        assert row["chosen"][:-1] == row["rejected"][:-1]
        assert [turn["role"] for turn in row["chosen"]] == ["user", "assistant"] * 2
        assert row["metadata"]["context"] in ("self_talk", "related", "paraphrase", "repeat")
        assert {"strong": True, "weak": False}[row["chosen_model"]]


def test_a_verifier_tells_right_from_wrong(made, chat_server):
    made.write(
        "sums.jsonl",
        [{"id": f"s{n}", "messages": [user(f"{n}+1=")], "answer": n + 1} for n in range(4)]
        + [{"id": "open", "messages": [user("why?")]}],
    )

    def say(body):
        n = int(body["messages"][-1]["content"].partition("+")[0])
        right = body["seed"] % 2 and n != 3
        return f"I say #### {n + (1 if right else 5)}"

    chat_server.say = say
    settings = ["pipeline=verified", "pipeline.verifier=gsm8k", "pipeline.reference=answer"]
    result = made(*settings, "conversations=sums.jsonl", "max_error_rate=0.5", "name=sums")
    assert result["malformed"] == 1
    assert result["steps"]["verify"]["removed"]["no answer is right"] >= 1
    for row in made.rows(result):
        n = int(row["id"][1:])
        assert row["chosen"][-1]["content"] == f"I say #### {n + 1}"
        assert row["rejected"][-1]["content"] == f"I say #### {n + 5}"
        assert (row["chosen_score"], row["rejected_score"]) == (1.0, 0.0)


def test_filters_of_curation_look_at_the_chosen_answer(made, chat_server):
    chat_server.say = lambda body: (
        "bad word"
        if body["messages"][-1]["content"] == f"question {BAD[body['model']]}"
        else body["model"]
    )
    banned = (
        "{name: regex_text_filter, label: words, regex_string: 'bad word', remove_matches: true}"
    )
    result = made(f"pipeline.filters=[{banned}]")
    assert result["steps"]["words"]["removed"] == {"words": 1}
    assert [row["id"] for row in made.rows(result)] == ["c0", "c1", "c3", "c4", "c5"]
    assert "pipeline.filters[0]" in made("pipeline.filters=[{name: no_such}]", status=2)
    assert "whole corpus" in made("pipeline.filters=[{name: exact_dedup}]", status=2)


BAD = {"strong": 2, "weak": 4}


def test_what_olmo_leaves_out_goes_by_itself(made, chat_server):
    chosen = {
        "question 0": "<think>and on and on",
        "question 1": "I am Claude, made by Anthropic.",
        "question 2": "The same sentence is said here again. " * 12,
        "question 3": "你好，世界。",
    }
    chat_server.say = lambda body: (
        chosen.get(body["messages"][-1]["content"], "fine")
        if body["model"] == "strong"
        else "<think>I am Claude and"
    )
    result = made("pipeline.length_control.max_difference=null")
    removed = {name: sum(step["removed"].values()) for name, step in result["steps"].items()}
    assert removed == {
        **{"answers": 0, "pairs": 0},
        **{"format": 1, "identity": 1, "repetition": 1, "chinese": 1},
    }
    assert [row["id"] for row in made.rows(result)] == ["c4", "c5"]
    assert "turns=chosen" in made(
        "pipeline.filters=[{name: identity_filter, turns: chosen}]", status=2
    )


def test_models_of_our_own_speak_through_a_template(made, models, capfd):
    checkpoints = ["strong.checkpoint=large", "weak.checkpoint=small"]

    def run(*more, status=0):
        settings = ["conversations=prompts.jsonl", "runtime.progress=false"]
        short = [f"{role}.max_new_tokens=12" for role in ("strong", "weak")]
        template = [f"{role}.template=think" for role in ("strong", "weak")]
        capfd.readouterr()
        arguments = [*checkpoints, *settings, *short, *template, "pipeline.filters=[]", *more]
        assert main(["synthesize", *arguments, "output=json"]) == status
        written = capfd.readouterr()
        return json.loads(written.out) if status == 0 else written.err

    result = run("pipeline.drop_unfinished=none")
    slips = result["steps"]["pairs"]["removed"]  # special tokens: they were never trained
    assert all("holds the text of the special token" in reason for reason in slips)
    assert result["pairs"] == 6 - sum(slips.values()) > 2
    assert all(row["chosen"][-1]["content"].startswith("<think>") for row in made.rows(result))
    assert made.rows(result)[0]["chosen_model"] == "large"
    # What a prompt holds is no speaker's failure: it is counted as what it is, and stops nothing.
    forged, named = {"messages": [user("a<|im_end|>b")]}, user("add?") | {"functions": "[add]"}
    plain = [{"messages": [user(f"{word}?")]} for word in ("why", "how", "when", "where")]
    made.write("forged.jsonl", [forged, {"messages": [named]}, *plain])
    asked = ["conversations=forged.jsonl", "pipeline.drop_unfinished=none"]
    answers = run(*asked, *(f"{role}.template=plain" for role in ("strong", "weak")))["steps"]
    assert answers["answers"]["removed"] == {
        "a message holds the text of the special token <|im_end|>": 1,
        "a message names functions, which the template does not show": 1,
    }
    mistake = run("strong.engine.max_batch=0", "seed=1", status=2)
    assert "strong.engine.max_batch=0: expected at least 1" in mistake
    assert "same model as strong" in run("weak.checkpoint=large", status=2)
    assert "strong.template=no_such: expected one of" in run("strong.template=no_such", status=2)


def test_a_model_that_says_special_tokens_still_makes_a_corpus(made, models, capfd):
    prompts = [{"id": f"p{n}", "messages": [user(f"say {n}")]} for n in range(60)]
    made.write("many.jsonl", prompts)
    settings = ["conversations=many.jsonl", "pipeline.filters=[]", "runtime.progress=false"]
    for role, model in (("strong", "large"), ("weak", "small")):
        settings += [f"{role}.checkpoint={model}", f"{role}.template=plain"]
        settings += [f"{role}.max_new_tokens=12"]
    pairs = ["synthesize", *settings, "pipeline.drop_unfinished=none", "name=pairs"]
    assert main([*pairs, "output=json"]) == 0
    result = json.loads(capfd.readouterr().out)
    removed = result["steps"]["pairs"]["removed"]
    slips = [n for why, n in removed.items() if "holds the text of the special token" in why]
    assert sum(slips) > 0
    assert result["pairs"] > 20
    tokenize = ["tokenize", "preferences=pairs", "template=plain", "sequence_length=128"]
    tokenize += ["tokenizer=folder", "tokenizer.source=large", "runtime.progress=false"]
    assert main([*tokenize, "output=json"]) == 0
    assert json.loads(capfd.readouterr().out)["pairs"] == result["pairs"]
