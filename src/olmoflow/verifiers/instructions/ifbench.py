"""The 58 instructions of IFBench (Pyatkin et al. 2025, arXiv 2507.02833).

Each is a function of the text and of the instruction's arguments, named as in the data. They accept
what the published checkers accept (allenai/IFBench), peculiarities included, but none of them fails
on a text: what has no sentence, no word or no row does not follow.
"""

from __future__ import annotations

from collections.abc import Callable

from olmoflow.verifiers.instructions import ifbench_formats, ifbench_sentences, ifbench_words

INSTRUCTIONS: dict[str, Callable[..., bool]] = {
    **ifbench_words.INSTRUCTIONS,
    **ifbench_sentences.INSTRUCTIONS,
    **ifbench_formats.INSTRUCTIONS,
}
