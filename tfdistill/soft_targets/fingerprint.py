"""The identity of a teacher, on disk or in memory."""

import hashlib
import json
import os
import re

import numpy as np

from tfdistill import teachers
from tfdistill.precision import HALF_PRECISION


def teacher_fingerprint(teacher):
    """Returns a text that is the same for the same teacher, and another for any other.

    - a path, or what `tfdistill.teachers.load_teacher` returned: the sha256 of the files (`teachers.fingerprint`), and of
      how they are read where that was said;
    - a list of teachers, or an `Ensemble`: the sha256 over theirs and over how they are combined;
    - anything with a `fingerprint` of its own, a text or a method that returns one: that;
    - a Keras model in memory: the sha256 over its configuration and its weights. Names that Keras numbers ("dense_7"),
      `trainable` flags and what `compile` sets do not count. Neither does a subclassed model's Python code.

    Raises:
        ValueError: for any other callable, whose answers cannot be known from outside, and for a model without weights
            yet.
        UserError: where there is nothing at a path.

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, kernel_initializer="ones")])
    >>> copy = keras.models.clone_model(model)
    >>> copy.set_weights(model.get_weights())
    >>> teacher_fingerprint(model) == teacher_fingerprint(copy)
    True
    """
    if isinstance(teacher, (str, os.PathLike)):
        return teachers.fingerprint(teacher)
    own = getattr(teacher, "fingerprint", None)
    if own is not None:
        return own() if callable(own) else own
    if isinstance(teacher, (list, tuple)):
        teacher = teachers.as_teacher(teacher)
    if isinstance(teacher, teachers.Ensemble):
        members = [teacher_fingerprint(member) for member in teacher.teachers]
        how = [teacher.combine, teacher.weights, teacher.temperature, teacher.task, teacher.from_logits]
        return hashlib.sha256(json.dumps([members, how]).encode()).hexdigest()
    if not (hasattr(teacher, "get_config") and hasattr(teacher, "weights")):
        raise ValueError(
            "`fingerprint` is needed for a teacher that is a plain callable: a text that names it and changes whenever its "
            f"answers do, such as 'ranker 2026-03'. Received: teacher={teacher!r}"
        )
    if not teacher.weights:
        raise ValueError(f"`teacher` has no weights yet: build or load it first. Received: teacher={teacher!r}")
    return _model_fingerprint(teacher)


def _model_fingerprint(model):
    try:
        config = dict(model.get_config())
    except NotImplementedError:  # a subclassed model may have none
        config = {}
    config.pop("name", None)
    config = _without_counters(config)
    described = [type(model).__module__, type(model).__qualname__, config]
    if not config:  # which would say what the layers compute in
        half = [dtype for layer in model._flatten_layers() if (dtype := layer.compute_dtype) in HALF_PRECISION]
        described += [half] if half else []
    digest = hashlib.sha256(json.dumps(described, sort_keys=True, default=lambda value: type(value).__name__).encode())
    for weight in model.weights:
        values = np.ascontiguousarray(weight.numpy())
        digest.update(f"{values.dtype.name}{values.shape}".encode())
        digest.update(values.view(np.uint8).data if values.size else b"")
    return digest.hexdigest()


def _without_counters(config):
    """A configuration whose automatic names ("dense_7", by what else the process has made) are numbered from 0."""
    automatic = {}

    def collect(node):
        if isinstance(node, dict):
            inner = node.get("config")
            if isinstance(inner, dict) and isinstance(node.get("class_name"), str):
                name = str(inner.get("name"))
                base = re.sub(r"_\d+$", "", name)
                if base.replace("_", "") == node["class_name"].lower():
                    automatic.setdefault(name, f"{base}#{len(automatic)}")
            node = list(node.values())
        if isinstance(node, (list, tuple)):
            for child in node:
                collect(child)

    def renamed(node):
        if isinstance(node, dict):
            return {key: renamed(value) for key, value in node.items() if key != "trainable"}
        if isinstance(node, (list, tuple)):
            return [renamed(value) for value in node]
        return automatic.get(node, node) if isinstance(node, str) else node

    collect(config)
    return renamed(config)
