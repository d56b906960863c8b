"""A linear map that follows the precision of its input."""

from torch import Tensor, nn
from torch.nn.functional import linear


class Linear(nn.Linear):
    """`x W^T` without bias, the weight cast to the input's dtype.

    So fp32 parameters train with bf16 activations without autocast, whose cache and op lists hide
    which product runs in which precision. The gradient arrives in the parameter's own dtype.
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features, bias=False)

    def reset_parameters(self) -> None:
        """Leaves the weight as allocated: `initialise` or a checkpoint fills it."""

    def forward(self, x: Tensor) -> Tensor:
        """[..., in_features] -> [..., out_features]."""
        return linear(x, self.weight.to(x.dtype))
