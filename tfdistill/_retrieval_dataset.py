"""The batches of a retrieval student as tf.data has them."""

import keras
import tensorflow as tf

PREFETCHED = 8  # batches


class DatasetBatches(keras.callbacks.Callback):
    """`RetrievalBatches` as a `tf.data.Dataset`: Python draws an epoch, TensorFlow makes its batches.

    So no step waits for Python, and shapes are known, as XLA wants them of what a branch computes. A callback as well, which
    must be among those of `fit`: it says which epoch comes.

    Args:
        batches: `RetrievalBatches`.
        are_alike: whether they leave out the last, smaller batch.

    Attributes:
        dataset: the batches of an epoch, a `tf.data.Dataset`.
    """

    def __init__(self, batches, are_alike):
        super().__init__()
        self._batches, self._are_alike = batches, are_alike
        spec = keras.tree.map_structure(lambda array: tf.TensorSpec(array.shape, array.dtype), batches.whole_epoch())
        epochs = tf.data.Dataset.from_generator(self._epoch, output_signature=spec)
        dataset = epochs.flat_map(self._batches_of)
        self.dataset = dataset.apply(tf.data.experimental.assert_cardinality(len(batches))).prefetch(PREFETCHED)

    def on_epoch_begin(self, epoch, logs=None):
        self._batches.on_epoch_begin()

    def _epoch(self):
        yield self._batches.whole_epoch()

    def _batches_of(self, arrays, tables):
        size = self._batches.batch_size

        def rows_of(array, step):
            rows = array[step * size : (step + 1) * size]
            return tf.ensure_shape(rows, [size, *array.shape[1:]]) if self._are_alike else rows

        def batch(step):
            rows = keras.tree.map_structure(lambda array: rows_of(array, step), arrays)
            return self._batches.assemble(rows, tables)

        steps = tf.data.Dataset.range(len(self._batches))
        return steps.map(batch, num_parallel_calls=2, deterministic=True)
