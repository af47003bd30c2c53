"""Keras's `fit` from any step, and what a run needs around it.

Every epoch ends with the bound of validation images (the ELBO, or what else the model trains),
with averaged weights where the optimizer averages them; the best weights so far are kept. A
checkpoint holds all of the state (weights, moments, averages, step, metrics, best score), so that
a resumed run is the uninterrupted one.
"""

import pathlib
import time

import keras
import numpy as np
import tensorflow as tf

from vae_zoo import errors, runs
from vae_zoo.training import optimizers, start
from vae_zoo.training.checkpoints import Checkpoints
from vae_zoo.training.settings import Outcome
from vae_zoo.training.setup import is_chief, make_strategy
from vae_zoo.training.validation import validation

_CHECKPOINT_SECONDS = 20
_BAD_STEPS = 20  # skipped in a row, after which the last good state is restored
_RESTARTS = 5


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
        self.validate = validation(model, splits)
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
            self.trained.start_at(start.evenly_spaced(self.splits))
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
