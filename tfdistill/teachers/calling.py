"""Calling a teacher, whatever it is: the inputs that it reads, and the arguments that it takes besides."""

import inspect

import keras

from tfdistill._layers import is_functional, model_inputs


def call_teacher(teacher, inputs, labels=None):
    """Returns what a teacher says of a batch, in inference mode.

    Args:
        teacher: a model of Keras 3 or tf_keras, a TFRS model with a `call`, a teacher of this package, or any callable
            on the inputs. A functional or sequential model gets the inputs that it declares, any other all of them.
        inputs: tensor, list, or dict of tensors.
        labels: the hard labels of the batch, for a teacher that takes `labels`; or `None`.

    Raises:
        ValueError: where an input that a functional model declares is missing.

    >>> call_teacher(lambda inputs, training: [inputs["age"], training], {"age": 31})
    [31, False]
    """
    return teacher(select_inputs(teacher, inputs), **call_arguments(teacher, labels=labels))


def call_arguments(model, training=False, labels=None):
    """The keyword arguments for a call of `model`: those of `training` and `labels` that it takes.

    A layer of Keras 3 takes any, and drops what its `call` has not. A layer of tf_keras hides in `__call__` what its
    `call` takes, so that is looked at. Any other callable takes what it names itself.

    >>> call_arguments(lambda inputs, labels=None: inputs, labels=[1, 0])
    {'labels': [1, 0]}
    """
    if isinstance(model, keras.Layer):
        return {"training": training}
    call = getattr(model, "call", None)
    takes_training = (
        takes_argument(model, "training") if call is None else takes_argument(call, "training", by_keywords=True)
    )
    arguments = {"training": training} if takes_training else {}
    return arguments | ({"labels": labels} if takes_argument(model, "labels") else {})


def declared_inputs(model):
    """The symbolic inputs of a functional or built sequential model of Keras 3 or tf_keras; `None` of any other.

    Returns: a tensor, or a list or dict of tensors, as the model was made.
    """
    if is_functional(model):
        return model_inputs(model)
    # What else has both is a functional model of tf_keras, told without an import of tf_keras.
    return model.input if getattr(model, "inputs", None) is not None and hasattr(model, "input_names") else None


def select_inputs(model, inputs, role="teacher", hidden_columns=()):
    """The part of a dict of inputs that is meant for `model`; inputs in another form are returned as they are.

    A functional model gets what it declares, so a batch may carry more: cached soft targets, or features that only the
    teacher may see. Any other model gets everything but `hidden_columns`.

    Raises:
        ValueError: where a declared input is missing.
    """
    if not isinstance(inputs, dict):
        return inputs
    declared = declared_inputs(model)
    if declared is None:
        return {name: value for name, value in inputs.items() if name not in hidden_columns}
    names = list(named_inputs(declared))
    missing = [name for name in names if name not in inputs]
    if missing:
        raise ValueError(f"The {role} '{model.name}' misses the inputs {missing}. The batch has: {list(inputs)}")
    if isinstance(declared, dict):
        return {name: inputs[name] for name in names}
    selected = [inputs[name] for name in names]
    return selected if len(selected) > 1 else selected[0]


def named_inputs(declared):
    """{name: tensor} of what `declared_inputs` returns."""
    return dict(declared) if isinstance(declared, dict) else {t.name: t for t in keras.tree.flatten(declared)}


def takes_argument(function, name, by_keywords=False):
    """Whether `function` has a parameter `name` (or, with `by_keywords`, takes any keyword argument)."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False
    kinds = [parameter.kind for parameter in parameters.values()]
    return name in parameters or (by_keywords and inspect.Parameter.VAR_KEYWORD in kinds)
