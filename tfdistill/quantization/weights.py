"""Weights rounded to n bits, symmetrically around zero."""

import math

import keras
import numpy as np
from keras import ops

from tfdistill.parametrize import WeightTransform, assign
from tfdistill.quantization.rounding import nearest, scaled_gradient, straight_through

_SMALLEST = 1e-12


@keras.saving.register_keras_serializable(package="tfdistill")
class QuantizedWeight(WeightTransform):
    """A weight on a symmetric grid of n bits: s round(w / s), s = limit / (2^(n-1) - 1).

    The limit is max |w|, of each channel or of the whole weight, or is learned. Zero is on the grid: what is pruned stays
    zero. Gradients pass as if nothing were rounded; with a learned limit, where |w| is below it.

    Sources: Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
    2018, arXiv 1712.05877; learned limits: Esser et al., "Learned Step Size Quantization", 2020, arXiv 1902.08153.

    Args:
        bits: 2 to 8.
        channel_axes: the axes along which scales differ; none for one scale.
        is_learned: whether the limits are trained.
        delay_steps: steps of training before the weight is rounded.

    >>> transform = QuantizedWeight(bits=2)  # -1, 0 and 1 times the largest
    >>> transform(keras.ops.array([[0.4, -0.9, 1.0]])).numpy().tolist()
    [[0.0, -1.0, 1.0]]
    """

    order = 2

    def __init__(self, bits=8, channel_axes=(), is_learned=False, delay_steps=0, **kwargs):
        super().__init__(**kwargs)
        self.bits, self.channel_axes = bits, tuple(channel_axes)
        self.is_learned, self.delay_steps = is_learned, delay_steps
        self.levels = 2 ** (bits - 1) - 1

    def build(self, shape):
        self._reduced = tuple(axis for axis in range(len(shape)) if axis not in self.channel_axes)
        self._rows = math.prod(shape[axis] for axis in self._reduced)
        if self.is_learned:
            limits = tuple(1 if axis in self._reduced else size for axis, size in enumerate(shape))
            self.limit = self.add_weight(shape=limits, initializer="ones", name="limit")
        if self.delay_steps:
            self.step = self.add_weight(shape=(), dtype="int32", initializer="zeros", trainable=False, name="step")
        self.built = True

    def initialize(self, value):
        if self.is_learned:
            size = np.abs(value)
            mean, largest = size.mean(self._reduced, keepdims=True), size.max(self._reduced, keepdims=True)
            # 2 mean |w| / sqrt(levels) a step is where LSQ starts.
            self.limit.assign(np.maximum(np.minimum(2 * mean * math.sqrt(self.levels), largest), _SMALLEST))

    def call(self, value, training=False):
        original = ops.cast(value, "float32")
        rounded = self._rounded(original)
        if self.delay_steps:
            if training:
                assign(self.step, self.step + 1)
            rounded = ops.where(self.step > self.delay_steps, rounded, original)
        return ops.cast(rounded, value.dtype)

    def scales(self, value):
        """The step of the grid, float32 of the weight's rank with 1 for axes that share it; 1 where all is zero.

        Args:
            value: the weight, before or after rounding.
        """
        if self.is_learned:
            gradient = 1 / math.sqrt(self._rows * self.levels)
            limit = ops.maximum(ops.abs(scaled_gradient(ops.convert_to_tensor(self.limit), gradient)), _SMALLEST)
            return limit / self.levels
        limit = ops.stop_gradient(ops.max(ops.abs(value), axis=self._reduced, keepdims=True))
        return ops.where(limit > 0, limit / self.levels, 1.0)

    @property
    def is_waiting(self):
        """Whether the delay is not over yet."""
        return bool(self.delay_steps) and int(self.step) <= self.delay_steps

    def get_config(self):
        return super().get_config() | {
            "bits": self.bits,
            "channel_axes": list(self.channel_axes),
            "is_learned": self.is_learned,
            "delay_steps": self.delay_steps,
        }

    def _rounded(self, value):
        scales = self.scales(value)
        if self.is_learned:
            return nearest(ops.clip(value / scales, -self.levels, self.levels)) * scales
        return straight_through(value, ops.floor(value / scales + 0.5) * scales)
