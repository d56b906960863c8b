"""Runs beside each other: collected from artifacts, gathered over seeds, tabulated and plotted."""

from olmoflow.report.rows import Report, gather
from olmoflow.report.runs import Failure, Run, collect_runs

__all__ = ["Failure", "Report", "Run", "collect_runs", "gather"]
