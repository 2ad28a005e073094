"""Two towers over features: a user and an item become vectors without ever meeting before the inner product."""

import keras

from tfdistill.models.embedding import embed_fields, hidden_stack
from tfdistill.models.retrieval import retrieval_model


def two_tower(
    user_fields,
    item_fields,
    *,
    embedding_width=16,
    hidden_units=(64,),
    width=32,
    normalize=False,
    temperature=1.0,
    dropout=0.0,
    embedding_l2=0.0,
    name="two_tower",
):
    """Embeddings and numbers of a side through dense layers to a vector: s = u . v, or cos(u, v) / temperature.

    The item vectors depend on nothing of the user's and can be computed beforehand. An item without interactions has a
    vector by its features, if "item" is not among the fields or its row is left at its start.

    Source: Yi et al., "Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations", RecSys 2019, for
    the normalised towers with a temperature; Covington et al., "Deep Neural Networks for YouTube Recommendations",
    RecSys 2016, for the user's history as a bag.

    Args:
        user_fields, item_fields: `Field`s of the sides. Ids are fields like others: Field("user", "categorical", "user",
            users). A bag called "history" is the user's last items, number + 1 with 0 for padding: size items + 1.
        embedding_width: columns of every table.
        hidden_units: widths of the dense layers before the last.
        width: d, that of the vectors.
        normalize: whether vectors have length 1, the user's then divided by `temperature`.
        temperature: of the normalised scores; above 0, at training often 0.05 to 0.2.
        dropout: share of every hidden layer dropped in training, 0 to 1.
        embedding_l2: weight of the squared norm of the looked-up rows, averaged over the batch.
        name: the model's name.

    Returns: a functional `keras.Model`, {field name: tensor} -> float32 scores [batch, 1], with sub-models user_tower and
        item_tower.

    Raises:
        ValueError: for a side without fields, a field of the other side, a temperature of 0 or less, or one without
            `normalize`.

    >>> from tfdistill.data import Field
    >>> user = [Field("user", "categorical", "user", 100)]
    >>> item = [Field("item", "categorical", "item", 50), Field("price", "numeric", "item", 0)]
    >>> model = two_tower(user, item, embedding_width=4, hidden_units=(8,), width=6)
    >>> model.count_params()  # 150 * 4 + (4 * 8 + 8) + (8 * 6 + 6) + (5 * 8 + 8) + (8 * 6 + 6)
    796
    """
    for argument, fields, side in (("user_fields", user_fields, "user"), ("item_fields", item_fields, "item")):
        if not fields:
            raise ValueError(f"`{argument}` must have at least one field. Received: {fields!r}")
        if strangers := [field.name for field in fields if field.of != side]:
            raise ValueError(f"`{argument}` must be fields of the {side}. Received: {strangers}")
    if temperature <= 0 or (temperature != 1 and not normalize):
        raise ValueError(f"`temperature` must be above 0, and goes with normalize=True. Received: {temperature!r}")

    def tower(fields, name, scale):
        inputs, x = embed_fields(fields, embedding_width, embedding_l2)
        x = keras.layers.Dense(width, name="vector")(hidden_stack(x, hidden_units, dropout))
        if normalize:
            x = keras.layers.UnitNormalization(dtype="float32", name="direction")(x)
        if scale != 1:
            x = keras.layers.Rescaling(scale, dtype="float32", name="divided_by_temperature")(x)
        return keras.Model(inputs, x, name=name)

    return retrieval_model(
        tower(user_fields, "user_tower", 1 / temperature), tower(item_fields, "item_tower", 1), name=name
    )
