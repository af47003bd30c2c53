"""Training: Keras's `fit` from any step, and what a run needs around it.

Every epoch ends with the bound of validation images (the ELBO, or what else the model trains),
with averaged weights where the optimizer averages them; the best weights so far are kept. A
checkpoint holds all of the state (weights, moments, averages, step, metrics, best score), so that
a resumed run is the uninterrupted one.
"""

import pathlib
import time
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from vae_zoo import elbo, errors, optimizers, progress, runs
from vae_zoo.checkpoints import Checkpoints
from vae_zoo.vae import EVALUATION_STEP

SCHEDULES = ("constant", "cosine")
STRATEGIES = ("one", "mirrored", "multi_worker")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
_CHECKPOINT_SECONDS = 20
_VALIDATION_SHARE = 16  # at most num_train / 16 images an epoch, or 2,000
_BAD_STEPS = 20  # skipped in a row, after which the last good state is restored
_RESTARTS = 5


class Settings(NamedTuple):
    """How a model is trained: config.json's "training".

    Attributes:
        epochs: passes over the training split.
        learning_rate: Adam's, at its highest.
        schedule: "constant" or "cosine" (to zero at the end).
        seed: run seed.
        precision: dtype policy of the layers.
        jit: "auto", "on" or "off": XLA.
        strategy: "one", "mirrored" or "multi_worker".
        patience: epochs without a better validation ELBO before stopping; 0 never stops.
        ema: momentum of the averaged weights; 0: none.
        skip_norm: gradient norm beyond which a step is skipped; None: only what is not finite.
        max_minutes: stop after so much training, whatever the epoch; None: never.
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


class Outcome(NamedTuple):
    """What training tells of itself.

    Attributes:
        epochs: epochs trained.
        best_epoch: the one whose weights the model has now.
        steps: optimizer steps, skipped ones included.
        skipped: steps skipped for their gradient.
        restarts: how often the last good state was restored.
        minutes: wall-clock training time, over all resumed parts.
        cpu_minutes: CPU time of all cores.
        images_per_second: training alone, first call and validation left out.
    """

    epochs: int
    best_epoch: int
    steps: int
    skipped: int
    restarts: int
    minutes: float
    cpu_minutes: float
    images_per_second: float


def make_strategy(name):
    """Returns the tf.distribute strategy of a name; "multi_worker" reads TF_CONFIG."""
    if name == "mirrored":
        return tf.distribute.MirroredStrategy()
    if name == "multi_worker":
        return tf.distribute.MultiWorkerMirroredStrategy()
    return tf.distribute.get_strategy()


def is_chief(strategy):
    """Returns whether this process writes the run's files."""
    resolver = strategy.cluster_resolver
    return resolver is None or not resolver.task_type or resolver.task_id == 0


def compile_model(model, settings, steps_per_epoch):
    """Compiles a model as the command does: guarded Adam, schedule, many steps a call.

    Args:
        model: a VAE; call within the strategy's scope.
        settings: Settings.
        steps_per_epoch: optimizer steps of an epoch.
    """
    rate = settings.learning_rate
    if settings.schedule == "cosine":
        total = max(1, settings.epochs * steps_per_epoch)
        rate = keras.optimizers.schedules.CosineDecay(rate, total)
    averaging = {"use_ema": True, "ema_momentum": settings.ema} if settings.ema else {}
    optimizer = optimizers.GuardedAdam(rate, skip_norm=settings.skip_norm, **averaging)
    if model.dtype_policy.name == "mixed_float16":
        optimizer = optimizers.GuardedLossScale(optimizer)
    on_gpu = bool(tf.config.list_logical_devices("GPU"))
    model.compile(
        optimizer=optimizer,
        # XLA makes convolutions slower on a CPU.
        jit_compile=on_gpu if settings.jit == "auto" else settings.jit == "on",
        steps_per_execution=min(50 if on_gpu else 20, steps_per_epoch),
    )
    model.optimizer.build(model.trainable_variables)
    model.steps_per_epoch = steps_per_epoch


