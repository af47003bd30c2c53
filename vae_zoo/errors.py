"""What a user did wrong, told in one line."""

import difflib


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


def at_least(name, value, least):
    """Returns an argument's value; a UserError names it where it is below `least`.

    Args:
        name: of the argument.
        value: what came.
        least: the smallest value allowed; 1 also asks for a whole number.
    """
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not value >= least:
        raise UserError(f"{name}={value!r}: expected a number of at least {least}.")
    if isinstance(least, int) and least == 1 and int(value) != value:
        raise UserError(f"{name}={value!r}: expected a whole number of at least {least}.")
    return value
