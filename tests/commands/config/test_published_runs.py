"""The released runs: every value against what Ai2 published.

Base stages: Tables 34 and 35; SFT: Table 47; DPO: Table 48; and the scripts.
"""

import pytest
import yaml

from olmoflow.commands.command_line.hydra_app import compose, plain_config
from olmoflow.commands.config.build import build
from olmoflow.commands.config.combinations import check_batch
from olmoflow.commands.main import config_root
from olmoflow.mesh import Mesh

EXPERIMENTS = config_root() / "experiments"
SHAPE_7B = [100_352, 4096, 32, 32, 32, 11_008]
SHAPE_32B = [100_352, 5120, 64, 40, 8, 27_648]
FILTER = {
    "_target_": "olmoflow.tokens.InstanceFilter",
    "max_period": 13,
    "min_period": 1,
    "max_count": 32,
    "counted": True,
}
LR_7B, LR_32B = 2.0712352850360292e-4, 2.071235285e-4
NONE, FEED_FORWARD = ("none", [], None), ("modules", ["blocks.*.feed_forward"], None)

# steps, where it stops, sequence length, tokens of a batch, sequences of a micro-batch, peak rate,
# schedule, warm-up, mix, mesh (replicas, shards, context), seeds (weights, data), activations
# recomputed, optimizer carried, trainer carried
PUBLISHED = {
    "olmo3_7b/pretrain": (
        1_192_093, 597_046, 8192, 4_194_304, 1, 3e-4, "Cosine", 2000,
        "OLMo-mix-0625-official", (64, 8, 1), (12536, 34521), NONE, False, False,
    ),
    "olmo3_7b/pretrain_part2": (
        1_668_931, 1_413_814, 8192, 4_194_304, 1, 3e-4, "HalfCosine", 2000,
        "OLMo-mix-0625-official", (64, 8, 1), (12536, 34521), NONE, True, True,
    ),
    "olmo3_7b/pretrain_part2_paper": (
        1_413_814, None, 8192, 4_194_304, 1, 3e-4, "HalfCosine", 2000,
        "OLMo-mix-0625-official", (64, 8, 1), (12536, 34521), NONE, True, True,
    ),
    "olmo3_7b/midtrain": (
        47_684, None, 8192, 2_097_152, 2, LR_7B, "Linear", 0,
        "OLMo-midtraining-mix-0625-100B", (16, 8, 1), (1337, 1337), FEED_FORWARD, True, False,
    ),
    "olmo3_7b/long_context": (
        11_921, None, 65_536, 4_194_304, 1, LR_7B, "Linear", 200,
        "OLMo-longmino-mix-0625", (32, 1, 8), (12536, 34521), NONE, True, False,
    ),
    "olmo3_32b/pretrain": (
        681_878, 656_000, 8192, 8_388_608, 1, 6e-4, "Cosine", 2000,
        "OLMo-mix-0925-official", (16, 64, 1), (12536, 34521), ("budget", [], 0.5), False, False,
    ),
    "olmo3_32b/pretrain_script": (
        706_912, 656_000, 8192, 8_388_608, 1, 6e-4, "Cosine", 2000,
        "OLMo-mix-0925-official", (16, 64, 1), (12536, 34521), ("budget", [], 0.5), False, False,
    ),
    "olmo3_32b/midtrain": (
        23_842, None, 8192, 4_194_304, 1, LR_32B, "Linear", 0,
        "OLMo-midtraining-mix-0925-ingredient1-100B", (8, 64, 1), (12536, 42069),
        ("budget", [], 0.5), True, False,
    ),
    "olmo3_32b/midtrain_1": (
        23_842, None, 8192, 4_194_304, 1, LR_32B, "Linear", 0,
        "OLMo-midtraining-mix-0925-ingredient1-100B", (8, 64, 1), (12536, 42069),
        ("budget", [], 0.5), True, False,
    ),
    "olmo3_32b/midtrain_2": (
        23_842, None, 8192, 4_194_304, 1, LR_32B, "Linear", 0,
        "OLMo-midtraining-mix-0925-ingredient2-100B", (8, 64, 1), (12536, 42069),
        ("budget", [], 0.5), True, False,
    ),
    "olmo3_32b/midtrain_2_paper": (
        23_842, None, 8192, 4_194_304, 1, LR_32B, "Linear", 0,
        "OLMo-midtraining-mix-0925-ingredient2-100B", (8, 64, 1), (12536, 1337),
        ("budget", [], 0.5), True, False,
    ),
    "olmo3_32b/long_context": (
        11_921, None, 65_536, 8_388_608, 1, LR_32B, "Linear", 200,
        "OLMo-longmino-mix-0925", (16, 8, 8), (12536, 34521), ("budget", [], 0.3), False, False,
    ),
}  # fmt: skip

