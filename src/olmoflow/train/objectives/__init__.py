"""What a stage optimises: each objective turns a micro-batch into sums over its targets."""

from olmoflow.train.objectives.next_token import NextTokenPrediction
from olmoflow.train.objectives.objective import Batch, LossTerms, Objective
from olmoflow.train.objectives.preference import DirectPreference

__all__ = ["Batch", "DirectPreference", "LossTerms", "NextTokenPrediction", "Objective"]
