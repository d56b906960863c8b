"""Training: the loop, the objectives, the optimizer and its schedules."""

from olmoflow.train.optimizer import SkipStepAdamW

__all__ = ["SkipStepAdamW"]
