"""`olmoflow curate` on conversations: from rows to a clean mixture, in sizes that are nested."""

import json

import pytest
import reasoning_gym

from olmoflow.commands.main import main
from olmoflow.documents import Intake
from olmoflow.tokens.chat.conversation import read_conversations, read_preferences

REFERENCE = "How many ducks does it take to lay sixteen eggs a day for a whole week?"


def turns(question, answer):
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


@pytest.fixture
def curate(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("OLMOFLOW_HOME", str(tmp_path / "artifacts"))
    monkeypatch.chdir(tmp_path)
    reference = {"question": REFERENCE, "eval_key": "ducks"}
    (tmp_path / "ducks.jsonl").write_text(json.dumps(reference) + "\n")

    def run(*arguments, status=0):
        capfd.readouterr()
        found = main(["curate", *map(str, arguments), "output=json", "runtime.progress=false"])
        written = capfd.readouterr()
        assert found == status, written.err
        return json.loads(written.out) if status == 0 else written.err.strip()

    return run


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def conversations():
    """Verifiable problems with their answers, and one conversation for each step to remove."""
    for name, size in (("chain_sum", 60), ("word_sorting", 30), ("leg_counting", 30)):
        for entry in reasoning_gym.create_dataset(name, size=size, seed=1):
            answer = f"<think>I work it out.</think>{entry['answer']}"
            yield {"source": name, "messages": turns(entry["question"], answer)}
    for question, answer in (
        ("Is this open?", "<think>It is"),
        ("Who are you?", "I am ChatGPT."),
        ("Again?", "I have to say this once more. " * 10),
        ("How are you?", "我很好, thank you"),
        (REFERENCE, "Two."),
    ):
        yield {"source": "leg_counting", "messages": turns(question, answer)}
    yield {"source": "leg_counting", "messages": turns("One?", "Two, and no more than that.")}
    yield {"source": "leg_counting", "messages": turns("One?", "Two, and no more than that.")}


def test_conversations_are_filtered_counted_and_mixed_in_nested_sizes(curate, tmp_path):
    source = write(tmp_path / "rows.jsonl", conversations())
    made = curate(
        "pipeline=instruction_data", f"source={source}", "name=clean",
        "pipeline.references=ducks.jsonl", "pipeline.max_shares={chain_sum: 0.4}",
    )  # fmt: skip
    reasons = {label: step["reasons"] for label, step in made["steps"].items() if label != "read"}
    assert reasons == {
        "format": {"<think> is not closed": 1},
        "identity": {"says: i am chatgpt": 1},
        "repetition": {"a sentence 10 times or more": 1},
        "chinese": {"5% or more Han characters": 1},
        "duplicates": {"exact duplicate": 1},
        "evaluations": {"ducks": 1},
        "mixture": {"beyond its source's share of the size": 20},
    }
    # 61 others are 60 %.
    assert made["stages"]["mixture"]["chain_sum"] == {"found": 60, "allowed": 60, "written": 40}
    report = json.loads((tmp_path / "artifacts/corpus/clean/report.json").read_text())
    assert [s["name"] for s in report["steps"]] == ["read", *reasons]
    found = list(read_conversations(tmp_path / "artifacts/corpus/clean/train", Intake()))
    assert {c.source for c in found} == {"chain_sum", "word_sorting", "leg_counting"}
    assert all(c.messages[-1].content.startswith(("<think>", "Two,")) for c in found)

    swept = curate(
        "-m", "pipeline=mix_conversations", "source=clean", "pipeline.size=20,50,101",
        "pipeline.heldout_fraction=0",
    )  # fmt: skip
    corpora = [job["result"]["path"] for job in swept["jobs"]]
    ids = [
        {c.id for c in read_conversations(tmp_path / path / "train", Intake())} for path in corpora
    ]
    assert [len(i) for i in ids] == [20, 50, 101]
    assert ids[0] < ids[1] < ids[2]
    message = curate("pipeline=mix_conversations", "source=clean", "pipeline.size=102", status=2)
    assert message.endswith("mix_sources.size=102: expected at most 101, which the limits leave")


def test_only_what_is_chosen_has_to_be_good(curate, tmp_path):
    def pair(question, chosen, rejected):
        return {"chosen": turns(question, chosen), "rejected": turns(question, rejected)}

    rows = [
        {"id": "good", **pair("Who?", "A friend.", "I am ChatGPT.")},
        {"id": "named", **pair("Who are you?", "I am ChatGPT.", "A friend.")},
        {"id": "same", **pair("Who?", "A friend.", "A friend.")},
        {"id": "long", **pair("How long?", " ".join(map(str, range(200))), "Short.")},
        {"id": "asked", **pair(REFERENCE, "Two.", "Three.")},
    ]
    source = write(tmp_path / "pairs.jsonl", rows)
    made = curate(
        "pipeline=preference_filters", f"source={source}", "name=pairs",
        "pipeline.references=ducks.jsonl", "pipeline.heldout_fraction=0",
    )  # fmt: skip
    assert {k: s["reasons"] for k, s in made["steps"].items() if s["reasons"]} == {
        "format": {"chosen and rejected are the same": 1},
        "identity": {"says: i am chatgpt": 1},
        "length_gap": {"lengths differ by more than 100 tokens": 1},
        "evaluations": {"ducks": 1},
    }
    (kept,) = read_preferences(tmp_path / "artifacts/corpus/pairs/train", Intake())
    assert (kept.id, kept.rejected[-1].content) == ("good", "I am ChatGPT.")


def test_a_file_that_a_step_within_a_step_names_is_part_of_the_key(curate, tmp_path):
    source = write(tmp_path / "rows.jsonl", [{"messages": turns(f"{n}?", "Two.")} for n in (1, 2)])
    step = "{name: on_turns, step: {name: identity_filter, phrases: mine.yaml}}"
    settings = [f"source={source}", f"pipeline.steps=[{step}]", "pipeline.heldout_fraction=0"]
    (tmp_path / "mine.yaml").write_text("phrases: [three]\n")
    first = curate("pipeline=steps", *settings)
    assert curate("pipeline=steps", *settings)["corpus"] == first["corpus"]
    (tmp_path / "mine.yaml").write_text("phrases: [two]\n")
    message = curate("pipeline=steps", *settings, status=2)
    assert message.startswith("olmoflow: on_turns: removed all 2 documents")
