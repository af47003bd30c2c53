"""What a server answers, checked: nothing but the rows that were asked for gets through."""

import http.client
import json
import time

import numpy as np

from vae_zoo import errors

_CHUNK = 2**16


def check_predictions(answer, expected, count):
    """Returns {output: array [N, ...]} of TF Serving's answer in the row format.

    Args:
        answer: the decoded JSON.
        expected: {output: tensor} of serving.describe_signatures.
        count: N, the rows that were sent.

    Raises:
        UserError: for anything but N rows of finite numbers of the signature's shapes.
    """
    rows = answer.get("predictions") if isinstance(answer, dict) else None
    if not isinstance(rows, list):
        raise errors.UserError(f"expected a list of predictions, got {json.dumps(answer):.60}")
    if len(expected) == 1:  # TF Serving leaves the name of an only output out
        rows = [{next(iter(expected)): row} for row in rows]
    if not all(isinstance(row, dict) and set(row) == set(expected) for row in rows):
        raise errors.UserError(f"expected {', '.join(expected)} in each prediction")
    columns = {}
    for key in expected:
        try:
            columns[key] = np.array([row[key] for row in rows])
        except ValueError as error:  # rows of several lengths
            raise errors.UserError(f"the rows of {key} differ in length") from error
    return check_outputs(columns, expected, count)


def check_outputs(arrays, expected, count):
    """Returns a signature's outputs as arrays of its dtypes; a UserError where they are not it.

    Args:
        arrays: {output: array}.
        expected: {output: tensor} of serving.describe_signatures.
        count: N, the rows that were sent.
    """
    if set(arrays) != set(expected):
        raise errors.UserError(f"expected {', '.join(expected)}, got {', '.join(arrays) or 'none'}")
    return {key: _as_output(key, arrays[key], expected[key], count) for key in expected}


def _as_output(key, array, tensor, count):
    shape, dtype = [count, *tensor["shape"][1:]], np.dtype(tensor["dtype"])
    if list(array.shape) != shape:
        raise errors.UserError(f"{key} has shape {list(array.shape)}, expected {shape}")
    if array.dtype.kind not in ("iu" if dtype.kind == "i" else "iuf"):
        raise errors.UserError(f"{key} holds what is no {dtype} number")
    with np.errstate(over="ignore"):
        values = array.astype(dtype)
    if not np.isfinite(values).all():
        raise errors.UserError(f"{key} holds numbers that are not finite")
    return values


def read(answer, seconds):
    """Returns the body of an answer; a TimeoutError where it takes longer, byte by byte."""
    end, parts = time.monotonic() + seconds, []
    while part := answer.read1(_CHUNK):
        parts.append(part)
        if time.monotonic() > end:
            raise TimeoutError(f"its answer took more than {seconds:g} s")
    body, missing = b"".join(parts), answer.length
    if missing:
        raise http.client.IncompleteRead(body, missing)
    return body


def message(error):
    """Returns what a refusal says, or its status alone."""
    try:
        body = error.read(_CHUNK).decode(errors="replace")
    except (OSError, http.client.HTTPException):
        body = ""
    return f"HTTP {error.code}: {body[:300]}"
