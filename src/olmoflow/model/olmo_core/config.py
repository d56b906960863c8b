"""`config.json` of an OLMo-core run, read as data.

OLMo-core's `TransformerConfig` describes many architectures. What Olmo 3 has in one form only is
compared with it, and a switch that this file does not know must be off: a model that computes
something else never comes in under the same tensor names.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from olmoflow.errors import UserError
from olmoflow.model.config import Olmo3Config, YaRN
from olmoflow.model.hf.config import full_attention_period

# Key: the values that are Olmo 3's; None stands for a key that is absent.
_Expected = Mapping[str, tuple[Any, ...]]

_MODEL: _Expected = {"name": (None, "default")}
_BLOCK: _Expected = {"name": ("reordered_norm",)}
_ATTENTION: _Expected = {"name": (None, "default"), "type": (None, "attention")}
_FEED_FORWARD: _Expected = {"name": (None, "default"), "activation": (None, "silu")}
_LM_HEAD: _Expected = {"name": (None, "default")}
_NORM: _Expected = {
    "name": ("rms", "fused_rms"),
    "elementwise_affine": (None, True),
    "full_precision": (None, True),
}
_ROPE: _Expected = {
    # The fused kernel computes the same; the complex one pairs other dimensions.
    "name": (None, "default", "fused"),
    "full_precision": (None, True),
    "partial_rotary_factor": (None, 1.0),
}

# Where these stand, they change no result, or are read below.
_FREE = frozenset({"_CLASS_", "dtype"})
_FREE_OF_MODEL = {"d_model", "vocab_size", "n_layers", "block", "block_overrides", "lm_head"} | {
    "init_method",
    "init_seed",
    "init_std",
    "embedding_init_std",
    "freeze_params",
}
_FREE_OF_BLOCK = {"sequence_mixer", "attention", "layer_norm", "feed_forward"}
_FREE_OF_ATTENTION = {"n_heads", "n_kv_heads", "head_dim", "rope", "qk_norm", "sliding_window"} | {
    "use_flash",
    "backend",
}
_YARN = {"factor", "beta_fast", "beta_slow", "old_context_len"}

# What OLMo-core takes where these are absent.
_EPS, _THETA, _INIT_STD = 1e-5, 500_000, 0.02


def read_olmo_core_config(values: Mapping[str, Any], where: str) -> Olmo3Config:
    """The config of the model that an OLMo-core run trains.

    Args:
        values: the content of `config.json`.
        where: its path, for messages.

    Raises:
        UserError: names the key whose value is not Olmo 3's.
    """
    reader = _Reader(where)
    model = reader.section(values, "", "model")
    reader.check(model, "model", _MODEL, _FREE_OF_MODEL)
    head = reader.section(model, "model", "lm_head")
    reader.check(head, "model.lm_head", _LM_HEAD, {"layer_norm", "loss_implementation"})
    n_layers = reader.integer(model, "model", "n_layers")
    layers = [reader.layer(model, index, n_layers) for index in range(n_layers)]
    eps = reader.norm(head, "model.lm_head", "layer_norm")
    shape = reader.common([layer.shape for layer in layers])
    if shape["norm_eps"] != eps:
        raise reader.refusal("model.lm_head.layer_norm.eps", eps, shape["norm_eps"])
    return Olmo3Config(
        vocab_size=reader.integer(model, "model", "vocab_size"),
        d_model=reader.integer(model, "model", "d_model"),
        n_layers=n_layers,
        init_std=model.get("init_std", _INIT_STD),
        max_sequence_length=_sequence_length(values),
        **shape,
        **reader.pattern([layer.window for layer in layers]),
        yarn=reader.yarn(layers),
    )


@dataclass(frozen=True)
class _Layer:
    """What one block's config says.

    Attributes:
        shape: The settings that all layers must share, by our names.
        window: Tokens that it sees; None for all.
        scaling: Of its rotary frequencies, as the file has it.
        path: The key that `scaling` stands under.
    """

    shape: dict[str, Any]
    window: int | None
    scaling: Mapping[str, Any] | None
    path: str


class _Reader:
    """Reads sections of one file, so that every message names file and key."""

    def __init__(self, where: str) -> None:
        self.where = where

    def refusal(self, key: str, found: Any, *expected: Any) -> UserError:
        wanted = " or ".join(repr(value) for value in expected if value is not None) or "none"
        return UserError(f"{self.where}: {key}: {found!r} found, but Olmo 3 here needs {wanted}")

    def section(self, values: Mapping[str, Any], path: str, key: str) -> Mapping[str, Any]:
        found = values.get(key)
        if not isinstance(found, Mapping):
            full = f"{path}.{key}" if path else key
            raise UserError(f"{self.where}: {full}: missing, so it is no config of OLMo-core's")
        return found

    def integer(self, section: Mapping[str, Any], path: str, key: str) -> int:
        found = section.get(key)
        if not isinstance(found, int) or found < 1:
            raise self.refusal(f"{path}.{key}", found, "a positive integer")
        return found

    def check(
        self, section: Mapping[str, Any], path: str, expected: _Expected, free: Collection[str]
    ) -> None:
        """Compare the known settings, and see that all others are off."""
        for key, allowed in expected.items():
            if section.get(key) not in allowed:
                raise self.refusal(f"{path}.{key}", section.get(key), *allowed)
        for key in sorted(section.keys() - expected.keys() - _FREE - set(free)):
            if section[key] not in (None, False):
                raise self.refusal(f"{path}.{key}", section[key], False)

    def norm(self, section: Mapping[str, Any], path: str, key: str) -> float:
        """The epsilon of a norm that is checked to be an RMSNorm."""
        norm = self.section(section, path, key)
        self.check(norm, f"{path}.{key}", _NORM, {"eps"})
        return float(norm.get("eps", _EPS))

    def layer(self, model: Mapping[str, Any], index: int, n_layers: int) -> _Layer:
        """One block, checked to be Olmo 3's."""
        overrides = model.get("block_overrides") or {}
        path = f"model.block_overrides.{index}" if str(index) in overrides else "model.block"
        block = overrides.get(str(index)) or self.section(model, "model", "block")
        self.check(block, path, _BLOCK, _FREE_OF_BLOCK)
        # Older configs call it `attention`.
        mixer = "attention" if "attention" in block else "sequence_mixer"
        attention = self.section(block, path, mixer)
        self.check(attention, f"{path}.{mixer}", _ATTENTION, _FREE_OF_ATTENTION)
        feed_forward = self.section(block, path, "feed_forward")
        self.check(feed_forward, f"{path}.feed_forward", _FEED_FORWARD, {"hidden_size"})
        eps = self.norm(block, path, "layer_norm")
        if (other := self.norm(attention, f"{path}.{mixer}", "qk_norm")) != eps:
            raise self.refusal(f"{path}.{mixer}.qk_norm.eps", other, eps)
        rope = self.section(attention, f"{path}.{mixer}", "rope")
        self.check(rope, f"{path}.{mixer}.rope", _ROPE, {"theta", "scaling"})
        heads = self.integer(attention, f"{path}.{mixer}", "n_heads")
        shape = {
            "n_heads": heads,
            "n_kv_heads": attention.get("n_kv_heads") or heads,
            "head_dim": attention.get("head_dim"),
            "ffn_hidden_size": self.integer(feed_forward, f"{path}.feed_forward", "hidden_size"),
            "rope_theta": float(rope.get("theta", _THETA)),
            "norm_eps": eps,
        }
        window = _window(attention.get("sliding_window"), index, n_layers)
        return _Layer(shape, window, rope.get("scaling"), f"{path}.{mixer}.rope.scaling")

    def common(self, shapes: list[dict[str, Any]]) -> dict[str, Any]:
        """The settings that all layers share."""
        for index, shape in enumerate(shapes):
            for key, value in shape.items():
                if value != shapes[0][key]:
                    where = f"model.block_overrides.{index}: {key}"
                    raise self.refusal(where, value, shapes[0][key])
        return dict(shapes[0])

    def pattern(self, windows: list[int | None]) -> dict[str, int]:
        """The width of the window, and every how many layers there is none."""
        widths = {window for window in windows if window is not None}
        every = full_attention_period([window is None for window in windows])
        if every is None or len(widths) > 1:
            key = "sliding_window: pattern"
            raise self.refusal(
                key, windows, "one width, no window in every n-th and the last layer"
            )
        found = {"full_attention_every": every}
        return found | {"sliding_window": widths.pop()} if widths else found

    def yarn(self, layers: Iterable[_Layer]) -> YaRN | None:
        """The context extension of the layers without a window."""
        scalings = []
        for layer in layers:
            if layer.window is None:
                scalings.append(layer)
            elif layer.scaling is not None:
                raise self.refusal(layer.path, layer.scaling, "no scaling in window layers")
        first = scalings[0]
        for layer in scalings:
            if layer.scaling != first.scaling:
                raise self.refusal(layer.path, layer.scaling, first.scaling)
        if first.scaling is None:
            return None
        kind = str(first.scaling.get("_CLASS_", "")).rpartition(".")[2]
        if kind != "YaRNRoPEScalingConfig":
            raise self.refusal(f"{first.path}._CLASS_", kind, "YaRNRoPEScalingConfig")
        self.check(first.scaling, first.path, {}, _YARN)
        return YaRN(
            factor=float(first.scaling.get("factor", 8.0)),
            beta_fast=float(first.scaling.get("beta_fast", 32)),
            beta_slow=float(first.scaling.get("beta_slow", 1)),
            original_max_position=first.scaling.get("old_context_len", 8192),
        )


def _window(sliding: Mapping[str, Any] | None, layer: int, n_layers: int) -> int | None:
    """Tokens that a layer sees, or None for all: the rule of `SlidingWindowAttentionConfig`."""
    if sliding is None:
        return None
    first_full = sliding.get("force_full_attention_on_first_layer", True)
    last_full = sliding.get("force_full_attention_on_last_layer", True)
    if (first_full and layer == 0) or (last_full and layer == n_layers - 1):
        return None
    pattern = sliding.get("pattern") or [-1]
    width = pattern[(layer - bool(first_full)) % len(pattern)]
    return None if width == -1 else int(width)


def _sequence_length(values: Mapping[str, Any]) -> int:
    """The longest sequence that the run trained on; Olmo 3's 8192 where it does not say."""
    for section, key in (("train_module", "max_sequence_length"), ("dataset", "sequence_length")):
        found = (values.get(section) or {}).get(key)
        if found is not None:
            return int(found)
    return 8192
