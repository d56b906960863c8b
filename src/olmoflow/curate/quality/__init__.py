"""How good a document is, and what follows from it.

- classifier    a fastText classifier from labelled corpora, its accuracy on what it has not seen
- cuts          token-weighted percentiles of a score, exact, without the scores in memory
- vigintiles    the stage that gives every document its bucket within its topic
- curve         how often text of a quality is repeated: the truncated power-exponential
- repetition    that curve applied: whole and fractional repetitions of documents
"""

from olmoflow.curate.quality.repetition import Upsample
from olmoflow.curate.quality.vigintiles import Vigintiles

__all__ = ["Upsample", "Vigintiles"]
