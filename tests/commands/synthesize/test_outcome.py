"""The last words of a run that leaves nothing."""

from olmoflow.commands.synthesize.outcome import nothing_left
from olmoflow.synthesize.prompt import Prompt
from olmoflow.synthesize.recipe import Removed
from olmoflow.synthesize.selection import Step


def test_what_a_model_said_cannot_command_a_terminal():
    step = Step("pairs", came=1)
    step.remove(Removed(Prompt("a", ()), "pairs", "cut", "red \x1b[31m and\x07 a\nbell"))
    assert nothing_left("pair", [step]) == (
        "no pair is left; the step pairs removed 1 of 1, 1 of them: cut (red [31m and a bell)"
    )
