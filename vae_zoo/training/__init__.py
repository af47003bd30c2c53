"""Training: settings, the session around `fit`, its loop, optimizers and checkpoints."""

from vae_zoo.training.budget import plan, steps_in
from vae_zoo.training.progress_bar import Forecast, ProgressBar, ProgressLines
from vae_zoo.training.samples import Samples
from vae_zoo.training.session import train
from vae_zoo.training.settings import PRECISIONS, SCHEDULES, STRATEGIES, Outcome, Settings
from vae_zoo.training.setup import (
    check_batches,
    compile_model,
    is_chief,
    make_strategy,
    training_data,
)

__all__ = [
    "Forecast",
    "Outcome",
    "PRECISIONS",
    "ProgressBar",
    "ProgressLines",
    "SCHEDULES",
    "STRATEGIES",
    "Samples",
    "Settings",
    "check_batches",
    "compile_model",
    "is_chief",
    "make_strategy",
    "plan",
    "steps_in",
    "train",
    "training_data",
]