BUDGET = ("budget", [], 0.3)
# steps, warm-up, sequence length, tokens of a batch, peak rate, mesh, seeds (weights, data),
# activations recomputed, shards
SFT = {
    "olmo3_7b/think_sft": (
        43_297, 1299, 32_768, 1_048_576, 5e-5, (8, 4, 2), (53184, 34521), FEED_FORWARD,
        "dolci_think_sft",
    ),
    "olmo3_7b/instruct_sft": (
        3_243, 97, 32_768, 1_048_576, 8e-5, (4, 4, 2), (543210, 34521), FEED_FORWARD,
        "dolci_instruct_sft",
    ),
    "olmo3_32b/think_sft": (
        10_777, 323, 32_768, 4_194_304, 1e-4, (4, 8, 8), (33333, 34521), BUDGET,
        "dolci_think_sft_32b",
    ),
    "olmo3_32b/think_sft_1": (
        10_777, 323, 32_768, 4_194_304, 1e-4, (4, 8, 8), (33333, 34521), BUDGET,
        "dolci_think_sft_32b",
    ),
    "olmo3_32b/think_sft_2": (
        10_777, 323, 32_768, 4_194_304, 5e-5, (4, 8, 8), (33333, 34521), BUDGET,
        "dolci_think_sft_32b",
    ),
    "olmo3_32b/instruct_sft": (
        814, 24, 32_768, 4_194_304, 8e-5, (1, 8, 8), (33333, 34521), BUDGET,
        "dolci_instruct_sft",
    ),
}  # fmt: skip
# steps, warm-up, longest answer, pairs of a batch, of an epoch, peak rate, GPUs, shards
DPO = {
    "olmo3_7b/think_dpo": (1_172, 117, 16_384, 128, 150_000, 8e-8, 32, "dolci_think_dpo"),
    "olmo3_7b/instruct_dpo": (2_031, 203, 16_384, 128, 259_922, 1e-6, 32, "dolci_instruct_dpo"),
    "olmo3_32b/think_dpo": (1_563, 156, 8_192, 128, 200_000, 7e-8, 128, "dolci_think_dpo_32b"),
    "olmo3_32b/instruct_dpo": (2_031, 203, 8_192, 128, 259_922, 1e-6, 64, "dolci_instruct_dpo"),
}
YARN = {"factor": 8.0, "beta_fast": 32.0, "beta_slow": 1.0, "original_max_position": 8192}
EVERY = {**PUBLISHED, **SFT, **DPO}


def composed(*overrides):
    return plain_config(compose("train", overrides))


def released():
    folders = ("olmo3_7b", "olmo3_32b")
    files = [path for folder in folders for path in (EXPERIMENTS / folder).glob("*.yaml")]
    return sorted(path.relative_to(EXPERIMENTS).with_suffix("").as_posix() for path in files)


def test_the_table_has_every_released_run():
    assert released() == sorted(EVERY)
    stages = ("pretrain", "midtrain", "long_context")
    stages += ("think_sft", "think_dpo", "instruct_sft", "instruct_dpo")
    assert {f"olmo3_{size}/{s}" for size in ("7b", "32b") for s in stages} <= {*EVERY}


def check_shape(config, size):
    shape = ("vocab_size", "d_model", "n_layers", "n_heads", "n_kv_heads", "ffn_hidden_size")
    model = config["model"]
    assert [model[k] for k in shape] == (SHAPE_32B if "32b" in size else SHAPE_7B)
    further = ("sliding_window", "full_attention_every", "rope_theta", "norm_eps", "init_std")
    assert [model[k] for k in further] == [4096, 4, 500_000, 1e-6, 0.02]


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_value_is_the_published_one(name):
    config = composed(f"experiments={name}")
    model, runtime, mesh = config["model"], config["runtime"], Mesh.of(config["parallel"])
    recomputed = runtime["activation_checkpointing"]
    found = (
        *(config[k] for k in ("max_steps", "hard_stop", "sequence_length", "global_batch_tokens")),
        runtime["micro_batch_sequences"],
        config["optimizer"]["lr"],
        config["schedule"]["_target_"].rpartition(".")[2],
        config["warmup"],
        config["data"]["mix"],
        (mesh.replicate, mesh.shard, mesh.context),
        (config["init_seed"], config["data_seed"]),
        (recomputed["mode"], recomputed["modules"], recomputed["budget"]),
        config["carry_optimizer"],
        config["carry_trainer"],
    )
    assert found == PUBLISHED[name]
    small, long = "7b" in name, "long_context" in name
    check_shape(config, name)
    assert model["max_sequence_length"] == config["sequence_length"]
    assert model["yarn"] == ({"_target_": "olmoflow.model.YaRN", **YARN} if long else None)
    data = config["data"]
    assert (data["document_mask"], data["packing"]) == (
        (True, "best_fit") if long else (False, "concatenate")
    )
    assert data["instance_filter"] == (None if small else FILTER)
    optimizer = {"betas": [0.9, 0.95], "eps": 1e-8, "weight_decay": 0.1, "window": 128, "sigma": 6}
    assert {k: config["optimizer"][k] for k in optimizer} == optimizer
    assert config["schedule"]["final"] == (0.1 if "/pretrain" in name else 0.0)
    assert (config["max_grad_norm"], config["normalisation"]) == (1.0, "global")
    assert config["method"]["objective"]["z_loss"] == 1e-5
    assert (config["dtype"], config["compile"], config["attention"]) == ("bfloat16", True, "flash")
    assert config["save"]["every_steps"] == 1000
    mesh.check_batch(
        global_batch_tokens=config["global_batch_tokens"],
        sequence_length=config["sequence_length"],
        micro_batch_sequences=runtime["micro_batch_sequences"],
    )


