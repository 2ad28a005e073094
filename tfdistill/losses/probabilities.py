"""Which distribution an output stands for, and the way back from probabilities to logits."""

from keras import ops

TASKS = ("auto", "binary", "categorical")

# Softmax outputs carry information almost down to the smallest float32, and the gradient of a logarithm stays finite
# at this floor. A sigmoid output has no such room above: float32 ends at 1 - 2**-24.
CATEGORICAL_FLOOR = 1e-30
BINARY_MARGIN = 2.0**-23


def check_task(task):
    """Returns `task` if it is one of `"auto"`, `"binary"`, `"categorical"`; raises `ValueError` otherwise."""
    if task not in TASKS:
        raise ValueError(f"`task` must be one of {', '.join(map(repr, TASKS))}. Received: task={task!r}")
    return task


def resolve_task(task, outputs):
    """Returns `"binary"` or `"categorical"` for a tensor of logits or probabilities.

    Args:
        task: `"auto"` takes a last dimension of 1 for a binary task (one sigmoid) and any other for a categorical one
            (a softmax over the last dimension). `"binary"` stands for one sigmoid an entry, so also for several labels.
        outputs: tensor `[batch, ..., k]`.

    Raises:
        ValueError: for a tensor without a class dimension, for `"auto"` where that dimension is unknown, and for
            `"categorical"` where it is 1 (the softmax over one class is always 1).
    """
    check_task(task)
    shape = tuple(outputs.shape)
    if len(shape) < 2:
        raise ValueError(f"Outputs must have shape [batch, ..., classes]. Received: shape={shape}")
    if task == "auto":
        if shape[-1] is None:
            raise ValueError(f"task='auto' needs a known last dimension; pass `task`. Received: shape={shape}")
        return "binary" if shape[-1] == 1 else "categorical"
    if task == "categorical" and shape[-1] == 1:
        raise ValueError(f"task='categorical' needs two classes or more; use task='binary'. Received: shape={shape}")
    return task


def check_categorical(task, outputs, loss):
    """Raises `ValueError` unless the outputs are distributions over two classes or more; `loss` names who asks."""
    if resolve_task(task, outputs) == "binary":
        raise ValueError(
            f"{loss} compares distributions over classes (a softmax over two or more), not sigmoids; "
            "LogitsDistillation and CorrelationDistillation take binary outputs. "
            f"Received: task={task!r}, shape={tuple(outputs.shape)}"
        )


def logits_from_probabilities(probabilities, task="auto"):
    """Returns float32 logits whose softmax (categorical) or sigmoid (binary) is `probabilities`.

    Categorical: `log(p)`; the logits are right up to a constant a row, which no softmax sees. Binary:
    `log(p) - log(1 - p)`. Probabilities are clipped first: to 1e-30 from below, and to 1.2e-7 from 0 and 1. Where the
    tensor comes straight from a Keras softmax or sigmoid activation, its logits are still at hand and are returned as
    they are.

    Args:
        probabilities: tensor `[batch, ..., k]`.
        task: `"auto"`, `"binary"` or `"categorical"`, see `resolve_task`.

    >>> import keras
    >>> round(float(logits_from_probabilities(keras.ops.array([[0.75]]))[0, 0]), 4)  # log(3)
    1.0986
    """
    task = resolve_task(task, probabilities)
    logits = getattr(probabilities, "_keras_logits", None)
    if logits is not None:
        return ops.cast(logits, "float32")
    probabilities = ops.cast(probabilities, "float32")
    if task == "categorical":
        return ops.log(ops.maximum(probabilities, CATEGORICAL_FLOOR))
    probabilities = ops.clip(probabilities, BINARY_MARGIN, 1.0 - BINARY_MARGIN)
    return ops.log(probabilities) - ops.log1p(-probabilities)


def as_logits(outputs, task, from_logits):
    """Returns float32 logits of a model's outputs, which are logits already or probabilities."""
    return ops.cast(outputs, "float32") if from_logits else logits_from_probabilities(outputs, task)
