"""The feed-forward sub-layer of a block."""

from torch import Tensor, nn
from torch.nn.functional import silu

from olmoflow.model.config import Olmo3Config
from olmoflow.model.linear import Linear


class FeedForward(nn.Module):
    """SwiGLU (arXiv 2002.05202): `down(silu(gate(x)) * up(x))`."""

    def __init__(self, config: Olmo3Config) -> None:
        super().__init__()
        self.gate_proj = Linear(config.d_model, config.ffn_hidden_size)
        self.up_proj = Linear(config.d_model, config.ffn_hidden_size)
        self.down_proj = Linear(config.ffn_hidden_size, config.d_model)

    def forward(self, x: Tensor) -> Tensor:
        """[..., d_model] -> [..., d_model]."""
        out: Tensor = self.down_proj(silu(self.gate_proj(x)) * self.up_proj(x))
        return out
