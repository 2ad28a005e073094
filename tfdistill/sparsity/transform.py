"""Magnitude pruning of a weight: a mask that a schedule updates."""

import keras
import tensorflow as tf

from tfdistill.parametrize.transforms import WeightTransform, assign
from tfdistill.sparsity.masks import largest, largest_blocks, largest_of_every


@keras.saving.register_keras_serializable(package="tfdistill")
class MagnitudePruning(WeightTransform):
    """Multiplies a weight by a mask of its largest entries. Made by `prune_low_magnitude`.

    In every forward pass of training the step goes up by 1, the mask is updated if the schedule says so, and the
    product of weight and mask is written into the weight. Gradients are not masked: a pruned entry may come back.

    Args:
        pruning_schedule, block_size, block_pooling_type, sparsity_m_by_n, scope: see `prune_low_magnitude`.
        group: a number that the transforms made by one call have in common. They keep step together, and are ranked
            together with scope "global".

    Attributes:
        mask: bool, of the weight's shape, True where it is kept.
        threshold: float32 scalar, the smallest magnitude (of a block: pooled magnitude) kept at the last update; 0
            with `sparsity_m_by_n`, where every few entries have their own.
        step: int64 scalar, how many forward passes there were in training.
        updates: int64 scalar, at how many of these the mask was updated.
    """

    order = 0
    writes_back = True

    def __init__(
        self,
        pruning_schedule,
        block_size=(1, 1),
        block_pooling_type="AVG",
        sparsity_m_by_n=None,
        scope="layer",
        group=0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.pruning_schedule = pruning_schedule
        self.block_size = tuple(block_size)
        self.block_pooling_type = block_pooling_type
        self.sparsity_m_by_n = None if sparsity_m_by_n is None else tuple(sparsity_m_by_n)
        self.scope = scope
        self.group = group

    def build(self, shape):
        self.mask = self.add_weight(name="mask", shape=shape, dtype="bool", initializer="ones", trainable=False)
        self.threshold = self._scalar("threshold", "float32")
        self.step = self._scalar("step", "int64")
        self.updates = self._scalar("updates", "int64")

    def _scalar(self, name, dtype):
        return self.add_weight(name=name, shape=(), dtype=dtype, initializer="zeros", trainable=False)

    @classmethod
    def advance(cls, transforms, values):
        groups = {}
        for transform, value in zip(transforms, values, strict=True):
            groups.setdefault(transform.group, []).append((transform, tf.stop_gradient(value)))
        for members in groups.values():
            cls._advance_group(*zip(*members, strict=True))

    @staticmethod
    def _advance_group(transforms, values):
        """One step of transforms that have a schedule in common: one condition for all, which most steps do not meet."""
        first = transforms[0]
        step = tf.convert_to_tensor(first.step.value) + 1
        is_due, sparsity = first._turn(step)

        def updated():
            return first._masks(values, sparsity)

        def kept():
            masks = [tf.convert_to_tensor(one.mask.value) for one in transforms]
            return masks, [tf.convert_to_tensor(one.threshold.value) for one in transforms]

        masks, thresholds = tf.cond(is_due, updated, kept)
        updates = tf.convert_to_tensor(first.updates.value) + tf.cast(is_due, "int64")
        for transform, mask, threshold in zip(transforms, masks, thresholds, strict=True):
            assign(transform.mask, mask)
            assign(transform.threshold, threshold)
            assign(transform.step, step)
            assign(transform.updates, updates)

    def _turn(self, step):
        """(Whether masks are updated at a step, the sparsity) as scalar tensors."""
        is_due, sparsity = self.pruning_schedule(step)
        if self.sparsity_m_by_n is not None:
            is_due = step == 1
        return tf.reshape(tf.cast(is_due, "bool"), []), tf.reshape(tf.cast(sparsity, "float32"), [])

    def _masks(self, values, sparsity):
        """Lists of new masks and thresholds."""
        if self.sparsity_m_by_n is not None:
            masks = [largest_of_every(value, *self.sparsity_m_by_n) for value in values]
            return masks, [tf.zeros([]) for _ in values]
        together = [values] if self.scope == "global" else [[value] for value in values]
        masks, thresholds = [], []
        for ranked in together:
            if self.block_size == (1, 1):
                new, threshold = largest([tf.abs(value) for value in ranked], sparsity)
            else:
                new, threshold = largest_blocks(ranked, sparsity, self.block_size, self.block_pooling_type)
            masks.extend(new)
            thresholds.extend([tf.cast(threshold, "float32")] * len(ranked))
        return masks, thresholds

    def call(self, value, training=False):
        return tf.where(self.mask.value, value, tf.zeros([], value.dtype))

    def get_config(self):
        return {
            **super().get_config(),
            "pruning_schedule": keras.saving.serialize_keras_object(self.pruning_schedule),
            "block_size": list(self.block_size),
            "block_pooling_type": self.block_pooling_type,
            "sparsity_m_by_n": self.sparsity_m_by_n and list(self.sparsity_m_by_n),
            "scope": self.scope,
            "group": self.group,
        }

    @classmethod
    def from_config(cls, config):
        schedule = keras.saving.deserialize_keras_object(config["pruning_schedule"])
        return cls(**{**config, "pruning_schedule": schedule})
