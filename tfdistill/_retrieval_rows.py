"""Ids of a batch: which of them come for the first time, and what the towers take for them."""

import keras
import numpy as np
import tensorflow as tf

from tfdistill.errors import UserError


def first_occurrences(ids):
    """1.0 where an id comes for the first time in a batch, 0.0 where it comes again: float32 [n].

    By sorting, so that all shapes are those of the batch and XLA compiles it.

    >>> first_occurrences([7, 3, 7, 3, 5]).numpy().tolist()
    [1.0, 1.0, 0.0, 0.0, 1.0]
    """
    ids = tf.cast(tf.reshape(ids, [-1]), "int64")
    count = tf.shape(ids, out_type="int64")[0]
    keys = tf.sort(ids * count + tf.range(count))  # by id, then by place
    positions, ids = keys % count, keys // count
    is_first = tf.concat([tf.ones_like(ids[:1], "bool"), ids[1:] != ids[:-1]], axis=0)
    return tf.scatter_nd(positions[:, None], tf.cast(is_first, "float32"), count[None])


class TowerInputs:
    """Gives a tower its dict of inputs for the ids of a batch, from tables with a row an id.

    Args:
        tower: functional model with a dict of inputs.
        entity: "user" or "item": the name of the input that takes the ids themselves.
        tables: {input name: array [users or items, ...]} for its other inputs.

    Raises:
        UserError: where a table is missing or its rows do not fit the input.
    """

    def __init__(self, tower, entity, tables=None):
        self.entity = entity
        inputs = tower.input if isinstance(tower.input, dict) else {entity: tower.input}
        self.takes_dict = isinstance(tower.input, dict)
        tables = tables or {}
        self.tables, self.names = {}, list(inputs)
        for name, spec in inputs.items():
            if name == entity:
                continue
            if name not in tables:
                continue  # the batches must bring it: checked when they come
            table = np.asarray(tables[name])
            if table.shape[1:] != tuple(spec.shape[1:]):
                raise UserError(
                    f"{entity} feature '{name}': expected rows of shape {tuple(spec.shape[1:])}, as the {entity} tower takes"
                    f" them. Received: {table.shape[1:]}"
                )
            # Held by this object and not by a variable: data are no weights, and are not saved with a model.
            self.tables[name] = tf.constant(table.astype(keras.backend.standardize_dtype(spec.dtype)))

    def __call__(self, ids):
        """Inputs for ids [n], or for a dict, of what it holds and what the tables add."""
        given = {name: tf.convert_to_tensor(value) for name, value in ids.items()} if isinstance(ids, dict) else None
        given = given or {self.entity: tf.convert_to_tensor(ids)}
        if not self.takes_dict:
            return given[self.entity]
        for name in self.names:
            if name in given:
                continue
            if name not in self.tables or self.entity not in given:
                raise ValueError(
                    f'The {self.entity} tower takes "{name}", which the batch does not hold and no table of features gives. '
                    f"Received: {sorted(given)}"
                )
            given[name] = tf.gather(self.tables[name], given[self.entity])
        return {name: given[name] for name in self.names}

    def ids(self, given):
        """The ids of a batch's users or items [n]; `None` where a dict does not hold them."""
        return given.get(self.entity) if isinstance(given, dict) else given
