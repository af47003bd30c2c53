"""Keras's `fit` from any step, and what a run needs around it.

Every epoch ends with the objective of validation images (the model's own, at the full weight of
the rate), with averaged weights where the optimizer averages them; the best weights of the epochs
after warm-up are kept, the last ones while it lasts. A checkpoint holds all of the state (weights,
moments, averages, step, metrics, the best weights, the rows of metrics.csv), so that a resumed run
is the uninterrupted one. A training that is out of time, or gets SIGINT or SIGTERM, saves its state
within the epoch; what it has trained since the last whole epoch is in no figure and no best weights
until it goes on.
"""

import pathlib
import time

import keras
import numpy as np
import tensorflow as tf

from vae_zoo import replicas, runs
from vae_zoo.training import start
from vae_zoo.training.best import BestWeights
from vae_zoo.training.checkpoints import Checkpoints
from vae_zoo.training.clocks import Clocks
from vae_zoo.training.history import History
from vae_zoo.training.interrupts import Interrupted, Signals
from vae_zoo.training.recovery import Recovery
from vae_zoo.training.settings import Outcome
from vae_zoo.training.setup import is_chief, make_strategy, training_data
from vae_zoo.training.validation import validation

_CHECKPOINT_SECONDS = 20


def train(model, splits, directory, settings, callbacks=(), strategy=None):
    """Trains a compiled model, from its last checkpoint if there is one; returns the Outcome.

    The model ends with the weights of the lowest validation objective (averaged ones, with `ema`),
    or with the last ones where warm-up has not ended.

    Args:
        model: a VAE, compiled by compile_model.
        splits: datasets.Splits.
        directory: of the run: takes checkpoints/, metrics.csv and tensorboard/.
        settings: Settings.
        callbacks: more Keras callbacks.
        strategy: of make_strategy; None is one process.

    Raises:
        UserError: where the loss does not stay finite, or the disk is full.
        KeyboardInterrupt: for SIGINT, after the state was saved; SIGTERM is delivered then, too.
    """
    strategy = strategy or make_strategy("one")
    best = BestWeights(model)
    # The workers of a cluster wait for each other: one alone cannot stop to save.
    with Signals(active=settings.strategy != "multi_worker") as signals:
        with strategy.scope():
            session = _Session(
                model,
                splits,
                pathlib.Path(directory),
                settings,
                best=best,
                signals=signals,
                workers=replicas.Workers(strategy),
                chief=is_chief(strategy),
            )
        session.restore_or_start()
        try:
            _fit(session, strategy, callbacks)
        except Interrupted:
            session.save_if_good()
            raise
        return session.finish()


def _fit(session, strategy, callbacks):
    """Runs Keras's `fit` until the training has ended."""
    model, splits, settings = session.trained, session.splits, session.settings
    session.finish_pending_epoch()
    while not session.ended():
        step, epoch = session.step(), session.epoch()
        done = step - epoch * splits.steps_per_epoch
        # The rest of a broken epoch is an epoch to Keras; then all the others.
        model.fit(
            training_data(splits, strategy, step),
            initial_epoch=epoch,
            epochs=epoch + 1 if done else settings.epochs,
            steps_per_epoch=splits.steps_per_epoch - done,
            shuffle=False,
            verbose=0,
            callbacks=[session, *callbacks],
        )


