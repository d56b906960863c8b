"""A stream of tensors in groups that fit into a file, and into memory."""

from collections.abc import Iterable, Iterator

from torch import Tensor

from olmoflow.errors import UserError


def bounded_groups(
    tensors: Iterable[tuple[str, Tensor]], max_bytes: int
) -> Iterator[dict[str, Tensor]]:
    """Cut a stream of tensors into groups of at most `max_bytes`, or of one larger tensor.

    A caller that clears a group when done with it never holds more than one.

    Raises:
        UserError: a name comes twice in a group.
    """
    group: dict[str, Tensor] = {}
    size = 0
    for name, tensor in tensors:
        if group and size + tensor.nbytes > max_bytes:
            yield group
            group, size = {}, 0
        if name in group:
            raise UserError(f"tensor {name!r} comes twice")
        group[name] = tensor
        size += tensor.nbytes
    if group:
        yield group
