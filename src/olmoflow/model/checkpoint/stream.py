"""Writing a step from a stream of tensors, as imports do, with bounded memory."""

from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from torch import Tensor
from torch.distributed.checkpoint.default_planner import DefaultSavePlanner
from torch.distributed.checkpoint.metadata import Metadata
from torch.distributed.checkpoint.planner import SavePlan
from torch.distributed.checkpoint.storage import WriteResult

from olmoflow.errors import UserError
from olmoflow.model.bounded_groups import bounded_groups
from olmoflow.model.checkpoint.digests import FileDigest
from olmoflow.model.checkpoint.folder import finish, make_room, partial_folder, write_small_files
from olmoflow.model.checkpoint.step import MODEL_PREFIX, OPTIMIZER_PREFIX, Checkpoint
from olmoflow.model.checkpoint.write import StepWriter
from olmoflow.model.config import Olmo3Config
from olmoflow.series import step_folder


def write_checkpoint(
    series: Path,
    config: Olmo3Config,
    tensors: Iterable[tuple[str, Tensor]],
    optimizer: Iterable[tuple[str, Tensor]] | None = None,
    step: int = 0,
    *,
    max_file_bytes: int = 2**30,
) -> Checkpoint:
    """Write a step from streams of tensors, holding about `max_file_bytes` of them at a time.

    Args:
        series: folder of the series; made when absent.
        config: of the model.
        tensors: `(name, whole tensor)` of the model.
        optimizer: `(key, tensor)` in torch's flat form: `state.<name>.exp_avg`, …
        step: the step that the state is of.
        max_file_bytes: tensors are written in files of at most this size, or of one tensor.

    Raises:
        UserError: a name comes twice, or the step exists already.
    """
    if not make_room(series, step):
        raise UserError(f"{step_folder(series, step)}: exists already")
    partial = partial_folder(series, step)
    write_small_files(partial, config, None)
    entries = chain(
        ((MODEL_PREFIX + name, tensor) for name, tensor in tensors),
        ((OPTIMIZER_PREFIX + key, tensor) for key, tensor in optimizer or ()),
    )
    _write_files(partial, entries, max_file_bytes)
    files = {path.name: FileDigest.of(path) for path in partial.glob("__*.distcp")}
    return finish(series, step, files)


def _write_files(partial: Path, entries: Iterable[tuple[str, Tensor]], max_file_bytes: int) -> None:
    """Drive DCP's planner and writer group by group, as if each group were a rank's share."""
    writer = StepWriter(partial)
    writer.set_up_storage_writer(is_coordinator=True)
    index = Metadata({}, planner_data={})
    written: list[list[WriteResult]] = []
    for group in bounded_groups(entries, max_file_bytes):
        if twice := group.keys() & index.state_dict_metadata.keys():
            raise UserError(f"tensor {min(twice)!r} comes twice")
        written.append(_write_file(writer, len(written), group, index))
        # While the next group fills, this one is no longer held.
        group.clear()
    writer.finish(index, written)


def _write_file(
    writer: StepWriter, number: int, group: dict[str, Tensor], index: Metadata
) -> list[WriteResult]:
    """Write one group of tensors and enter it into the index."""
    planner = DefaultSavePlanner()
    planner.set_up_planner(group, is_coordinator=True)
    plans, part = planner.create_global_plan([planner.create_local_plan()])
    # The storage names a plan's file after its place in the list of all plans.
    plan = writer.prepare_global_plan([SavePlan([])] * number + plans)[-1]
    index.state_dict_metadata.update(part.state_dict_metadata)
    # As in a state dict {"model": {…}, "optimizer": {…}}: for torch's own conversion tools.
    index.planner_data.update((key, tuple(key.split(".", 1))) for key in group)
    return writer.write_data(planner.finish_plan(plan), planner).value()
