"""One line of progress on a terminal, nothing anywhere else."""

import sys
import time


class Progress:
    """A line that rewrites itself; quiet when the stream is not a terminal.

    Args:
        total: how much there is to do.
        label: what is being done.
        stream: where to write; None is standard error.
    """

    def __init__(self, total, label, stream=None):
        self.total, self.label = max(1, total), label
        self.stream = sys.stderr if stream is None else stream
        self.shown = self.stream.isatty()
        self.started, self.first, self.drawn_at = time.monotonic(), None, 0.0

    def __call__(self, done, note=""):
        """Shows that `done` of the total is done, with the time left."""
        now = time.monotonic()
        if self.first is None:
            self.first, self.started = done, now
        if not self.shown or (now - self.drawn_at < 0.1 and done < self.total):
            return
        self.drawn_at = now
        share = min(1.0, done / self.total)
        bar = ("#" * int(20 * share)).ljust(20, ".")
        left = self._left(done, now)
        self.stream.write(f"\r\x1b[K{self.label} [{bar}] {100 * share:3.0f}% {note}{left}")
        self.stream.flush()

    def close(self):
        """Ends the line."""
        if self.shown and self.first is not None:
            self.stream.write("\n")

    def _left(self, done, now):
        made = done - self.first
        if made <= 0:
            return ""
        return f" {duration((now - self.started) * (self.total - done) / made)} left"


def duration(seconds):
    """Returns seconds as people say them: "45 s", "3 min 20 s", "2 h 5 min"."""
    seconds = int(round(seconds))
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s"
    return f"{minutes // 60} h {minutes % 60} min"
