"""A tagger: which of several labels an example has, each a question of its own."""

import keras
import numpy as np

from tfdistill.models.embedding import embed_fields, hidden_stack


def multi_label_tagger(
    fields,
    label_field,
    *,
    tags=None,
    embedding_width=16,
    hidden_units=(64, 32),
    dropout=0.0,
    embedding_l2=0.0,
    name="multi_label_tagger",
):
    """Dense layers over the joined embeddings of all fields but the labels', and a logit for each label.

    Args:
        fields: the fields of the data set, that of the labels among them or not: it is no input.
        label_field: the bag `Field` that holds the labels, such as MovieLens's genres; or its name among `fields`.
        tags: number of logits, for the indices 1 to `tags` of the bag; by default all of its vocabulary. Index 0, padding,
            has none. `tag_targets` makes the targets.
        embedding_width: columns of every table.
        hidden_units: widths of the dense layers.
        dropout: share of every hidden layer dropped in training, 0 to 1.
        embedding_l2: weight of the squared norm of the looked-up rows, averaged over the batch.
        name: the model's name.

    Returns: a functional `keras.Model`, {field name: tensor} -> float32 logits [batch, tags], for a sigmoid each: train
        it with `keras.losses.BinaryCrossentropy(from_logits=True)` and export it with output="logit".

    Raises:
        ValueError: for a `label_field` that is no bag or not there, `tags` beyond its vocabulary, no field left.

    >>> from tfdistill.data import Field
    >>> fields = [Field("user", "categorical", "user", 100), Field("genres", "bag", "item", 19, 6)]
    >>> multi_label_tagger(fields, "genres", tags=10, embedding_width=4, hidden_units=(8,)).output_shape
    (None, 10)
    """
    by_name = {field.name: field for field in fields}
    labels = by_name.get(label_field) if isinstance(label_field, str) else label_field
    if labels is None or labels.kind != "bag":
        raise ValueError(
            f"`label_field` must be a bag, or the name of one of {sorted(by_name)}. Received: {label_field!r}"
        )
    tags = labels.size - 1 if tags is None else tags
    if not 1 <= tags < labels.size:
        raise ValueError(f"`tags` must be 1 to {labels.size - 1}, the labels of {labels.name!r}. Received: {tags!r}")
    inputs = [field for field in fields if field.name != labels.name]
    if not inputs:
        raise ValueError(f"`fields` must have a field besides the labels {labels.name!r}. Received: {list(by_name)}")
    inputs, x = embed_fields(inputs, embedding_width, embedding_l2)
    x = hidden_stack(x, hidden_units, dropout)
    return keras.Model(inputs, keras.layers.Dense(tags, dtype="float32", name="logits")(x), name=name)


def tag_targets(bags, tags):
    """What a tagger is trained towards: 1 for each label of an example, 0 for all others.

    Args:
        bags: int [n, length], indices of labels with 0 for padding; those beyond `tags` are left out.
        tags: number of labels.

    Returns: float32 [n, tags]; column k is for index k + 1.

    Raises:
        ValueError: for bags of another shape, and negative indices.

    >>> tag_targets(np.array([[1, 3, 0], [0, 0, 0]]), 3)
    array([[1., 0., 1.],
           [0., 0., 0.]], dtype=float32)
    """
    bags = np.asarray(bags)
    if bags.ndim != 2 or bags.size and bags.min() < 0:
        raise ValueError(f"`bags` must be indices [n, length] of 0 or more. Received: shape {bags.shape}")
    return (bags[:, :, None] == np.arange(1, tags + 1)).any(axis=1).astype(np.float32)
