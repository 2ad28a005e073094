"""Deep & Cross Network, version 2: explicit feature crosses beside a dense network."""

import keras

from tfdistill.models.embedding import embed_fields, hidden_stack, logits


def dcn_v2(
    fields,
    *,
    embedding_width=32,
    cross_layers=3,
    hidden_units=(256, 128),
    dropout=0.0,
    embedding_l2=0.0,
    name="dcn_v2",
):
    """DCN-v2 in its parallel form: x_{l+1} = x_0 * (W_l x_l + b_l) + x_l beside dense layers, joined for the logit.

    Source: Wang et al., "DCN V2: Improved Deep & Cross Network", WWW 2021, arXiv 2008.13535, section 3.

    Args:
        fields: the fields of the data set, user first, item second.
        embedding_width: columns of every embedding table.
        cross_layers: number of crosses; each has a full (not a low-rank) matrix.
        hidden_units: widths of the dense layers; empty for crosses alone.
        dropout: share of every hidden layer dropped in training, 0 to 1.
        embedding_l2: weight of the squared norm of the looked-up rows, averaged over the batch.
        name: the model's name.

    Returns: a functional `keras.Model`, {field name: tensor} -> float32 logits [batch, 1].

    >>> from tfdistill.data import Field
    >>> fields = [Field("user", "categorical", "user", 100), Field("item", "categorical", "item", 50)]
    >>> dcn_v2(fields, embedding_width=4, cross_layers=2, hidden_units=(8,)).output_shape
    (None, 1)
    """
    inputs, start = embed_fields(fields, embedding_width, embedding_l2)
    crossed = start
    for number in range(1, cross_layers + 1):
        projected = keras.layers.Dense(start.shape[-1], name=f"cross_{number}")(crossed)
        product = keras.layers.Multiply(name=f"cross_{number}_product")([start, projected])
        crossed = keras.layers.Add(name=f"cross_{number}_sum")([product, crossed])
    deep = hidden_stack(start, hidden_units, dropout) if hidden_units else None
    x = crossed if deep is None else keras.layers.Concatenate(name="crosses_and_hidden")([crossed, deep])
    return keras.Model(inputs, logits(x), name=name)