def check_post_training(config, name):
    check_shape(config, name)
    assert config["model"]["yarn"] == {"_target_": "olmoflow.model.YaRN", **YARN}
    assert config["model"]["max_sequence_length"] == 65_536
    assert config["stage"] == {"name": "post_train", "document_mask": True, "packing": "best_fit"}
    assert f"{config['variant']['name']}_{config['method']['name']}" in name
    assert config["schedule"]["_target_"] == "olmoflow.train.schedules.Linear"
    assert config["schedule"]["final"] == 0.0
    assert (config["max_grad_norm"], config["hard_stop"]) == (1.0, None)
    assert (config["dtype"], config["attention"]) == ("bfloat16", "flash")
    assert not config["carry_optimizer"]
    check_batch(config, Mesh.of(config["parallel"]))


@pytest.mark.parametrize("name", SFT)
def test_every_value_of_sft_is_the_published_one(name):
    config = composed(f"experiments={name}")
    check_post_training(config, name)
    mesh, recomputed = Mesh.of(config["parallel"]), config["runtime"]["activation_checkpointing"]
    (source,) = config["data"]["sources"]
    found = (
        *(config[k] for k in ("max_steps", "warmup", "sequence_length", "global_batch_tokens")),
        config["optimizer"]["lr"],
        (mesh.replicate, mesh.shard, mesh.context),
        (config["init_seed"], config["data_seed"]),
        (recomputed["mode"], recomputed["modules"], recomputed["budget"]),
        source["shards"],
    )
    assert found == SFT[name]
    assert config["epochs"] == 2
    optimizer = {"betas": [0.9, 0.95], "eps": 1e-8, "weight_decay": 0.0, "window": 128, "sigma": 6}
    assert {k: config["optimizer"][k] for k in optimizer} == optimizer
    assert config["method"]["objective"]["z_loss"] == 0.0
    assert (config["normalisation"], config["compile"]) == ("per_rank", True)
    assert (config["data"]["document_mask"], config["data"]["packing"]) == (True, "best_fit")


