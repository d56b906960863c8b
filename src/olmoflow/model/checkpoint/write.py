"""Writing the steps of a training run, on any number of ranks, at once or in the background."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed._state_dict_utils import (
    CompanionMismatch,
    _copy_state_dict,
    _create_cpu_state_dict,
)
from torch.distributed.checkpoint.filesystem import FileSystemWriter
from torch.distributed.checkpoint.metadata import StorageMeta
from torch.distributed.checkpoint.staging import BlockingAsyncStager
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict
from torch.distributed.checkpoint.state_dict_saver import async_save
from torch.distributed.checkpoint.state_dict_saver import save as blocking_save

from olmoflow.model.checkpoint.digests import FileDigest
from olmoflow.model.checkpoint.folder import (
    finish,
    make_room,
    partial_folder,
    remove_partial,
    write_small_files,
)
from olmoflow.model.checkpoint.read import first_cause
from olmoflow.model.checkpoint.step import FLAT_OPTIMIZER, Checkpoint, model_state
from olmoflow.model.config import Olmo3Config

T = TypeVar("T")

# How long a rank waits for the slowest one's files.
_SAVE_TIMEOUT = timedelta(hours=2)


class CheckpointWriter:
    """Writes the steps of one series, each whole or not at all.

    Every rank makes one and calls `save` and `wait` alike. A series has one writer at a time: the
    first save removes what a killed one left half-written. A step that exists already is kept if
    it is intact; a damaged one is set aside as `step-N.damaged` and written anew.

    Args:
        series: folder of the series; made when absent.
        asynchronous: `save` returns once the state is copied to CPU memory, and a thread writes
            it. One save runs at a time. The copy's memory is kept for the next save: to allocate
            it takes longer than to fill it.

    Attributes:
        on_complete: called on rank 0 with each checkpoint after it has appeared, in the writing
            thread if asynchronous: the place to prune older steps, which are needed until then.
            What it raises is raised on every rank, by `save`, or by `wait` if asynchronous.
    """

    def __init__(self, series: Path, *, asynchronous: bool = False) -> None:
        self.series = Path(series)
        self.asynchronous = asynchronous
        self.on_complete: Callable[[Checkpoint], None] | None = None
        self._ranks: _Ranks | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: Future[None] | None = None
        self._stager = _ReusingStager()

    def save(
        self,
        step: int,
        model: nn.Module,
        optimizer: torch.optim.Optimizer | None,
        config: Olmo3Config,
        trainer: Mapping[str, Any] | None,
        adapter: Mapping[str, Any] | None = None,
    ) -> None:
        """Write one step; waits for the previous save first.

        Args:
            step: optimizer steps done.
            model: its parameters, sharded (DTensor) or not, are stored in their own dtype.
            optimizer: stored under parameter names; None leaves it out.
            config: of the model.
            trainer: what `Checkpoint.trainer_state` gives back: tensors, plain values and
                containers of them. Rank 0's counts.
            adapter: what `Checkpoint.adapter` gives back; then only trained parameters are stored.

        Raises:
            TypeError: `trainer` holds something that could not be read back as data.
        """
        self.wait()
        if self._ranks is None:
            # Made at the first save, when the process group is sure to be up.
            self._ranks = _Ranks()
            self._ranks.agree(lambda: remove_partial(self.series))
        ranks, partial = self._ranks, partial_folder(self.series, step)

        def prepare() -> bool:
            if absent := make_room(self.series, step):
                write_small_files(partial, config, trainer, adapter)
            return absent

        if not ranks.agree(prepare):
            return
        state: dict[str, Any] = {"model": model_state(model, trained_only=adapter is not None)}
        if optimizer is not None:
            state["optimizer"] = optimizer_entries(model, optimizer)
        storage = StepWriter(partial)
        alone = ranks.group is None
        if self.asynchronous:
            written = async_save(
                state,
                storage_writer=storage,
                async_stager=self._stager,
                process_group=ranks.group,
                no_dist=alone,
            )
            self._pending = self._thread.submit(self._complete_later, step, ranks, written)
        else:
            with first_cause():
                blocking_save(
                    state, storage_writer=storage, process_group=ranks.group, no_dist=alone
                )
            self._complete(step, ranks)

    def wait(self) -> None:
        """Return once the pending save is complete (renamed); raise what went wrong with it."""
        if self._pending is not None:
            pending, self._pending = self._pending, None
            pending.result()

    def _complete_later(self, step: int, ranks: "_Ranks", written: Any) -> None:
        with first_cause():
            written.result()
        self._complete(step, ranks)

    def _complete(self, step: int, ranks: "_Ranks") -> None:
        partial = partial_folder(self.series, step)

        def hash_own_files() -> dict[str, FileDigest]:
            own = partial.glob(f"__{ranks.rank}_*.distcp")
            return {path.name: FileDigest.of(path) for path in own}

        files = ranks.gather(hash_own_files)

        def appear() -> None:
            digests = {name: digest for part in files for name, digest in part.items()}
            checkpoint = finish(self.series, step, digests)
            if self.on_complete is not None:
                self.on_complete(checkpoint)

        ranks.agree(appear)


def optimizer_entries(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The optimizer's state under parameter names, flat; made if the optimizer has none yet.

    Torch makes missing state by a step at learning rate 0, which leaves the step counters at 1:
    a run saved before its first step would go on with another bias correction. State that was
    only just made is therefore set to zero, which is how Adam and momentum begin.
    """
    newborn = not optimizer.state
    flat: dict[str, Any] = dict(get_optimizer_state_dict(model, optimizer, options=FLAT_OPTIMIZER))
    if newborn:
        for key, value in flat.items():
            if key.startswith("state.") and isinstance(value, Tensor):
                value.zero_()
    return flat


