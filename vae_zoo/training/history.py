"""The figures of each epoch: every checkpoint holds them; metrics.csv and TensorBoard show them."""

import json
import logging

import tensorflow as tf

from vae_zoo import runs


class History(tf.train.experimental.PythonState):
    """One row for each epoch that is done.

    Args:
        directory: of the run.
        writes: whether this process writes its files.

    Attributes:
        rows: dicts of numbers.
    """

    def __init__(self, directory, writes):
        super().__init__()
        self.rows, self._directory, self._writes, self._writer = [], directory, writes, None

    def serialize(self):
        return json.dumps(self.rows).encode()

    def deserialize(self, string_value):
        self.rows = json.loads(string_value)

    def open(self):
        """Opens the files; metrics.csv is written anew where it is not what the rows say.

        Rows beyond them are of epochs after the checkpoint, which training will repeat.
        """
        if not self._writes:
            return
        self._writer = tf.summary.create_file_writer(str(self._directory / runs.TENSORBOARD))
        path, text = self._directory / runs.METRICS, runs.rows_text(self.rows).encode()
        there = path.read_bytes() if path.exists() else b""
        if not there.startswith(text):
            logging.warning("%s is damaged or gone: written anew from the checkpoint", path)
        if there != text:
            self._write()

    def add(self, row):
        """Takes the figures of an epoch: numbers by name, "step" among them."""
        self.rows.append(row)
        if not self._writes:
            return
        self._write()
        with self._writer.as_default(step=row["step"]):
            for name, value in row.items():
                tf.summary.scalar(name, value)

    def _write(self):
        path = self._directory / runs.METRICS
        if self.rows:
            runs.write_rows(path, self.rows)
        else:
            path.unlink(missing_ok=True)
