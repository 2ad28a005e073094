"""Rows of tables, read and written where they lie."""

import tensorflow as tf

from tfdistill.optimizers.slices import compiling_with_xla


def read_rows(variable, ids):
    """Rows [n, ...] of a variable, of Keras or TensorFlow, on the device that runs this."""
    return tf.gather(tf.raw_ops.ReadVariableOp(resource=variable.handle, dtype=variable.dtype), ids)


def write_rows(variable, ids, rows):
    """Overwrites rows of a variable in place.

    A variable whose rows are written, or gathered by TensorFlow's op for that, is from then on copied as a whole whenever
    it is read, as `keras.layers.Embedding` does in every step: at 5 million rows most of a step. Switched back, reads
    are free, and a write copies only if a read is still held. XLA has no such mode.
    """
    tf.raw_ops.ResourceScatterUpdate(resource=variable.handle, indices=ids, updates=rows)
    if not compiling_with_xla():
        tf.raw_ops.DisableCopyOnRead(resource=variable.handle)
