"""Pairs of answers as tensors: document 2i of the shards is the chosen one, 2i + 1 the rejected.

- shards    preferences into token shards
- documents    documents of shards side by side in one row, without padding
- packing    the order of pairs, and a step's pairs cut into micro-batches
- reference    a reference model's log-probability of every document, as a file
- data_module    the pairs of each optimizer step, resumable
"""
