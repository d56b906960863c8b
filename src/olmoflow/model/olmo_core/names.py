"""Tensor names: ours, and those of OLMo-core's `Transformer`."""

from olmoflow.model.rename import RenameTable

NAMES = RenameTable(
    {
        "embeddings.weight": "embeddings.weight",
        "blocks.{}.attention.q_proj.weight": "blocks.{}.attention.w_q.weight",
        "blocks.{}.attention.k_proj.weight": "blocks.{}.attention.w_k.weight",
        "blocks.{}.attention.v_proj.weight": "blocks.{}.attention.w_v.weight",
        "blocks.{}.attention.o_proj.weight": "blocks.{}.attention.w_out.weight",
        "blocks.{}.attention.q_norm.weight": "blocks.{}.attention.q_norm.weight",
        "blocks.{}.attention.k_norm.weight": "blocks.{}.attention.k_norm.weight",
        "blocks.{}.attention_norm.weight": "blocks.{}.attention_norm.weight",
        "blocks.{}.feed_forward.gate_proj.weight": "blocks.{}.feed_forward.w1.weight",
        "blocks.{}.feed_forward.up_proj.weight": "blocks.{}.feed_forward.w3.weight",
        "blocks.{}.feed_forward.down_proj.weight": "blocks.{}.feed_forward.w2.weight",
        "blocks.{}.feed_forward_norm.weight": "blocks.{}.feed_forward_norm.weight",
        "norm.weight": "lm_head.norm.weight",
        "lm_head.weight": "lm_head.w_out.weight",
    }
)
