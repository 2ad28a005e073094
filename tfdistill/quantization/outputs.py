"""Activations rounded to 8 bits, over a range that always has zero in it."""

import keras
import tensorflow as tf
from keras import ops

from tfdistill.parametrize import OutputTransform, assign
from tfdistill.parametrize.scope import weights_are_final
from tfdistill.quantization.rounding import nearest, scaled_gradient

STEPS = 255  # of 8 bits


@keras.saving.register_keras_serializable(package="tfdistill")
class QuantizedOutput(OutputTransform):
    """An activation on a grid of 256 values: s (round(x / s + z) - z), cut off at the ends of [low, high].

    s = (high - low) / 255, z = round(-low / s), low <= 0 <= high. In training the ends follow the batches: a moving average
    of their lowest and highest values, of which step n leaves min(ema_decay, n / (n + 9)), so that it keeps up with a
    model that has only begun to learn; or weights trained as in LSQ+, that start with the first batch. Before it nothing
    is rounded. Gradients are those of cutting off alone; learned ends get theirs from the rounding, too.

    Sources: Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
    2018, arXiv 1712.05877; learned ends: Bhalgat et al., "LSQ+", 2020, arXiv 2004.09576.

    Args:
        where: what is rounded, see `OutputTransform`.
        ranges: "ema" or "learned".
        ema_decay: what a step leaves of the moving average in the long run.
        delay_steps: steps of training before anything is rounded.
        fixed: (low, high) where the range is known: a sigmoid's is (0, 255/256).

    >>> transform = QuantizedOutput(fixed=(0.0, 255.0))
    >>> transform(keras.ops.array([-1.0, 0.4, 1.6, 300.0])).numpy().tolist()
    [0.0, 0.0, 2.0, 255.0]
    """

    def __init__(self, where="output", ranges="ema", ema_decay=0.99, delay_steps=0, fixed=None, **kwargs):
        super().__init__(**kwargs)
        self.where, self.ranges, self.ema_decay, self.delay_steps = where, ranges, ema_decay, delay_steps
        self.fixed = None if fixed is None else tuple(map(float, fixed))

    def build(self, shape=None):
        if self.fixed is None:
            for end in ("low", "high"):
                weight = self.add_weight(shape=(), initializer="zeros", trainable=self.ranges == "learned", name=end)
                setattr(self, end, weight)
        if self._counts:
            self.step = self.add_weight(shape=(), dtype="int32", initializer="zeros", trainable=False, name="step")
        self.built = True

    def call(self, output, training=False):
        value = ops.cast(output, "float32")
        if weights_are_final():
            low, high = self.range
            return ops.cast(tf.quantization.fake_quant_with_min_max_args(value, low, high), output.dtype)
        if training and self.fixed is None:
            self._observe(ops.stop_gradient(value))
        rounded = self._rounded(value, training)
        if training and self._counts:
            assign(self.step, self.step + 1)
        if self.delay_steps:
            rounded = ops.where(self.step > self.delay_steps, rounded, value)
        return ops.cast(rounded, output.dtype)

    @property
    def range(self):
        """(low, high) as numbers."""
        if self.fixed is not None:
            return self.fixed
        with tf.init_scope():
            low, high = (float(ops.convert_to_numpy(end._value)) for end in (self.low, self.high))
        return min(low, 0.0), max(high, 0.0)

    @property
    def is_waiting(self):
        """Whether the range is not known yet, or the delay is not over."""
        low, high = self.range
        return low == high or (bool(self.delay_steps) and int(self.step) <= self.delay_steps)

    def get_config(self):
        return super().get_config() | {
            "where": self.where,
            "ranges": self.ranges,
            "ema_decay": self.ema_decay,
            "delay_steps": self.delay_steps,
            "fixed": None if self.fixed is None else list(self.fixed),
        }

    def _rounded(self, value, training):
        if self.fixed is not None:
            return tf.quantization.fake_quant_with_min_max_args(value, *self.fixed)
        low, high = ops.minimum(self.low, 0.0), ops.maximum(self.high, 0.0)
        is_known = high > low
        high = ops.where(is_known, high, 1.0)  # keeps what is not used finite
        if training and self.ranges == "learned":
            return _rounded_learning(value, low, high)
        rounded = tf.quantization.fake_quant_with_min_max_vars(value, ops.stop_gradient(low), ops.stop_gradient(high))
        return rounded if training else ops.where(is_known, rounded, value)

    @property
    def _counts(self):
        return bool(self.delay_steps) or (self.ranges == "ema" and self.fixed is None)

    def _observe(self, value):
        """Moves the range on with a batch."""
        low, high = ops.minimum(ops.min(value), 0.0), ops.maximum(ops.max(value), 0.0)
        if self.ranges == "learned":
            kept = ops.cast(ops.not_equal(self.low, self.high), "float32")
        else:
            step = ops.cast(self.step, "float32")
            kept = ops.minimum(self.ema_decay, step / (step + 9))
        for end, seen in ((self.low, low), (self.high, high)):
            now = ops.stop_gradient(ops.convert_to_tensor(end))
            assign(end, kept * now + (1 - kept) * seen)


def _rounded_learning(value, low, high):
    size = ops.cast(ops.size(value), "float32")
    factor = ops.rsqrt(size * STEPS)
    low, high = scaled_gradient(low, factor), scaled_gradient(high, factor)
    scale = (high - low) / STEPS
    zero = ops.clip(nearest(-low / scale), 0, STEPS)
    return (nearest(ops.clip(value / scale + zero, 0, STEPS)) - zero) * scale
