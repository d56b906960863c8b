"""One complete step of a series: open and check it; load model, optimizer and trainer state."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.metadata import Metadata
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)

from olmoflow.errors import UserError
from olmoflow.model.checkpoint.digests import Digests
from olmoflow.model.checkpoint.read import (
    INDEX,
    DataReader,
    iter_entries,
    load_entries,
    read_index,
    tensor_shapes,
)
from olmoflow.model.config import Olmo3Config
from olmoflow.series import series_steps, step_folder

MODEL_CONFIG = "model.json"
TRAINER = "trainer.pt"
ADAPTER = "adapter.json"
MODEL_PREFIX = "model."
OPTIMIZER_PREFIX = "optimizer."

# Torch's form that keys every value by parameter name, so that it survives other groupings.
FLAT_OPTIMIZER = StateDictOptions(flatten_optimizer_state_dict=True)


def model_state(model: nn.Module, *, trained_only: bool) -> dict[str, Tensor]:
    """The model's tensors by name, as they lie: a sharded one's are DTensors.

    Blocks are compiled and sharded in place, so their names are what they were. Torch's
    ``get_model_state_dict``, which undoes wrappers, would import its compiler to look for them.

    Args:
        model: The model.
        trained_only: Of one with adapters, whose frozen weights are the base's, not saved again.
    """
    state: dict[str, Tensor] = model.state_dict()
    if trained_only:
        trained = {name for name, p in model.named_parameters() if p.requires_grad}
        state = {name: tensor for name, tensor in state.items() if name in trained}
    return state


def list_steps(series: Path) -> list["Checkpoint"]:
    """The complete steps of a series, ascending.

    Raises:
        UserError: a step folder is damaged; half-written ones have another name and don't count.
    """
    return [Checkpoint.open(step_folder(series, step)) for step in series_steps(series)]


@dataclass(frozen=True)
class Checkpoint:
    """One complete step folder. Get one with `Checkpoint.open` or `list_steps`."""

    path: Path
    step: int
    config: Olmo3Config
    digests: Digests = field(repr=False, compare=False)
    _checked: set[str] = field(default_factory=set, repr=False, compare=False)

    @classmethod
    def open(cls, path: Path) -> "Checkpoint":
        """Open a step folder; checks that it is complete, but reads only its small files.

        Raises:
            UserError: names the file that is missing, cut or unreadable, and why.
        """
        path = Path(path)
        digests = Digests.read(path)
        digests.check_sizes(path)
        for name in (INDEX, MODEL_CONFIG):
            digests.check(path, name)
        data = json.loads((path / MODEL_CONFIG).read_bytes())
        return cls(path, digests.step, Olmo3Config.from_dict(data), digests)

    def verify(self) -> None:
        """Read every file and compare it with its digest.

        Whatever is loaded is checked before its use anyway; this checks all of it.

        Raises:
            UserError: names the damaged file.
        """
        digests = Digests.read(self.path)
        digests.check_sizes(self.path)
        for name in digests.files:
            digests.check(self.path, name)
            self._checked.add(name)

    def tensor_names(self) -> list[str]:
        """Names of the model's tensors, in the order of the index."""
        return list(self.tensor_shapes())

    def tensor_shapes(self) -> dict[str, torch.Size]:
        """Shapes of the model's tensors by name."""
        return tensor_shapes(self._index, MODEL_PREFIX)

    def read_tensor(self, name: str) -> Tensor:
        """One whole tensor of the model, on the CPU."""
        (_, tensor), *_ = iter_entries([MODEL_PREFIX + name], self._reader())
        assert isinstance(tensor, Tensor)
        return tensor

    def iter_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Yield `(name, whole tensor on the CPU)`, holding one in memory at a time."""
        keys = [MODEL_PREFIX + name for name in self.tensor_names()]
        for key, tensor in iter_entries(keys, self._reader()):
            yield key.removeprefix(MODEL_PREFIX), tensor

    def load_model(self, model: nn.Module) -> None:
        """Overwrite the parameters of `model` in place, sharded (DTensor) or not.

        Of a step that holds adapters only those that are trained. With several ranks every rank
        calls it. The parameters keep their dtype and device.

        Raises:
            UserError: a tensor is missing, unexpected, of another shape, or damaged.
        """
        state = model_state(model, trained_only=self.adapter is not None)
        stored = tensor_shapes(self._index, MODEL_PREFIX)
        for name in sorted(stored.keys() | state.keys()):
            if name not in stored:
                raise UserError(f"{self.path}: no tensor {name!r}, which the model has")
            if name not in state:
                raise UserError(f"{self.path}: tensor {name!r} is none of this model's")
            if stored[name] != state[name].shape:
                raise UserError(
                    f"{self.path}: tensor {name!r} has shape {list(stored[name])}, "
                    f"the model expects {list(state[name].shape)}"
                )
        load_entries({MODEL_PREFIX + name: t for name, t in state.items()}, self._reader())

    @property
    def adapter(self) -> dict[str, Any] | None:
        """What the step's adapters are and whose weights they stand beside; None: a whole model."""
        if ADAPTER not in self.digests.files:
            return None
        self._check(ADAPTER)
        found: dict[str, Any] = json.loads((self.path / ADAPTER).read_bytes())
        return found

    @property
    def has_optimizer(self) -> bool:
        """Whether the optimizer's state was saved too."""
        return any(key.startswith(OPTIMIZER_PREFIX) for key in self._index.state_dict_metadata)

    def load_optimizer(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, *, groups: bool = True
    ) -> None:
        """Give `optimizer` the state that was saved, resharded to its parameters.

        With several ranks every rank calls it. Parameters are matched by name, so they may be
        grouped otherwise than when they were saved. Entries of a parameter group that the
        checkpoint lacks (it may come from another trainer) stay as they were built.

        Args:
            model: the model whose parameters `optimizer` updates.
            optimizer: built anew; state that it has is overwritten.
            groups: restore the tensors of the parameter groups too, such as histories: wanted to
                resume a run; not wanted where a new run takes over only the moments and the step
                count. Plain settings (learning rate, betas, …) stay as the optimizer was built.

        Raises:
            UserError: the checkpoint lacks the state of a parameter, holds state that the
                optimizer does not have, or is damaged.
        """
        if not self.has_optimizer:
            raise UserError(f"{self.path}: holds no optimizer state")
        flat: dict[str, Any] = dict(
            get_optimizer_state_dict(model, optimizer, options=FLAT_OPTIMIZER)
        )
        wanted = self._match_optimizer(flat, groups=groups)
        state = {OPTIMIZER_PREFIX + key: flat[key] for key in wanted}
        load_entries(state, self._reader())
        flat.update((key, state[OPTIMIZER_PREFIX + key]) for key in wanted)
        set_optimizer_state_dict(model, optimizer, flat, options=FLAT_OPTIMIZER)

    def _match_optimizer(self, flat: dict[str, Any], *, groups: bool) -> list[str]:
        """Which keys to load; raises where checkpoint and optimizer do not fit together."""
        stored = {
            key.removeprefix(OPTIMIZER_PREFIX)
            for key in self._index.state_dict_metadata
            if key.startswith(OPTIMIZER_PREFIX)
        }
        shapes = tensor_shapes(self._index, OPTIMIZER_PREFIX)
        for key, value in flat.items():
            if key.startswith("state.") and key not in stored:
                raise UserError(f"{self.path}: no {key!r}, which this optimizer needs")
            if key in shapes and shapes[key] != getattr(value, "shape", None):
                raise UserError(
                    f"{self.path}: {key!r} has shape {list(shapes[key])}, "
                    f"the optimizer expects {list(getattr(value, 'shape', ()))}"
                )
        for key in sorted(stored - flat.keys()):
            # A plain value in a group is a setting, which another version may not know.
            if key in shapes and (groups or key.startswith("state.")):
                raise UserError(f"{self.path}: {key!r} is nothing that this optimizer keeps")
        kept = (key for key in flat if key.startswith("state.") or (groups and key in shapes))
        return [key for key in kept if key in stored]

    def trainer_state(self) -> dict[str, Any] | None:
        """What the trainer saved beside weights and optimizer, or None."""
        if TRAINER not in self.digests.files:
            return None
        self._check(TRAINER)
        state: dict[str, Any] = torch.load(
            self.path / TRAINER, map_location="cpu", weights_only=True
        )
        return state

    @cached_property
    def _index(self) -> Metadata:
        return read_index(self.path)

    def _reader(self) -> DataReader:
        return DataReader(self.path, self._index, before_use=self._check)

    def _check(self, name: str) -> None:
        if name not in self._checked:
            self.digests.check(self.path, name)
            self._checked.add(name)
