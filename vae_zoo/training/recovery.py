"""A training whose gradients stay bad goes back to its last good weights."""

from vae_zoo import errors
from vae_zoo.training import optimizers

_BAD_STEPS = 20  # skipped in a row, after which the last good state is restored
_RESTARTS = 5


class Recovery:
    """Counts the bad steps of a training, and mends what they have led to.

    Args:
        model: a compiled VAE.
        checkpoints: Checkpoints, of the last good states.
        restarts: variable that counts the returns to one.
    """

    def __init__(self, model, checkpoints, restarts):
        self._model, self._checkpoints, self._restarts = model, checkpoints, restarts

    def bad_steps(self):
        """Returns how many steps in a row were skipped."""
        return max((int(guard.skipped_in_a_row.numpy()) for guard in self._guards()), default=0)

    def skipped(self):
        """Returns how many steps were skipped in all."""
        return sum(int(guard.skipped.numpy()) for guard in self._guards())

    def restart_if_lost(self, own, history):
        """Restores the last good weights after many bad steps; step, data and noise go on.

        Args:
            own: variables of the checkpoints that keep their values.
            history: History, which keeps its rows.

        Raises:
            UserError: after too many restarts.
        """
        if self.bad_steps() < _BAD_STEPS:
            return
        restarts = int(self._restarts.numpy()) + 1
        if restarts > _RESTARTS:
            raise errors.UserError(
                f"training is lost: after {_RESTARTS} returns to the last good state the gradient "
                f"was again not finite, or beyond skip_norm={self._guards()[0].skip_norm}, for "
                f"{_BAD_STEPS} steps. Lower --learning_rate, take --precision=float32, or a higher "
                "--skip_norm."
            )
        skipped = [guard.skipped for guard in self._guards()]
        ahead = [self._model.optimizer.iterations, *skipped, *own]
        values, rows = [variable.numpy() for variable in ahead], history.rows
        self._checkpoints.restore()
        history.rows = rows
        for variable, value in zip(ahead, values, strict=True):
            variable.assign(value)
        for guard in self._guards():
            guard.skipped_in_a_row.assign(0)
        self._restarts.assign(restarts)

    def _guards(self):
        found = [optimizers.guard(optimizer) for optimizer in self._model.optimizers]
        return [guard for guard in found if guard is not None]
