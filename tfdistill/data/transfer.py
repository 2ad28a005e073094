"""Transfer sets: unlabelled examples for a teacher to label, mixed into the batches of labelled ones."""

import math

import numpy as np

SHUFFLED_BATCHES = 16  # of a transfer set that is a Dataset; bounds the memory that its shuffling takes


def mix_transfer_set(labeled, transfer_set, ratio, unlabeled_value, batch_size=None, seed=0):
    """Returns batches of n labelled examples, each followed by `round(ratio * n)` unlabelled ones.

    The unlabelled examples carry `unlabeled_value` in every label, and the weight 1 where there are weights. They come in
    random order, each once before any comes again. An epoch (an iteration over the result) goes on where the last one
    ended, so that a transfer set larger than what an epoch takes gives fresh examples in the next.

    Args:
        labeled: a `tf.data.Dataset` of batches (x, y) or (x, y, sample_weight), or such a tuple of arrays of n rows. A
            Dataset keeps its order, arrays are shuffled anew every epoch. x, y and sample_weight may be nested.
        transfer_set: inputs like the x of `labeled`: nested arrays of any number of rows, or a `tf.data.Dataset` of
            batches of x, of any size. Of a Dataset 16 batches are shuffled at a time, and the rows within each.
        ratio: unlabelled examples per labelled one, 0 or more; 0 gives the labelled data alone. On MovieLens-1M
            (benchmarks/transfer_sets.py) 0.5 gave most of the gain, and 4 no more than 1 or 2.
        unlabeled_value: the label of the unlabelled, as in `Distiller(unlabeled_value=...)`: such as -1, or NaN where
            labels are floats.
        batch_size: labelled rows a batch. Needed for arrays, whose last batch may be smaller. For a Dataset whose
            batches have no static size: the largest one; default: that of its first batch.
        seed: non-negative integer, fixes the orders. A run that leaves an epoch before its end repeats another one only
            if the result is not prefetched: what was prefetched is gone.

    Returns:
        A `tf.data.Dataset` of the cardinality of the labelled one, with batches of static size where that has such.

    Raises:
        ValueError: an argument of the wrong kind, inputs of `transfer_set` unlike those of `labeled` in structure, dtype
            or shape, an empty transfer set, a ratio that gives a batch no example, and an `unlabeled_value` that the
            labels' dtype does not hold.

    >>> x, y = np.array([[1.0], [2.0], [3.0], [4.0]]), np.array([0, 1, 1, 0])
    >>> for _, label in mix_transfer_set((x, y), np.zeros((9, 1)), ratio=1.5, unlabeled_value=-1, batch_size=2):
    ...     print(label.shape, label[2:].numpy())
    (5,) [-1 -1 -1]
    (5,) [-1 -1 -1]
    """
    import tensorflow as tf

    _check_numbers(ratio, batch_size, seed)
    labeled = _labeled_batches(labeled, batch_size, seed)
    if ratio == 0:
        return labeled
    x_spec, y_spec, *weight_specs = labeled.element_spec
    fills = [
        tf.nest.map_structure(lambda spec: _as_label(unlabeled_value, spec), y_spec),
        *(tf.nest.map_structure(lambda spec: np.ones((), spec.dtype.as_numpy_dtype), spec) for spec in weight_specs),
    ]
    static = _static_size(y_spec)
    largest = static or batch_size or _first_size(labeled)
    extra = round(ratio * largest)
    if not extra:
        raise ValueError(
            "`ratio` must give every batch an unlabelled example; set a larger one. "
            f"Received: ratio={ratio!r} for batches of {largest}"
        )
    # One iterator for all epochs: an iterator an epoch would begin the transfer set anew every time.
    with tf.device("CPU:0"):
        unlabeled = iter(_unlabeled_batches(transfer_set, x_spec, extra, seed))

    def mix(x, *targets):
        more_x, count = unlabeled.get_next(), extra
        if static is None:
            rows = tf.shape(tf.nest.flatten(targets)[0])[0]
            tf.debugging.assert_less_equal(
                rows, largest, f"A batch of `labeled` has more than {largest} rows. Pass the largest as `batch_size`."
            )
            count = tf.cast(tf.round(float(ratio) * tf.cast(rows, tf.float64)), tf.int32)
            more_x = tf.nest.map_structure(lambda column: column[:count], more_x)

        def constant(column, value):
            filled = tf.fill(tf.concat([[count], tf.shape(column)[1:]], 0), tf.constant(value))
            return tf.ensure_shape(filled, [None if static is None else extra, *column.shape[1:]])

        more = [tf.nest.map_structure(constant, *pair) for pair in zip(targets, fills, strict=True)]
        return tf.nest.map_structure(lambda *parts: tf.concat(parts, 0), (x, *targets), (more_x, *more))

    # Else tf.data may read ahead, and a look at the first batch would use up an unknown number of examples.
    options = tf.data.Options()
    options.experimental_optimization.inject_prefetch = False
    return labeled.prefetch(2).map(mix).with_options(options)


