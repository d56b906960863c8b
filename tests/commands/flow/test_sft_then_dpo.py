"""The flow of fine-tuning and preference training from end to end, made smaller: one seed, sums."""

STEPS = "flow.steps"
MODEL = {
    **{"model.vocab_size": 320, "model.d_model": 16, "model.n_heads": 2, "model.n_kv_heads": 1},
    **{"model.ffn_hidden_size": 32, "sequence_length": 128, "model.max_sequence_length": 128},
    **{"log_every": 10, "runtime.accelerator": "cpu"},
}
SUMS = "[{kind: chain_sum, max_terms: 2, min_digits: 1, max_digits: 1}]"
KINDS = {"pipeline": "verifiable_conversations", "pipeline.form": "plain", "pipeline.puzzles": SUMS}
TESTED = "{seed: 30000000, size: 10}"
SCORED = {"suite.children.greedy.size": 10, "suite.children.sampled.size": 5}
SFT = MODEL | {"epochs": 2, "optimizer.lr": 2e-2, "global_batch_tokens": 512}


def changed(step, settings):
    inside = ", ".join(f"{key}: {value}" for key, value in settings.items())
    return f"++{STEPS}.{step}.overrides={{{inside}}}"


def test_puzzles_become_pairs_and_a_table_by_method(tmp_path, steps_of_flow):
    others = [f"{kind}_{n}" for n in (2, 3) for kind in ("sft", "dpo", "sft_score", "dpo_score")]
    scores = ["base_score", "strong_score", "sft_score_1", "dpo_score_1"]
    overrides = [
        "flow=sft_then_dpo_tiny",
        *(f"~{STEPS}.{name}" for name in others),
        f"{STEPS}.report.inputs.runs=[base,sft_1,dpo_1]",
        f"{STEPS}.report.after=[base_score,sft_score_1,dpo_score_1]",
        changed("corpus", {"pipeline.max_bytes": 3e5}),
        changed("shards", {"tokenizer.vocab_size": 320}),
        changed("base", MODEL | {"max_tokens": 1024, "global_batch_tokens": 512, "warmup": 1}),
        *(changed(step, KINDS | {"pipeline.seed": 1000, "pipeline.size": size}
                  | {"pipeline.held_out": f"[{TESTED}]"})
          for step, size in (("puzzles", 60), ("more_puzzles", 80))),
        changed("prompts", KINDS | {"pipeline.seed": 2000, "pipeline.size": 40}
                | {"pipeline.held_out": f"[{TESTED}, {{seed: 1000, size: 80}}]"}),
        *(f"++{STEPS}.{step}.overrides.sequence_length=128"
          for step in ("lessons", "more_lessons", "preferences")),
        *(changed(step, SFT | {"data_seed": n}) for n, step in enumerate(("strong", "sft_1"))),
        changed("weak", SFT | {"epochs": 1}),
        changed("dpo_1", MODEL | {"global_batch_pairs": 4, "optimizer.lr": 1e-3}),
        *(changed(step, SCORED) for step in scores),
    ]  # fmt: skip
    done = steps_of_flow(*overrides)
    assert done["puzzles"]["held_out"]
    assert done["dpo_1"]["steps"] >= 1
    report = done["report"]
    assert [row["setting"]["method"] for row in report["rows"]] == ["dpo", "none", "sft"]
    assert all(row["metrics"]["puzzles/greedy"]["n"] == 1 for row in report["rows"])
    text = (tmp_path / "artifacts" / "report" / report["report"] / "report.md").read_text()
    assert "## method=dpo against method=sft" in text
