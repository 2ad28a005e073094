"""Adagrad with one accumulator a row of a table."""

from fnmatch import fnmatchcase

import keras
import tensorflow as tf

from tfdistill.optimizers.adagrad import Adagrad


@keras.saving.register_keras_serializable(package="tfdistill")
class RowWiseAdagrad(Adagrad):
    """Adagrad that keeps one number a row of a table: a table of width 32 costs 3% more memory in training, not 100%.

    With the gradient g of a row, of all its places in the batch together:

        a <- a + mean(g²)
        w <- w - lr g / (sqrt(a) + epsilon)

    Variables that are no tables get the update of `keras.optimizers.Adagrad`. A row without gradient stays as it is; what
    `lazy` does to weight decay, `Adagrad` says.

    Args:
        *args, **kwargs: those of `keras.optimizers.Adagrad`. FBGEMM and DLRM begin with initial_accumulator_value=0.
        lazy: see `Adagrad`.
        tables: which variables are tables: shell patterns of their paths, as `keras.Variable.path` gives them, or of the
            names of variables of TensorFlow. The default fits `keras.layers.Embedding`.

    Raises:
        ValueError: as `Adagrad`; for `tables` that are no patterns, and when it is built for variables that none fits.

    Example:

    >>> table = keras.Variable([[1.0, 1.0], [1.0, 1.0]], name="embeddings")
    >>> optimizer = RowWiseAdagrad(0.1, initial_accumulator_value=0.0)
    >>> optimizer.apply([tf.IndexedSlices([[1.0, 7.0]], [1], (2, 2))], [table])
    >>> print(table.numpy().round(3))  # a = (1 + 49) / 2 = 25
    [[1.   1.  ]
     [0.98 0.86]]

    Reference: Mudigere et al., "Software-Hardware Co-design for Fast and Scalable Training of Deep Learning Recommendation
    Models", ISCA 2022, arXiv 2104.05158, whose library FBGEMM calls it EXACT_ROWWISE_ADAGRAD; RWSAdagrad in the code of
    Naumov et al., "Deep Learning Recommendation Model for Personalization and Recommendation Systems" (DLRM), 2019, arXiv
    1906.00091.
    """

    def __init__(self, *args, tables=("*embeddings",), **kwargs):
        super().__init__(*args, **kwargs)
        if not isinstance(tables, (list, tuple)) or not all(isinstance(pattern, str) for pattern in tables):
            raise ValueError(f"`tables` must be a list of patterns of paths. Received: tables={tables!r}")
        self.tables = list(tables)

    def get_config(self):
        return {**super().get_config(), "tables": list(self.tables)}

    def build(self, var_list):
        if self.built:
            return
        keras.optimizers.Optimizer.build(self, var_list)
        paths = [getattr(variable, "path", None) or variable.name.removesuffix(":0") for variable in var_list]
        is_table = [len(one.shape) > 1 and self._fits(path) for one, path in zip(var_list, paths, strict=True)]
        if not any(is_table):
            raise ValueError(f"`tables` fit none of the variables: {', '.join(paths)}. Received: tables={self.tables}")
        self._row_wise = {place for place, found in enumerate(is_table) if found}
        self._accumulators = [
            self._row_accumulator(variable, path) if found else self._accumulator(variable)
            for variable, path, found in zip(var_list, paths, is_table, strict=True)
        ]

    def update_step(self, gradient, variable, learning_rate):
        if isinstance(gradient, tf.IndexedSlices) or self._get_variable_index(variable) not in self._row_wise:
            super().update_step(gradient, variable, learning_rate)
            return
        learning_rate, gradient = (tf.cast(one, variable.dtype) for one in (learning_rate, gradient))
        (accumulator,) = self._slots_of(variable)
        rows, totals = self._updated_rows(variable, gradient, [tf.convert_to_tensor(accumulator)], learning_rate)
        self.assign(accumulator, totals)
        self.assign(variable, rows)

    def _updated_rows(self, rows, gradient, slots, learning_rate):
        (accumulator,) = slots
        if accumulator.shape[1:] == gradient.shape[1:]:
            return super()._updated_rows(rows, gradient, slots, learning_rate)
        accumulator += tf.reduce_mean(tf.square(gradient), axis=range(1, len(gradient.shape)), keepdims=True)
        return rows - learning_rate / (tf.sqrt(accumulator) + self.epsilon) * gradient, accumulator

    def _fits(self, path):
        return any(fnmatchcase(path, pattern) for pattern in self.tables)

    def _accumulator(self, variable):
        initializer = keras.initializers.Constant(self.initial_accumulator_value)
        return self.add_optimizer_variables([variable], "accumulator", initializer)[0]

    def _row_accumulator(self, variable, path):
        value = variable.value if isinstance(variable, keras.Variable) else variable
        with self._distribution_strategy.extended.colocate_vars_with(value):
            return self.add_variable(
                (variable.shape[0], *(1 for _ in variable.shape[1:])),
                keras.initializers.Constant(self.initial_accumulator_value),
                variable.dtype,
                name=f"{path.replace('/', '_')}_accumulator",
            )
