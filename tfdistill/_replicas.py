"""What the replicas of a distribution strategy tell each other within a step of training."""

import keras
import tensorflow as tf


def replicas():
    """How many replicas share a batch: 1 without a distribution strategy."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def over_replicas(loss):
    """The loss as one would read it: Keras divides losses by the number of replicas, whose gradients are summed."""
    return loss * replicas()


def sum_over_replicas(value):
    """The sum of a tensor over all replicas, in each of them; without gradient. Not inside a condition or a loop."""
    context = _context()
    return value if context is None else context.all_reduce(tf.distribute.ReduceOp.SUM, tf.stop_gradient(value))


def mean_over_replicas(value):
    """The mean of a float tensor over all replicas, in each of them; without gradient."""
    return value if _context() is None else sum_over_replicas(value) / replicas()


def gathered(structure):
    """A structure of tensors [rows, ...] with the rows of all replicas, in the order of the whole batch.

    Gradients come back to the replica that a row is of: of a loss that every replica computes of the whole batch and
    divides by the number of replicas, they add up to those of one device. `None` stays. Not inside a condition or a loop.
    """
    context = _context()
    if context is None:
        return structure

    def gather(tensor):
        if tensor is None:
            return None
        mask = getattr(tensor, "_keras_mask", None)
        tensor = tf.identity(tensor)  # on the replica's device, by which it is gathered; what data hold is on none
        if tensor.dtype.is_bool:
            return tf.cast(gather(tf.cast(tensor, "int32")), "bool")
        whole = tf.ensure_shape(context.all_gather(tensor, axis=0), [None, *tensor.shape[1:]])
        if mask is not None:
            whole._keras_mask = gather(mask)
        return whole

    return keras.tree.map_structure(gather, structure)


class once:
    """A property that is worked out when it is first asked for, in which replicas may meet.

    `functools.cached_property` of Python 3.11 holds a lock meanwhile: of two replicas, which are threads, one would wait in
    it for the other and the other for the lock.
    """

    def __init__(self, make):
        self._make, self.__doc__ = make, make.__doc__

    def __get__(self, instance, owner=None):
        if instance is None:
            return self
        value = vars(instance)[self._make.__name__] = self._make(instance)
        return value


def _context():
    """What replicas meet through; `None` with one alone, and outside of replicas."""
    return tf.distribute.get_replica_context() if replicas() > 1 else None
