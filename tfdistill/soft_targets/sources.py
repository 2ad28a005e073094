"""The examples to label, a batch at a time, from arrays, from a function that makes them, or from tf.data."""

import numpy as np
import tensorflow as tf


def open_source(inputs, example_id, batch_size):
    """Returns `ArraySource` or `DatasetSource`; see `write_soft_targets` for the arguments.

    Raises:
        ValueError: where the arguments do not fit together.
    """
    if isinstance(batch_size, bool) or not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
        raise ValueError(f"`batch_size` must be a positive integer. Received: batch_size={batch_size!r}")
    if isinstance(inputs, tf.data.Dataset):
        if not (example_id is None or isinstance(example_id, str)):
            raise ValueError(
                "`example_id` of a tf.data.Dataset must be the name of its column, or None for batches of "
                f"(example_id, inputs). Received: {type(example_id).__name__}"
            )
        return DatasetSource(inputs, example_id)
    if isinstance(example_id, str):
        if not isinstance(inputs, dict) or example_id not in inputs:
            raise ValueError(f"`example_id`: the inputs have no column {example_id!r}. Received: {_described(inputs)}")
        inputs = dict(inputs)
        example_id = inputs.pop(example_id)
    if example_id is None:
        raise ValueError(
            "`example_id` is needed: an integer for each example, no two alike, or the name of its column."
        )
    return ArraySource(inputs, check_ids(np.asarray(example_id)), int(batch_size))


class ArraySource:
    """Batches of arrays, or of what a function `slice -> inputs` makes."""

    def __init__(self, inputs, example_id, batch_size):
        self.example_id = example_id
        self.rows = len(example_id)
        self._batch_size = batch_size
        self._part = inputs
        self.input_spec = None  # what a function makes is not known before
        if not callable(inputs):
            columns = tf.nest.map_structure(_as_array, inputs)
            lengths = {len(column) for column in tf.nest.flatten(columns)}
            if lengths != {self.rows}:
                raise ValueError(
                    f"`inputs` and `example_id` must have the same length. Received: lengths {sorted(lengths)} and {self.rows}"
                )
            self._part = lambda rows: tf.nest.map_structure(lambda column: column[rows], columns)
            self.input_spec = tf.nest.map_structure(
                lambda column: tf.TensorSpec([None, *column.shape[1:]], tf.convert_to_tensor(column[:1]).dtype), columns
            )

    def __iter__(self):
        for start in range(0, self.rows, self._batch_size):
            rows = slice(start, min(start + self._batch_size, self.rows))
            yield self.example_id[rows], tf.nest.map_structure(_as_array, self._part(rows))


class DatasetSource:
    """The batches of a finite tf.data.Dataset, as large as they come."""

    example_id = rows = None  # known when all have been seen

    def __init__(self, dataset, id_key):
        if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
            raise ValueError("`inputs` must be a finite tf.data.Dataset. Received one that repeats without end.")
        spec = dataset.element_spec
        spec = spec if isinstance(spec, tuple) else (spec,)
        if id_key is None and len(spec) != 2:
            raise ValueError(
                "`example_id` is None, so `inputs` must have batches of (example_id, inputs). Received: batches of "
                f"{len(spec)} parts. Pass the name of the id column for batches of x, (x, y) or (x, y, sample_weight)."
            )
        if id_key is not None:
            check_id_column(spec[0], id_key)
        for leaf in tf.nest.flatten(_selected(spec, id_key)):
            if not isinstance(leaf, tf.TensorSpec) or leaf.shape.rank == 0:
                raise ValueError(
                    f"`inputs` must be batches of dense tensors, as dataset.batch(...) makes. Received: {leaf}"
                )
        self._batches = dataset.map(lambda *element: _selected(element, id_key), tf.data.AUTOTUNE).prefetch(2)
        self.input_spec = self._batches.element_spec[1]

    def __iter__(self):
        for example_id, inputs in self._batches:
            yield check_ids(example_id.numpy()), inputs


def check_id_column(x, id_key):
    """Raises `ValueError` unless x, a structure of tf.TensorSpec, is a dict of batches with a column of integer ids."""
    if not isinstance(x, dict) or id_key not in x:
        raise ValueError(f"The inputs must be a dict with the id column {id_key!r}. Received: {_described(x)}")
    spec = x[id_key]
    if not spec.dtype.is_integer:
        raise ValueError(
            f"The id column {id_key!r} must hold integers; number your examples where they are named otherwise. "
            f"Received: dtype={spec.dtype.name}"
        )
    shape = spec.shape.as_list()
    if len(shape) != 1 and shape[1:] != [1]:
        raise ValueError(
            f"The id column {id_key!r} must be one integer an example, [batch]; call dataset.batch(...) first. Received: "
            f"shape={tuple(shape)}"
        )


def check_ids(example_id):
    """Returns int64 [n] of integers [n] or [n, 1].

    Raises:
        ValueError: for anything else.
    """
    if example_id.dtype.kind not in "iu":
        raise ValueError(
            "`example_id` must be integers; number your examples where they are named otherwise. Received: "
            f"dtype={example_id.dtype.name}"
        )
    if example_id.ndim == 2 and example_id.shape[1] == 1:
        example_id = example_id[:, 0]
    if example_id.ndim != 1:
        raise ValueError(f"`example_id` must be one integer an example, [n]. Received: shape={example_id.shape}")
    if example_id.dtype == np.uint64 and len(example_id) and example_id.max() >= 2**63:
        raise ValueError(f"`example_id` must fit into int64. Received: {example_id.max()}")
    return example_id.astype(np.int64, copy=False)


def _selected(element, id_key):
    """(example_id, inputs) of an element (x,), (x, y), (x, y, sample_weight), or without `id_key` of such a pair."""
    if id_key is None:
        return element
    return element[0][id_key], {name: column for name, column in element[0].items() if name != id_key}


def _as_array(column):
    return column if isinstance(column, tf.Tensor) else np.asarray(column)


def _described(inputs):
    return f"the columns {list(inputs)}" if isinstance(inputs, dict) else type(inputs).__name__