def _labeled_batches(labeled, batch_size, seed):
    """`labeled` as a Dataset of batches (x, y) or (x, y, sample_weight)."""
    import tensorflow as tf

    is_dataset = isinstance(labeled, tf.data.Dataset)
    if not is_dataset and isinstance(labeled, tuple) and len(labeled) == 3 and labeled[2] is None:
        labeled = labeled[:2]
    element = labeled.element_spec if is_dataset else labeled
    if not isinstance(element, tuple) or len(element) not in (2, 3):
        raise ValueError(
            "`labeled` must be a tuple (x, y) or (x, y, sample_weight) of arrays, or a tf.data.Dataset of such batches. "
            f"Received: labeled={_short(element)}"
        )
    if is_dataset:
        _check_dense("labeled", element)
        return labeled
    if batch_size is None:
        raise ValueError("`batch_size` must be given where `labeled` is arrays. Received: batch_size=None")
    columns, count = _columns("labeled", labeled)
    order = _orders(count, seed, stream=0).take(1)
    batches = order.rebatch(batch_size, drop_remainder=count % batch_size == 0).map(_gatherer(columns))
    return batches.apply(tf.data.experimental.assert_cardinality(-(-count // batch_size)))


def _unlabeled_batches(transfer_set, x_spec, size, seed):
    """The transfer set in shuffled batches of `size` rows, without end."""
    import tensorflow as tf

    if not isinstance(transfer_set, tf.data.Dataset):
        columns, count = _columns("transfer_set", transfer_set)
        _check_alike(tf.nest.map_structure(lambda column: tf.TensorSpec(column.shape, column.dtype), columns), x_spec)
        orders = _orders(count, seed, stream=1)
        return orders.rebatch(size, drop_remainder=True).map(_gatherer(columns)).prefetch(2)
    _check_dense("transfer_set", transfer_set.element_spec)
    _check_alike(transfer_set.element_spec, x_spec)
    if not any(True for _ in transfer_set.take(1)):
        raise ValueError("`transfer_set` must have at least one batch. Received: an empty tf.data.Dataset")
    random = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True)

    def shuffled(x, number):
        order = tf.random.experimental.stateless_shuffle(
            tf.range(_rows(x)), tf.stack([number, tf.constant(seed, tf.int64)])
        )
        return tf.nest.map_structure(lambda column: tf.gather(column, order), x)

    batches = transfer_set.shuffle(SHUFFLED_BATCHES, seed=seed, reshuffle_each_iteration=True).repeat()
    return tf.data.Dataset.zip(batches, random).map(shuffled).rebatch(size, drop_remainder=True).prefetch(2)


def _orders(count, seed, stream):
    """An endless Dataset of random orders of `count` rows; another one every time that it is gone through."""
    import tensorflow as tf

    numbers = tf.data.Dataset.random(seed=2 * seed + stream, rerandomize_each_iteration=True)
    rows = tf.range(count, dtype=tf.int64)
    return numbers.map(lambda number: tf.random.experimental.stateless_shuffle(rows, tf.stack([number, number])))


def _gatherer(columns):
    import tensorflow as tf

    return lambda rows: tf.nest.map_structure(lambda column: tf.gather(column, rows), columns)


def _columns(argument, arrays):
    """Nested arrays as tensors on the host, and their number of rows."""
    import tensorflow as tf

    try:
        with tf.device("CPU:0"):
            columns = tf.nest.map_structure(tf.convert_to_tensor, arrays)
    except (ValueError, TypeError) as error:
        raise ValueError(f"`{argument}` must be nested arrays. Received: {argument}={_short(arrays)}") from error
    lengths = {len(column) if column.shape.rank else None for column in tf.nest.flatten(columns)}
    if len(lengths) != 1 or lengths & {None, 0}:
        raise ValueError(
            f"`{argument}` must be arrays of one length, at least 1. "
            f"Received: shapes {[tuple(column.shape) for column in tf.nest.flatten(columns)]}"
        )
    return columns, lengths.pop()


def _rows(columns):
    import tensorflow as tf

    return tf.shape(tf.nest.flatten(columns)[0])[0]


def _static_size(spec):
    import tensorflow as tf

    shape = tf.nest.flatten(spec)[0].shape
    return shape[0] if shape.rank else None


def _first_size(labeled):
    import tensorflow as tf

    for _, y, *_ in labeled.take(1):
        return len(tf.nest.flatten(y)[0])
    raise ValueError("`labeled` must have at least one batch. Received: an empty tf.data.Dataset")


def _as_label(value, spec):
    """`unlabeled_value` as a NumPy scalar of the labels' dtype."""
    dtype = np.dtype(spec.dtype.as_numpy_dtype)
    is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if is_number and spec.dtype.is_floating:
        return dtype.type(value)
    if is_number and spec.dtype.is_integer and float(value).is_integer():
        limits = np.iinfo(dtype)
        if limits.min <= value <= limits.max:
            return dtype.type(value)
    raise ValueError(
        f"`unlabeled_value` must be a number that labels of dtype {spec.dtype.name} can hold: -1, or NaN for floats. "
        f"Received: unlabeled_value={value!r}"
    )


def _check_numbers(ratio, batch_size, seed):
    if isinstance(ratio, bool) or not isinstance(ratio, (int, float, np.number)) or not 0 <= ratio < math.inf:
        raise ValueError(f"`ratio` must be a number of 0 or more. Received: ratio={ratio!r}")
    for name, value, least in (("batch_size", batch_size, 1), ("seed", seed, 0)):
        if value is None and name == "batch_size":
            continue
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            raise ValueError(f"`{name}` must be an integer of {least} or more. Received: {name}={value!r}")


def _check_dense(argument, spec):
    import tensorflow as tf

    for leaf in tf.nest.flatten(spec):
        if not isinstance(leaf, tf.TensorSpec) or leaf.shape.rank == 0:
            raise ValueError(f"`{argument}` must be batches of dense tensors. Received: {argument} of {_short(spec)}")


def _check_alike(spec, x_spec):
    """Raises a ValueError unless rows of the transfer set can follow rows of x."""
    import keras
    import tensorflow as tf

    try:
        tf.nest.assert_same_structure(spec, x_spec)
    except (ValueError, TypeError) as error:
        raise ValueError(
            "`transfer_set` must have the structure of the x of `labeled`, and no labels. "
            f"Received: {_short(spec)} beside x: {_short(x_spec)}"
        ) from error
    leaves = zip(keras.tree.flatten_with_path(spec), tf.nest.flatten(x_spec), strict=True)
    for (path, ours), theirs in leaves:
        if ours.dtype != theirs.dtype or not ours.shape[1:].is_compatible_with(theirs.shape[1:]):
            raise ValueError(
                f"`transfer_set`{''.join(f'[{key!r}]' for key in path)} must have the dtype and the shape of a row of x: "
                f"{theirs.dtype.name} {theirs.shape[1:]}. Received: {ours.dtype.name} {ours.shape[1:]}"
            )


def _short(structure):
    """Arrays and specs by dtype and shape, anything else as it prints, of a line's length."""
    import keras

    def leaf(value):
        if hasattr(value, "shape") and hasattr(value, "dtype"):
            return f"{np.dtype(getattr(value.dtype, 'as_numpy_dtype', value.dtype)).name}{list(value.shape)}"
        return repr(value)

    return str(keras.tree.map_structure(leaf, structure)).replace("'", "")[:200]
