"""The rows of the tokens, as allocated."""

from torch import nn


class Embedding(nn.Embedding):
    """PyTorch's, but not drawn when it is made.

    A draw for a model on the meta device, whose weights come from a checkpoint, is thrown away, and
    makes PyTorch import its compiler: over a second of each command that opens a model.
    """

    def reset_parameters(self) -> None:
        """Leaves the weight as allocated: `initialise` or a checkpoint fills it."""
