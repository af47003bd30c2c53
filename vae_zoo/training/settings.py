"""How a model is trained, and what came of it."""

from typing import NamedTuple

SCHEDULES = ("constant", "cosine")
STRATEGIES = ("one", "mirrored", "multi_worker", "tpu")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


class Settings(NamedTuple):
    """How a model is trained: config.json's "training".

    Attributes:
        epochs: parts of the training, each with a validation at its end: passes over the training
            split, or what budget.plan says.
        learning_rate: of the optimizer, at its highest.
        schedule: "constant" or "cosine" (to zero at the end).
        seed: run seed.
        precision: dtype policy of the layers.
        jit: "auto", "on" or "off": XLA.
        strategy: of STRATEGIES; see make_strategy.
        patience: epochs without a better validation objective before stopping, counted after
            warm-up; 0 never stops.
        ema: momentum of the averaged weights; 0: none.
        skip_norm: gradient norm beyond which a step is skipped; None: only what is not finite.
        max_minutes: stop after so much training, within an epoch too; None: never.
        steps: optimizer steps that were asked for; epochs follow from them. None: epochs were.
        minutes: of training that were asked for; steps follow from the measured speed, once.
        accumulate: parts that a batch is computed in, one after the other, where it does not fit.
        optimizer: "muon" for kernels of layers, Adam for the rest; or "adam" for all.
        keep: checkpoints that stay on disk, the newest.
    """

    epochs: int
    learning_rate: float = 1e-3
    schedule: str = "cosine"
    seed: int = 0
    precision: str = "float32"
    jit: str = "auto"
    strategy: str = "one"
    patience: int = 0
    ema: float = 0.0
    skip_norm: float | None = None
    max_minutes: float | None = None
    steps: int | None = None
    minutes: float | None = None
    accumulate: int = 1
    optimizer: str = "adam"
    keep: int = 2


class Outcome(NamedTuple):
    """What training tells of itself.

    Attributes:
        epochs: epochs trained.
        best_epoch: the one whose weights the model has now: of the lowest validation objective
            after warm-up; the last one where warm-up did not end; 0 where time was over within the
            first: then they are the last weights.
        steps: optimizer steps, skipped ones included.
        skipped: steps skipped for their gradient.
        restarts: how often the last good state was restored.
        minutes: wall-clock training time, over all resumed parts.
        cpu_minutes: CPU time of all cores.
        images_per_second: training alone, first call and validation left out.
        ended: why: "epochs", "patience", or "time" (max_minutes): more time would go on.
    """

    epochs: int
    best_epoch: int
    steps: int
    skipped: int
    restarts: int
    minutes: float
    cpu_minutes: float
    images_per_second: float
    ended: str = "epochs"
