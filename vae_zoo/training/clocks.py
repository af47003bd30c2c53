"""How long a training has taken, over all its resumed parts."""

import time

import tensorflow as tf


class Clocks:
    """Wall-clock and CPU seconds, and the speed of the steps alone.

    Attributes:
        variables: name -> variable, what a checkpoint tracks: "wall" and "cpu" seconds; "steady"
            seconds of steps alone, without the first call of the loop, and their "images".
    """

    def __init__(self):
        names = ("wall", "cpu", "steady", "images")
        self.variables = {name: tf.Variable(0.0, dtype=tf.float64) for name in names}
        self.start()

    def start(self):
        """Leaves out what has passed since the last `tick`."""
        self._ticked_at, self._cpu_at = time.monotonic(), time.process_time()

    def tick(self):
        """Counts the seconds since the last one, and returns them."""
        now, cpu = time.monotonic(), time.process_time()
        elapsed = now - self._ticked_at
        self.variables["wall"].assign_add(elapsed)
        self.variables["cpu"].assign_add(cpu - self._cpu_at)
        self._ticked_at, self._cpu_at = now, cpu
        return elapsed

    def count_images(self, images, seconds):
        """Adds to what the speed is the mean of."""
        self.variables["steady"].assign_add(seconds)
        self.variables["images"].assign_add(images)

    def now(self):
        """Returns the wall-clock seconds of this moment, without counting them."""
        return float(self.variables["wall"].numpy()) + time.monotonic() - self._ticked_at

    def minutes(self, name="wall"):
        """Returns "wall" or "cpu" minutes."""
        return float(self.variables[name].numpy() / 60)

    def speed(self):
        """Returns images a second of the steps alone."""
        seconds = self.variables["steady"].numpy()
        return float(self.variables["images"].numpy() / seconds) if seconds else 0.0
