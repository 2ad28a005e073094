"""Which Keras a model belongs to: Keras 3 is home, models of tf_keras (Keras 2) are handed to TFMOT."""


def is_tf_keras(thing):
    """Whether something is a layer or model of tf_keras, or a list of such; told without importing tf_keras."""
    if isinstance(thing, (list, tuple)):
        return bool(thing) and all(is_tf_keras(one) for one in thing)
    owners = {cls.__module__.split(".")[0] for cls in type(thing).__mro__}
    return "tf_keras" in owners and "keras" not in owners


def tfmot(purpose):
    """The module tensorflow_model_optimization.

    Args:
        purpose: what a tf_keras model needs it for, for the message.

    Raises:
        ImportError: where it is not installed.
    """
    try:
        import tensorflow_model_optimization
    except ImportError as error:
        raise ImportError(
            f"{purpose} of a tf_keras model is done by tensorflow-model-optimization, which is not installed. "
            'Install it: pip install "tfdistill[legacy]"'
        ) from error
    return tensorflow_model_optimization
