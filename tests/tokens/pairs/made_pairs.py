"""Small shards of pairs with answers of known lengths, written without a tokenizer."""

import numpy as np

from olmoflow.documents import Document
from olmoflow.tokens.shards import ShardWriter

PAIRS, VOCAB = 30, 100


def write_pairs(folder, lengths, *, vocab=VOCAB, seed=0):
    """Pairs whose answers have these lengths, [pairs, 2], after prompts of 3 tokens each.

    The answers of a pair begin alike; what follows is random, and all but the prompt is learnt.
    """
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    writer = ShardWriter(folder, vocab, 500, "pairs")
    for number, pair in enumerate(lengths):
        prompt = random.integers(1, vocab, 3)
        ids = [np.append(prompt, random.integers(1, vocab, length)) for length in pair]
        counts = np.array([len(each) for each in ids])
        rows = [Document(f"pair {number} {name}", "", "made") for name in ("chosen", "rejected")]
        targets = [[3, int(count)] for count in counts]
        writer.add(rows, (np.concatenate(ids), counts), counts, targets)
    writer.finish()
    return folder