def train(model, splits, directory, settings, callbacks=(), strategy=None):
    """Trains a compiled model, from its last checkpoint if there is one; returns the Outcome.

    The model ends with the weights of the best validation ELBO (averaged ones, with `ema`).

    Args:
        model: a VAE, compiled by compile_model.
        splits: datasets.Splits.
        directory: of the run: takes checkpoints/, metrics.csv and tensorboard/.
        settings: Settings.
        callbacks: more Keras callbacks.
        strategy: of make_strategy; None is one process.

    Raises:
        UserError: where the loss does not stay finite, or the disk is full.
    """
    strategy = strategy or make_strategy("one")
    with strategy.scope():
        session = _Session(model, splits, pathlib.Path(directory), settings, is_chief(strategy))
    session.restore_or_start()
    session.finish_pending_epoch()
    while not session.finished():
        step, epoch = session.step(), session.epoch()
        data = splits.train_from(step)
        if strategy.num_replicas_in_sync > 1 or settings.strategy != "one":
            data = strategy.experimental_distribute_dataset(data)
        done = step - epoch * splits.steps_per_epoch
        # The rest of a broken epoch is an epoch to Keras; then all the others.
        model.fit(
            data,
            initial_epoch=epoch,
            epochs=epoch + 1 if done else settings.epochs,
            steps_per_epoch=splits.steps_per_epoch - done,
            shuffle=False,
            verbose=0,
            callbacks=[session, *callbacks],
        )
    return session.finish()


