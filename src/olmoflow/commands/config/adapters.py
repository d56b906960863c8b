"""What a config says of adapters: ``adapter=``, a file of ``conf/adapter``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from olmoflow.artifact import Input
from olmoflow.commands.config.build import build
from olmoflow.errors import UserError
from olmoflow.mesh import Mesh

if TYPE_CHECKING:
    from olmoflow.train.adapters import LoRA


def build_adapter(config: Mapping[str, Any]) -> LoRA | None:
    """The settings of the adapters of a resolved config; None where there are none.

    Raises:
        UserError: One is impossible; the message names it.
    """
    node = {key: value for key, value in config["adapter"].items() if key != "name"}
    adapter: LoRA | None = build(node, "adapter") if node else None
    return adapter


def check_adapter(config: Mapping[str, Any], start: Input | None, mesh: Mesh) -> None:
    """See that adapters have a model to stand beside, on one GPU.

    Raises:
        UserError: There is none, there are more ranks, or a setting is impossible.
    """
    if build_adapter(config) is None:
        return
    name = config["adapter"]["name"]
    if start is None:
        raise UserError(
            f"adapter={name}: stands beside a trained model; give checkpoint=NAME or adapter=none"
        )
    if mesh.ranks > 1:
        raise UserError(
            f"adapter={name}: {mesh.ranks} ranks found; expected one (parallel=single), for the "
            "frozen weights are not sharded"
        )
    for key in ("carry_optimizer", "carry_trainer"):
        if config[key]:
            raise UserError(f"{key}=true: adapters begin anew; expected {key}=false")
