"""What a user did wrong, told in one line."""

import difflib
import errno
import math

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_ROOM_TEXTS = ("No space left", "quota exceeded", "File too large")
_MOST_WHOLE = 10**12


class UserError(ValueError):
    """A mistake that the user can mend; the commands print it as one line and exit with code 2."""


def unknown(kind, name, known):
    """Returns the error for a name that is on no list, with the closest names.

    Args:
        kind: what the name should have been, such as "model".
        name: what came.
        known: the allowed names.
    """
    known = sorted(set(known))
    close = difflib.get_close_matches(str(name), known, n=2, cutoff=0.5)
    hint = (
        f"Did you mean {' or '.join(map(repr, close))}?" if close else f"Known: {', '.join(known)}."
    )
    return UserError(f"Unknown {kind} {name!r}. {hint}")


def at_least(name, value, least, whole=False, most=math.inf):
    """Returns an argument's value; a UserError names it where it is below `least`.

    Args:
        name: of the argument.
        value: what came.
        least: the smallest value allowed.
        whole: only whole numbers are; the value returned is an int.
        most: the largest value allowed; 10**12 for a whole number, which is more than makes sense.
    """
    most = min(most, _MOST_WHOLE) if whole else most
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not least <= value < math.inf or (whole and int(value) != value):
        kind = "whole number" if whole else "number"
        raise UserError(f"{name}={value!r}: expected a {kind} of at least {least}.")
    if value > most:
        raise UserError(f"{name}={value!r}: expected at most {most:,}.")
    return int(value) if whole else value


def is_no_room(error):
    """Returns whether an exception says that a disk is full, or a file larger than is allowed.

    TensorFlow and HDF5 raise exceptions of their own there, which have the system's text alone.
    """
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        return True
    return any(text in str(error) for text in _NO_ROOM_TEXTS)
