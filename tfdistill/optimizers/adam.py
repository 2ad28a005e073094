"""Adam and AdamW that update the rows of a batch alone."""

import keras
import tensorflow as tf

from tfdistill.optimizers.row_sparse import RowSparse


class AdamRows(RowSparse):
    """Adam's update of rows; see `Adam`."""

    def _slots_of(self, variable):
        place = self._get_variable_index(variable)
        slots = [self._momentums, self._velocities, *([self._velocity_hats] if self.amsgrad else [])]
        return [slot[place] for slot in slots]

    def _updated_rows(self, rows, gradient, slots, learning_rate):
        momentum, velocity, *highest = slots
        step = tf.cast(self.iterations + 1, rows.dtype)
        beta_1_power, beta_2_power = (tf.pow(tf.cast(beta, rows.dtype), step) for beta in (self.beta_1, self.beta_2))
        size = learning_rate * tf.sqrt(1 - beta_2_power) / (1 - beta_1_power)
        momentum += (gradient - momentum) * (1 - self.beta_1)
        velocity += (tf.square(gradient) - velocity) * (1 - self.beta_2)
        highest = [tf.maximum(one, velocity) for one in highest]
        below = highest[0] if highest else velocity
        return rows - momentum * size / (tf.sqrt(below) + self.epsilon), momentum, velocity, *highest


@keras.saving.register_keras_serializable(package="tfdistill")
class Adam(AdamRows, keras.optimizers.Adam):
    """`keras.optimizers.Adam` whose step costs what the batch's rows cost, and that counts ids that repeat rightly.

    With the gradient g of a row, of all its places in the batch together, at step t of the optimizer:

        m <- m + (1 - β1) (g - m)
        v <- v + (1 - β2) (g² - v)
        w <- w - lr sqrt(1 - β2^t) / (1 - β1^t) m / (sqrt(v) + epsilon)

    Lazy, this is done to the rows that the batch looked up, and all others keep w, m and v. Else it is done to every
    row, with g = 0 where there is none: what Keras would compute of dense gradients, at the cost of the whole table.
    In either mode t counts steps, not a row's own updates, so that a row's first update is the same in both. Later, a
    row that rests does not drift on its momentum in lazy mode, nor does its m and v fade. Weight decay is of the rows
    looked up in lazy mode, of all rows else.

    Args:
        *args, **kwargs: those of `keras.optimizers.Adam`.
        lazy: see above.

    Raises:
        ValueError: for `lazy` that is no bool, lazy with `gradient_accumulation_steps`, and what Keras refuses.

    Example:

    >>> table = keras.Variable([[1.0], [1.0], [1.0]])
    >>> optimizer = Adam(0.1)
    >>> for ids in ([0, 0, 2], [1]):
    ...     optimizer.apply([tf.IndexedSlices(tf.ones((len(ids), 1)), ids, (3, 1))], [table])
    >>> print(table.numpy().ravel().round(3))  # in the second step rows 0 and 2 rest
    [0.9   0.926 0.9  ]

    Reference: Kingma and Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, arXiv 1412.6980. The lazy form is
    that of `torch.optim.SparseAdam` and TensorFlow Addons' LazyAdam.
    """


@keras.saving.register_keras_serializable(package="tfdistill")
class AdamW(AdamRows, keras.optimizers.AdamW):
    """`keras.optimizers.AdamW` whose step costs what the batch's rows cost; `Adam` with decoupled weight decay.

        w <- w - lr weight_decay w      before the update of `Adam`

    Lazy, rows decay when they are looked up, so that rare ones shrink less than frequent ones; else all in every step.

    Args:
        *args, **kwargs: those of `keras.optimizers.AdamW`.
        lazy: see `Adam`.

    Raises:
        ValueError: as `Adam`.

    Example:

    >>> table = keras.Variable([[1.0], [1.0]])
    >>> AdamW(0.1, weight_decay=0.5).apply([tf.IndexedSlices(tf.ones((1, 1)), [1], (2, 1))], [table])
    >>> print(table.numpy().ravel().round(3))  # 1 - 0.1 * 0.5 - 0.1
    [1.   0.85]

    Reference: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019, arXiv 1711.05101.
    """