@pytest.mark.parametrize("name", DPO)
def test_every_value_of_dpo_is_the_published_one(name):
    config = composed(f"experiments={name}")
    check_post_training(config, name)
    mesh = Mesh.of(config["parallel"])
    found = (
        *(config[k] for k in ("max_steps", "warmup", "sequence_length", "global_batch_pairs")),
        config["epoch_pairs"],
        config["optimizer"]["lr"],
        mesh.ranks,
        config["data"]["shards"],
    )
    assert found == DPO[name]
    assert config["epochs"] == 1
    assert config["optimizer"]["_target_"] == "torch.optim.AdamW"
    optimizer = {"betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0}
    assert {k: config["optimizer"][k] for k in optimizer} == optimizer
    objective = {"loss": "dpo_norm", "beta": 5.0, "label_smoothing": 0.0}
    assert {k: config["method"]["objective"][k] for k in objective} == objective
    assert (config["init_seed"], config["data_seed"]) == (42, 42)
    assert (mesh.shard, mesh.context) == (mesh.ranks, 1)
    assert config["runtime"]["activation_checkpointing"]["mode"] == "full"


@pytest.mark.parametrize(
    ("name", "step", "rate"),
    [
        ("olmo3_7b/pretrain", 1_999, 3e-4),
        # Half-way down the cosine, and where the stretched half begins.
        ("olmo3_7b/pretrain", 597_046, 1.65e-4),
        ("olmo3_7b/pretrain_part2", 597_046, 1.65e-4),
        ("olmo3_7b/pretrain_part2", 1_413_814, 3.93e-5),
        ("olmo3_7b/pretrain_part2_paper", 1_413_814, 3.0e-5),
        ("olmo3_7b/midtrain", 0, LR_7B),
        ("olmo3_7b/midtrain", 47_684, 0.0),
        ("olmo3_7b/long_context", 199, LR_7B),
        ("olmo3_7b/long_context", 11_921, 0.0),
        ("olmo3_32b/pretrain", 656_000, 6.21e-5),
        ("olmo3_32b/pretrain_script", 656_000, 6.69e-5),
        ("olmo3_32b/long_context", 11_921, 0.0),
        ("olmo3_7b/think_sft", 1_298, 5e-5),
        ("olmo3_32b/instruct_sft", 814, 0.0),
        ("olmo3_7b/think_dpo", 116, 8e-8),
        ("olmo3_32b/think_dpo", 1_563, 0.0),
    ],
)
def test_learning_rates_at_published_steps(name, step, rate):
    config = composed(f"experiments={name}")
    schedule = build(config["schedule"], "schedule")
    assert config["optimizer"]["lr"] * schedule.factor(step) == pytest.approx(rate, rel=3e-3)


# What is no value of the run: names and references, and what only a user can know.
UNSTATED = {
    "name",
    "group",
    "output",
    "dry_run",
    "shards",
    "mixture",  # like shards: what is trained on
    "checkpoint",
    "reference",  # like checkpoint: where it starts
    "hydra",
    "experiments",
    "logger",
    "evaluation",  # what is looked at on the way
    "cluster",
}
CHOSEN = {"_target_", "_partial_", "name", "sources", "mix"}  # by the defaults list
DERIVED = {"max_steps", "sequence_length", "global_batch_tokens", "global_batch_pairs", "seed",
           "document_mask", "packing", "shards"}  # fmt: skip
# How long post-training is; a base run counts tokens.
OTHERS = {"epochs", "epoch_tokens", "epoch_pairs", "global_batch_pairs", "micro_batch_tokens"}
MACHINE = {"accelerator", "num_workers", "cache_bytes", "cache_dir", "progress"}
MACHINE |= {"ignore_fingerprint"}  # is for the moment at which a run is resumed


def leaves(node, path=()):
    for key, value in node.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key)


@pytest.mark.parametrize("name", sorted(set(EVERY) - {"olmo3_32b/midtrain", "olmo3_32b/think_sft"}))
def test_every_value_stands_in_the_file(name):
    stated = set(leaves(yaml.safe_load((EXPERIMENTS / f"{name}.yaml").read_text())))
    for path in leaves(composed(f"experiments={name}")):
        derived = path == ("max_steps",) or (path[0] == "data" and path[-1] in DERIVED)
        if path[0] in UNSTATED or path[-1] in CHOSEN | MACHINE or derived:
            continue
        if name in PUBLISHED and path[-1] in OTHERS:
            continue
        assert path in stated, f"{'.'.join(path)} is not in {name}.yaml"


@pytest.mark.parametrize("name", ["pretrain", "midtrain", "long_context"])
@pytest.mark.parametrize("size", ["7b", "32b"])
def test_recipes_agree_with_the_released_runs(size, name):
    recipe = composed(f"model=olmo3_{size}", f"stage={name}")
    run = composed(f"experiments=olmo3_{size}/{name}")
    differing = {
        ".".join(path)
        for path in leaves(recipe)
        if path[0] not in {"parallel", "compile", "attention", "save", "runtime"}
        and value(recipe, path) != value(run, path)
    }
    # The mix is the user's choice there, and what a machine needs is not the recipe's.
    assert differing <= {"data._target_", "data.sources", "data.mix"}
    cut = [r["runtime"]["micro_batch_sequences"] for r in (recipe, run)]
    # 512 sequences over 512 GPUs leave one for each; the script's two are what the recipe has.
    assert cut == ([2, 1] if (size, name) == ("7b", "pretrain") else [cut[0]] * 2)


def value(node, path):
    for key in path:
        node = node.get(key) if isinstance(node, dict) else None
    return node


@pytest.mark.parametrize("method", ["sft", "dpo"])
@pytest.mark.parametrize("variant", ["think", "instruct"])
@pytest.mark.parametrize("size", ["7b", "32b"])
def test_recipes_of_post_training_agree_with_the_released_runs(size, variant, method):
    chosen = [f"model=olmo3_{size}", "stage=post_train", f"variant={variant}", f"method={method}"]
    recipe = composed(*chosen)
    run = composed(f"experiments=olmo3_{size}/{variant}_{method}")
    differing = {
        ".".join(path)
        for path in leaves(recipe)
        if path[0] not in {"parallel", "compile", "attention", "save", "runtime"}
        and value(recipe, path) != value(run, path)
    }
    # A recipe is for new runs, whose targets all count the same.
    assert differing <= {"data.sources", "data.shards", "normalisation"}
    for key in ("micro_batch_sequences", "micro_batch_tokens"):
        assert recipe["runtime"][key] == run["runtime"][key]
