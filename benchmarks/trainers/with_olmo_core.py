"""OLMo-core's model and optimizer in a bare loop; runs in `.peers/olmo-core`.

Its trainer is left out, in its favour: what remains is what each of its steps has to do.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
import task


def main() -> None:
    dtype, compiled = task.settings()
    from olmo_core.config import DType
    from olmo_core.nn.attention import AttentionBackendName, SlidingWindowAttentionConfig
    from olmo_core.nn.feed_forward import FeedForwardConfig
    from olmo_core.nn.transformer import TransformerBlockType, TransformerConfig
    from olmo_core.optim import OptimGroupOverride, SkipStepAdamWConfig

    memory = task.Memory()
    config = TransformerConfig.llama_like(
        d_model=task.SHAPE["d_model"],
        vocab_size=task.SHAPE["vocab_size"],
        n_layers=task.SHAPE["n_layers"],
        n_heads=task.SHAPE["n_heads"],
        block_name=TransformerBlockType.reordered_norm,
        qk_norm=True,
        rope_theta=500_000,
        layer_norm_eps=1e-6,
        feed_forward=FeedForwardConfig(
            hidden_size=task.SHAPE["ffn_hidden_size"], bias=False, dtype=DType.float32
        ),
        sliding_window=SlidingWindowAttentionConfig(
            force_full_attention_on_first_layer=False,
            force_full_attention_on_last_layer=True,
            pattern=[task.SHAPE["window"]] * 3 + [-1],
        ),
        attn_backend=AttentionBackendName.torch,
    )
    model = config.build(init_device="cpu")
    model.init_weights(max_seq_len=task.SEQUENCE, device=torch.device("cpu"))
    if compiled:
        model.apply_compile()
    undecayed = OptimGroupOverride(params=["embeddings.weight"], opts={"weight_decay": 0.0})
    optimizer = SkipStepAdamWConfig(
        lr=task.LR, betas=task.BETAS, weight_decay=task.WEIGHT_DECAY, group_overrides=[undecayed]
    ).build(model)
    ids = torch.randint(task.SHAPE["vocab_size"], (task.BATCH, task.SEQUENCE + 1))
    inputs, labels = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
    count = torch.tensor(float(labels.numel()))

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
            out = model(
                inputs,
                labels=labels,
                loss_reduction="sum",
                z_loss_multiplier=task.Z_LOSS,
                loss_div_factor=count,
                return_logits=False,
            )
            loss = out.loss
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), task.MAX_NORM)
        optimizer.latest_loss = out.ce_loss.detach()
        optimizer.latest_grad_norm = norm
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    task.Turns(memory).serve(step)


if __name__ == "__main__":
    main()
