"""Training: the loop, the objectives, the optimizer and its schedules."""

from olmoflow.train.adamw_8bit import AdamW8bit
from olmoflow.train.optimizer import SkipStepAdamW

__all__ = ["AdamW8bit", "SkipStepAdamW"]
