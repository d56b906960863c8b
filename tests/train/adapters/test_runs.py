"""Whole runs of adapters: the loss falls, they resume exactly, and only they are saved."""

import pytest
import torch

from olmoflow.model import Olmo3, Olmo3Config, initialise
from olmoflow.model.checkpoint import list_steps, write_checkpoint
from olmoflow.train import AdamW8bit, SkipStepAdamW
from olmoflow.train.activation_checkpointing import ActivationCheckpointing
from olmoflow.train.adapters import LoRA, folded
from olmoflow.train.module import Adapters
from olmoflow.train.save_policy import SavePolicy

WIDTHS = {"d_model": 64, "ffn_hidden_size": 128}


def optimizers(kind):
    return lambda groups: kind(groups, lr=0.03, weight_decay=0.0)


@pytest.fixture
def base(tmp_path):
    """The checkpoint that adapters stand beside."""
    shape = {"vocab_size": 512, "n_layers": 4, "n_heads": 2, "n_kv_heads": 1, **WIDTHS}
    config = Olmo3Config(**shape, sliding_window=16, max_sequence_length=64, init_std=0.1)
    model = Olmo3(config)
    initialise(model, seed=4)
    return write_checkpoint(tmp_path / "base", config, model.state_dict().items(), step=20)


@pytest.mark.parametrize("kept", ["bfloat16", "nf4"])
def test_the_loss_falls_and_the_merged_model_is_the_trained_one(experiment, base, kept):
    settings = LoRA(rank=8, base=kept)
    run = experiment(
        kept,
        max_steps=15,
        config=WIDTHS,
        optimizer=optimizers(AdamW8bit),
        module_options={
            "adapters": Adapters(settings, base, "base@20"),
            "checkpointing": ActivationCheckpointing("full"),
        },
        save=SavePolicy(every_steps=15, every_minutes=None),
    )
    losses = _losses(run)
    assert losses[-1] < losses[0] - 0.2
    (saved,) = list_steps(run.run_dir)
    assert saved.adapter["base"]["name"] == "base@20"
    assert LoRA(**saved.adapter["settings"]) == settings
    plain = Olmo3(base.config)
    with torch.no_grad():
        for name, tensor in folded(base, dict(saved.iter_tensors()), settings):
            plain.get_parameter(name).copy_(tensor)
    ids = torch.arange(48)[None] * 5 % 512
    with torch.no_grad():
        torch.testing.assert_close(plain(ids), run.module.model.eval()(ids), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", [SkipStepAdamW, AdamW8bit])
def test_a_run_that_was_cut_goes_on_exactly(experiment, base, kind):
    def run(name, **options):
        return experiment(
            name,
            config=WIDTHS,
            optimizer=optimizers(kind),
            module_options={
                "adapters": Adapters(LoRA(rank=64, base="nf4", dropout=0.1), base),
                "checkpointing": ActivationCheckpointing("full"),
            },
            save=SavePolicy(every_steps=3, every_minutes=None),
            max_steps=6,
            **options,
        )

    straight = run("straight")
    run("cut", hard_stop=3)
    resumed = run("cut")
    assert _losses(resumed) == _losses(straight)
    ours, theirs = (r.module.model.state_dict() for r in (resumed, straight))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_only_the_adapters_move(experiment, base):
    adapters = Adapters(LoRA(rank=4, base="float32"), base)
    run = experiment("lora", config=WIDTHS, module_options={"adapters": adapters})
    model = run.module.model
    assert torch.equal(model.embeddings.weight, base.read_tensor("embeddings.weight"))
    frozen = model.blocks[0].attention.q_proj.frozen.values
    assert torch.equal(frozen, base.read_tensor("blocks.0.attention.q_proj.weight"))
    held = {p for group in run.module.trainer.optimizers[0].param_groups for p in group["params"]}
    assert held == {p for n, p in model.named_parameters() if "lora_" in n}


def _losses(run):
    rows = (run.run_dir / "metrics.csv").read_text().splitlines()
    column = rows[0].split(",").index("train/CE loss")
    return [float(row.split(",")[column]) for row in rows[1:]]
