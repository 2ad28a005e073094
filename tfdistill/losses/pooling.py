"""Bringing maps of different sizes to one."""

from keras import ops


def pool_to_smaller(first, second):
    """Average-pools two maps so that both have, along every spatial axis, the smaller of their sizes.

    Where a size does not divide the other, windows overlap by a pixel: cell o of n averages the pixels from
    `floor(o*size/n)` to `ceil((o+1)*size/n)`, as in PyTorch's adaptive pooling.

    Args:
        first, second: tensors `[batch, ..., channels]` of one rank, with one to three spatial axes. Where a size is
            not known, both are returned as they are.

    >>> import keras
    >>> first, second = pool_to_smaller(keras.ops.reshape(keras.ops.arange(4.0), (1, 4, 1)), keras.ops.ones((1, 2, 3)))
    >>> [float(value) for value in keras.ops.reshape(first, (-1,))]  # the means of 0, 1 and of 2, 3
    [0.5, 2.5]
    """
    shapes = pooled_shapes(first.shape, second.shape)
    return tuple(
        maps
        if tuple(maps.shape)[1:-1] == shape[1:-1]
        else ops.adaptive_average_pool(maps, shape[1:-1], data_format="channels_last")
        for maps, shape in zip((first, second), shapes, strict=True)
    )


def pooled_shapes(first_shape, second_shape):
    """The shapes of what `pool_to_smaller` returns for maps of these shapes.

    >>> pooled_shapes((None, 8, 4, 3), (None, 6, 6, 5))
    ((None, 6, 4, 3), (None, 6, 4, 5))
    """
    first_shape, second_shape = tuple(first_shape), tuple(second_shape)
    sizes = tuple(zip(first_shape[1:-1], second_shape[1:-1], strict=True))
    if any(None in pair for pair in sizes):
        return first_shape, second_shape
    smaller = tuple(min(pair) for pair in sizes)
    return tuple((shape[0], *smaller, shape[-1]) for shape in (first_shape, second_shape))
