"""Asking a teacher for everything that a cache keeps, as one traced function a batch."""

import math

import keras
import tensorflow as tf

from tfdistill._features import PREDICTION, FeatureExtractor
from tfdistill.errors import UserError
from tfdistill.losses.probabilities import as_logits, resolve_task
from tfdistill.soft_targets import top_k as top
from tfdistill.soft_targets.shards import LOGITS, feature_column


class Labeller:
    """Callable: a batch of inputs -> ({column: tensor [n, ...]}, unsound: bool [n]).

    A row is unsound where the teacher says NaN or infinity, or more than the dtype can hold; -inf is a class ruled out
    where the logits say so.

    Args:
        teacher, settings: see `write_soft_targets`.
        input_spec: tf.TensorSpec of the inputs, for a graph that serves batches of every size; `None` where they are not
            known before, for a graph for each size.

    Attributes:
        shapes: {"logits": the shape of an example's logits, feature: the shape of an example's}, after the first batch.
    """

    def __init__(self, teacher, settings, input_spec):
        self.shapes = self._classes = None
        self._settings = settings
        self._extractor = FeatureExtractor(teacher, settings["features"], "teacher")
        signature = None if input_spec is None else [input_spec]
        # Without AutoGraph, as in a Distiller; an error in the teacher then comes out as it was raised. With XLA where
        # `predict` takes it.
        jit_compile = teacher.jit_compile if isinstance(teacher, keras.Model) else None
        self._traced = tf.function(
            self._columns, input_signature=signature, autograph=False, jit_compile=jit_compile or None
        )

    def __call__(self, inputs):
        answer, unsound = self._traced(tf.nest.map_structure(tf.convert_to_tensor, inputs))
        if self.shapes is None:
            self.shapes = {LOGITS: [self._classes] if self._classes else answer[LOGITS].shape[1:].as_list()}
            for number, name in enumerate(self._settings["features"]):
                self.shapes[name] = answer[feature_column(number)].shape[1:].as_list()
        return answer, unsound

    def sample(self, inputs):
        """{column: array [n, ...]} for a few examples, without tracing."""
        columns, _ = self._columns(tf.nest.map_structure(tf.convert_to_tensor, inputs))
        return {name: value.numpy() for name, value in columns.items()}

    def _columns(self, inputs):
        logits, features = self._answers(inputs)
        top_k, dtype = self._settings["top_k"], tf.as_dtype(self._settings["dtype"])
        stored, unsound = {}, []
        if top_k is None:
            columns = {LOGITS: logits}
        else:
            self._classes = logits.shape[-1]
            columns = top.compress(logits, top_k)
            unsound.append(_unsound(logits, logits))  # the rest would hide it
        columns |= {feature_column(number): value for number, value in enumerate(features.values())}
        for name, value in columns.items():
            stored[name] = value
            if name != top.TOP_CLASSES:
                stored[name] = tf.cast(value, dtype)
                unsound.append(_unsound(value, stored[name]))
        return stored, tf.reduce_any(tf.stack(unsound), axis=0)

    def _answers(self, inputs):
        """(logits, {feature: tensor})"""
        outputs = self._extractor(inputs, training=False)
        features = {name: outputs[name] for name in self._settings["features"]}
        for name, value in features.items():
            if not tf.is_tensor(value):
                raise UserError(f"features: the layer '{name}' has several outputs. Name a layer with one.")
        return self._logits(outputs[PREDICTION]), features

    def _logits(self, prediction):
        outputs = tf.nest.flatten(prediction)
        if len(outputs) != 1:
            raise UserError(
                f"The teacher has {len(outputs)} outputs. Give it as a model or callable with its logits alone."
            )
        logits = outputs[0][:, None] if len(outputs[0].shape) == 1 else outputs[0]
        task, top_k = self._settings["task"], self._settings["top_k"]
        logits = as_logits(logits, task, self._settings["from_logits"])
        if top_k is not None:
            classes = logits.shape[-1]
            if len(logits.shape) != 2 or resolve_task(task, logits) == "binary":
                raise UserError(
                    "top_k: expected a teacher with one softmax over several classes, [batch, classes]; received outputs "
                    f"of shape {tuple(logits.shape)} for task={task!r}. Use top_k=None."
                )
            if top_k >= classes:
                raise UserError(f"top_k: expected less than the teacher's {classes} classes, received {top_k}.")
        return logits


def _unsound(value, stored):
    sound = tf.math.is_finite(stored) | (tf.cast(value, tf.float32) == -math.inf)
    return tf.reduce_any(~tf.reshape(sound, [tf.shape(sound)[0], -1]), axis=1)
