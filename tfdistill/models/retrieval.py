"""Retrieval models: a vector for a user, one for an item, and their inner product."""

import keras
import numpy as np
from keras import ops

from tfdistill.data.sequences import left_padded
from tfdistill.parametrize import parametrized_parts, strip
from tfdistill.precision import FLOAT32, building_in

TOWERS = ("user_tower", "item_tower")


def retrieval_model(user_tower, item_tower, name):
    """Joins two towers: score = u . v.

    Args:
        user_tower, item_tower: functional models with these names that take dicts of inputs and return vectors
            [batch, d], d the same. They share no layer; for those that do there is `SharingTowers`.
        name: the model's name.

    Returns: a functional `keras.Model`, both towers' inputs in one dict -> float32 scores [batch, 1].

    Raises:
        ValueError: for towers of two widths, or an input that both have.
    """
    return keras.Model(*_joined(user_tower, item_tower), name=name)


def _joined(user_tower, item_tower):
    """The inputs and the output of a retrieval model."""
    widths = [tower.output.shape[-1] for tower in (user_tower, item_tower)]
    if widths[0] != widths[1]:
        raise ValueError(f"`user_tower` and `item_tower` must give vectors of one width. Received: {widths}")
    if shared := sorted(set(user_tower.input) & set(item_tower.input)):
        raise ValueError(
            f"`user_tower` and `item_tower` must have inputs of different names. Received in both: {shared}"
        )
    inputs = {
        name: keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=name)
        for tower in (user_tower, item_tower)
        for name, tensor in tower.input.items()
    }
    vectors = [tower({name: inputs[name] for name in tower.input}) for tower in (user_tower, item_tower)]
    return inputs, keras.layers.Dot(axes=1, dtype="float32", name="score")(vectors)


class SharingTowers(keras.Model):
    """A functional retrieval model whose towers share layers.

    A functional model is made again from the config of each sub-model, which gives each a layer of its own; this one from
    the arguments of `make_towers`, so that the layers stay shared in files and copies.

    Args:
        settings: {argument: value} of `make_towers`.
        name: the model's name.
        dtype: the dtype policy of the layers; by default Keras's global one.
    """

    def __init__(self, settings, name=None, dtype=None):
        policy = keras.config.dtype_policy() if dtype is None else keras.dtype_policies.get(dtype)
        with building_in(policy):
            super().__init__(*_joined(*self.make_towers(**settings)), name=name)
        self.settings = settings

    @staticmethod
    def make_towers(**settings):
        """Returns `(user_tower, item_tower)`."""
        raise NotImplementedError

    def get_config(self):
        config = {"name": self.name, "settings": keras.saving.serialize_keras_object(dict(self.settings))}
        if self.dtype_policy.name != FLOAT32:
            config["dtype"] = keras.dtype_policies.serialize(self.dtype_policy)
        return config

    @classmethod
    def from_config(cls, config, custom_objects=None):
        settings = keras.saving.deserialize_keras_object(config["settings"], custom_objects=custom_objects)
        return cls(settings, name=config["name"], dtype=config.get("dtype"))


def towers(model):
    """The two sub-models of a retrieval model: `(user_tower, item_tower)`, each {name: tensor} -> vectors [batch, d].

    They share their weights with the model. Of a model with transforms (pruning, clustering, quantisation) they hold the
    weights as they are before the transforms; `user_vectors` and `item_vectors` apply these.

    Raises:
        ValueError: for a model without them.

    >>> from tfdistill.models import bpr_mf
    >>> user_tower, item_tower = towers(bpr_mf(users=3, items=5, embedding_width=4))
    >>> item_tower.output_shape
    (None, 4)
    """
    try:
        return tuple(model.get_layer(name) for name in TOWERS)
    except (AttributeError, ValueError) as error:
        raise ValueError(
            f"`model` must have the sub-models {TOWERS[0]} and {TOWERS[1]}, as bpr_mf, two_tower, light_gcn and sas_rec "
            f"have. Received: {getattr(model, 'name', model)!r} of type {type(model).__name__}"
        ) from error


def user_vectors(model, dataset, batch_size=4096, parts=("train",)):
    """The vectors of all users of a data set: float32 [users, d].

    Args:
        model: a retrieval model; one with transforms is stripped first, so activations are in float.
        dataset: `ImplicitDataset`. An input "user" gets the users' numbers, "history" their last items in `parts`, all
            others the features of that name.
        batch_size: users at a time.
        parts: where histories are taken from; ("train", "validation") to score the test part.

    Raises:
        ValueError: for a model without towers, and an input that the data set has nothing for.

    >>> from tfdistill.data.implicit import ImplicitDataset
    >>> from tfdistill.models import bpr_mf
    >>> data = ImplicitDataset(2, 3, {"train": [[0, 1], [1, 2]], "validation": [], "test": [[0, 2]]})
    >>> user_vectors(bpr_mf(users=2, items=3, embedding_width=4), data).shape
    (2, 4)
    """

    def values(name, tensor):
        if name == "history":
            return histories(dataset.lists(*parts), tensor.shape[1])
        return np.arange(dataset.users, dtype=np.int32) if name == "user" else dataset.user_features.get(name)

    return _vectors(towers(_stripped(model))[0], values, dataset.users, batch_size)


def item_vectors(model, dataset, batch_size=4096):
    """The vectors of all items of a data set: float32 [items, d].

    Args:
        model: a retrieval model; one with transforms is stripped first, so activations are in float.
        dataset: `ImplicitDataset`. An input "item" gets the items' numbers, all others the features of that name.
        batch_size: items at a time.

    Raises:
        ValueError: for a model without towers, and an input that the data set has nothing for.
    """

    def values(name, tensor):
        return np.arange(dataset.items, dtype=np.int32) if name == "item" else dataset.item_features.get(name)

    return _vectors(towers(_stripped(model))[1], values, dataset.items, batch_size)


def histories(lists, length):
    """The last items of every user as a sequence model takes them: item number + 1, with 0 on the left.

    Args:
        lists: `ItemLists`, oldest first.
        length: places L.

    Returns: int32 [users, L].

    >>> from tfdistill.data.implicit import ItemLists
    >>> histories(ItemLists(np.array([0, 3, 4]), np.array([7, 8, 9, 5], np.int32)), 2)
    array([[ 9, 10],
           [ 0,  6]], dtype=int32)
    """
    return left_padded(lists.items, lists.offsets[:-1], lists.offsets[1:], length)


def _stripped(model):
    return strip(model) if parametrized_parts(model) else model


def _vectors(tower, values, count, batch_size):
    inputs = {name: values(name, tensor) for name, tensor in tower.input.items()}
    for name, array in inputs.items():
        if array is None:
            raise ValueError(f"`dataset` has no feature for the input {name!r} of {tower.name}.")
        if len(array) != count:
            raise ValueError(f"`dataset`: expected {count} values of {name!r} for {tower.name}. Received: {len(array)}")
    chunks = []
    for start in range(0, count, batch_size):
        chunk = {name: array[start : start + batch_size] for name, array in inputs.items()}
        chunks.append(ops.convert_to_numpy(ops.cast(tower(chunk, training=False), "float32")))
    return np.concatenate(chunks)
