"""The model's weights as the engine multiplies with them: what acts on the same input is one.

Queries, keys and values are one matrix product, gate and up projection another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from olmoflow.errors import UserError
from olmoflow.inference.native.panels import Panels
from olmoflow.model import Olmo3, Olmo3Config
from olmoflow.model.rename import parameter_shapes

Matrix = Tensor | Panels
"""What stands for a matrix in products: itself, a quantized one, or one that is arranged anew."""
Pack = Callable[[Tensor], Matrix]

_Make = Callable[[int, str, Mapping[str, Tensor]], Matrix]
_FUSED = {
    "qkv": ("attention.q_proj", "attention.k_proj", "attention.v_proj"),
    "out": ("attention.o_proj",),
    "gate_up": ("feed_forward.gate_proj", "feed_forward.up_proj"),
    "down": ("feed_forward.down_proj",),
}
_NORMS = {
    "q_norm": "attention.q_norm",
    "k_norm": "attention.k_norm",
    "attention_norm": "attention_norm",
    "feed_forward_norm": "feed_forward_norm",
}


@dataclass
class LayerWeights:
    """One block. Matrices are [out, in]; norms are fp32."""

    qkv: Matrix
    out: Matrix
    gate_up: Matrix
    down: Matrix
    q_norm: Tensor
    k_norm: Tensor
    attention_norm: Tensor
    feed_forward_norm: Tensor


class Weights:
    """All weights, and how to exchange them.

    Args:
        model: Whose weights these are. Parameters that have the device and dtype of the engine
            become views of the fused matrices, so that memory is not needed twice.
        device: Where the products run.
        pack: What becomes of the matrices of the blocks.
    """

    def __init__(self, model: Olmo3, device: torch.device, pack: Pack | None = None) -> None:
        self.config: Olmo3Config = model.config
        self.device, self.dtype = device, model.compute_dtype
        self.pack = pack
        self.changes = 0  # of all weights so far
        self.shapes = parameter_shapes(model.config)
        self._places: dict[str, Tensor] = {}  # where an exchange writes, by the model's names
        parameters = dict(model.named_parameters())
        self.layers = [self._layer(number, parameters) for number in range(self.config.n_layers)]
        self.embeddings = self._single("embeddings.weight", parameters)
        self.norm = self._single("norm.weight", parameters, torch.float32)
        self.lm_head = self._single("lm_head.weight", parameters)

    @torch.no_grad()
    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Exchange all weights.

        Raises:
            UserError: A name or a shape does not fit; then nothing has changed.
        """
        self._check(weights)
        self.changes += 1
        for name, place in self._places.items():
            place.copy_(weights[name])
        if self.pack is not None:
            for number, layer in enumerate(self.layers):
                for field in _FUSED:
                    setattr(layer, field, self._packed(number, field, weights))

    def _check(self, weights: Mapping[str, Tensor]) -> None:
        for name in sorted(self.shapes.keys() | weights.keys()):
            if name not in weights:
                raise UserError(f"weights: {name} is missing; the model has it")
            if name not in self.shapes:
                raise UserError(f"weights: {name} found, which the model does not have")
            if weights[name].shape != self.shapes[name]:
                raise UserError(
                    f"weights: {name} of shape {list(weights[name].shape)} found, "
                    f"{list(self.shapes[name])} expected"
                )

    @torch.no_grad()
    def _layer(self, number: int, parameters: Mapping[str, Tensor]) -> LayerWeights:
        make: _Make = self._fused if self.pack is None else self._packed
        matrices = {field: make(number, field, parameters) for field in _FUSED}
        norms = {
            field: self._single(f"blocks.{number}.{name}.weight", parameters, torch.float32)
            for field, name in _NORMS.items()
        }
        fields: dict[str, Any] = {**matrices, **norms}
        return LayerWeights(**fields)

    def _fused(self, number: int, field: str, parameters: Mapping[str, Tensor]) -> Tensor:
        names = [f"blocks.{number}.{name}.weight" for name in _FUSED[field]]
        fused = torch.cat([self._here(parameters[name], self.dtype) for name in names])
        sizes = [parameters[name].shape[0] for name in names]
        for name, view in zip(names, torch.split(fused, sizes), strict=True):
            self._places[name] = view
            _adopt(parameters[name], view)
        return fused

    def _packed(self, number: int, field: str, tensors: Mapping[str, Tensor]) -> Matrix:
        assert self.pack is not None
        names = [f"blocks.{number}.{name}.weight" for name in _FUSED[field]]
        return self.pack(torch.cat([self._here(tensors[name], self.dtype) for name in names]))

    @torch.no_grad()
    def _single(
        self, name: str, parameters: Mapping[str, Tensor], dtype: torch.dtype | None = None
    ) -> Tensor:
        place = self._here(parameters[name], dtype or self.dtype)
        self._places[name] = place
        return place

    def _here(self, tensor: Tensor, dtype: torch.dtype) -> Tensor:
        return tensor.detach().to(self.device, dtype)


def _adopt(parameter: Tensor, view: Tensor) -> None:
    if parameter.device == view.device and parameter.dtype == view.dtype:
        parameter.data = view
