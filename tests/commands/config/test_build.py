"""`build`: signatures are the schema, messages name the key, nothing outside the list is built."""

import pytest

from olmoflow.commands.config.build import build
from olmoflow.errors import UserError

MODEL = {
    "_target_": "olmoflow.model.Olmo3Config",
    "vocab_size": 512,
    "d_model": 64,
    "n_layers": 4,
    "n_heads": 4,
    "n_kv_heads": 4,
    "ffn_hidden_size": 128,
}
YARN = {"_target_": "olmoflow.model.YaRN", "factor": 4.0}


def test_builds_nested_nodes():
    config = build({**MODEL, "yarn": YARN}, "model")
    assert config.d_model == 64
    assert config.yarn.factor == 4.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"d_modle": 3}, r"model\.d_modle: Olmo3Config has no such argument; did you mean d_model"),
        ({"d_model": "wide"}, r"model\.d_model='wide': .*integer"),
        ({"d_model": 1.5}, r"model\.d_model=1\.5: .*integer"),
        ({"yarn": {**YARN, "fctor": 2}}, r"model\.yarn\.fctor: .* did you mean factor"),
        ({"yarn": {**YARN, "factor": "x"}}, r"model\.yarn\.factor='x': .*number"),
    ],
)
def test_mistakes_name_the_key(change, message):
    with pytest.raises(UserError, match=message):
        build({**MODEL, **change}, "model")


def test_missing_arguments_are_named():
    node = {k: v for k, v in MODEL.items() if k != "n_heads"}
    with pytest.raises(UserError, match=r"model\.n_heads: missing"):
        build(node, "model")


@pytest.mark.parametrize("target", ["os.system", "subprocess.run", "builtins.eval", "torch.load"])
def test_only_listed_packages_are_built(target):
    with pytest.raises(UserError, match="_target_"):
        build({"_target_": target}, "model")
