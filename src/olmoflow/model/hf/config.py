"""`config.json` of `Olmo3ForCausalLM`, written and read as data."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from olmoflow.errors import UserError
from olmoflow.model.config import Olmo3Config, YaRN

FULL, SLIDING = "full_attention", "sliding_attention"

# What transformers' Olmo3Config takes where a key is absent; they are not Olmo 3's values.
_DEFAULTS: dict[str, Any] = {
    "vocab_size": 50304,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "max_position_embeddings": 2048,
    "initializer_range": 0.02,
    "rms_norm_eps": 1e-5,
    "sliding_window": 4096,
}
_DEFAULT_THETA = 500_000.0

# Settings that Olmo 3 has in one form only.
_FIXED: dict[str, Any] = {
    "model_type": "olmo3",
    "attention_bias": False,
    "attention_dropout": 0.0,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
}


def attention_factor(yarn: YaRN) -> float:
    """Factor on cosine and sine (YaRN paper, arXiv 2309.00071, section 3.4)."""
    return 0.1 * math.log(yarn.factor) + 1.0


def to_hf_config(config: Olmo3Config, vocab_size: int, dtype: str) -> dict[str, Any]:
    """`config.json` in the form of transformers 5, without the tokenizer's ids.

    Args:
        config: of the model.
        vocab_size: rows of the exported embedding.
        dtype: of the exported tensors, as in `"bfloat16"`.
    """
    plain: dict[str, Any] = {"rope_type": "default", "rope_theta": config.rope_theta}
    full = plain
    if config.yarn is not None:
        full = {
            "rope_type": "yarn",
            "rope_theta": config.rope_theta,
            "factor": config.yarn.factor,
            "beta_fast": config.yarn.beta_fast,
            "beta_slow": config.yarn.beta_slow,
            "original_max_position_embeddings": config.yarn.original_max_position,
            "attention_factor": attention_factor(config.yarn),
        }
    values = {
        "architectures": ["Olmo3ForCausalLM"],
        **_FIXED,
        "dtype": dtype,
        "hidden_size": config.d_model,
        "initializer_range": config.init_std,
        "intermediate_size": config.ffn_hidden_size,
        "layer_types": layer_types(config),
        "max_position_embeddings": config.max_sequence_length,
        "num_attention_heads": config.n_heads,
        "num_hidden_layers": config.n_layers,
        "num_key_value_heads": config.n_kv_heads,
        "rms_norm_eps": config.norm_eps,
        # Both kinds of layer are spelt out: what is absent gets another theta.
        "rope_parameters": {FULL: full, SLIDING: plain},
        "sliding_window": config.sliding_window,
        "use_cache": True,
        "vocab_size": vocab_size,
    }
    if config.head_width * config.n_heads != config.d_model:
        values["head_dim"] = config.head_width
    return values


def layer_types(config: Olmo3Config) -> list[str]:
    """The kind of attention of each layer."""
    return [FULL if config.is_full_attention(i) else SLIDING for i in range(config.n_layers)]


def from_hf_config(values: Mapping[str, Any], where: str) -> Olmo3Config:
    """The config of a model that transformers describes.

    Reads the form of transformers 5 (`rope_parameters` by layer type) and the older, published
    one (`rope_theta` and `rope_scaling`, which holds for full-attention layers only).

    Args:
        values: the content of `config.json`.
        where: its path, for messages.

    Raises:
        UserError: names the key whose value this model cannot represent.
    """
    try:
        return _read(values, where)
    except (AttributeError, TypeError, ValueError) as error:  # a value of another type
        raise UserError(f"{where}: no config of an Olmo 3: {error}") from error


def _read(values: Mapping[str, Any], where: str) -> Olmo3Config:
    for key, expected in _FIXED.items():
        found = values.get(key, None if key == "model_type" else expected)
        if found != expected:
            raise _unsupported(where, key, found, expected)
    get = {**_DEFAULTS, **values}
    theta, yarn = _read_rope(values, get["max_position_embeddings"], where)
    full_every = _read_layer_types(values, get["num_hidden_layers"], where)
    if get["sliding_window"] is None and full_every > 1:
        raise _unsupported(where, "sliding_window", None, "a number of tokens")
    heads = get["num_attention_heads"]
    kv_heads = get.get("num_key_value_heads")
    try:
        return Olmo3Config(
            vocab_size=get["vocab_size"],
            d_model=get["hidden_size"],
            n_layers=get["num_hidden_layers"],
            n_heads=heads,
            n_kv_heads=heads if kv_heads is None else kv_heads,
            ffn_hidden_size=get["intermediate_size"],
            head_dim=get.get("head_dim"),
            sliding_window=get["sliding_window"] or _DEFAULTS["sliding_window"],
            full_attention_every=full_every,
            rope_theta=theta,
            yarn=yarn,
            norm_eps=get["rms_norm_eps"],
            init_std=get["initializer_range"],
            max_sequence_length=get["max_position_embeddings"],
        )
    except UserError as error:
        raise UserError(f"{where}: {_in_their_words(str(error))}") from error


def _in_their_words(message: str) -> str:
    """A message of `Olmo3Config` with the keys of `config.json`."""
    return re.sub(r"(?:\bmodel\.)?\b(\w+)", lambda word: _THEIRS.get(word[1], word[1]), message)


_THEIRS = {
    "d_model": "hidden_size",
    "ffn_hidden_size": "intermediate_size",
    "init_std": "initializer_range",
    "max_sequence_length": "max_position_embeddings",
    "n_heads": "num_attention_heads",
    "n_kv_heads": "num_key_value_heads",
    "n_layers": "num_hidden_layers",
    "norm_eps": "rms_norm_eps",
}


def full_attention_period(full: Sequence[bool]) -> int | None:
    """Every how many layers attention is full, the last always being so; None where it is not so.

    Where several periods fit, it is 4, as in the released models, or the smallest.
    """
    last = len(full) - 1
    candidates: list[int] = [4, *range(1, len(full) + 1)]
    for every in candidates:
        if list(full) == [(i + 1) % every == 0 or i == last for i in range(len(full))]:
            return every
    return None


def _read_layer_types(values: Mapping[str, Any], n_layers: int, where: str) -> int:
    found = values.get("layer_types")
    if found is None:
        found = [FULL if (i + 1) % 4 == 0 else SLIDING for i in range(n_layers)]
    every = full_attention_period([kind == FULL for kind in found])
    if every is None or len(found) != n_layers or not {FULL, SLIDING}.issuperset(found):
        raise _unsupported(
            where,
            "layer_types",
            f"{len(found)} layers {found[:4]}…",
            f"{n_layers} layers, every n-th and the last {FULL}, the others {SLIDING}",
        )
    return every


def _read_rope(
    values: Mapping[str, Any], max_position: int, where: str
) -> tuple[float, YaRN | None]:
    """The base of the rotary frequencies and the scaling of the full-attention layers."""
    by_layer = _rope_by_layer(values, where)
    for layer, rope in by_layer.items():
        if rope.get("partial_rotary_factor", 1.0) != 1.0:
            key = f"rope_parameters.{layer}.partial_rotary_factor"
            raise _unsupported(where, key, rope["partial_rotary_factor"], 1.0)
    full, sliding = by_layer[FULL], by_layer[SLIDING]
    theta = full.get("rope_theta", _DEFAULT_THETA)
    if (other := sliding.get("rope_theta", _DEFAULT_THETA)) != theta:
        key = f"rope_parameters.{SLIDING}.rope_theta"
        raise _unsupported(where, key, other, f"{theta}, as in the {FULL} layers")
    if (kind := _rope_type(sliding)) != "default":
        raise _unsupported(where, f"rope_parameters.{SLIDING}.rope_type", kind, "default")
    kind = _rope_type(full)
    if kind == "default":
        return theta, None
    if kind != "yarn":
        raise _unsupported(where, f"rope_parameters.{FULL}.rope_type", kind, "default or yarn")
    return theta, _read_yarn(full, max_position, where)


def _rope_by_layer(values: Mapping[str, Any], where: str) -> dict[str, dict[str, Any]]:
    """The parameters of both kinds of layer, from whichever form the file has."""
    parameters = values.get("rope_parameters")
    if parameters is not None:
        if not {FULL, SLIDING} >= parameters.keys():
            found = f"the keys {sorted(parameters)}"
            raise _unsupported(where, "rope_parameters", found, f"{FULL} and {SLIDING}")
        return {layer: dict(parameters.get(layer) or {}) for layer in (FULL, SLIDING)}
    theta = values.get("rope_theta", _DEFAULT_THETA)
    if theta != _DEFAULT_THETA:
        # transformers 4 gives it to all layers, transformers 5 to full-attention layers only.
        expected = f"{_DEFAULT_THETA}, or rope_parameters for both kinds of layer"
        raise _unsupported(where, "rope_theta", theta, expected)
    scaling = dict(values.get("rope_scaling") or {})
    return {FULL: {**scaling, "rope_theta": theta}, SLIDING: {"rope_theta": theta}}


def _rope_type(rope: Mapping[str, Any]) -> str:
    return str(rope.get("rope_type", rope.get("type", "default")))


def _read_yarn(rope: Mapping[str, Any], max_position: int, where: str) -> YaRN:
    key = f"rope_parameters.{FULL}"
    known = {"rope_type", "type", "rope_theta", "factor", "beta_fast", "beta_slow"}
    known |= {"original_max_position_embeddings", "attention_factor", "partial_rotary_factor"}
    for other in sorted(rope.keys() - known):
        if not (other == "truncate" and rope[other] is True) and rope[other] is not None:
            raise _unsupported(where, f"{key}.{other}", rope[other], "no such key")
    if rope.get("factor") is None:
        raise _unsupported(where, f"{key}.factor", None, "a number")
    yarn = YaRN(
        factor=rope["factor"],
        beta_fast=_or(rope.get("beta_fast"), 32.0),
        beta_slow=_or(rope.get("beta_slow"), 1.0),
        original_max_position=_or(rope.get("original_max_position_embeddings"), max_position),
    )
    expected = attention_factor(yarn)
    found = _or(rope.get("attention_factor"), expected)
    if not math.isclose(found, expected, rel_tol=1e-6):
        raise _unsupported(
            where, f"{key}.attention_factor", found, f"0.1 ln(factor) + 1 = {expected}"
        )
    return yarn


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value


def _unsupported(where: str, key: str, found: Any, expected: Any) -> UserError:
    return UserError(f"{where}: {key}: {found!r} found, but Olmo 3 here needs {expected!r}")
