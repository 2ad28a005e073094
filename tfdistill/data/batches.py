"""Batches: seeded ones in tf.data for training, plain slices for prediction."""

import numpy as np

from tfdistill.data.random_streams import generator


def train_batches(columns, batch_size, seed, epoch, *, transform=None, drop_remainder=True):
    """Returns one epoch of shuffled batches.

    The order depends on `(seed, epoch)` and nothing else, so that a run which was killed and continues at epoch 5 sees
    what it would have seen. Rows are gathered a batch at a time, which is far faster than a pipeline of single rows.

    Args:
        columns: a nested structure of arrays of equal length n, as `fit` takes it: `x`, `(x, y)` or
            `(x, y, sample_weight)`, where x may be a dict. Tensors are taken as they are, which saves a copy an epoch.
        batch_size: rows a batch.
        seed, epoch: non-negative integers.
        transform: function applied to the gathered x inside the pipeline, such as `pair_expander(dataset)`.
        drop_remainder: whether to drop the last, smaller batch; batches then have static shapes.

    Returns:
        A finite `tf.data.Dataset` of known cardinality.

    Raises:
        ValueError: on columns of different lengths, or fewer rows than a batch with `drop_remainder`.

    >>> columns = (dataset.pairs(rows), dataset.label[rows])
    >>> for epoch in range(3):
    ...     batches = train_batches(columns, 2048, seed=1, epoch=epoch, transform=pair_expander(dataset))
    ...     model.fit(batches, initial_epoch=epoch, epochs=epoch + 1)
    """
    import tensorflow as tf

    columns = tf.nest.map_structure(tf.convert_to_tensor, columns)
    count = _count(tf.nest.flatten(columns))
    _check_batch_size(batch_size)
    steps = count // batch_size if drop_remainder else -(-count // batch_size)
    if steps == 0:
        raise ValueError(f"Received batch_size={batch_size} for {count} rows, expected at least one whole batch.")
    permutation = generator("batches", seed, epoch).permutation(count).astype(np.int32 if count < 2**31 else np.int64)
    permutation = tf.constant(permutation)

    def batch(step):
        rows = permutation[step * batch_size : (step + 1) * batch_size]
        if drop_remainder:
            rows = tf.ensure_shape(rows, [batch_size])
        part = tf.nest.map_structure(lambda column: tf.gather(column, rows), columns)
        if transform is None:
            return part
        return (transform(part[0]), *part[1:]) if isinstance(part, tuple) else transform(part)

    batches = tf.data.Dataset.range(steps).map(batch, num_parallel_calls=2, deterministic=True).prefetch(8)
    return batches.apply(tf.data.experimental.assert_cardinality(steps))


def pair_expander(dataset):
    """Returns a function that turns columns {user_row, item_row, context_row, ...} of tensors into a model's inputs.

    The features of users and items are gathered from their tables inside the pipeline, so that an epoch holds three
    numbers a row instead of all inputs. Columns of other names (such as cached teacher logits) pass through.

    >>> pair_expander(dataset)({name: tf.constant(rows) for name, rows in dataset.pairs([0, 1]).items()})["user"].shape
    TensorShape([2])
    """
    import tensorflow as tf

    user, item = dataset.fields[:2]
    tables = {one.name: tf.constant(dataset.tables(one.of)[one.name]) for one in dataset.fields[2:]}

    def index(row, size):
        return tf.where(row < size, row, 0)

    def expand(columns):
        columns = dict(columns)
        rows = {of: columns.pop(f"{of}_row", None) for of in ("user", "item", "context")}
        inputs = {user.name: index(rows["user"], user.size), item.name: index(rows["item"], item.size)}
        for one in dataset.fields[2:]:
            inputs[one.name] = tf.gather(tables[one.name], rows[one.of])
        return inputs | columns

    return expand


def iterate(columns, batch_size):
    """Yields the batches of nested arrays in order, the last one possibly smaller.

    Args:
        columns: an array, or a dict, tuple or list of such, all of equal length.
        batch_size: rows a batch.

    >>> [len(batch["a"]) for batch in iterate({"a": np.arange(5)}, 2)]
    [2, 2, 1]
    """
    _check_batch_size(batch_size)
    count = _count(_leaves(columns))
    for start in range(0, count, batch_size):
        yield _sliced(columns, slice(start, start + batch_size))


def _leaves(columns):
    if isinstance(columns, dict):
        return [leaf for column in columns.values() for leaf in _leaves(column)]
    if isinstance(columns, (tuple, list)):
        return [leaf for column in columns for leaf in _leaves(column)]
    return [columns]


def _sliced(columns, rows):
    if isinstance(columns, dict):
        return {name: _sliced(column, rows) for name, column in columns.items()}
    if isinstance(columns, (tuple, list)):
        return type(columns)(_sliced(column, rows) for column in columns)
    return columns[rows]


def _count(leaves):
    lengths = {int(leaf.shape[0]) for leaf in leaves}
    if len(lengths) != 1:
        raise ValueError(f"Received columns of different lengths, expected one length. Received: {sorted(lengths)}")
    return lengths.pop()


def _check_batch_size(batch_size):
    if isinstance(batch_size, bool) or not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
        raise ValueError(
            f"Received an invalid value for `batch_size`, expected a positive integer. Received: {batch_size!r}"
        )
