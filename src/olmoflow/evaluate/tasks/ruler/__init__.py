"""RULER: long prompts of which a model has to find, follow or count something.

- task       a task of a kind at a length
- prompts    templates and answer prefixes
- sources    words and essays out of installed packages
- sample     a sample, and the size that fits a length
- needles    needles in haystacks
- variables  variable tracking
- words      common and frequent words
"""

from olmoflow.evaluate.tasks.ruler.task import GENERATORS, LENGTHS, RulerTask, tasks

__all__ = ["GENERATORS", "LENGTHS", "RulerTask", "tasks"]
