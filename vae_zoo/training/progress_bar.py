"""The lines that a training shows of itself."""

import time

import keras

from vae_zoo import progress


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


class Forecast(keras.callbacks.Callback):
    """Prints once how long the training will take, as soon as its speed is known.

    Args:
        settings: Settings.
        seconds: of steps that the speed is measured on, the first call left out.
    """

    def __init__(self, settings, seconds=3.0):
        super().__init__()
        self.epochs, self.seconds, self.started = settings.epochs, seconds, None

    def on_train_batch_end(self, batch, logs=None):
        step, now = self.model.steps_made, time.monotonic()
        if self.started is None:
            self.started = (now, step)
        elapsed, made = now - self.started[0], step - self.started[1]
        if elapsed < self.seconds or not made:
            return
        left = self.epochs * self.model.steps_per_epoch - step
        if left > 0:
            print(
                f"about {progress.duration(left * elapsed / made)} left: {left:,} steps, "
                f"{made / elapsed:,.1f} a second",
                flush=True,
            )
        self.seconds = float("inf")
