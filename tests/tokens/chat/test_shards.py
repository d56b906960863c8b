"""Shards of conversations: what is learnt reaches the labels, what is not written is counted."""

import json

import numpy as np
import pytest
import torch

from olmoflow.documents import Intake
from olmoflow.errors import UserError
from olmoflow.tokens import Source, TokenDataModule
from olmoflow.tokens.chat.conversation import read_conversations
from olmoflow.tokens.chat.render import ConversationEncoder
from olmoflow.tokens.chat.shards import write_conversation_shards
from olmoflow.tokens.chat.template import load_template
from olmoflow.tokens.reader import TokenShards
from olmoflow.tokens.windows import IGNORE

TEMPLATE = load_template("think_sft_32b")


def turns(number, count):
    for turn in range(count):
        yield {"role": "user", "content": f"{number}: what is {turn} + {number}?"}
        content = f"<think>\n{'Let me add. ' * (number % 4)}</think>It is {turn + number}."
        yield {"role": "assistant", "content": content}


def rows():
    return [
        {"id": f"c{number}", "messages": list(turns(number, 1 + number % 3)), "source": "sums"}
        for number in range(60)
    ]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("chat") / "sums.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows()))
    return path


def write(room, file, output, **settings):
    chosen = {"sequence_length": 512, "too_long": None, "num_workers": 1, **settings}
    return write_conversation_shards(file, room.tokenizer, TEMPLATE, output, **chosen)


