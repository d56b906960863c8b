"""The flow of a swarm from end to end, made smaller: proxies, law, proposal, and the verdict."""

import json

from olmoflow.commands.main import main


def test_a_swarm_ends_in_a_comparison_with_the_prior(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("OLMOFLOW_HOME", str(tmp_path / "artifacts"))
    monkeypatch.chdir(tmp_path)
    small = {
        **{"model.vocab_size": 320, "model.d_model": 16, "model.n_heads": 2},
        **{"model.n_kv_heads": 1, "model.ffn_hidden_size": 32, "sequence_length": 64},
        **{"max_tokens": 1024, "warmup": 1, "log_every": 1},
    }
    settings = ", ".join(f"{key}: {value}" for key, value in small.items())
    steps = "flow.steps"
    arguments = [
        *["flow", "flow=mixing_swarm", "output=json"],
        f"++{steps}.corpus.overrides={{pipeline: installed_text, pipeline.max_bytes: null, "
        "pipeline.max_bytes_of.code: 4e4, pipeline.max_bytes_of.prose: 3e4, "
        "pipeline.heldout_fraction: 0.2, pipeline.docstrings_as: docstrings}",
        f"++{steps}.shards.overrides={{tokenizer.vocab_size: 320}}",
        f"++{steps}.swarm.overrides={{rule: swarm, target_tokens: 1024, swarm.runs: 4}}",
        f"++{steps}.proxies.overrides={{{settings}}}",
        f"++{steps}.proposal.overrides={{rule: fitted, target_tokens: 1024, fit.starts: 5}}",
        f"++{steps}.models.overrides={{{settings}}}",
        f"{steps}.models.sweep={{init_seed: [1, 2]}}",
    ]
    assert main(arguments) == 0
    done = json.loads(capfd.readouterr().out)["steps"]
    assert len(done["swarm"]["mixtures"]) == len(done["proxies"]["jobs"]) == 4
    assert set(done["proposal"]["law"]) == {"code", "docstrings", "prose"}
    report = done["report"]
    assert report["columns"] == ["mixture"]
    settings = [row["setting"]["mixture"].rpartition("/")[2] for row in report["rows"]]
    assert settings == ["prior", "proposal"]
    for row in report["rows"]:
        assert {cell["n"] for cell in row["metrics"].values()} == {2}
        parts = [row["metrics"][f"bits_per_byte/{k}"]["mean"] for k in done["proposal"]["law"]]
        assert abs(row["metrics"]["bits_per_byte/macro"]["mean"] - sum(parts) / 3) < 1e-12
    text = (tmp_path / "artifacts" / "report" / report["report"] / "report.md").read_text()
    assert text.index("## The mixture") < text.index("## The law")
    assert "/proposal against mixture=" in text
    assert "| bits_per_byte/macro |" in text