class _Session(keras.callbacks.Callback):
    """A training's state beside the model's, and what happens between its steps."""

    def __init__(self, model, splits, directory, settings, chief):
        super().__init__()
        self.trained, self.splits, self.settings = model, splits, settings
        self.directory, self.chief = directory, chief
        names = ("epochs_done", "best_epoch", "restarts")
        self.counts = {name: tf.Variable(0, dtype=tf.int64) for name in names}
        self.best_bound = tf.Variable(-np.inf, dtype=tf.float64)
        self.clocks = {
            name: tf.Variable(0.0, dtype=tf.float64) for name in ("wall", "cpu", "steady", "images")
        }
        self.checkpoints = Checkpoints(
            directory / runs.CHECKPOINTS,
            {
                "model": model,
                "optimizer": model.optimizer,
                # Their variables: of a metric itself a checkpoint holds nothing.
                "metrics": [variable.value for m in model.metrics for variable in m.variables],
                "counts": self.counts,
                "best_bound": self.best_bound,
                "clocks": self.clocks,
            },
            chief,
        )
        self.validate = _validation(model, splits)
        self.rows, self.writer, self.restored_metrics = [], None, None
        self.saved_at = self.ticked_at = time.monotonic()
        self.cpu_at = time.process_time()

    # Where training stands.

    def step(self):
        return int(self.trained.optimizer.iterations.numpy())

    def count(self, name):
        # A mirrored variable has a numpy(), and no int().
        return int(self.counts[name].numpy())

    def epoch(self):
        return self.step() // self.splits.steps_per_epoch

    def finished(self):
        out_of_time = (self.settings.max_minutes or np.inf) * 60 <= self.clocks["wall"].numpy()
        done = self.count("epochs_done")
        waited = done - self.count("best_epoch")
        too_long = self.settings.patience and waited >= self.settings.patience
        return bool(done >= self.settings.epochs or out_of_time or too_long)

    def restore_or_start(self):
        if self.checkpoints.restore():
            rows = runs.read_rows(self.directory / runs.METRICS)
            self.rows = [row for row in rows if row["epoch"] <= self.count("epochs_done")]
            if self.step() % self.splits.steps_per_epoch:
                self.restored_metrics = [
                    variable.numpy() for m in self.trained.metrics for variable in m.variables
                ]
        else:
            self.checkpoints.save(0)
        self.trained.set_step(self.step())
        if self.chief:
            self.writer = tf.summary.create_file_writer(str(self.directory / runs.TENSORBOARD))
        self.saved_at = self.ticked_at = time.monotonic()

    def finish_pending_epoch(self):
        """Ends an epoch whose last step was saved and whose validation was not."""
        if self.epoch() > self.count("epochs_done"):
            self.on_epoch_end(self.epoch() - 1, self.trained.get_metrics_result())

    # Keras calls these.

    def on_epoch_begin(self, epoch, logs=None):
        if self.restored_metrics is not None:  # fit has just reset them
            variables = [v for m in self.trained.metrics for v in m.variables]
            for variable, value in zip(variables, self.restored_metrics, strict=True):
                variable.assign(value)
            self.restored_metrics = None
        self._tick()
        self.first_call = self.step()

    def on_train_batch_end(self, batch, logs=None):
        step = self.step()
        elapsed = self._tick()
        if self.first_call is not None and self.trained.calls_made > 1:
            self.clocks["steady"].assign_add(elapsed)
            self.clocks["images"].assign_add((step - self.first_call) * self.splits.batch_size)
        self.first_call = step
        self._restart_if_lost()
        self._save_now_and_then(step)

    def on_epoch_end(self, epoch, logs=None):
        validation = self.validate()
        self._tick()
        bound = validation.get("bound", validation["elbo"])
        if bound > self.best_bound.numpy() or epoch == 0:
            self.best_bound.assign(bound)
            self.counts["best_epoch"].assign(epoch + 1)
            if self.chief:
                self._keep_best()
        self.counts["epochs_done"].assign(epoch + 1)
        self._record(epoch + 1, logs, validation)
        self._save_now_and_then(self.step())
        self.trained.stop_training = self.finished()

    # What they do.

    def _tick(self):
        now, cpu = time.monotonic(), time.process_time()
        elapsed = now - self.ticked_at
        self.clocks["wall"].assign_add(elapsed)
        self.clocks["cpu"].assign_add(cpu - self.cpu_at)
        self.ticked_at, self.cpu_at = now, cpu
        return elapsed

    def _save_now_and_then(self, step):
        if time.monotonic() - self.saved_at > _CHECKPOINT_SECONDS and not self._bad_steps():
            self.checkpoints.save(step)
            self.saved_at = time.monotonic()

    def _guards(self):
        found = [optimizers.guard(optimizer) for optimizer in self.trained.optimizers]
        return [guard for guard in found if guard is not None]

    def _bad_steps(self):
        return max((int(guard.skipped_in_a_row.numpy()) for guard in self._guards()), default=0)

    def _restart_if_lost(self):
        """Restores the last good weights after many bad steps; step, data and noise go on."""
        if self._bad_steps() < _BAD_STEPS:
            return
        restarts = self.count("restarts") + 1
        if restarts > _RESTARTS:
            raise errors.UserError(
                f"training is lost: after {_RESTARTS} returns to the last good state the gradient "
                f"was again not finite, or beyond skip_norm={self.settings.skip_norm}, for "
                f"{_BAD_STEPS} steps. Lower --learning_rate, or take --precision=float32."
            )
        skipped = [guard.skipped for guard in self._guards()]
        ahead = [self.trained.optimizer.iterations, *skipped, *self._own_variables()]
        values = [variable.numpy() for variable in ahead]
        self.checkpoints.restore()
        for variable, value in zip(ahead, values, strict=True):
            variable.assign(value)
        for guard in self._guards():
            guard.skipped_in_a_row.assign(0)
        self.counts["restarts"].assign(restarts)

    def _own_variables(self):
        return [*self.counts.values(), self.best_bound, *self.clocks.values()]

    def _keep_best(self):
        path = self.directory / runs.CHECKPOINTS / runs.BEST
        with optimizers.averaged(self.trained), runs.atomic(path) as partial:
            self.trained.save_weights(partial, overwrite=True)

    def _record(self, epoch, logs, validation):
        rate = self.trained.optimizer.learning_rate
        row = {
            "epoch": epoch,
            "step": self.step(),
            "minutes": round(self.clocks["wall"].numpy() / 60, 4),
            "cpu_minutes": round(self.clocks["cpu"].numpy() / 60, 4),
            "images_per_second": round(self._speed(), 1),
            "learning_rate": float(rate),
            **{name: float(value) for name, value in (logs or {}).items()},
            **{f"val_{name}": value for name, value in validation.items()},
            "skipped": self._skipped(),
        }
        self.rows.append(row)
        if self.writer is None:
            return
        runs.write_rows(self.directory / runs.METRICS, self.rows)
        with self.writer.as_default(step=self.step()):
            for name, value in row.items():
                tf.summary.scalar(name, value)

    def _speed(self):
        seconds = self.clocks["steady"].numpy()
        return float(self.clocks["images"].numpy() / seconds) if seconds else 0.0

    def _skipped(self):
        return sum(int(guard.skipped.numpy()) for guard in self._guards())

    def finish(self):
        """Saves the last state, loads the best weights, and returns the Outcome."""
        self.checkpoints.save(self.step())
        best = self.directory / runs.CHECKPOINTS / runs.BEST
        if best.exists():
            self.trained.load_weights(best)
        return Outcome(
            epochs=self.count("epochs_done"),
            best_epoch=self.count("best_epoch"),
            steps=self.step(),
            skipped=self._skipped(),
            restarts=self.count("restarts"),
            minutes=float(self.clocks["wall"].numpy() / 60),
            cpu_minutes=float(self.clocks["cpu"].numpy() / 60),
            images_per_second=self._speed(),
        )


