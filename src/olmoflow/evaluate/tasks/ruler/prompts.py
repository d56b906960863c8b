"""What RULER's prompts say: templates, answer prefixes, and how many tokens an answer may take.

Texts and numbers are those of ``scripts/data/synthetic/constants.py`` of NVIDIA/RULER (Hsieh et
al. 2024, arXiv 2404.06654). The answer prefix ends the prompt: a base model goes on from there.
"""

from __future__ import annotations

from dataclasses import dataclass

NOISE = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again."
NEEDLE = "One of the special magic {kind} for {key} is: {value}."


@dataclass(frozen=True)
class Prompt:
    """One kind of prompt.

    Attributes:
        template: With ``{context}`` and what else the kind fills in.
        answer_prefix: Begins the answer.
        tokens_to_generate: Room that is left for the answer, in tokens.
    """

    template: str
    answer_prefix: str
    tokens_to_generate: int

    def fill(self, **values: object) -> str:
        """Template and answer prefix with their fields filled in."""
        return (self.template + self.answer_prefix).format(**values)


NEEDLES = Prompt(
    "Some special magic {kind} are hidden within the following text. Make sure to memorize it. I "
    "will quiz you about the {kind} afterwards.\n{context}\nWhat are all the special magic {kind} "
    "for {query} mentioned in the provided text?",
    " The special magic {kind} for {query} mentioned in the provided text are",
    128,
)
# RULER makes this out of the one above by replacing words.
ONE_NEEDLE = Prompt(
    "A special magic {kind} is hidden within the following text. Make sure to memorize it. I will "
    "quiz you about the {kind} afterwards.\n{context}\nWhat is the special magic {kind} for "
    "{query} mentioned in the provided text?",
    " The special magic {kind} for {query} mentioned in the provided text is",
    128,
)
VARIABLES = Prompt(
    "Memorize and track the chain(s) of variable assignment hidden in the following text.\n\n"
    "{context}\nQuestion: Find all variables that are assigned the value {query} in the text "
    "above.",
    " Answer: According to the chain(s) of variable assignment in the text above, {count} "
    "variables are assigned the value {query}, they are: ",
    30,
)
COMMON_WORDS = Prompt(
    "Below is a numbered list of words. In these words, some appear more often than others. "
    "Memorize the ones that appear most often.\n{context}\nQuestion: What are the 10 most common "
    "words in the above list?",
    " Answer: The top 10 words that appear most often in the list are:",
    120,
)
FREQUENT_WORDS = Prompt(
    "Read the following coded text and track the frequency of each coded word. Find the three "
    "most frequently appeared coded words. {context}\nQuestion: Do not provide any explanation. "
    "Please ignore the dots '....'. What are the three most frequently appeared words in the "
    "above coded text?",
    " Answer: According to the coded text above, the three most frequently appeared words are:",
    50,
)
