"""Data for training on long contexts: long documents chosen, and tasks over their whole length.

- length_buckets    documents by their length in tokens
- gzip_filter       the most and the least compressible documents dropped
- parts             a document as parts of sections
- wording           words, phrases and numbers of texts
- common_words      questions after each part: how often does a word appear (CWE)
- recurring         tasks after each part on phrases that come back in it (in the manner of REX)
"""