class _Session(keras.callbacks.Callback):
    """A training's state, the model's apart, and what happens between its steps."""

    def __init__(self, model, splits, directory, settings, *, best, signals, workers, chief):
        super().__init__()
        self.trained, self.splits, self.settings = model, splits, settings
        self.best, self.signals, self.workers = best, signals, workers
        names = ("epochs_done", "best_epoch", "restarts")
        self.counts = {name: tf.Variable(0, dtype=tf.int64) for name in names}
        self.best_loss = tf.Variable(np.inf, dtype=tf.float64)
        self.clocks, self.history = Clocks(), History(directory, chief)
        self.checkpoints = Checkpoints(
            directory / runs.CHECKPOINTS,
            {
                "model": model,
                # Of layers in a list, such as codebooks, a checkpoint of the model holds nothing.
                "variables": [variable.value for variable in model.variables],
                "optimizer": model.optimizer,
                # Their variables: of a metric itself a checkpoint holds nothing.
                "metrics": [variable.value for m in model.metrics for variable in m.variables],
                "counts": self.counts,
                "best_loss": self.best_loss,
                "best": best.variables,
                "clocks": self.clocks.variables,
                "history": self.history,
            },
            chief,
            settings.keep,
        )
        self.recovery = Recovery(model, self.checkpoints, self.counts["restarts"])
        self.validate = validation(model, splits, workers)
        self.restored_metrics = None
        self.saved_at = time.monotonic()

    # Where training stands.

    def step(self):
        return int(self.trained.optimizer.iterations.numpy())

    def count(self, name):
        # A mirrored variable has a numpy(), and no int().
        return int(self.counts[name].numpy())

    def epoch(self):
        return self.step() // self.splits.steps_per_epoch

    def within_epoch(self):
        return bool(self.step() % self.splits.steps_per_epoch)

    def ended(self):
        """Returns why training is over: "epochs", "patience" or "time"; None: it is not."""
        done = self.count("epochs_done")
        if done >= self.settings.epochs:
            return "epochs"
        if self.settings.patience and done - self.count("best_epoch") >= self.settings.patience:
            return "patience"
        # The clocks of several workers differ: that of the first counts.
        return "time" if self.workers.chiefs(self.out_of_time()) else None

    def out_of_time(self):
        return self.clocks.now() >= 60 * (self.settings.max_minutes or np.inf)

    def must_stop(self):
        return self.out_of_time() or self.signals.number is not None

    def restore_or_start(self):
        if self.checkpoints.restore():
            if self.within_epoch():
                self.restored_metrics = [
                    variable.numpy() for m in self.trained.metrics for variable in m.variables
                ]
        else:
            self.trained.start_at(start.evenly_spaced(self.splits))
            self.checkpoints.save(0)
        self.history.open()
        self.trained.set_step(self.step())
        if self.settings.strategy != "multi_worker":  # its workers stop at the same step
            self.trained.must_stop = self.must_stop
        self.saved_at = time.monotonic()
        self.clocks.start()

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
        self.clocks.tick()
        self.first_call = self.step()

    def on_train_batch_begin(self, batch, logs=None):
        if not self.trained.run_eagerly:  # no step is ever half done where Python can be stopped
            self.signals.allow()

    def on_train_batch_end(self, batch, logs=None):
        self.signals.forbid()
        step = self.step()
        elapsed = self.clocks.tick()
        if self.first_call is not None and self.trained.calls_made > 1:
            images = (step - self.first_call) * self.splits.batch_size
            self.clocks.count_images(images, elapsed)
        self.first_call = step
        own = [*self.counts.values(), self.best_loss, *self.clocks.variables.values()]
        self.recovery.restart_if_lost([*own, *self.best.variables], self.history)
        self._save_now_and_then(step)
        self.signals.check()
        if self.trained.must_stop is not None and self.out_of_time():
            self.trained.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        if self.step() < (epoch + 1) * self.splits.steps_per_epoch:
            return  # out of time: the rest of the epoch is for the next command
        validation = self.validate(self.signals.check)
        self.clocks.tick()
        if self._is_best(validation["loss"]):
            self.counts["best_epoch"].assign(epoch + 1)
            self.best.keep(self.trained)
        self.counts["epochs_done"].assign(epoch + 1)
        self._record(epoch + 1, logs, validation)
        self._save_now_and_then(self.step())
        self.trained.stop_training = self.ended() is not None

    # What they do.

    def _is_best(self, loss):
        """Returns whether to keep this epoch; during warm-up each is kept in place of the last."""
        if self.step() < self.trained.warmup_steps:
            return True
        if loss < self.best_loss.numpy():
            self.best_loss.assign(loss)
            return True
        return self.count("best_epoch") == 0  # one has to be kept, were its loss not finite

    def _save_now_and_then(self, step):
        if self._is_due() and not self.recovery.bad_steps():
            self.checkpoints.save(step)
            self.saved_at = time.monotonic()

    def _is_due(self):
        if self.settings.strategy == "multi_worker":
            # Its workers save together, and their clocks differ.
            return not self.within_epoch()
        return time.monotonic() - self.saved_at > _CHECKPOINT_SECONDS

    def _record(self, epoch, logs, validation):
        figures = {f"val_{name}": value for name, value in validation.items()}
        row = {
            "epoch": epoch,
            "step": self.step(),
            "minutes": round(self.clocks.minutes(), 4),
            "cpu_minutes": round(self.clocks.minutes("cpu"), 4),
            "images_per_second": round(self.clocks.speed(), 1),
            "learning_rate": float(self.trained.optimizer.learning_rate),
            **{name: float(value) for name, value in (logs or {}).items()},
            **figures,
            "skipped": self.recovery.skipped(),
        }
        self.history.add(row)
        if logs is not None:
            logs.update(figures)  # for the callbacks after this one

    def save_if_good(self):
        """Saves the state, unless the last steps were bad: then it goes on from the one before."""
        if not self.recovery.bad_steps():
            self.checkpoints.save(self.step())

    def finish(self):
        """Saves the last state, puts the best weights in place, and returns the Outcome."""
        self.checkpoints.save(self.step())
        self.trained.must_stop = None
        if not self.count("best_epoch"):  # out of time in the first epoch: the last weights
            self.best.keep(self.trained)
        self.best.put(self.trained)
        return Outcome(
            epochs=self.count("epochs_done"),
            best_epoch=self.count("best_epoch"),
            steps=self.step(),
            skipped=self.recovery.skipped(),
            restarts=self.count("restarts"),
            minutes=self.clocks.minutes(),
            cpu_minutes=self.clocks.minutes("cpu"),
            images_per_second=self.clocks.speed(),
            ended=self.ended(),
        )
