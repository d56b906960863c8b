"""``recipe=ladder`` against the values of Ai2's model ladder."""

import pytest

from olmoflow.commands.command_line.hydra_app import compose, plain_config

# size, parameters without the input embedding, target batch, peak rate, tokens of 1 × Chinchilla
LADDER = [
    ("60m", 57_422_208, 215_057, 2.90e-3, 1.15e9),
    ("100m", 101_736_960, 314_886, 2.40e-3, 2.03e9),
    ("190m", 190_354_176, 478_126, 1.95e-3, 3.81e9),
    ("370m", 371_262_464, 746_371, 1.56e-3, 7.43e9),
    ("600m", 547_964_160, 967_540, 1.37e-3, 10.96e9),
    ("760m", 758_220_288, 1_201_428, 1.23e-3, 15.16e9),
    ("1b", 1_279_395_840, 1_702_828, 1.03e-3, 25.59e9),
    ("3b", 3_169_537_280, 3_117_679, 7.6e-4, 63.4e9),
]


@pytest.mark.parametrize(("size", "parameters", "batch", "rate", "tokens"), LADDER)
def test_the_ladder_has_the_values_of_olmo_core(size, parameters, batch, rate, tokens):
    config = plain_config(compose("train", [f"model=olmo3_{size}", "recipe=ladder"]))
    found = config["global_batch_tokens"]
    assert config["sequence_length"] == 8192
    assert found % 8192 == 0
    assert abs(found - batch) <= 4096
    assert config["optimizer"]["lr"] == pytest.approx(rate, rel=4e-3)
    assert config["optimizer"]["betas"] == [0.9, 0.95 if batch >= 524_288 else 0.99]
    assert config["max_tokens"] == 80 * parameters
    assert config["max_tokens"] == pytest.approx(4 * tokens, rel=3e-3)
    assert config["warmup"] * found == pytest.approx(parameters, abs=found / 2)
    schedule = config["schedule"]
    assert schedule["_target_"].endswith("WarmupStableDecay")
    assert schedule["horizon"] == config["max_steps"]
    assert schedule["decay"] == pytest.approx(config["max_steps"] / 10, abs=0.5)


def test_what_the_user_gives_goes_before():
    given = ["model=olmo3_60m", "recipe=ladder", "max_tokens=1e9", "schedule=cosine"]
    config = plain_config(compose("train", [*given, "global_batch_tokens=262144"]))
    assert config["max_steps"] == 3815
    assert config["schedule"]["_target_"].endswith("Cosine")
