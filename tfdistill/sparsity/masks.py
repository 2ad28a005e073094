"""Which weights are kept: the largest ones, single, in blocks, or so many of every few; True is kept."""

import tensorflow as tf


def largest(magnitudes, sparsity):
    """Masks that keep the largest of all entries together, and those that equal the smallest kept.

    At least one entry is kept, of N entries max(round(N (1 - sparsity)), 1), worked out in float32 as TFMOT does.

    Args:
        magnitudes: list of float tensors of no negative values, ranked together.
        sparsity: float32 scalar, the share that is not kept.

    Returns: (list of bool tensors of the same shapes, the smallest magnitude kept as a scalar of their dtype).
    """
    count = sum(tf.size(one) for one in magnitudes)
    kept = tf.cast(tf.maximum(tf.round(tf.cast(count, "float32") * (1 - sparsity)), 1), "int32")
    dtype = tf.float64 if any(one.dtype == tf.float64 for one in magnitudes) else tf.float32
    patterns = [_bit_pattern(tf.cast(one, dtype)) for one in magnitudes]
    threshold = _largest_pattern_kept(patterns, kept)
    return [one >= threshold for one in patterns], tf.cast(tf.bitcast(threshold, dtype), magnitudes[0].dtype)


def largest_blocks(weights, sparsity, block_size, pooling):
    """Masks that keep the blocks of the largest mean or maximal magnitude, of all weights together.

    Blocks begin at the first row and column. Where they do not fill the shape, the windows whose magnitudes are pooled
    are those of TensorFlow's padding "SAME", which begin before it: TFMOT's way, so that masks equal its masks.

    Args:
        weights: list of float tensors of two axes.
        sparsity: float32 scalar.
        block_size: (height, width).
        pooling: `"AVG"` or `"MAX"`.

    Returns: as `largest`, the smallest pooled magnitude kept.
    """
    masks, threshold = largest([_pooled(tf.abs(weight), block_size, pooling) for weight in weights], sparsity)
    return [_expanded(mask, block_size, weight.shape) for mask, weight in zip(masks, weights, strict=True)], threshold


def largest_of_every(weight, zeros, group):
    """The mask with so many zeros in every group of consecutive entries, those smallest in magnitude.

    The entries are consecutive in the layout in which TFLite stores kernels: input channels last.

    Args:
        weight: float tensor of shape (inputs, outputs) or (height, width, inputs, outputs).
        zeros: m of m:n, how many are zero.
        group: n of m:n, of how many.

    Returns: bool tensor of the weight's shape.
    """
    inputs_last = tf.transpose(tf.abs(weight), [1, 0] if weight.shape.rank == 2 else [3, 0, 1, 2])
    shape = inputs_last.shape.as_list()
    padded = tf.pad(tf.reshape(inputs_last, [-1, shape[-1]]), [[0, 0], [0, -shape[-1] % group]])
    places = tf.math.top_k(tf.reshape(padded, [-1, group]), k=group - zeros, sorted=False).indices
    kept = tf.reduce_any(tf.one_hot(places, group, on_value=True, off_value=False, dtype="bool"), axis=-2)
    kept = tf.reshape(tf.reshape(kept, padded.shape)[:, : shape[-1]], shape)
    return tf.transpose(kept, [1, 0] if weight.shape.rank == 2 else [1, 2, 3, 0])


def _bit_pattern(magnitudes):
    """Integers in the order of the floats: true of floats without a sign."""
    return tf.bitcast(tf.abs(magnitudes), tf.int64 if magnitudes.dtype == tf.float64 else tf.int32)


def _largest_pattern_kept(patterns, kept):
    """The kept-th largest of integers of no sign, found bit by bit: sorting them takes ten times as long."""
    dtype = patterns[0].dtype
    bits = dtype.size * 8 - 1

    def next_bit(bit, found):
        candidate = found | tf.bitwise.left_shift(tf.ones([], dtype), tf.cast(bit, dtype))
        above = sum(tf.reduce_sum(tf.cast(one >= candidate, "int32")) for one in patterns)
        return bit - 1, tf.where(above >= kept, candidate, found)

    start = (tf.constant(bits - 1), tf.zeros([], dtype))
    return tf.while_loop(lambda bit, found: bit >= 0, next_bit, start, maximum_iterations=bits)[1]


def _pooled(magnitudes, block_size, pooling):
    """One value a block: first along the rows and then along the columns, in the order in which TFMOT rounds."""
    pool = {"AVG": tf.nn.avg_pool2d, "MAX": tf.nn.max_pool2d}[pooling]
    height, width = block_size
    rows = pool(magnitudes[None, None], ksize=[1, height], strides=[1, height], padding="SAME")
    columns = pool(tf.transpose(rows, [0, 1, 3, 2]), ksize=[1, width], strides=[1, width], padding="SAME")
    return tf.transpose(columns[0, 0])


def _expanded(blocks, block_size, shape):
    """Every entry repeated over its block, cut to a shape."""
    rows, columns = blocks.shape
    height, width = block_size
    tiled = tf.tile(blocks[:, None, :, None], [1, height, 1, width])
    return tf.reshape(tiled, [rows * height, columns * width])[: shape[0], : shape[1]]
