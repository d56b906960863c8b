"""One transformer block with Olmo's reordered norm."""

from torch import Tensor, nn

from olmoflow.model.attention.attend import Attend
from olmoflow.model.attention.layer import Attention
from olmoflow.model.cache import LayerCache
from olmoflow.model.config import Olmo3Config
from olmoflow.model.feed_forward import FeedForward
from olmoflow.model.norm import RMSNorm
from olmoflow.model.rope import Rotation


class Block(nn.Module):
    """Attention and SwiGLU, each normalised at its output before it joins the residual stream."""

    def __init__(self, config: Olmo3Config) -> None:
        super().__init__()
        self.attention = Attention(config)
        self.attention_norm = RMSNorm(config.d_model, config.norm_eps)
        self.feed_forward = FeedForward(config)
        self.feed_forward_norm = RMSNorm(config.d_model, config.norm_eps)

    def forward(
        self, x: Tensor, rotation: Rotation, attend: Attend, cache: LayerCache | None = None
    ) -> Tensor:
        """[B, T, d_model] -> [B, T, d_model]."""
        h: Tensor = x + self.attention_norm(self.attention(x, rotation, attend, cache))
        out: Tensor = h + self.feed_forward_norm(self.feed_forward(h))
        return out
