"""Calling SavedModels, whichever library wrote them."""

import tensorflow as tf

from tfdistill._features import PREDICTION
from tfdistill.errors import UserError

DEFAULT_SIGNATURE = "serving_default"


def open_saved_model(path, signature):
    """Returns (function, {input name: tf.TensorSpec}).

    The function takes a dict of inputs and names of outputs to read, and returns `{None: all outputs, name: that one}`.

    Raises:
        UserError: where the folder is damaged, or has no such signature.
    """
    try:
        loaded = tf.saved_model.load(str(path))
    except Exception as error:  # a damaged graph or checkpoint can fail in any way
        reason = str(error).strip().split("\n")[0][:300]
        raise UserError(f"The teacher '{path}' cannot be read: {reason} Export it again.") from error
    names = sorted(loaded.signatures)
    if signature is None:
        default_is_clear = DEFAULT_SIGNATURE in names or len(names) != 1
        signature = DEFAULT_SIGNATURE if default_is_clear else names[0]
        if signature not in names:
            return _plain_call(loaded, path, names)
    if signature not in names:
        raise UserError(f"The teacher '{path}' has no signature '{signature}'. Its signatures: {names}")
    specs = loaded.signatures[signature].structured_input_signature[1]
    # `loaded` stays within reach of the function: the variables live no longer than it does.
    return _reader(lambda inputs: loaded.signatures[signature](**inputs), path), specs


def _plain_call(loaded, path, names):
    """`__call__` of a SavedModel without a default signature, where it takes one dict of tensors."""
    if callable(loaded):
        for function in loaded.__call__.concrete_functions:
            (first, *others), keywords = function.structured_input_signature
            constants = [*others, *keywords.values()]
            if isinstance(first, dict) and not any(isinstance(c, tf.TypeSpec) or c is True for c in constants):
                return _reader(lambda inputs, given=(others, keywords): _call(loaded, given, inputs), path), first
    raise UserError(
        f"The teacher '{path}' has no signature '{DEFAULT_SIGNATURE}' and cannot be called with a dict of inputs. "
        f"Its signatures: {names}. Choose one with signature=..., or export the model again."
    )


def _call(loaded, given, inputs):
    others, keywords = given
    return loaded(inputs, *others, **keywords)


def _reader(call, path):
    def read(inputs, names=()):
        outputs = call(inputs)
        named = outputs if isinstance(outputs, dict) else {}
        missing = [name for name in names if name not in named]
        if missing:
            raise UserError(
                f"The teacher '{path}' has no outputs {missing} to compare. Its outputs: {sorted(named)}. Export it "
                "with what the loss reads as outputs of those names."
            )
        return {PREDICTION: outputs, **{name: named[name] for name in names}}

    return read