class ProgressBar(keras.callbacks.Callback):
    """The command's line on a terminal: images a second, ELBO, rate, distortion, time left."""

    def __init__(self, settings, batch_size):
        super().__init__()
        self.epochs, self.batch_size, self.bar = settings.epochs, batch_size, None

    def on_train_batch_end(self, batch, logs=None):
        per_epoch = self.model.steps_per_epoch
        step = self.model.steps_made
        if self.bar is None:
            self.bar = progress.Progress(self.epochs * per_epoch, "training")
            self.started = (time.monotonic(), step)
        seconds, first = time.monotonic() - self.started[0], self.started[1]
        speed = (step - first) * self.batch_size / seconds if step > first else 0.0
        terms = {name: float(logs[name]) for name in ("elbo", "rate", "distortion")}
        self.bar(
            step,
            f"epoch {(step - 1) // per_epoch + 1}/{self.epochs} {speed:,.0f} images/s "
            + " ".join(f"{name} {value:.2f}" for name, value in terms.items()),
        )

    def on_train_end(self, logs=None):
        if self.bar is not None and self.model.steps_made >= self.bar.total:
            self.bar.close()


def _validation(model, splits):
    """Returns a function that gives the mean terms of the validation images, in nats."""
    count = min(splits.num_validation, max(2000, splits.num_train // _VALIDATION_SHARE))
    images, labels = splits.images("validation", count), splits.labels("validation", count)
    inputs = {"image": images} if labels is None else {"image": images, "label": labels}
    data = tf.data.Dataset.from_tensor_slices(inputs).batch(splits.batch_size)

    @tf.function(reduce_retracing=True)
    def sums(batch, index):
        terms = model.terms(
            batch,
            num_samples=model.training_samples,
            analytic=model.analytic_training,
            seed=model.noise_key(EVALUATION_STEP - index),  # the same in every epoch
        )
        return (
            -tf.reduce_sum(tf.reduce_mean(terms.log_likelihood, axis=1)),
            tf.reduce_sum(tf.reduce_mean(terms.rate, axis=1), axis=0),
            tf.reduce_sum(model.bound(elbo.log_weights(terms))),
        )

    def validate():
        with optimizers.averaged(model):
            parts = [sums(batch, tf.constant(index)) for index, batch in enumerate(data)]
        distortion = sum(float(part[0]) for part in parts) / count
        rates = sum(part[1].numpy().astype(np.float64) for part in parts) / count  # [L]
        figures = {"elbo": -distortion - float(rates.sum()), "rate": float(rates.sum())}
        figures["distortion"] = distortion
        if model.training_samples > 1:
            figures["bound"] = sum(float(part[2]) for part in parts) / count
        if len(rates) > 1:
            figures |= {f"rate_{i + 1}": float(rate) for i, rate in enumerate(rates)}
        return figures

    return validate
