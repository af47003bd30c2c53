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
