"""A number an input and example by which to tell whether a student sees what the teacher saw.

A sketch is the projection Σ_j a_j x_j of an example's numbers on fixed coefficients a_j in [-1, 1). Another view of the
example (flipped, cropped, noisy, scaled otherwise) has another projection; the last bits of a float, which differ between
one library's division and another's, hardly move it. Integers and strings stand for names, in which 5 and 6 are as far
apart as any two: each is replaced by a pseudo-random number of [-1, 1) first. Floats, and bytes as pictures have them,
are taken by value.
"""

import keras
import numpy as np
import tensorflow as tf

# Of an input with more numbers than this, so many are looked at, spread at random: pictures would else cost more time
# than a fast teacher does.
POSITIONS = 1024
# Rounding moves a float32 projection by about 6e-8 of Σ|a_j x_j|.
TOLERANCE = 1e-5


def named_inputs(inputs):
    """{name: column} of a structure of inputs, sorted: keys of a dict, positions in a tuple, "" for an array alone."""
    columns = {"/".join(map(str, path)): column for path, column in keras.tree.flatten_with_path(inputs)}
    return {name: columns[name] for name in sorted(columns)}


def sketch(columns):
    """Returns float32 [n, number of inputs] for what `named_inputs` returns of arrays or tensors [n, ...]."""
    projections = []
    for column in columns.values():
        numbers = _numbers(column)
        projections.append(_project(numbers, _coefficients(numbers.shape[1])))
    return np.stack(projections, axis=1)


def differs(stored, column):
    """Whether an input is not the one that was sketched, bool [n].

    Args:
        stored: float32 [n], the input's column of `sketch`.
        column: array or tensor [n, ...].
    """
    numbers = _numbers(column)
    coefficients = _coefficients(numbers.shape[1])
    now = _project(numbers, coefficients)
    near = np.abs(stored - now) <= TOLERANCE * _project(np.abs(numbers), np.abs(coefficients))
    both_broken = ~np.isfinite(stored) & ~np.isfinite(now)
    return ~(near | both_broken)


def _project(numbers, coefficients):
    # Not a product of matrices: the threads of NumPy's linear algebra wait for processors that the teacher keeps busy.
    return np.einsum("ij,j->i", numbers, coefficients)


def _numbers(column):
    """float32 [n, at most POSITIONS] of an input."""
    values = np.asarray(column)
    values = values.reshape(len(values), -1)
    width = values.shape[1]
    if width > POSITIONS:
        values = np.take(values, np.unique(_mixed(np.arange(POSITIONS)) % np.uint64(width)).astype(np.int64), axis=1)
    kind = values.dtype.kind
    if kind == "f" or values.dtype == np.uint8 or values.dtype.name == "bfloat16":
        return values.astype(np.float32, copy=False)
    if kind in "OSU":
        # TensorFlow promises that this function never changes.
        values = tf.strings.to_hash_bucket_fast(tf.constant(values), 2**62).numpy()
    return _unit(values)


def _coefficients(width):
    return _unit(np.arange(width))


def _unit(integers):
    """Pseudo-random float32 in [-1, 1), by integer; the same in every version of every library."""
    return (_mixed(integers) >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-23) - np.float32(1.0)


def _mixed(integers):
    """The finaliser of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014)."""
    mixed = np.asarray(integers).astype(np.int64).view(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
