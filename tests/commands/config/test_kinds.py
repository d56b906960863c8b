"""What no setting can be: a number for a group, for settings, or for true and false."""

import pytest

from olmoflow.commands.main import main


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tokenize", "runtime=5"], "runtime=5: expected settings, such as runtime.num_workers=…"),
        (["tokenize", "runtime.progress=maybe"], "runtime.progress=maybe: expected true or false"),
        (["tokenize", "tokenizer=5"], "tokenizer=5: expected a name; --help lists those of token"),
        (["tokenize", "cluster=null"], "cluster=null: expected a name"),
        (["tokenize", "name=../x"], "name=../x: expected letters, digits and"),
        (["tokenize", "max_error_rate=-1"], "max_error_rate=-1: expected a share, 0 to 1"),
        (["tokenize", "chunk_tokens=0"], "chunk_tokens=0: expected a positive whole number"),
        (["tokenize", "max_bytes=few"], "max_bytes=few: expected a positive number or null"),
        (["train", "save=5"], "save=5: expected settings, such as save.every_steps=…"),
        (["train", "carry_trainer=maybe"], "carry_trainer=maybe: expected true or false"),
        (["import", "source=x", "verify=maybe"], "verify=maybe: expected true or false"),
        (["synthesize", "pool.weak=5"], "pool.weak=5: expected settings, such as pool.weak.NAME=…"),
        (["synthesize", "strong={a: 5}"], "strong.a: no such key in olmoflow synthesize; to add"),
        (["classify", "corpora={a: b}", "epochs=0"], "epochs=0: expected a positive whole number"),
    ],
)
def test_a_value_of_another_kind_is_named(arguments, message, capfd):
    assert main(arguments) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"olmoflow: {message}")
