"""The plainest ranker, and a good student: embeddings, a few dense layers, one logit."""

import keras

from tfdistill.models.embedding import embed_fields, hidden_stack, logits


def mlp(fields, *, embedding_width=8, hidden_units=(64, 32), dropout=0.0, embedding_l2=0.0, name="mlp"):
    """A multi-layer perceptron over the joined embeddings of all fields.

    Args:
        fields: the fields of the data set, user first, item second.
        embedding_width: columns of every embedding table.
        hidden_units: widths of the dense layers.
        dropout: share of every hidden layer dropped in training, 0 to 1.
        embedding_l2: weight of the squared norm of the looked-up rows, averaged over the batch.
        name: the model's name.

    Returns: a functional `keras.Model`, {field name: tensor} -> float32 logits [batch, 1].

    >>> from tfdistill.data import Field
    >>> fields = [Field("user", "categorical", "user", 100), Field("item", "categorical", "item", 50)]
    >>> mlp(fields, embedding_width=4, hidden_units=(8,)).count_params()  # 150 * 4 + (8 * 8 + 8) + (8 + 1)
    681
    """
    inputs, x = embed_fields(fields, embedding_width, embedding_l2)
    return keras.Model(inputs, logits(hidden_stack(x, hidden_units, dropout)), name=name)
