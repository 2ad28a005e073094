"""What makes an optimizer of Keras update the rows of a batch alone."""

import tensorflow as tf

from tfdistill.optimizers.rows import read_rows, write_rows
from tfdistill.optimizers.slices import summed_by_row, values_of, with_values


class RowSparse:
    """Mixed into an optimizer of Keras: gradients of tables, `tf.IndexedSlices`, stay what they are to the end.

    Of several replicas gradients are added up first, then ids that repeat are summed, then gradients are clipped: the
    same numbers as on one device. (Keras clips what each replica has, and squares what each repeat of an id has.) Rows
    are then read, decayed, updated and written back. Dense gradients go to Keras's own `update_step`.

    A child says what slots a variable has (`_slots_of`) and how rows change (`_updated_rows`).

    Args:
        *args, **kwargs: those of the optimizer of Keras.
        lazy: whether rows without gradient keep their weights and slots; else the update equals that of dense gradients.
    """

    # Whether rows without gradient stay as they are in the dense update, too, weight decay aside.
    moves_only_touched_rows = False

    def __init__(self, *args, lazy=True, **kwargs):
        super().__init__(*args, **kwargs)
        if not isinstance(lazy, bool):
            raise ValueError(f"`lazy` must be True or False. Received: lazy={lazy!r}")
        if lazy and self.gradient_accumulation_steps:
            raise ValueError(
                "`gradient_accumulation_steps` adds gradients up in tables, whose updates are dense: pass lazy=False, or "
                "a larger batch, which costs no more memory than its rows. Received: "
                f"gradient_accumulation_steps={self.gradient_accumulation_steps}, lazy=True"
            )
        self.lazy = lazy

    def get_config(self):
        return {**super().get_config(), "lazy": self.lazy}

    def apply(self, grads, trainable_variables=None):
        if self.loss_scale_factor is not None:
            grads = [_Divisible.of(gradient) for gradient in grads]
        return super().apply(grads, trainable_variables)

    def update_step(self, gradient, variable, learning_rate):
        """Updates one variable, as Keras calls it.

        Args:
            gradient: a tensor, or `tf.IndexedSlices` with each row once.
            variable: of Keras or TensorFlow.
            learning_rate: a scalar.
        """
        if not isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable, learning_rate)
            return
        learning_rate = tf.cast(learning_rate, variable.dtype)
        gradient, ids = tf.cast(gradient.values, variable.dtype), gradient.indices
        slots = self._slots_of(variable)
        rows, *slot_rows = [read_rows(one, ids) for one in (variable, *slots)]
        if self.lazy and self._decays(variable):
            rows -= rows * tf.cast(self.weight_decay, rows.dtype) * learning_rate
        updated = self._updated_rows(rows, gradient, slot_rows, learning_rate)
        for one, value in zip((variable, *slots), updated, strict=True):
            write_rows(one, ids, value)

    def _slots_of(self, variable):
        """The slots of a variable, each with as many rows."""
        raise NotImplementedError

    def _updated_rows(self, rows, gradient, slots, learning_rate):
        """New rows of the variable, then of each slot, from the old ones; all of the variable's dtype."""
        raise NotImplementedError

    def _decays(self, variable):
        return self.weight_decay is not None and self._use_weight_decay(variable)

    def _backend_apply_gradients(self, grads, trainable_variables):
        pairs = super()._all_reduce_sum_gradients(zip(grads, trainable_variables, strict=True))
        dense = self.gradient_accumulation_steps or not (self.lazy or self.moves_only_touched_rows)
        grads = [
            gradient
            if not isinstance(gradient, tf.IndexedSlices)
            else tf.convert_to_tensor(gradient)
            if dense
            else summed_by_row(gradient, variable.shape[0])
            for gradient, variable in pairs
        ]
        super()._backend_apply_gradients(grads, trainable_variables)

    def _all_reduce_sum_gradients(self, grads_and_vars):
        return list(grads_and_vars)  # they are summed

    def _clip_gradients(self, grads):
        # Zeros clip to zeros and add nothing to norms: the rows' numbers stand for the table's.
        clipped = super()._clip_gradients([values_of(gradient) for gradient in grads])
        return [with_values(gradient, values) for gradient, values in zip(grads, clipped, strict=True)]

    def _apply_weight_decay(self, variables):
        """Nothing: Keras calls it before `_backend_update_step`, which knows whose rows decay alone."""

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        super()._apply_weight_decay(
            [
                variable
                for gradient, variable in zip(grads, trainable_variables, strict=True)
                if not (self.lazy and isinstance(gradient, tf.IndexedSlices))
            ]
        )
        super()._backend_update_step(grads, trainable_variables, learning_rate)


class _Divisible(tf.IndexedSlices):
    """Slices that `/` divides, as Keras does to undo a loss scale."""

    @classmethod
    def of(cls, gradient):
        if not isinstance(gradient, tf.IndexedSlices):
            return gradient
        return cls(gradient.values, gradient.indices, gradient.dense_shape)

    def __truediv__(self, scale):
        return with_values(self, self.values / scale)