class _ReusingStager(BlockingAsyncStager):
    """Copies a state to CPU memory that it keeps; pinned where there is a GPU.

    Torch's own stager keeps it too if told so, but pins it in any case, which fails without CUDA.
    """

    _copy: dict[str, Any] | None = None

    def stage(self, state_dict: dict[str, Any]) -> dict[str, Any]:
        """A copy that later updates do not touch, overwritten by the next call."""
        if self._copy is not None:
            try:
                return _copy_state_dict(state_dict, self._copy, type_check=False)
            except CompanionMismatch:
                self._copy = None  # other keys than last time
        self._copy = _create_cpu_state_dict(state_dict, pin_memory=torch.cuda.is_available())
        return _copy_state_dict(state_dict, self._copy, type_check=False)


class StepWriter(FileSystemWriter):
    """DCP's file writer, without the writing machine's paths in the index."""

    def storage_meta(self) -> StorageMeta:
        """What the index says of its origin."""
        return StorageMeta(save_id=self.save_id)


class _Ranks:
    """The ranks that save together: over a gloo group of their own, or this process alone.

    The group is their own because DCP's collectives run in a thread, where they would mix with
    the training's on the default group.
    """

    def __init__(self) -> None:
        distributed = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
        self.rank = dist.get_rank() if distributed else 0
        self.group: dist.ProcessGroup | None = None
        if distributed:
            group = dist.new_group(backend="gloo", timeout=_SAVE_TIMEOUT)
            assert isinstance(group, dist.ProcessGroup), "every rank is a member"
            self.group = group

    def agree(self, work: Callable[[], T]) -> T:
        """Do `work` on rank 0; every rank returns its result, or raises if it raised."""
        results: list[Any] = self.gather(lambda: work() if self.rank == 0 else None)
        first: T = results[0]
        return first

    def gather(self, work: Callable[[], T]) -> list[T]:
        """Do `work` on every rank; every rank returns all results, or raises if one raised."""
        result: T | None = None
        error: Exception | None = None
        try:
            result = work()
        except Exception as caught:
            error = caught
        outcomes: list[Any] = [(result, f"{type(error).__name__}: {error}" if error else None)]
        if self.group is not None:
            outcomes *= dist.get_world_size(self.group)
            dist.all_gather_object(outcomes, outcomes[0], group=self.group)
        if error is not None:
            raise error
        for rank, (_, failure) in enumerate(outcomes):
            if failure is not None:
                raise RuntimeError(f"rank {rank} failed to save: {failure}")
        return [result for result, _ in outcomes]
