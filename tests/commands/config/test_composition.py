"""Every choice of every group composes with every choice of the others, and what can be built is.

Later work adds files to ``conf/``; this test finds them by itself. Where an option needs a value
that no default can know, `NEEDS` gives one.
"""

import re
from functools import cache
from itertools import combinations, product

import pytest

from olmoflow.commands.command_line.hydra_app import compose, plain_config
from olmoflow.commands.config.combinations import (
    check_batch,
    check_combination,
    recipe_of,
    shard_nodes,
    why_no_recipe,
)
from olmoflow.commands.flow.command import parse_steps
from olmoflow.commands.main import HYDRA_COMMANDS, config_root
from olmoflow.commands.train.rank import build_module
from olmoflow.errors import UserError
from olmoflow.mesh import Mesh

CONF = config_root() / "conf"
NEEDS = {
    ("schedule", "half_cosine"): ["schedule.start=100"],
    ("tokenizer", "dolma2_local"): ["tokenizer.ranks=ranks.tiktoken"],
    ("tokenizer", "dolma2_instruct_local"): ["tokenizer.ranks=ranks.tiktoken"],
    ("tokenizer", "folder"): ["tokenizer.source=folder"],
    ("parallel", "ddp"): ["parallel.ranks=8"],
    ("parallel", "fsdp"): ["parallel.ranks=8"],
    ("parallel", "hsdp"): ["parallel.ranks=16"],
}
GIVEN = {
    "classify": ["corpora={a: b, c: d}"],
    "mix": ["shards=[s]"],
    "score": ["checkpoint=c", "shards=s"],
    "generate": ["checkpoint=c"],
    "evaluate": ["checkpoint=c"],
    "compare": ["a=e", "b=f"],
    "import": ["source=s"],
    "merge": ["checkpoints=[a,b]"],
    "export": ["checkpoint=c", "target=t"],
    "synthesize": ["conversations=p"],
}
TRAIN_GROUPS = [
    "model",
    "stage",
    "method",
    "variant",
    "data",
    "optimizer",
    "schedule",
    "parallel",
    "logger",
]


def options(group):
    return sorted(p.stem for p in (CONF / group).glob("*.yaml"))


def recipes():
    folder = CONF / "recipe"
    return {p.relative_to(folder).with_suffix("").as_posix() for p in folder.rglob("*.yaml")}


def overrides(choice):
    needed = [value for pair in choice.items() for value in NEEDS.get(pair, [])]
    return [*(f"{group}={option}" for group, option in choice.items()), *needed]


def pairwise(groups):
    """Choices in which every two options of different groups meet at least once."""
    missing = {
        frozenset([(a, x), (b, y)])
        for a, b in combinations(groups, 2)
        for x, y in product(groups[a], groups[b])
    }
    while missing:
        choice = dict(sorted(next(iter(sorted(missing, key=sorted)))))
        for group, names in groups.items():
            if group not in choice:
                gained = {
                    name: sum(frozenset([(group, name), p]) in missing for p in choice.items())
                    for name in names
                }
                choice[group] = max(names, key=gained.__getitem__)
        missing -= {frozenset(pair) for pair in combinations(choice.items(), 2)}
        yield choice


def instantiated(choice, *more):
    return built(plain_config(compose("train", [*overrides(choice), *more])))


def built(config):
    module = build_module(config)
    assert all(p.is_meta for p in module.model.parameters())
    assert sum(p.numel() for p in module.model.parameters()) == module.config.num_parameters
    return module


CHOICES = list(pairwise({group: options(group) for group in TRAIN_GROUPS}))


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: "-".join(choice.values()))
def test_groups_of_training_compose_and_instantiate(choice):
    wanted = recipe_of(*(choice[group] for group in ("model", "stage", "variant", "method")))
    if wanted in recipes():
        instantiated(choice)
        return
    with pytest.raises(UserError, match=f"recipe={wanted}: ") as error:
        compose("train", overrides(choice))
    assert why_no_recipe(wanted) in str(error.value)
    assert re.search(r"; expected one of \w+/\w+", str(error.value))
    borrowed = ["recipe=olmo3_tiny/pretrain", "sequence_length=128"]
    instantiated(choice, *borrowed)


@pytest.mark.parametrize("method", ["sft", "dpo"])
@pytest.mark.parametrize("variant", ["think", "instruct"])
@pytest.mark.parametrize("size", ["7b", "32b", "tiny"])
def test_post_training_of_every_size_is_chosen_by_variant_and_method(size, variant, method):
    chosen = {"model": f"olmo3_{size}", "stage": "post_train"}
    chosen |= {"variant": variant, "method": method}
    config = plain_config(compose("train", overrides(chosen)))
    module = built(config)
    check_combination(config)
    check_batch(config, Mesh())
    assert config["schedule"]["_target_"] == "olmoflow.train.schedules.Linear"
    assert config["warmup"] == max(
        1, round(config["max_steps"] * {"sft": 0.03, "dpo": 0.1}[method])
    )
    reader = {"sft": "TokenDataModule", "dpo": "PairDataModule"}[method]
    assert config["data"]["_target_"] == f"olmoflow.tokens.{reader}"
    assert module.objective.counts == {"sft": "tokens", "dpo": "pairs"}[method]


