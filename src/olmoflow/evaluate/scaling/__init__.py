"""Scaling laws of a ladder of runs: fits, predictions and how far they are off."""

from olmoflow.evaluate.scaling.power_law import PowerLaw, fit_power_law
from olmoflow.evaluate.scaling.sigmoid import Sigmoid, fit_sigmoid
from olmoflow.evaluate.scaling.study import Rung, Settings, Study, study_ladder

__all__ = [
    "PowerLaw",
    "Rung",
    "Settings",
    "Sigmoid",
    "Study",
    "fit_power_law",
    "fit_sigmoid",
    "study_ladder",
]
