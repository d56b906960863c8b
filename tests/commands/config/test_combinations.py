"""Stage, method and variant that do not belong together: what is said, and what to write."""

import json
import re

import pytest

from olmoflow.artifact import Input
from olmoflow.commands.command_line.hydra_app import compose, plain_config
from olmoflow.commands.config.combinations import check_combination, check_content
from olmoflow.commands.train.start import check_start
from olmoflow.errors import UserError

WRITE = r"stage=post_train variant=think\|instruct method=sft\|dpo"


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (["stage=post_train"], rf"recipe=olmo3_tiny/post_train: .* write {WRITE}; expected one of"),
        (
            ["stage=post_train", "method=sft"],
            rf"recipe=olmo3_tiny/base_sft: .* write {WRITE}; .*olmo3_tiny/think_sft",
        ),
        (
            ["stage=post_train", "method=sft", "variant=think", "model=olmo3_1b"],
            r"recipe=olmo3_1b/think_sft: no published recipe .* olmo3_7b/think_sft",
        ),
    ],
)
def test_a_missing_recipe_lists_those_there_are(chosen, message):
    with pytest.raises(UserError, match=message):
        compose("train", chosen)


@pytest.mark.parametrize(
    ("chosen", "listed", "not_listed"),
    [
        (["stage=post_train", "method=sft"], "olmo3_tiny/think_sft", "olmo3_7b/"),
        (
            ["stage=post_train", "method=sft", "variant=think", "model=olmo3_1b"],
            "olmo3_32b/think_sft, olmo3_7b/think_sft, olmo3_tiny/think_sft",
            "think_dpo",
        ),
        (
            ["stage=post_train", "method=dpo", "variant=rl_zero_math", "model=olmo3_1b"],
            "olmo3_7b/think_dpo",
            "sft",
        ),
        (["recipe=olmo3_7b/pretrian"], "olmo3_7b/pretrain", "olmo3_32b/"),
        (["recipe=nothing"], "ladder", "olmo3_tiny/"),
    ],
)
def test_a_missing_recipe_lists_the_nearest_and_says_where_the_others_are(
    chosen, listed, not_listed
):
    with pytest.raises(UserError) as error:
        compose("train", chosen)
    text = str(error.value).partition("expected one of ")[2]
    assert listed in text
    assert not_listed not in text
    assert text.count(",") < 10
    assert re.search(r"; olmoflow train --help lists all \d+$", text)


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (["method=sft"], rf"^method=sft: stage=pretrain .*; write {WRITE}, or method=none$"),
        (["stage=midtrain", "method=dpo", "shards=s"], r"^method=dpo: stage=midtrain "),
        (["variant=think"], rf"^variant=think: stage=pretrain .*; write {WRITE}, or variant=base$"),
        (
            ["stage=post_train", "recipe=olmo3_tiny/pretrain"],
            rf"^method=none: stage=post_train .*; write {WRITE}$",
        ),
        (
            ["stage=post_train", "recipe=olmo3_tiny/pretrain", "method=sft"],
            rf"^variant=base: stage=post_train .*; write {WRITE}$",
        ),
        (
            [
                *("stage=post_train", "variant=think", "method=dpo"),
                *("mixture=m", "max_tokens=1e6", "epochs=null"),
            ],
            r"^mixture=m: method=dpo ",
        ),
    ],
)
def test_what_does_not_belong_together_says_what_to_write(chosen, message):
    with pytest.raises(UserError, match=message):
        check_combination(plain_config(compose("train", chosen)))


def test_post_training_starts_from_a_model():
    chosen = ["stage=post_train", "variant=think", "method=sft"]
    with pytest.raises(UserError, match=r"^checkpoint: missing; stage=post_train .*checkpoint="):
        check_start(plain_config(compose("train", chosen)), None)


def shards(folder, **index):
    (folder / "train").mkdir(parents=True)
    (folder / "train" / "index.json").write_text(json.dumps({"chunks": [], **index}))
    return Input("shards", "shards", folder.name, "key", folder)


def test_each_method_reads_its_own_kind_of_shards(tmp_path):
    plain = shards(tmp_path / "plain")
    spoken = shards(tmp_path / "spoken", content="conversations")
    pairs = shards(tmp_path / "pairs", content="pairs")
    check_content("none", [plain])
    check_content("sft", [spoken])
    check_content("dpo", [pairs])
    with pytest.raises(
        UserError, match=r"^shards=plain: holds documents; method=sft expects conversations"
    ):
        check_content("sft", [spoken, plain])
    with pytest.raises(UserError, match=r"holds conversations; method=dpo expects pairs"):
        check_content("dpo", [spoken])