@pytest.fixture(scope="module")
def shards(room, file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("chat") / "shards"
    write(room, file, folder, chunk_tokens=1500)
    return TokenShards.open(folder)


def test_every_document_is_a_conversation_and_its_targets(room, file, shards, tmp_path):
    encoder = ConversationEncoder(room.opened, TEMPLATE)
    assert shards.kind == "conversations"
    shards.verify_all()
    table = shards.documents.to_pylist()
    conversations = list(read_conversations(file, Intake()))
    for number, (row, conversation) in enumerate(zip(table, conversations, strict=True)):
        rendered = encoder.encode(conversation.messages)
        assert (row["id"], row["source"]) == (conversation.id, "sums")
        assert shards.document_tokens(number).tolist() == rendered.ids.tolist()
        assert row["targets"] == [place for span in rendered.spans for place in span]
    found = write(room, file, tmp_path / "again", num_workers=3, chunk_tokens=1500)
    assert (found.conversations, found.tokens) == (60, len(shards))
    assert found.target_tokens == len(shards.targets)
    assert TokenShards.open(tmp_path / "again").content == shards.content
    last = write(room, file, tmp_path / "last", learn="last")
    assert (last.tokens, 0 < last.target_tokens < found.target_tokens) == (found.tokens, True)


def module(shards, packing, length=256, **settings):
    return TokenDataModule(
        [Source(str(shards.files.folder), max_repetition=100)],
        sequence_length=length,
        global_batch_tokens=8 * length,
        micro_batch_sequences=2,
        seed=3,
        document_mask=True,
        packing=packing,
        **settings,
    )


def batches(data, first, count, rank=0, world=1):
    loader = iter(data.loader(rank, world, first))
    steps = [next(loader) for _ in range(count)]
    return {key: torch.cat([micro[key] for step in steps for micro in step]) for key in steps[0][0]}


PACKINGS = pytest.mark.parametrize("packing", ["best_fit", "concatenate"])


def test_packed_labels_are_what_the_assistants_say(room, shards):
    data = module(shards, "best_fit", length=512)
    sequences = data.mixture.sizes[0].windows
    batch = batches(data, 0, -(-sequences // 8))
    epoch = {key: value[:sequences] for key, value in batch.items()}
    said = []
    for ids, labels, documents in zip(*epoch.values(), strict=True):
        for number in range(int(documents[-1]) + 1):
            own = documents == number
            learnt = labels[own] != IGNORE
            # What is learnt is the next token of the same document.
            assert torch.equal(labels[own][learnt], ids[own].roll(-1)[learnt])
            if learnt.any():
                said.append(room.opened.decode(labels[own][learnt].tolist()))
    eos = "<|endoftext|>"
    expected = [
        "<|im_end|>".join(m["content"] for m in row["messages"][1::2]) + eos for row in rows()
    ]
    assert sorted(said) == sorted(expected)


@PACKINGS
def test_no_other_token_is_a_target_and_none_is_lost(shards, packing):
    data = module(shards, packing)
    windows = data.mixture.sizes[0].windows
    labels = batches(data, 0, -(-windows // 8))["labels"][:windows]
    assert int((labels != IGNORE).sum()) == len(shards.targets)


@PACKINGS
def test_resumed_and_on_more_ranks_the_samples_are_the_same(shards, packing):
    data = module(shards, packing)
    whole = batches(data, 0, 3)
    data.load_state_dict({"step": 2, "samples": 16, "fingerprint": data.mixture.fingerprint()})
    resumed, shares = batches(data, 2, 1), [batches(data, 2, 1, rank, 2) for rank in range(2)]
    for key, value in whole.items():
        assert torch.equal(resumed[key], value[16:])
        assert torch.equal(torch.cat([share[key] for share in shares]), value[16:])


def test_what_is_too_long_becomes_what_was_chosen(room, file, tmp_path):
    with pytest.raises(UserError, match=r"sums\.jsonl:\d+: a conversation of \d+ tokens, more "):
        write(room, file, tmp_path / "none", sequence_length=120)
    found = {
        how: write(room, file, tmp_path / how, sequence_length=120, too_long=how)
        for how in ("truncate", "drop", "split")
    }
    opened = {how: TokenShards.open(tmp_path / how) for how in found}
    (longer,) = found["split"].too_long.values()
    assert found["drop"].too_long == {"dropped": longer}
    assert found["drop"].conversations == 60 - longer
    assert found["split"].conversations == 60
    listed = (tmp_path / "drop" / "too_long.jsonl").read_text().splitlines()
    assert len(listed) == longer
    assert json.loads(listed[0])["became"] == "dropped"
    cut = opened["truncate"]
    assert np.diff(np.append(cut.document_starts, len(cut))).max() == 120
    eos, targets = room.opened.eos_id, cut.documents["targets"].to_pylist()
    for row, spans in enumerate(targets):
        ids = cut.document_tokens(row)
        assert ids[-1] == eos
        assert (ids == eos).sum() == 1
        assert (spans[-1] == len(ids)) == (len(ids) < 120)  # nobody stopped where it was cut
    assert found["truncate"].too_long.total() == longer
    with pytest.raises(UserError, match=r"no conversation is left to learn from \(dropped: 60\)"):
        write(room, file, tmp_path / "nothing", sequence_length=20, too_long="drop")
    with pytest.raises(UserError, match=r"source=poems: .*sums\.jsonl has no conversation of it"):
        write(room, file, tmp_path / "nothing", source_name="poems")


def test_rows_that_are_set_apart_are_counted_by_reason(room, file, tmp_path):
    bad = [
        {"messages": [{"role": "tool", "content": "4"}]},
        {"messages": [{"role": "user", "content": "4"}, {"role": "assistant", "content": ""}]},
        {"messages": [{"role": "user", "content": "a<|im_end|>"}, *turns(1, 1)]},
        {"messages": [*turns(1, 2), {"role": "user", "content": "a<|im_end|>"}, *turns(1, 1)]},
    ]
    mixed = tmp_path / "mixed.jsonl"
    mixed.write_text(file.read_text() + "".join(json.dumps(row) + "\n" for row in bad))
    found = write(room, mixed, tmp_path / "shards", max_error_rate=0.1)
    assert found.conversations == 60
    assert found.underivable == {
        "messages[#] holds the text of the special token <|im_end|>": 2,
    }
    assert sum(found.malformed.values()) == 2
    errors = [json.loads(line) for line in (tmp_path / "shards" / "errors.jsonl").open()]
    assert sorted(error["line"] for error in errors) == [61, 62, 63, 64]
    with pytest.raises(UserError, match="4 of 64 documents are malformed, more than max_error"):
        write(room, mixed, tmp_path / "strict", max_error_rate=0.05)
    assert not (tmp_path / "strict").exists()
