"""Logits by their largest few, and the mass of all the others in one number."""

import math

import tensorflow as tf

TOP_LOGITS, TOP_CLASSES, REST = "top_logits", "top_classes", "rest"


def index_dtype(classes):
    """The smallest dtype for the indices of so many classes."""
    return tf.uint8 if classes <= 2**8 else tf.uint16 if classes <= 2**16 else tf.int32


def compress(logits, top_k):
    """Returns {top_logits [n, k], top_classes [n, k], rest [n]} of logits [n, classes].

    The top logits are kept as they are, largest first, and of the others rest = log Σ_{j not in top} e^{z_j}.
    """
    classes = logits.shape[-1]
    top_logits, top_classes = tf.math.top_k(logits, top_k)
    least = top_logits[:, -1:]
    others = tf.where(logits < least, logits, -math.inf)
    # Of the classes whose logits equal the least of the top, some are in it and the rest are not.
    ties = tf.reduce_sum(tf.cast(logits == least, tf.float32), axis=-1, keepdims=True)
    ties -= tf.reduce_sum(tf.cast(top_logits == least, tf.float32), axis=-1, keepdims=True)
    return {
        TOP_LOGITS: top_logits,
        TOP_CLASSES: tf.cast(top_classes, index_dtype(classes)),
        REST: tf.reduce_logsumexp(tf.concat([others, least + tf.math.log(ties)], axis=-1), axis=-1),
    }


def restore(columns, classes):
    """Returns float32 logits [n, classes] of what `compress` returned, with the rest spread evenly.

    Each of the m other classes gets rest - log m, so that softmax(z) of the top classes is what it was. It is exact at
    temperature 1 only: a spread that was uneven has less mass at a higher temperature than an even one.
    """
    top_logits = tf.cast(columns[TOP_LOGITS], tf.float32)
    top_classes = tf.cast(columns[TOP_CLASSES], tf.int32)
    count, top_k = tf.shape(top_logits)[0], top_logits.shape[1]
    each = tf.cast(columns[REST], tf.float32) - math.log(classes - top_k)
    rows = tf.broadcast_to(tf.range(count)[:, None], tf.shape(top_classes))
    logits = tf.tensor_scatter_nd_update(
        tf.broadcast_to(each[:, None], [count, classes]), tf.stack([rows, top_classes], axis=-1), top_logits
    )
    return tf.ensure_shape(logits, [top_logits.shape[0], classes])
