"""Context parallelism: several ranks share each sequence.

Every layer but attention works token by token, so a rank computes its own tokens only. For
attention it gathers the keys and values of the others (as Llama 3 was trained, arXiv 2407.21783,
section 3.3.2); a query then sees exactly what it would see on one rank, whatever the window and the
documents are.

A sequence is cut into two chunks per rank, and rank r of C holds chunks r and 2C - 1 - r: under
causality early chunks are cheap and late ones dear, and so every rank has one of each kind.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed._functional_collectives import all_gather_single_autograd

from olmoflow.model.attention.attend import Attend, AttentionBackend, prepare


class ContextParallel:
    """This rank's share of every sequence.

    Args:
        group: The ranks that share a sequence, C of them.
    """

    def __init__(self, group: dist.ProcessGroup) -> None:
        self.group = group
        self.rank, self.size = dist.get_rank(group), dist.get_world_size(group)

    def own_part(self, x: Tensor, dim: int = 1) -> Tensor:
        """This rank's two chunks of a dimension of T tokens, joined to one of T / C.

        Raises:
            ValueError: T cannot be cut into 2C chunks.
        """
        chunks = x.chunk(2 * self.size, dim)
        if x.shape[dim] % (2 * self.size):
            raise ValueError(f"{x.shape[dim]} tokens cannot be cut into {2 * self.size} chunks")
        return torch.cat([chunks[i] for i in self._chunks()], dim)

    def whole(self, x: Tensor) -> Tensor:
        """The tokens of all ranks in the sequence's order: [B, T / C, …] -> [B, T, …].

        Its gradient is summed over the ranks, each of which has used all of it.
        """
        batch, own, *rest = x.shape
        gathered = all_gather_single_autograd(x.contiguous(), gather_dim=0, group=self.group)
        chunks = gathered.view(self.size, batch, 2, own // 2, *rest)
        in_order = torch.cat((chunks[:, :, 0], chunks[:, :, 1].flip(0)))  # [2C, B, T / 2C, …]
        return in_order.transpose(0, 1).reshape(batch, own * self.size, *rest)

    def prepare(
        self,
        backend: AttentionBackend,
        window: int | None,
        document_ids: Tensor | None,
        *,
        length: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> Attend:
        """`prepare` for this rank's queries.

        Args:
            backend: As there.
            window: As there.
            document_ids: [B, T], of the whole sequences.
            length: Of the whole sequences, T.
            device: As there.
            dtype: As there.

        Returns:
            A function of this rank's queries, keys and values, [B, T / C, heads, D] each.
        """
        size = length // (2 * self.size)
        reaches = []
        for chunk in self._chunks():
            stop = (chunk + 1) * size
            first = 0 if window is None else max(0, stop - size - window + 1)
            inner = prepare(
                backend,
                window,
                None if document_ids is None else document_ids[:, first:stop],
                length=stop - first,
                queries=size,
                device=device,
                dtype=dtype,
            )
            reaches.append((first, stop, inner))
        return _GatheredAttend(self, reaches)

    def _chunks(self) -> tuple[int, int]:
        return self.rank, 2 * self.size - 1 - self.rank


class _GatheredAttend:
    """Attention of two chunks of queries, each over the keys from `first` to its own end."""

    def __init__(self, context: ContextParallel, reaches: list[tuple[int, int, Attend]]) -> None:
        self.context, self.reaches = context, reaches

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """[B, T / C, H, D], [B, T / C, H_kv, D], [B, T / C, H_kv, D] -> [B, T / C, H, D]."""
        keys, values = self.context.whole(torch.cat((k, v), dim=-1)).chunk(2, dim=-1)
        chunks = zip(q.chunk(2, dim=1), self.reaches, strict=True)
        # Copies, so that the backward pass keeps what a window sees and not the whole sequence.
        return torch.cat(
            [
                attend(own, keys[:, first:stop].contiguous(), values[:, first:stop].contiguous())
                for own, (first, stop, attend) in chunks
            ],
            dim=1,
        )
