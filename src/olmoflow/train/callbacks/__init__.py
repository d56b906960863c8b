"""What happens around the steps, one callback a file."""

from olmoflow.train.callbacks.checkpoints import CheckpointCadence
from olmoflow.train.callbacks.metrics_file import MetricsFile
from olmoflow.train.callbacks.progress import Progress
from olmoflow.train.callbacks.reporter import Reporter
from olmoflow.train.callbacks.stop_signal import StopSignal

__all__ = ["CheckpointCadence", "MetricsFile", "Progress", "Reporter", "StopSignal"]
