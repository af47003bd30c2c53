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


class ProgressLines(keras.callbacks.Callback):
    """What the command prints where there is no terminal: a line for an epoch, or for a minute.

    Args:
        settings: Settings.
        batch_size: images of a step.
        least: seconds between two lines, at least; short epochs share one.
        most: seconds between two lines, at most, where a call of the loop takes less.
    """

    def __init__(self, settings, batch_size, least=5.0, most=60.0):
        super().__init__()
        self.epochs, self.batch_size = settings.epochs, batch_size
        self.least, self.most = least, most
        self.started = self.printed_at = None

    def on_train_begin(self, logs=None):
        self.printed_at = self.printed_at or time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        if self.started is None:  # after the first call, which builds the graph
            self.started = (time.monotonic(), self.model.steps_made)
        if time.monotonic() - self.printed_at >= self.most:
            self._print(logs)

    def on_epoch_end(self, epoch, logs=None):
        last = self.model.steps_made >= self.epochs * self.model.steps_per_epoch
        if last or time.monotonic() - self.printed_at >= self.least:
            self._print(logs)

    def _print(self, logs):
        now, step, per_epoch = time.monotonic(), self.model.steps_made, self.model.steps_per_epoch
        total = self.epochs * per_epoch
        parts = [f"epoch {(step - 1) // per_epoch + 1}/{self.epochs}", f"step {step:,}/{total:,}"]
        made, left = step - self.started[1], ""
        if made:
            seconds = (now - self.started[0]) / made
            parts.append(f"{self.batch_size / seconds:,.0f} images/s")
            left = f"{progress.duration(seconds * (total - step))} left"
        names = {"elbo": "elbo", "rate": "rate", "distortion": "distortion"}
        names["val_elbo"] = "validation elbo"
        parts += [f"{text} {float(logs[n]):.2f}" for n, text in names.items() if n in logs]
        print(", ".join([*parts, left] if left else parts), flush=True)
        self.printed_at = now


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
