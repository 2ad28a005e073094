"""Batches in which only some rows carry a label."""

import keras
import tensorflow as tf
from keras import ops

from tfdistill._replicas import mean_over_replicas


class LabeledRows:
    """Tells the labelled rows of a batch from the rest, for the hard loss and for the metrics.

    Args:
        labels: tensor `[batch, ...]`, or a structure of them like the student's outputs.
        predictions: the student's outputs.
        unlabeled_value: a row whose labels are all this value has no label. NaN is allowed.

    Raises:
        ValueError: where labels and predictions have different structures.
    """

    def __init__(self, labels, predictions, unlabeled_value):
        try:
            keras.tree.assert_same_structure(
                keras.tree.lists_to_tuples(labels), keras.tree.lists_to_tuples(predictions)
            )
        except (TypeError, ValueError) as error:
            raise ValueError("`unlabeled_value` needs labels in the structure of the student's outputs.") from error
        self._labels = labels
        self._predictions = predictions
        self._flags = [_is_labeled(label, unlabeled_value) for label in keras.tree.flatten(labels)]

    def count(self):
        """The number of labelled rows, averaged over the outputs and the replicas; a float32 scalar."""
        rows = sum(ops.sum(ops.cast(flags, "float32")) for flags in self._flags) / len(self._flags)
        return mean_over_replicas(rows)

    def for_loss(self, sample_weight):
        """Returns labels and sample weights under which a mean over the batch is the mean over its labelled rows.

        An unlabelled row gets weight 0 and the label 0 (any legal label: weight 0 alone would not mend a NaN), a
        labelled one its weight times batch / labelled rows, of all replicas. Without a labelled row all weights are 0,
        and so is the loss.
        """
        labels, weights = [], []
        for label, prediction, weight, flags in self._rows(sample_weight):
            labeled = ops.cast(flags, "float32")
            share = ops.divide_no_nan(1.0, mean_over_replicas(ops.mean(labeled)))
            labels.append(ops.where(_expanded(flags, len(label.shape)), label, ops.zeros_like(label)))
            # Keras wants weights of the rank of the loss values, which lack the predictions' last dimension.
            scale = _expanded(labeled * share, len(prediction.shape) - 1)
            if weight is not None:
                rank = max(len(scale.shape), len(weight.shape))
                scale = _expanded(scale, rank) * _expanded(ops.cast(weight, "float32"), rank)
            weights.append(scale)
        return self._packed(labels), self._packed(weights)

    def for_metrics(self, sample_weight):
        """Returns labels, predictions and sample weights of the labelled rows alone."""
        labels, predictions, weights = [], [], []
        for label, prediction, weight, flags in self._rows(sample_weight):
            labels.append(tf.boolean_mask(label, flags))
            predictions.append(tf.boolean_mask(prediction, flags))
            weights.append(None if weight is None else tf.boolean_mask(weight, flags))
        return self._packed(labels), self._packed(predictions), None if sample_weight is None else self._packed(weights)

    def _rows(self, sample_weight):
        flat = keras.tree.flatten(sample_weight)
        weights = flat if len(flat) == len(self._flags) else flat * len(self._flags)
        return zip(
            keras.tree.flatten(self._labels), keras.tree.flatten(self._predictions), weights, self._flags, strict=True
        )

    def _packed(self, leaves):
        return keras.tree.pack_sequence_as(self._predictions, leaves)


def _is_labeled(labels, unlabeled_value):
    if not keras.backend.is_float_dtype(labels.dtype):
        unlabeled = ops.equal(ops.cast(labels, "int64"), int(unlabeled_value))
    elif unlabeled_value != unlabeled_value:
        unlabeled = ops.isnan(labels)
    else:
        unlabeled = ops.equal(labels, ops.cast(unlabeled_value, labels.dtype))
    return ops.logical_not(ops.all(unlabeled, axis=tuple(range(1, len(unlabeled.shape)))))


def _expanded(values, rank):
    while len(values.shape) < rank:
        values = ops.expand_dims(values, axis=-1)
    return values
