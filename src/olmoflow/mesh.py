"""How the ranks of a run share the work; known before any of them starts, and without torch.

A run has ``replicate × shard × context`` ranks. The model is sharded over ``shard × context`` of
them and replicated over the rest; ``context`` ranks in a row share the same sequences, each a part
of every one; all others have samples of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from olmoflow.errors import UserError


@dataclass(frozen=True)
class Mesh:
    """The arrangement of the ranks.

    Attributes:
        replicate: Groups of ranks that hold the whole model.
        shard: Ranks of a group that have samples of their own.
        context: Ranks that share a sequence.
    """

    replicate: int = 1
    shard: int = 1
    context: int = 1

    @property
    def ranks(self) -> int:
        """All ranks."""
        return self.replicate * self.shard * self.context

    @property
    def sharded(self) -> int:
        """Ranks over which one copy of the model is spread."""
        return self.shard * self.context

    @property
    def data_ranks(self) -> int:
        """Parts into which the samples of a step are cut."""
        return self.replicate * self.shard

    @classmethod
    def of(cls, parallel: Mapping[str, Any], cluster_ranks: int | None = None) -> Mesh:
        """The mesh of a config's ``parallel`` node.

        Args:
            parallel: ``ranks``, ``shard`` (null: all that ``context`` leaves) and ``context``.
            cluster_ranks: Tasks that a cluster will start, where one is chosen.

        Raises:
            UserError: A number is missing or no count, or the ranks cannot be arranged so.
        """
        ranks, context = _count(parallel, "ranks"), _count(parallel, "context")
        if cluster_ranks is not None and ranks != cluster_ranks:
            raise UserError(
                f"parallel.ranks={ranks}: the cluster's nodes and tasks come to {cluster_ranks}; "
                "expected the same number (parallel=ddp, fsdp and hsdp take it from there)"
            )
        if ranks % context:
            raise UserError(
                f"parallel.context={context}: expected a divisor of parallel.ranks={ranks}"
            )
        shard = ranks // context if parallel["shard"] is None else _count(parallel, "shard")
        if ranks % (shard * context):
            product = f"{shard} × {context}" if context > 1 else str(shard)
            raise UserError(
                f"parallel.ranks={ranks}: expected a multiple of "
                f"shard{' × context' if context > 1 else ''} = {product}"
            )
        return cls(ranks // (shard * context), shard, context)

    def check_batch(
        self, *, global_batch_tokens: int, sequence_length: int, micro_batch_sequences: int
    ) -> None:
        """See that the ranks can share a step.

        Raises:
            UserError: The batch or the sequences cannot be cut so.
        """
        if sequence_length % (2 * self.context) and self.context > 1:
            raise UserError(
                f"sequence_length={sequence_length}: expected a multiple of "
                f"{2 * self.context}, two chunks for each of parallel.context={self.context} ranks"
            )
        if global_batch_tokens % sequence_length:
            raise UserError(
                f"global_batch_tokens={global_batch_tokens}: expected a multiple of "
                f"sequence_length={sequence_length}"
            )
        once = self.data_ranks * micro_batch_sequences * sequence_length
        if global_batch_tokens % once:
            raise UserError(
                f"global_batch_tokens={global_batch_tokens}: cannot be cut into "
                f"{self.data_ranks} ranks × micro_batch_sequences={micro_batch_sequences} of "
                f"{sequence_length} tokens; expected a multiple of {once}"
            )

    def check_pairs(self, global_batch_pairs: Any) -> None:
        """See that the ranks can share a step of pairs of answers.

        Raises:
            UserError: There is no number of pairs, or it cannot be cut so.
        """
        if self.context > 1:
            raise UserError(
                f"parallel.context={self.context}: expected 1, since an answer's log-probability "
                "is summed where its whole sequence is"
            )
        if type(global_batch_pairs) is not int or global_batch_pairs < 1:
            raise UserError(f"global_batch_pairs={global_batch_pairs}: expected a positive number")
        if global_batch_pairs % self.data_ranks:
            raise UserError(
                f"global_batch_pairs={global_batch_pairs}: expected a multiple of the "
                f"{self.data_ranks} ranks"
            )


def _count(parallel: Mapping[str, Any], name: str) -> int:
    value = parallel[name]
    if value is None:
        raise UserError(
            f"parallel.{name}: missing; give the number of processes, parallel.{name}=N "
            "(cluster=slurm takes it from nodes and tasks)"
        )
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UserError(f"parallel.{name}={value}: expected a positive whole number")
    return value
