"""Keras's `fit`, `evaluate` and `predict`, with inputs as users bring them.

Inputs are checked before any graph is traced, so that a mistake gives a message of one line. A call
that fails leaves nothing behind that could disturb the next one.
"""

import contextlib
import functools
import inspect
import re
import warnings

import keras
import numpy as np
import tensorflow as tf

from vae_zoo import errors, replicas
from vae_zoo.base import batches, watching
from vae_zoo.base.inputs import OUT_OF_RANGE, ReadInputs, image_of, is_wide_integer
from vae_zoo.training import start
from vae_zoo.training.loop import LoopedModel, LossOfImages

_KERAS_LOSS = (
    "{name}={value!r:.60}: expected it left out. The loss is the model's own objective, the "
    "negative ELBO. {remedy}"
)


class KerasModel(ReadInputs, LoopedModel):
    """A keras.Model of images.

    `fit`, `evaluate` and `predict` take arrays or tensors of images [N, H, W, C] in [0, 1], with
    labels as `y`; a dict {"image", "label"}; a batched tf.data.Dataset, a generator or a
    keras.utils.PyDataset of images, of (images, labels), of (images, labels, weights), or of such
    dicts.

    uint8 images are divided by 255. So are other integers, where all of an array lie in 0 to 255
    and one is over 1: zeros and ones alone are a binary image. Of a tf.data.Dataset, a generator or
    a PyDataset the first batch decides for all: where it has zeros and ones alone, a later batch
    with more is refused. uint8 leaves no doubt.
    """

    _hooks_fit = False  # True once check_hooks has passed
    _data_error = None  # what the data raised within a pipeline

    def compile(
        self,
        optimizer="adam",
        loss=None,
        loss_weights=None,
        metrics=None,
        weighted_metrics=None,
        **kwargs,
    ):
        """Configures training; see keras.Model.compile. The loss is the model's own objective.

        Args:
            optimizer: a keras.optimizers.Optimizer, or the name of one.
            loss, loss_weights, metrics, weighted_metrics: to be left out.
            **kwargs: run_eagerly, steps_per_execution, jit_compile, auto_scale_loss. By itself XLA
                compiles on a GPU alone, where Keras lets it everywhere: on a CPU it makes
                convolutions slower.

        Raises:
            UserError: for a loss or metrics.
        """
        given = {"loss": loss, "loss_weights": loss_weights}
        given |= {"metrics": metrics, "weighted_metrics": weighted_metrics}
        for name, value in given.items():
            if value:
                remedy = "Take `beta` for another weight of the rate."
                if "metrics" in name:
                    remedy = "It shows elbo, rate and distortion; predict(x) gives reconstructions."
                raise errors.UserError(_KERAS_LOSS.format(name=name, value=value, remedy=remedy))
        super().compile(optimizer=optimizer, **kwargs)
        if kwargs.get("jit_compile", "auto") == "auto":
            self.jit_compile = replicas.on_gpu() and not self.run_eagerly
        self._loss_tracker = LossOfImages("loss")
        self.steps_per_epoch = None

    def compile_from_config(self, config):
        """Compiles a loaded model as it was when it was saved."""
        try:
            self.compile(**keras.saving.deserialize_keras_object(config))
        except (TypeError, ValueError) as error:
            warnings.warn(f"The loaded model is not compiled: {error}", stacklevel=2)
            return
        self._build_optimizer()

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        validation_split=0.0,
        validation_data=None,
        shuffle=True,
        class_weight=None,
        sample_weight=None,
        **kwargs,
    ):
        """Trains the model; see keras.Model.fit for what is not said here.

        Args:
            x: images or data; see the class.
            y: labels [N] of a conditional model; other models leave it out, or take `x` again.
            batch_size, epochs, verbose, callbacks, shuffle: Keras's.
            validation_split: share of the arrays, at their end, to validate on.
            validation_data: as `x`; or a tuple (x, y) or (x, y, sample_weight) of arrays.
            class_weight: {class: weight} of labels `y`.
            sample_weight: [N], of each image in the loss and in the figures; they are weighted
                means.
            **kwargs: initial_epoch, steps_per_epoch, validation_steps, validation_batch_size,
                validation_freq.

        Returns:
            Keras's History: loss, elbo, rate, distortion in nats, for each epoch.

        Raises:
            UserError: for images of another shape or outside of [0, 1], labels that are missing
                or no classes, and an epoch that had no batch.
        """
        self._assert_compile_called("fit")
        with self._leaving_nothing_behind():
            self.check_hooks()
            self._build_optimizer()
            weight = self._class_weights(x, y, class_weight, sample_weight)
            x, y, weight = self._prepared(x, y, weight)
            self._start(x)
            if not batches.is_array_like(x):
                shuffle = False
            if not isinstance(callbacks, keras.callbacks.CallbackList):
                callbacks = [watching.StepsWereTaken(), watching.StopsAtNaN(), *_as_list(callbacks)]
            return super().fit(
                x,
                y,
                batch_size=batch_size,
                epochs=epochs,
                verbose=verbose,
                callbacks=callbacks,
                validation_split=validation_split,
                validation_data=self._prepared_validation(validation_data),
                shuffle=shuffle,
                sample_weight=weight,
                **kwargs,
            )

    def evaluate(self, x=None, y=None, *args, sample_weight=None, **kwargs):
        """Returns the loss, ELBO, rate and distortion of images; see keras.Model.evaluate.

        The noise of each batch is the same, so that the same images give the same figures; its
        error falls with the size of a batch, not with their number.
        `python -m vae_zoo.evaluate` draws each image's own.

        Args:
            x: images or data; see the class.
            y: labels [N] of a conditional model.
            *args, **kwargs: Keras's: batch_size, verbose, return_dict and so on.
            sample_weight: [N], of each image.

        Raises:
            UserError: for images of another shape or range, labels that are missing.
        """
        if not kwargs.get("_use_cached_eval_dataset"):
            self._assert_compile_called("evaluate")
            x, y, sample_weight = self._prepared(x, y, sample_weight)
        with self._leaving_nothing_behind():
            return super().evaluate(x, y, *args, sample_weight=sample_weight, **kwargs)

    def predict(self, x, *args, **kwargs):
        """Returns reconstructions of images, float32 [N, H, W, C] in [0, 1]; see `reconstruct`.

        Args:
            x: images or data; see the class. A conditional model needs the dict
                {"image": images, "label": labels}, or data of (images, labels).
            *args, **kwargs: of keras.Model.predict: batch_size, verbose, steps, callbacks.

        Raises:
            UserError: for images of another shape or range, labels that are missing.
        """
        with self._predicting():
            return super().predict(self._prepared(x, None, None)[0], *args, **kwargs)

    @contextlib.contextmanager
    def _predicting(self):
        if not self.compiled:
            self.jit_compile = replicas.on_gpu()  # as `compile` does
        with self._leaving_nothing_behind():
            yield

    def predict_step(self, data):
        inputs, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        return self.reconstruct(*self.check_inputs(inputs))

    def train_on_batch(self, x, y=None, sample_weight=None, class_weight=None, return_dict=False):
        """Takes one step on a batch of images; see keras.Model.train_on_batch."""
        self._assert_compile_called("train_on_batch")
        with self._leaving_nothing_behind():
            self._build_optimizer()
            weight = self._class_weights(x, y, class_weight, sample_weight)
            x, y, weight = self._prepared(x, y, weight)
            return super().train_on_batch(x, y, weight, return_dict=return_dict)

    def test_on_batch(self, x, y=None, sample_weight=None, return_dict=False):
        """Returns the figures of a batch of images; see keras.Model.test_on_batch."""
        with self._leaving_nothing_behind():
            return super().test_on_batch(
                *self._prepared(x, y, sample_weight), return_dict=return_dict
            )

    def predict_on_batch(self, x):
        """Returns reconstructions of a batch of images; see `predict`."""
        with self._predicting():
            return super().predict_on_batch(self._prepared(x, None, None)[0])

    def __call__(self, inputs, *args, **kwargs):
        if not any(isinstance(part, keras.KerasTensor) for part in tf.nest.flatten(inputs)):
            inputs = inputs if isinstance(inputs, dict) else {"image": inputs}
            self.check_inputs(inputs)
        return super().__call__(inputs, *args, **kwargs)

    def check_hooks(self):
        """Raises a UserError for a subclass whose hooks do not fit together, before any graph."""
        if self._hooks_fit or type(self).__module__.startswith("vae_zoo."):
            return
        image = tf.zeros([2, *self.image_shape])
        label = tf.zeros([2], tf.int32) if self.needs_labels else None
        try:
            latents = self.infer(self.features(image, label), label, 1, (0, 0))
            likelihood = self.likelihood(latents[-1].z, label)
            shape = tuple(likelihood.event_shape)
            if shape == self.image_shape:
                self.terms({"image": image, "label": label}, seed=(0, 0))
        except errors.UserError:
            raise
        except Exception as error:
            raise errors.UserError(
                f"The hooks of {type(self).__name__} do not fit together, for two black images: "
                f"{type(error).__name__}: {_first_line(error)}"
            ) from error
        if shape != self.image_shape:
            raise errors.UserError(
                f"{type(self).__name__}.likelihood gives images of shape {shape}: expected "
                f"{self.image_shape}. Look at the shape of the decoder's output."
            )
        self._hooks_fit = True

    # Data.

    def _prepared(self, x, y, sample_weight):
        """Returns Keras's x, y and sample_weight for data as users bring it."""
        if batches.is_array_like(x):
            x = self.inputs_of(x, y)
            if sample_weight is not None:
                sample_weight = batches.checked_weight(sample_weight, len(x["image"]))
            return x, sample_weight, sample_weight
        for name, value in {"y": y, "sample_weight": sample_weight}.items():
            if value is not None:
                raise errors.UserError(
                    f"{name} with {type(x).__name__}: expected it in the data, as (images, "
                    "labels) or (images, labels, weights)."
                )
        if isinstance(x, tf.data.Dataset):
            if self.steps_per_epoch is not None and isinstance(x.element_spec, dict):
                return x, None, None  # batches of our own training, which are as they should be
            return self._read(x).prefetch(2), None, None
        if isinstance(x, keras.utils.PyDataset):
            return batches.Batches(x, self._caught_batch, self._is_eight_bit), None, None
        if inspect.isgenerator(x):
            return self._generate(x), None, None
        return x, None, None  # a distributed data set, or what Keras may know

    def _prepared_validation(self, data):
        if data is None:
            return None
        element = data if isinstance(data, tuple) else (data,)
        x, y, weight = self._prepared(*element, *[None] * (3 - len(element)))
        return (x,) if y is None and weight is None else (x, y, weight)

    def _read(self, data):
        """Returns a tf.data.Dataset of batches as a model takes them."""
        undecided = is_wide_integer(image_of(data.element_spec))
        eight_bit = undecided and any(map(self._is_eight_bit, data.take(1)))
        return data.map(functools.partial(self.graph_batch_of, eight_bit=eight_bit))

    def _generate(self, elements):
        eight_bit = None
        for element in elements:
            if eight_bit is None:
                eight_bit = self._is_eight_bit(element)
            yield batches.triple(self._caught_batch(element, eight_bit))

    def _is_eight_bit(self, element):
        return self.is_eight_bit(image_of(element))

    def _caught_batch(self, element, eight_bit):
        try:
            return self.batch_of(element, eight_bit)
        except errors.UserError as error:
            self._data_error = error
            raise

    def _class_weights(self, x, y, class_weight, sample_weight):
        """Returns sample weights of a {class: weight}."""
        if class_weight is None:
            return sample_weight
        label = x.get("label") if isinstance(x, dict) else y
        if label is None or not batches.is_array_like(x) or sample_weight is not None:
            raise errors.UserError(
                "class_weight: expected arrays x and labels y with it, and no sample_weight. Put "
                "weights into the data instead: (images, labels, weights)."
            )
        label = np.reshape(label, -1)
        lacking = sorted(set(label.tolist()) - set(class_weight))
        if lacking:
            raise errors.UserError(f"class_weight: expected a weight of class {lacking[0]} too.")
        return np.array([class_weight[each] for each in label.tolist()], np.float32)

    # State.

    def start_at(self, images):
        """Starts the likelihood at training images: its locations at their mean, its scale at
        their deviation; and principal components, where the model has them. Nothing is done once
        training has begun, or where it has no such weights.

        The commands call it; so does `fit`, with images of its arrays or of its tf.data.Dataset.

        Args:
            images: some thousands of the training images, [N, H, W, C] in [0, 1].
        """
        part, path = self.likelihood_part, self.principal_path
        if len(images) and part is not None and not getattr(part, "is_started", True):
            part.start_at(images)
            if path is not None:
                centred = 2 * images
                centred -= 1 + part.pixel_mean.numpy()
                part.start_scale_at(path.start_at(centred))

    def _start(self, x):
        """Starts the likelihood at images of prepared data, before the first step of all."""
        part, replicas = self.likelihood_part, self.distribute_strategy.num_replicas_in_sync
        begun = int(self.optimizer.iterations.numpy()) > 0
        waits = part is not None and not getattr(part, "is_started", True)
        if waits and not begun and replicas == 1:
            self.start_at(start.first_images(x, self.check_inputs))

    def _build_optimizer(self):
        """Makes the optimizer's variables, outside of any graph that could fail half-way."""
        optimizer = self.optimizer
        if isinstance(optimizer, keras.optimizers.Optimizer) and not optimizer.built:
            with self.distribute_strategy.scope():
                optimizer.build(self.trainable_variables)

    @contextlib.contextmanager
    def _leaving_nothing_behind(self):
        """Drops the graphs of a call that fails; tells what its data raised in one line."""
        self._data_error = None
        try:
            yield
        except Exception as error:
            self.train_function = self.test_function = self.predict_function = None
            self._eval_epoch_iterator = None
            mistake = self._data_error or self._range_error(error)
            if mistake:
                raise mistake from None
            raise

    def _range_error(self, error):
        """Returns the UserError behind a tf.data pipeline's assertion, or None."""
        if not isinstance(error, tf.errors.OpError) or OUT_OF_RANGE not in str(error):
            return None
        numbers = re.search(re.escape(OUT_OF_RANGE) + r"\] \[([^]]+)\] \[([^]]+)\]", str(error))
        low, high = map(float, numbers.groups()) if numbers else (np.nan, np.nan)
        return self.out_of_range(low, high)


def _first_line(error):
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else ""


def _as_list(value):
    return list(value) if isinstance(value, (list, tuple)) else [value] * (value is not None)
