"""The small ablation's flow file from end to end, made smaller still."""

import json

from olmoflow.commands.main import main


def test_the_ablation_ends_in_a_table_with_scores_over_seeds(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("OLMOFLOW_HOME", str(tmp_path / "artifacts"))
    monkeypatch.chdir(tmp_path)
    small = {
        **{"model.vocab_size": 320, "model.d_model": 16, "model.n_heads": 2},
        **{"model.n_kv_heads": 1, "model.ffn_hidden_size": 32, "sequence_length": 64},
        **{"max_tokens": 2048, "warmup": 1, "log_every": 1},
    }
    settings = ", ".join(f"{key}: {value}" for key, value in small.items())
    arguments = [
        *["flow", "flow=ablation_tiny", "output=json"],
        "++flow.steps.corpus.overrides={pipeline.max_bytes: 2e5, pipeline.heldout_fraction: 0.2}",
        "++flow.steps.shards.overrides={tokenizer.vocab_size: 320}",
        f"++flow.steps.runs.overrides={{{settings}}}",
        "flow.steps.runs.sweep={optimizer.lr: [1e-3, 1e-2], init_seed: [1, 2]}",
    ]
    assert main(arguments) == 0
    report = json.loads(capfd.readouterr().out)["steps"]["report"]
    assert report["columns"] == ["optimizer.lr"]
    assert [row["setting"]["optimizer.lr"] for row in report["rows"]] == ["0.001", "0.01"]
    for row in report["rows"]:
        assert set(row["metrics"]) == {"train/CE loss", "bits_per_byte"}
        assert [cell["n"] for cell in row["metrics"].values()] == [2, 2]
        assert all(cell["std"] > 0 for cell in row["metrics"].values())
    assert report["plots"] == ["train-ce-loss.png"]
