"""Documents to documents.

- schema, strings, hashes, stage    what a document is, and what a step over all of them is
- sources         files, object storage and the Hub, read as documents
- operations      map operations, by datamap-rs's names; text has their compiled loops
- conversations   conversations and preferences as documents, and filters of their turns
- pipeline        steps over shards, counted, resumed, written as a corpus
- partition       which shard a document stands in: groups, parts, orders, samples
- dedup           exact, MinHash-LSH, repeated substrings
- decontaminate   documents that hold evaluation questions
- quality         classifiers, vigintiles, upsampling
- mixing          proportions, swarms, the mixing law and its proposal
- long_context    length buckets, synthetic tasks on long documents
- report          a run as a page
- datamap         datamap-rs's configurations as pipelines
- documents, installed_text, split    corpora without steps: the Python environment, a user's files
"""
