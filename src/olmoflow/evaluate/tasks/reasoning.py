"""Puzzles of reasoning-gym, made on the spot from a seed and scored by reasoning-gym itself.

- ``reasoning_gym_NAME:chat`` asks a chat model to answer in ``<answer>`` tags
- ``reasoning_gym_NAME:gen`` has a base model go on after three solved puzzles of another seed

How puzzles come about stands in `olmoflow.puzzles`. ``isomorphic_strings`` and ``ransom_note`` are
left out: theirs depend on Python's hash seed as well.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from olmoflow.errors import UserError
from olmoflow.evaluate.tasks.packages import pinned
from olmoflow.evaluate.tasks.verified import CHAT_TOKENS, Generation, Question, VerifiedTask
from olmoflow.puzzles import FORMS, PACKAGE, Puzzle, find_form, make_puzzles, question_of

# By reasoning-gym's own categories. All are made in under a second for 20 puzzles (zebra_puzzles
# in a few), depend on the seed alone, and give their own answers full score.
PUZZLES = {
    "algebra": ("polynomial_equations", "simple_equations", "simple_integration"),
    "algorithmic": (
        *("base_conversion", "caesar_cipher", "count_primes", "letter_counting", "letter_jumble"),
        *("number_sorting", "palindrome_generation", "spell_backward", "spiral_matrix"),
        *("string_manipulation", "word_sorting"),
    ),
    "arithmetic": (
        *("basic_arithmetic", "calendar_arithmetic", "chain_sum", "decimal_arithmetic"),
        *("fraction_simplification", "gcd", "gsm_symbolic", "lcm", "leg_counting"),
        *("prime_factorization", "products", "time_intervals"),
    ),
    "cognition": ("color_cube_rotation", "needle_haystack", "number_sequence"),
    "games": ("countdown", "maze", "mini_sudoku", "n_queens", "sudoku", "tower_of_hanoi"),
    "geometry": ("advanced_geometry", "simple_geometry"),
    "graphs": (
        *("course_schedule", "family_relationships", "largest_island", "quantum_lock"),
        "shortest_path",
    ),
    "logic": (
        *("aiw", "circuit_logic", "knights_knaves", "propositional_logic", "self_reference"),
        *("syllogism", "zebra_puzzles"),
    ),
}
# Those of the group `reasoning_gym`: a few of each category, without those whose wrong answers are
# right half of the time.
CHOSEN = (
    *("simple_equations", "polynomial_equations", "base_conversion", "caesar_cipher"),
    *("letter_counting", "number_sorting", "spell_backward", "word_sorting", "basic_arithmetic"),
    *("calendar_arithmetic", "chain_sum", "gsm_symbolic", "leg_counting", "number_sequence"),
    *("countdown", "mini_sudoku", "tower_of_hanoi", "simple_geometry", "family_relationships"),
    *("shortest_path", "aiw", "knights_knaves", "zebra_puzzles"),
)
# Has no answer of its own, only a way to check one: it cannot be a solved puzzle in a prompt.
UNSOLVED = ("propositional_logic",)
SHOTS = 3
# reasoning-gym makes puzzle number i of seed s from the random state s + i, so the next seed gives
# nearly the same puzzles again. So far behind those that are asked are those that are shown solved.
SOLVED_FROM = 1_000_000
CHAT = Generation(CHAT_TOKENS, chat=True)
GEN = Generation(512, ("\nQuestion:",))
REASONED = "reasoned"


@dataclass(frozen=True)
class Puzzles:
    """Puzzles of one kind.

    Attributes:
        name: reasoning-gym's.
        size: How many.
        seed: Of the puzzles. Seeds nearer to each other than `size` share puzzles.
        shots: Solved puzzles before each; none: the prompt for a chat.
        form: How a chat is asked (`puzzles.FORMS`).
        settings: Of this kind, by reasoning-gym's names.
    """

    name: str
    size: int = 50
    seed: int = 42
    shots: int = 0
    form: str = REASONED
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 1 <= self.size <= SOLVED_FROM:
            raise UserError(f"size={self.size}: expected 1 to {SOLVED_FROM:,} puzzles")
        find_form(self.form, "form")

    @property
    def count(self) -> int:
        """How many there are."""
        return self.size

    @property
    def config(self) -> Mapping[str, Any]:
        """What identifies them."""
        return {
            "data": f"{pinned(PACKAGE)}/{self.name}",
            "size": self.size,
            "seed": self.seed,
            "num_shots": self.shots,
            "prompt": "question_answer" if self.shots else FORMS[self.form].prompt,
            **({"settings": dict(self.settings)} if self.settings else {}),
        }

    def read(self, numbers: Collection[int] | None = None) -> Iterator[Question]:
        """Those in these places, or all of them; in their order. No others are made.

        Raises:
            UserError: reasoning-gym is not installed.
        """
        shown = make_puzzles(self.name, self.shots, self.seed + SOLVED_FROM, self.settings)
        solved = "".join(map(_solved, shown))
        wanted = range(self.size) if numbers is None else sorted(numbers)
        asked = make_puzzles(self.name, self.size, self.seed, self.settings, wanted)
        for number, puzzle in zip(wanted, asked, strict=True):
            if self.shots:
                prompt = f"{solved}Question: {question_of(puzzle)}\nAnswer:"
            else:
                prompt = FORMS[self.form].prompt.format(question=question_of(puzzle))
            yield Question(number, number, puzzle, prompt, puzzle)


def _solved(puzzle: Puzzle) -> str:
    return f"Question: {question_of(puzzle)}\nAnswer: {puzzle['answer']}\n\n"


def puzzle_task(
    name: str,
    *,
    chat: bool,
    size: int = 50,
    seed: int = 42,
    form: str = REASONED,
    settings: Mapping[str, Any] | None = None,
    samples: int = 1,
    temperature: float | None = None,
    top_p: float | None = None,
    max_new_tokens: int | None = None,
) -> VerifiedTask:
    """Puzzles of one kind as a task.

    Args:
        name: reasoning-gym's.
        chat: For a chat model.
        size: How many puzzles.
        seed: Of the puzzles.
        form: How a chat is asked: ``reasoned``, or ``plain`` for the answer alone.
        settings: Of this kind of puzzle, by reasoning-gym's names.
        samples: As in `VerifiedTask.sampled`, and what follows.
        temperature: Of the samples.
        top_p: Of the samples.
        max_new_tokens: Of each answer.
    """
    kind = "chat" if chat else "gen"
    if not chat and form != REASONED:
        raise UserError(f"form={form}: only tasks in chat format have a form; expected none")
    questions = Puzzles(name, size, seed, 0 if chat else SHOTS, form, settings or {})
    task = VerifiedTask(
        f"reasoning_gym_{name}:{kind}",
        questions,
        CHAT if chat else GEN,
        "reasoning_gym",
        {"extract": list(FORMS[form].extract) if chat else ["whole"]},
    )
    return task.sampled(
        samples=samples, temperature=temperature, top_p=top_p, max_new_tokens=max_new_tokens
    )


def tasks() -> dict[str, Callable[..., VerifiedTask]]:
    """All of them by name."""
    made: dict[str, Callable[..., VerifiedTask]] = {}
    for name in (name for names in PUZZLES.values() for name in names):
        made[f"reasoning_gym_{name}:chat"] = partial(puzzle_task, name, chat=True)
        if name not in UNSOLVED:
            made[f"reasoning_gym_{name}:gen"] = partial(puzzle_task, name, chat=False)
    return made
