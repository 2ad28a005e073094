"""What a retrieval model learns from the data itself: the base loss, beside which distillation losses stand."""

import tensorflow as tf

from tfdistill.losses.ranking_loss import reduce_rows

KINDS = ("bpr", "pointwise", "in_batch_softmax", "full_softmax")
NEEDS_NEGATIVES = ("bpr", "pointwise")
# Less than any logit, and finite: differences of it with itself are 0 and not NaN.
MASKED = -1e9


def bpr(user, positive, negative, reduction, weights=None):
    """-Σ log σ(s_ui - s_uj) over pairs and their negatives.

    Args:
        user, positive: vectors [b, d].
        negative: vectors [b, n, d].
        reduction: "sum" over pairs and negatives, or "mean" of them.
        weights: [b], what pairs count; `None` for 1.
    """
    difference = tf.reduce_sum(user * positive, axis=1, keepdims=True) - tf.einsum("bd,bnd->bn", user, negative)
    if weights is not None:
        weights = tf.reshape(weights[:, None] * tf.ones_like(difference), [-1])
    return reduce_rows(tf.reshape(tf.nn.softplus(-difference), [-1]), weights, reduction)


def pointwise(user, positive, negative, reduction, weights=None):
    """Binary cross-entropy: -log σ(s_ui) - Σ_j log(1 - σ(s_uj)); arguments as those of `bpr`, negatives added up."""
    loss = tf.nn.softplus(-tf.reduce_sum(user * positive, axis=1))
    loss += tf.reduce_sum(tf.nn.softplus(tf.einsum("bd,bnd->bn", user, negative)), axis=1)
    return reduce_rows(loss, weights, reduction)


def in_batch_softmax(user, positive, items, log_probabilities, temperature, reduction, weights=None):
    """Cross-entropy of the pair's item among the items of the batch, corrected for how often each comes there.

    The logit of item j is `s_uj / temperature - log q_j`. Copies of the pair's own item do not count as others.

    Args:
        user, positive: vectors [b, d].
        items: ids [b]; `None` where there are none, and copies then count.
        log_probabilities: log q [b] of the batch's items; `None` for no correction.
        temperature: number.
        reduction: "sum" or "mean".
        weights: [b], what pairs count; `None` for 1. Items of pairs that count nothing are no others.
    """
    logits = tf.matmul(user, positive, transpose_b=True) / temperature
    if log_probabilities is not None:
        logits -= log_probabilities[None, :]
    batch = tf.shape(logits)[0]
    if items is not None:
        same = (items[:, None] == items[None, :]) & ~tf.eye(batch, dtype="bool")
        logits = tf.where(same, MASKED, logits)
    if weights is not None:
        logits = tf.where((weights > 0)[None, :], logits, MASKED)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.range(batch), logits)
    return reduce_rows(losses, weights, reduction)


def full_softmax(user, items, all_items, temperature, reduction, weights=None):
    """Cross-entropy of the pair's item among all items.

    Args:
        user: vectors [b, d].
        items: ids [b].
        all_items: vectors [items, d].
        temperature: number.
        reduction: "sum" or "mean".
        weights: [b], what pairs count; `None` for 1.
    """
    logits = tf.matmul(user, all_items, transpose_b=True) / temperature
    return reduce_rows(tf.nn.sparse_softmax_cross_entropy_with_logits(items, logits), weights, reduction)
