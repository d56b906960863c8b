"""Data for training on long contexts: long documents chosen, and tasks over their whole length.

- length_buckets    documents by their length in tokens
- gzip_filter       the most and the least compressible documents dropped
- parts             a document as parts of sections
- wording           words, phrases and numbers of texts
- common_words      questions after each part: how often does a word appear (CWE)
- recurring         tasks after each part on phrases that come back in it (in the manner of REX)
"""

from olmoflow.curate.long_context.common_words import CommonWords
from olmoflow.curate.long_context.gzip_filter import GzipFilter
from olmoflow.curate.long_context.length_buckets import LengthBuckets
from olmoflow.curate.long_context.recurring import RecurringPhrases

__all__ = ["CommonWords", "GzipFilter", "LengthBuckets", "RecurringPhrases"]
