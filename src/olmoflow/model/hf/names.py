"""Tensor names: ours, and those of `Olmo3ForCausalLM`."""

from olmoflow.model.rename import RenameTable

NAMES = RenameTable(
    {
        "embeddings.weight": "model.embed_tokens.weight",
        "blocks.{}.attention.q_proj.weight": "model.layers.{}.self_attn.q_proj.weight",
        "blocks.{}.attention.k_proj.weight": "model.layers.{}.self_attn.k_proj.weight",
        "blocks.{}.attention.v_proj.weight": "model.layers.{}.self_attn.v_proj.weight",
        "blocks.{}.attention.o_proj.weight": "model.layers.{}.self_attn.o_proj.weight",
        "blocks.{}.attention.q_norm.weight": "model.layers.{}.self_attn.q_norm.weight",
        "blocks.{}.attention.k_norm.weight": "model.layers.{}.self_attn.k_norm.weight",
        # Both norms act on the output of their sub-layer.
        "blocks.{}.attention_norm.weight": "model.layers.{}.post_attention_layernorm.weight",
        "blocks.{}.feed_forward.gate_proj.weight": "model.layers.{}.mlp.gate_proj.weight",
        "blocks.{}.feed_forward.up_proj.weight": "model.layers.{}.mlp.up_proj.weight",
        "blocks.{}.feed_forward.down_proj.weight": "model.layers.{}.mlp.down_proj.weight",
        "blocks.{}.feed_forward_norm.weight": "model.layers.{}.post_feedforward_layernorm.weight",
        "norm.weight": "model.norm.weight",
        "lm_head.weight": "lm_head.weight",
    }
)
VOCABULARY = ("embeddings.weight", "lm_head.weight")
"""Our tensors with one row per token of the vocabulary."""
