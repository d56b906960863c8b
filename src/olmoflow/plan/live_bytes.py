"""The bytes that are alive at each operation, by kind, on tensors that hold no data.

torch's own ``FSDPMemTracker`` cannot follow this trainer: it hooks a module's ``forward``, while an
objective enters the model through ``hidden_states``, and it stops at a second micro-batch. It also
counts the whole tensors on which DTensor works out its shardings. This mode does one thing instead:
it remembers every storage that an operation returns, and its kind, for as long as it lives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed.tensor import DTensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry
from torch.utils.weak import WeakIdKeyDictionary

PARAMETERS, GRADIENTS, ACTIVATIONS, OTHER = "parameters", "gradients", "activations", "other"

_ATTENTION = {
    torch.ops.aten._scaled_dot_product_flash_attention,
    torch.ops.aten._scaled_dot_product_flash_attention_backward,
}


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts live bytes and the FLOPs of matrix products while it is entered.

    The peak is kept apart for each *span* of the step, since activations shrink and gradients grow
    during the backward pass: the largest moment of a deep model may be neither that of a shallow
    one.

    Args:
        fake: The mode under which the tensors are made; shapes worked out under another one (by
            DTensor) exist nowhere. None: real tensors.

    Attributes:
        kind: Of the storages that are made from now on.
        matmul_flops: Of all matrix products but attention's.
        attention_calls: Forward and backward attentions.
    """

    def __init__(self, fake: FakeTensorMode | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.fake = fake
        self.kind = ACTIVATIONS
        kinds: Any = WeakIdKeyDictionary  # has no types
        self.kinds: MutableMapping[torch.UntypedStorage, str] = kinds()
        self.peaks: list[Counter[str]] = [Counter()]
        self.matmul_flops = 0
        self.attention_calls: Counter[str] = Counter()

    def mark(self, tensors: Iterable[Tensor], kind: str) -> None:
        """Count these as a kind of their own, whenever they were made."""
        for tensor in tensors:
            self.kinds[_local(tensor).untyped_storage()] = kind

    def next_span(self) -> None:
        """Keep the peak from here on apart from the one up to here."""
        self.peaks.append(Counter())

    def now(self) -> Counter[str]:
        """Bytes alive, by kind."""
        alive: Counter[str] = Counter()
        for storage, kind in self.kinds.items():
            alive[kind] += storage.nbytes()
        return alive

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run the operation and enter what it returns."""
        if any(t is DTensor for t in types):
            return NotImplemented  # DTensor comes back with the local tensors
        out = func(*args, **(kwargs or {}))
        if torch._guards.active_fake_mode() is not self.fake:
            return out
        self._count_flops(func, args, kwargs or {}, out)
        known = len(self.kinds)
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                self.kinds.setdefault(tensor.untyped_storage(), self.kind)
        if len(self.kinds) == known:  # a view, or in place
            return out
        # Sums anew: FSDP empties and refills storages without an operation that could be seen.
        alive = self.now()
        if alive.total() > self.peaks[-1].total():
            self.peaks[-1] = alive
        return out

    def _count_flops(self, func: Any, args: Any, kwargs: Any, out: Any) -> None:
        packet = func._overloadpacket
        if packet in _ATTENTION:
            self.attention_calls[packet.__name__] += 1
        elif packet in flop_registry:
            self.matmul_flops += int(flop_registry[packet](*args, **kwargs, out_val=out))


def _local(tensor: Tensor) -> Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
