"""SIGINT (Ctrl-C) and SIGTERM, held back until the state of a training can be saved."""

import signal
import threading


class Interrupted(KeyboardInterrupt):
    """Training stops here, for a signal."""


class Signals:
    """Holds the two signals back for the length of a `with`; its end delivers what came.

    Signals that are ignored, as those of a shell's background jobs, stay so. In another thread
    than the main one, or where `active` is False, nothing is held back.

    Attributes:
        number: of the signal that came, or None.
    """

    def __init__(self, active=True):
        self.number, self._at_once, self._before = None, False, {}
        self._active = active and threading.current_thread() is threading.main_thread()

    def __enter__(self):
        for number in (signal.SIGINT, signal.SIGTERM) if self._active else ():
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                self._before[number] = signal.signal(number, self._hold)
        return self

    def __exit__(self, kind, error, trace):
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self.number is not None:
            signal.raise_signal(self.number)

    def check(self):
        """Raises Interrupted where a signal has come."""
        if self.number is not None:
            raise Interrupted

    def allow(self):
        """From here on a signal raises Interrupted at once; so does one that has come already."""
        self.check()
        self._at_once = True

    def forbid(self):
        """From here on a signal waits."""
        self._at_once = False

    def _hold(self, number, frame):
        self.number = self.number or number
        if self._at_once:
            self.forbid()
            raise Interrupted
