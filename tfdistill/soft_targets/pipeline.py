"""Soft targets beside the examples, inside tf.data."""

import tensorflow as tf

from tfdistill.soft_targets.shards import LOGITS
from tfdistill.soft_targets.sources import check_id_column


def attach(soft_targets, dataset, id_key, names, check_inputs, memory_limit):
    """See `SoftTargets.attach`; `names` is {"logits" or feature: name of its column}."""
    spec = dataset.element_spec
    x_spec = spec[0] if isinstance(spec, tuple) else spec
    check_id_column(x_spec, id_key)
    taken = [name for name in names.values() if name in x_spec]
    if taken or len(set(names.values())) < len(names):
        raise ValueError(f"The inputs have columns {taken or list(names.values())} already. Choose other names.")
    _check_first_batch(soft_targets, dataset, id_key, check_inputs)
    find_rows = soft_targets._index.on_tensors()
    read = _reader(soft_targets, [name for name in names if name != LOGITS], memory_limit)

    def with_soft_targets(*element):
        x = dict(element[0])
        ids = x[id_key] if len(x[id_key].shape) == 1 else x[id_key][:, 0]
        rows = find_rows(tf.cast(ids, tf.int64))
        known = tf.debugging.Assert(
            tf.reduce_all(rows >= 0),
            [f"The soft-target cache '{soft_targets.path}' has no answer for the ids", tf.boolean_mask(ids, rows < 0)],
        )
        with tf.control_dependencies([known]):
            answers = soft_targets._restored(read(tf.identity(rows)))
        x |= {column: answers[name] for name, column in names.items()}
        return (x, *element[1:]) if isinstance(spec, tuple) else x

    return dataset.map(with_soft_targets, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def _check_first_batch(soft_targets, dataset, id_key, check_inputs):
    for element in dataset.take(1):
        x = dict(element[0] if isinstance(element, tuple) else element)
        example_id = x.pop(id_key).numpy()
        soft_targets._rows(example_id)
        if check_inputs:
            soft_targets.check_inputs(example_id, x)


def _reader(soft_targets, features, memory_limit):
    """A function of rows that returns rows of the stored arrays, in a graph."""
    shards, columns = soft_targets._shards, soft_targets._columns(features)
    if sum(shards.bytes(name) for name in columns) <= memory_limit:
        with tf.device("CPU:0"):
            tables = {name: tf.constant(shards.all(name)) for name in columns}
        return lambda rows: {name: tf.gather(table, rows) for name, table in tables.items()}
    examples = {name: shards.range(name, 0, 1) for name in columns}

    def take(rows):
        return [shards.take(name, rows) for name in columns]

    def read(rows):
        taken = tf.numpy_function(take, [rows], [values.dtype for values in examples.values()], stateful=False)
        return {
            name: tf.ensure_shape(values, [rows.shape[0], *examples[name].shape[1:]])
            for name, values in zip(columns, taken, strict=True)
        }

    return read
