"""What a class takes can be set by name: each of its arguments stands in the file that names it.

Hydra refuses a key that no file has. An argument that the file leaves out could be reached with a
plus sign only, by someone who has read the class, and its default would be seen nowhere.
"""

import inspect

import hydra
import pytest
from omegaconf import OmegaConf

from olmoflow.commands.command_line.hydra_app import compose, hydra_settings, plain_config, prepare
from olmoflow.commands.config.build import build, locate
from olmoflow.commands.inputs.engines import SUPPLIED
from olmoflow.commands.main import config_root
from olmoflow.errors import UserError

CONF = config_root() / "conf"

# Arguments that stand in no file, by the name of the class.
RUNTIME = "runtime.… says it: how a command runs, not what it computes"
READERS = dict.fromkeys(["num_workers", "cache_dir", "cache_bytes", "ignore_fingerprint"], RUNTIME)
ENGINES = dict.fromkeys(SUPPLIED, "open_engine gives what a class asks for")
PARAMETERS = {"params": "the model's"}
EXCUSED = {
    "TokenDataModule": {**READERS, "micro_batch_sequences": RUNTIME},
    "PairDataModule": {
        **READERS,
        "micro_batch_tokens": RUNTIME,
        "reference": "the command's own reference=… says it",
    },
    "NativeEngine": {**ENGINES, "vocab_size": "the tokenizer's"},
    "open_hf": ENGINES,
    "VLLMEngine": ENGINES,
    "SkipStepAdamW": PARAMETERS,
    "AdamW8bit": PARAMETERS,
    "AdamW": {
        **PARAMETERS,
        **dict.fromkeys(
            ["amsgrad", "maximize", "foreach", "capturable", "differentiable"],
            "variants of torch's that no recipe of Olmo 3 takes and no run was tried with",
        ),
    },
}
# Files that name a class or build on others. What is shared is no choice; what only overrides other
# choices names files that are looked at themselves.
FILES = [
    path
    for path in sorted(CONF.rglob("*.yaml"))
    if path.parent.name != "shared"
    and (path.parent != CONF or "_target_:" in path.read_text())
    and {"_target_:", "defaults:"} & set(path.read_text().split())
    and "- override " not in path.read_text()
]


def composed(file):
    """A file with what it builds on, as it would stand in a command's config."""
    prepare()
    group, _, choice = file.relative_to(CONF).with_suffix("").as_posix().partition("/")
    root, chosen = (None, [f"+{group}={choice}"]) if choice else (group, [])
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        found = hydra.compose(root, overrides=[*chosen, *hydra_settings()])
    return OmegaConf.to_container(found, resolve=False)


def nodes(value, place=""):
    """All that name a class, with their places."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    if isinstance(value, dict) and "_target_" in value:
        yield place, value
    for key, each in items:
        if isinstance(each, dict | list):
            yield from nodes(each, f"{place}.{key}".lstrip("."))


def left_out(node):
    target = locate(node["_target_"], "")
    names = set(inspect.signature(target).parameters)
    return names - set(node) - set(EXCUSED.get(target.__name__, {}))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(CONF).as_posix())
def test_every_argument_stands_in_the_file_that_names_the_class(file):
    for place, node in nodes(composed(file)):
        assert not left_out(node), f"{place}: {node['_target_']}"


def test_the_test_looks_where_there_are_classes():
    found = {node["_target_"].rpartition(".")[2] for f in FILES for _, node in nodes(composed(f))}
    assert found >= {"Olmo3Config", "YaRN", "Cosine", "DirectPreference", "LoRA", *EXCUSED}


@pytest.mark.parametrize(
    ("override", "name", "value"),
    [
        ("model.head_dim=64", "head_dim", 64),
        ("model.full_attention_every=2", "full_attention_every", 2),
        ("model.rope_theta=1e4", "rope_theta", 1e4),
        ("model.norm_eps=1e-5", "norm_eps", 1e-5),
        ("model.init_std=0.05", "init_std", 0.05),
    ],
)
def test_the_shape_of_a_model_is_set_by_name(override, name, value):
    config = plain_config(compose("train", ["model=olmo3_7b", override]))
    assert getattr(build(config["model"], "model"), name) == value


def test_an_argument_that_no_class_has_is_still_refused():
    with pytest.raises(UserError, match=r"model\.head_width: no such key in olmoflow train"):
        compose("train", ["model.head_width=64"])
