"""Zeros that stay zeros while a model is trained on: what is pruned stays so under quantisation-aware training."""

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from tfdistill._families import is_tf_keras
from tfdistill.parametrize.model import parametrize, plain_model
from tfdistill.parametrize.transforms import WeightTransform
from tfdistill.parametrize.weights import fitting, patterns_of, weights_of


@keras.saving.register_keras_serializable(package="tfdistill")
class PreserveSparsity(WeightTransform):
    """Multiplies a weight by a fixed mask, 0 where the weight was 0 when the transform was attached.

    Gradients are masked, too.
    """

    order = 0

    def build(self, shape):
        self.mask = self.add_weight(name="mask", shape=shape, dtype="bool", initializer="ones", trainable=False)

    def initialize(self, value):
        self.mask.assign(np.asarray(value) != 0)

    def call(self, value, training=False):
        return tf.where(self.mask.value, value, tf.zeros([], value.dtype))


def preserve_sparsity(model, layers=None):
    """Keeps the zeros of a model's weights in training, for example those of a pruned and stripped model.

        w * mask,   mask = 0 where w is 0 now, else 1

    Args:
        model: built Keras 3 model or layer, or what another technique of tfdistill returned.
        layers: names, paths, shell patterns or layers whose weights keep their zeros; `None` for all kernels and tables
            that have zeros.

    Returns: a `tfdistill.parametrize.Parametrized` around the same model, to be compiled.

    Raises:
        ValueError: for something else than such a model, and where no weight has a zero.

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.layers[0].kernel.assign([[0.0], [3.0]]).shape
    TensorShape([2, 1])
    >>> preserving = preserve_sparsity(model)
    >>> preserving.compile("sgd", "mse")
    >>> history = preserving.fit(ops.ones((4, 2)), ops.ones((4, 1)), verbose=0)
    >>> float(model.layers[0].kernel[0, 0])
    0.0
    """
    if is_tf_keras(model):
        raise ValueError(
            "`model` is of tf_keras, whose TFMOT keeps zeros while it quantises, with "
            "tfmot.experimental.combine.Default8BitPrunePreserveQuantizeScheme."
        )
    if not isinstance(model, keras.layers.Layer):
        raise ValueError(
            f"`model` must be a Keras 3 model or layer. Received: {model!r} of type {type(model).__name__}"
        )
    plain = plain_model(model)
    weights = [weight for weight in weights_of(plain) if weight.is_multiplied]
    if not weights:
        raise ValueError(f"{plain.name!r} has no kernels or tables, or none yet. Call it on a batch first.")
    chosen = fitting(weights, patterns_of("layers", layers), "layers", plain.name)
    places = [weight.index for weight in chosen if np.any(ops.convert_to_numpy(weight.variable) == 0)]
    if not places:
        raise ValueError(
            f"None of the weights has a zero to keep: {[weight.path for weight in chosen]}. Prune the model first, and "
            "strip it (`strip_pruning`)."
        )
    return parametrize(model, lambda weight: PreserveSparsity() if weight.index in places else None)