@pytest.mark.parametrize("name", [p.stem for p in (CONF / "data").glob("dolci_*.yaml")])
def test_the_data_of_post_training_are_named_as_published(name):
    method = name.split("_")[2]
    chosen = ["stage=post_train", "variant=think", f"method={method}", f"data={name}"]
    config = plain_config(compose("train", chosen))
    assert [node["shards"] for node in shard_nodes(config["data"])] == [name]
    comment = (CONF / "data" / f"{name}.yaml").read_text().replace("\\\n#    ", "")
    assert f"name={name}\n" in comment
    assert f"hf:allenai/Dolci-{name.split('_')[1].title()}-{method.upper()}" in comment


def test_a_sweep_over_methods_and_variants_picks_the_recipe_of_each():
    def rate(*chosen):
        return compose("train", ["model=olmo3_7b", "stage=post_train", *chosen])["optimizer"]["lr"]

    assert rate("variant=think", "method=sft") == 5e-5
    assert rate("variant=think", "method=dpo") == 8e-8
    assert rate("variant=instruct", "method=sft") == 8e-5
    assert rate("variant=instruct", "method=dpo") == 1e-6


def experiments():
    folder = config_root() / "experiments"
    return sorted(p.relative_to(folder).with_suffix("").as_posix() for p in folder.rglob("*.yaml"))


@pytest.mark.parametrize("experiment", experiments())
def test_every_experiment_composes_and_instantiates(experiment):
    # flash-attn is no dependency of the tests.
    chosen = overrides({"experiments": experiment})
    config = plain_config(compose("train", [*chosen, "attention=sdpa"]))
    assert built(config).config.d_model == width(experiment.partition("/")[0])
    Mesh.of(config["parallel"])


@cache
def width(size):
    return compose("train", ["recipe=ladder", f"model={size}"]).model.d_model


def test_a_mistyped_experiment_lists_those_there_are():
    with pytest.raises(
        UserError, match=r"experiments=olmo3_7b/pretrian: did you mean olmo3_7b/pre"
    ):
        compose("train", ["experiments=olmo3_7b/pretrian"])


def test_any_size_has_the_ladder_and_a_run_of_it_may_have_another_schedule():
    assert instantiated({"model": "olmo3_60m", "recipe": "ladder"}).schedule.decay > 0
    instantiated({"model": "olmo3_60m", "recipe": "ladder", "schedule": "cosine"})


def test_the_stage_chooses_the_schedule_and_the_user_may_choose_another():
    def schedule(*chosen):
        return compose("train", ["model=olmo3_7b", *chosen])["schedule"]["_target_"].split(".")[-1]

    assert schedule("stage=pretrain") == "Cosine"
    assert schedule("stage=midtrain") == "Linear"
    assert schedule("stage=midtrain", "schedule=constant") == "Constant"


@pytest.mark.parametrize(
    ("recipe", "steps", "batch", "lr", "warmup", "length"),
    [
        ("olmo3_7b/pretrain", 1_192_093, 4_194_304, 3e-4, 2000, 8192),
        ("olmo3_7b/midtrain", 47_684, 2_097_152, 2.0712352850360292e-4, 0, 8192),
        ("olmo3_7b/long_context", 11_921, 4_194_304, 2.0712352850360292e-4, 200, 65_536),
        ("olmo3_32b/midtrain", 23_842, 4_194_304, 2.071235285e-4, 0, 8192),
        ("olmo3_32b/long_context", 11_921, 8_388_608, 2.071235285e-4, 200, 65_536),
        ("olmo3_190m/pretrain", 7_262, 524_288, 3e-4, 2000, 8192),
    ],
)
def test_published_values(recipe, steps, batch, lr, warmup, length):
    model, stage = recipe.split("/")
    config = plain_config(compose("train", [f"model={model}", f"stage={stage}"]))
    found = [config[k] for k in ("max_steps", "global_batch_tokens", "warmup", "sequence_length")]
    assert found == [steps, batch, warmup, length]
    assert config["optimizer"] == {
        "_target_": "olmoflow.train.SkipStepAdamW",
        "_partial_": True,
        "lr": lr,
        "betas": [0.9, 0.95],
        "eps": 1e-8,
        "weight_decay": 0.1,
        "window": 128,
        "sigma": 6.0,
    }
    assert config["method"]["objective"]["z_loss"] == 1e-5
    assert config["max_grad_norm"] == 1.0
    assert config["schedule"]["final"] == (0.1 if stage == "pretrain" else 0.0)
    assert (config["model"].get("yarn") is not None) == (stage == "long_context")


@pytest.mark.parametrize("command", sorted(set(HYDRA_COMMANDS) - {"train", "flow"}))
def test_every_other_command_composes_with_each_of_its_choices(command):
    known = {p.name for p in CONF.iterdir() if p.is_dir()}
    lines = (CONF / f"{command}.yaml").read_text().splitlines()
    keys = {line.strip("- ").partition(":")[0] for line in lines if line.startswith("  - ")}
    given = GIVEN.get(command, [])
    plain_config(compose(command, given))
    for group in sorted(keys & known):
        for option in options(group):
            plain_config(compose(command, [*given, *overrides({group: option})]))


@pytest.mark.parametrize("flow", options("flow"))
def test_each_step_of_a_flow_composes(flow):
    node = plain_config(compose("flow", [f"flow={flow}"]))["flow"]
    made = {"corpus": "c", "shards": "s", "checkpoint": "p", "group": "g"}
    for step in parse_steps(node["steps"]):
        for line in step.cells(dict.fromkeys(step.needs, made), "flow"):
            arguments = [a for a in line[1:] if not a.startswith("prompt=")]
            plain_config(compose(step.command, arguments))
