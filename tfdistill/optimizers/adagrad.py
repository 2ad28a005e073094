"""Adagrad that updates the rows of a batch alone."""

import keras
import tensorflow as tf

from tfdistill.optimizers.row_sparse import RowSparse


@keras.saving.register_keras_serializable(package="tfdistill")
class Adagrad(RowSparse, keras.optimizers.Adagrad):
    """`keras.optimizers.Adagrad` whose step costs what the batch's rows cost.

    With the gradient g of a row, of all its places in the batch together:

        a <- a + g²
        w <- w - lr g / sqrt(a + epsilon)

    A row without gradient stays as it is by this formula, so that lazy or not is the same but for weight decay: lazy, rows
    decay when they are looked up, else all in every step, at the cost of the table.

    Args:
        *args, **kwargs: those of `keras.optimizers.Adagrad`.
        lazy: see above.

    Raises:
        ValueError: for `lazy` that is no bool, lazy with `gradient_accumulation_steps`, and what Keras refuses.

    Example:

    >>> table = keras.Variable([[1.0], [1.0]])
    >>> optimizer = Adagrad(0.1, initial_accumulator_value=0.0)
    >>> optimizer.apply([tf.IndexedSlices(tf.ones((2, 1)), [1, 1], (2, 1))], [table])
    >>> print(table.numpy().ravel().round(3))  # g = 2, a = 4
    [1.  0.9]

    Reference: Duchi, Hazan and Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization",
    JMLR 12, 2011.
    """

    moves_only_touched_rows = True

    def _slots_of(self, variable):
        return [self._accumulators[self._get_variable_index(variable)]]

    def _updated_rows(self, rows, gradient, slots, learning_rate):
        accumulator = slots[0] + tf.square(gradient)
        return rows - learning_rate * gradient / tf.sqrt(accumulator + self.epsilon), accumulator
