"""A model trained in half precision, rebuilt to compute in float32."""

import keras

HALF_PRECISION = ("float16", "bfloat16", "mixed_float16", "mixed_bfloat16")


def float32_model(model):
    """Returns `model` itself if all of it computes in float32, else a copy under float32 with the same weights.

    TFLite has no half-precision matrix product: such a model would export as Flex operators, which phones refuse.
    The copy differs from the original by the rounding that half precision had.

    >>> keras.config.set_dtype_policy("mixed_float16")
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    >>> float32_model(model).compute_dtype
    'float32'
    """
    if not any(layer.compute_dtype in HALF_PRECISION for layer in model._flatten_layers()):
        return model
    policy = keras.config.dtype_policy()
    # Layers that make layers of their own without saying which dtype follow the global policy.
    keras.config.set_dtype_policy("float32")
    try:
        copy = keras.models.clone_model(model, clone_function=_clone_layer, recursive=True)
    finally:
        keras.config.set_dtype_policy(policy)
    copy.set_weights(model.get_weights())
    return copy


def _clone_layer(layer):
    return type(layer).from_config(_in_float32(layer.get_config()))


def _in_float32(config):
    if isinstance(config, dict):
        if config.get("class_name") == "DTypePolicy" and config.get("config", {}).get("name") in HALF_PRECISION:
            return "float32"
        return {
            key: "float32" if key == "dtype" and value in HALF_PRECISION else _in_float32(value)
            for key, value in config.items()
        }
    if isinstance(config, (list, tuple)):
        return type(config)(_in_float32(value) for value in config)
    return config
