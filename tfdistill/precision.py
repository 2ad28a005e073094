"""In which precision a model computes: `float32`, `mixed_float16` or `mixed_bfloat16`, as Keras's dtype policies.

Under a mixed policy weights and what is summed up are kept in float32, and products are computed in 16 bits. Losses,
metrics and the models' logits and scores stay float32. See docs/precision.md.
"""

import contextlib

import keras
import tensorflow as tf

from tfdistill._replicas import replicas, sum_over_replicas
from tfdistill.optimizers.loss_scale import LossScaleOptimizer

FLOAT32 = "float32"
MIXED = ("mixed_float16", "mixed_bfloat16")
PRECISIONS = (FLOAT32, *MIXED)
HALF_PRECISION = ("float16", "bfloat16", *MIXED)


@contextlib.contextmanager
def building_in(precision):
    """A context in which models are built to compute in a precision.

    Args:
        precision: one of `PRECISIONS`, or any other dtype policy of Keras.

    >>> with building_in("mixed_bfloat16"):
    ...     model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    >>> model.compute_dtype, keras.config.dtype_policy().name
    ('bfloat16', 'float32')
    """
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)


def check_precision(precision):
    """Returns `precision`; raises `ValueError` where it is none of `PRECISIONS`."""
    if precision not in PRECISIONS:
        raise ValueError(
            f"`precision` must be one of {', '.join(map(repr, PRECISIONS))}. Received: precision={precision!r}"
        )
    return precision


def policy_of(model):
    """The dtype policy that says how a model is trained: a mixed one as soon as one of its layers has one.

    A functional model from a file has the policy of its layers no longer, and Keras, which asks the model alone, would
    train it in float16 without scaling its loss.

    Args:
        model: a `keras.Model` or layer.

    Returns: a `keras.dtype_policies.DTypePolicy`.

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, dtype="mixed_float16")])
    >>> model.dtype_policy.name, policy_of(model).name
    ('float32', 'mixed_float16')
    """
    names = {layer.dtype_policy.name for layer in model._flatten_layers()}
    for name in MIXED:
        if name in names:
            return keras.dtype_policies.get(name)
    return model.dtype_policy


def with_loss_scaling(optimizer, model):
    """The optimizer, in a `tfdistill.optimizers.LossScaleOptimizer` where layers of the model compute in float16."""
    if policy_of(model).name != "mixed_float16" or isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return optimizer
    return _SharedLossScale(optimizer, name="loss_scale_optimizer")


def in_precision(model, precision):
    """Returns a copy of a model that computes in another precision, with the same weights.

    To float32 all of it goes. To a mixed precision goes what computes in float32 and has no other policy; layers that
    give the outputs stay, so that logits and scores are float32. What the copy says differs by rounding.

    Args:
        model: a functional or sequential `keras.Model`, or one that is made again from its config.
        precision: one of `PRECISIONS`.

    Returns: the copy; `model` itself where nothing is to be changed.

    Raises:
        ValueError: for an unknown precision, and for a model that cannot be made again.

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8), keras.layers.Dense(1)])
    >>> [layer.compute_dtype for layer in in_precision(model, "mixed_float16").layers]
    ['float16', 'float32']
    """
    check_precision(precision)
    of_layers = [layer.compute_dtype for layer in model._flatten_layers()]
    if precision == FLOAT32:
        if not any(dtype in HALF_PRECISION for dtype in of_layers):
            return model
        return _made_again(model, HALF_PRECISION, FLOAT32, kept=())
    if policy_of(model).name == precision:
        return model
    if any(dtype in HALF_PRECISION for dtype in of_layers):
        model = in_precision(model, FLOAT32)
    return _made_again(model, (FLOAT32,), precision, kept=_output_layers(model))


def scaled(loss, optimizer, variables):
    """The loss times what the optimizer will divide its gradients by: 1 unless it is a LossScaleOptimizer.

    An optimizer that is not built yet is built first, since until then it scales by a constant, which a graph would keep
    when the scale has changed.
    """
    if not optimizer.built:
        optimizer.build(variables)
    return optimizer.scale_loss(loss)


def with_shared_overflow(optimizer, gradients):
    """The gradients of a replica, NaN where any replica has a gradient that is not finite.

    A step is skipped where gradients overflow, and Keras's LossScaleOptimizer looks at one replica's before they are
    summed up: an overflow of another one would reach the weights.

    Args:
        optimizer: the optimizer to be applied.
        gradients: list of tensors, `tf.IndexedSlices` and `None`.
    """
    scales = isinstance(optimizer, keras.optimizers.LossScaleOptimizer) and not isinstance(optimizer, _SharedLossScale)
    return _shared(optimizer, gradients) if scales and replicas() > 1 else gradients


class _SharedLossScale(LossScaleOptimizer):
    """What Keras wraps optimizers in, for `fit` of models whose training step is Keras's own: see `with_shared_overflow`."""

    def apply(self, grads, trainable_variables=None):
        super().apply(_shared(self, grads) if replicas() > 1 else grads, trainable_variables)


def _shared(optimizer, gradients):
    overflows = sum_over_replicas(1.0 - tf.cast(optimizer.check_finite(gradients), "float32"))
    nothing = tf.where(overflows > 0, float("nan"), 0.0)
    place = next(number for number, gradient in enumerate(gradients) if gradient is not None)
    return [*gradients[:place], _plus(gradients[place], nothing), *gradients[place + 1 :]]


def _plus(gradient, scalar):
    scalar = tf.cast(scalar, gradient.dtype)
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(gradient.values + scalar, gradient.indices, gradient.dense_shape)
    return gradient + scalar


def _made_again(model, before, after, kept):
    """A copy whose layers with a policy of `before` have `after`, but for those in `kept`."""

    def clone(layer):
        config = layer.get_config()
        return type(layer).from_config(config if any(layer is one for one in kept) else _changed(config, before, after))

    # Layers that make layers of their own without saying which dtype follow the global policy.
    with building_in(after):
        if _is_made_of_layers(model):
            copy = keras.models.clone_model(model, clone_function=clone, recursive=True)
        else:
            copy = type(model).from_config(_changed(model.get_config(), before, after))
    copy.set_weights(model.get_weights())
    return copy


def _is_made_of_layers(model):
    """Whether the graph of layers says all of a model, and no `from_config` of its own makes it."""
    return isinstance(model, keras.Sequential) or type(model).from_config.__func__ is keras.Model.from_config.__func__


def _changed(config, before, after):
    if isinstance(config, dict):
        if config.get("class_name") == "DTypePolicy" and config.get("config", {}).get("name") in before:
            return after
        # The dtype of an input, or of a cast, is no policy: there is no tensor of "mixed_float16".
        is_half = after == FLOAT32 and config.get("dtype") in before
        changed = {key: _changed(value, before, after) for key, value in config.items()}
        return changed | ({"dtype": after} if is_half else {})
    if isinstance(config, (list, tuple)):
        return type(config)(_changed(value, before, after) for value in config)
    return config


def _output_layers(model):
    """The layers that give a model's outputs; of a model among them, those that give its own."""
    if isinstance(model, keras.Sequential):
        last = model.layers[-1:]
    elif getattr(model, "outputs", None):
        last = [tensor._keras_history.operation for tensor in model.outputs]
    else:
        return []
    return [layer for one in last for layer in (_output_layers(one) if isinstance(one, keras.Model) else [one])]
