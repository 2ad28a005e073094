"""The numbers in a constant tensor of a TFLite file: the integers that are stored, and the reals they stand for."""

import numpy as np

from tfdistill.export import flatbuffer

_FOUR_BIT = "int4"


def integers(model, tensor):
    """What is stored, an array of the tensor's shape: integers as int8, int16 ..., floats as they are."""
    content, name = flatbuffer.constant(model, tensor), flatbuffer.dtype(tensor)
    shape = flatbuffer.shape(tensor)
    if name == _FOUR_BIT:
        return unpack_int4(content, int(np.prod(shape))).reshape(shape)
    return content.view(np.dtype(name)).reshape(shape)


def reals(model, tensor):
    """What the stored numbers stand for, float32: (integer - zero point) * scale, per channel where scales are."""
    stored = integers(model, tensor)
    if not flatbuffer.is_quantized(tensor):
        return stored.astype(np.float32)
    axis = None if stored.ndim == 0 else tensor.quantization.quantizedDimension
    scale = _along(np.asarray(tensor.quantization.scale, np.float32), axis, stored.ndim)
    zero_point = np.asarray([0] if tensor.quantization.zeroPoint is None else tensor.quantization.zeroPoint)
    return (stored.astype(np.float32) - _along(zero_point.astype(np.float32), axis, stored.ndim)) * scale


def pack_int4(values):
    """Two integers from -8 to 7 a byte, the first in the lower half; uint8 [(n + 1) // 2].

    >>> pack_int4(np.array([1, -1, 3], np.int8)).tolist()  # 0xF1, 0x03
    [241, 3]
    """
    halves = np.asarray(values, np.int8).reshape(-1).view(np.uint8) & 15
    if len(halves) % 2:
        halves = np.append(halves, np.uint8(0))
    return halves[0::2] | (halves[1::2] << 4)


def unpack_int4(content, count):
    """The first `count` integers of what `pack_int4` made, int8.

    >>> unpack_int4(np.array([241, 3], np.uint8), 3).tolist()
    [1, -1, 3]
    """
    halves = np.stack([content << 4, content & 0xF0], axis=-1).reshape(-1)[:count]
    return halves.view(np.int8) >> 4


def _along(numbers, axis, rank):
    """One number, or one for each place along an axis, so that it multiplies an array of that rank."""
    if len(numbers) == 1:
        return numbers[0]
    return numbers.reshape([-1 if place == axis else 1 for place in range(rank)])
