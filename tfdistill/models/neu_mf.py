"""Neural matrix factorisation: a weighted inner product beside a network, each with embeddings of its own."""

import keras

from tfdistill.models.embedding import hidden_stack, logits, table


def neu_mf(
    users,
    items,
    *,
    embedding_width=8,
    mlp_embedding_width=32,
    hidden_units=(32, 16, 8),
    dropout=0.0,
    embedding_l2=0.0,
    name="neu_mf",
):
    """NeuMF: logit = w . [p_u * q_i, f([r_u, t_i])] + b, with f dense layers and * by element.

    Source: He et al., "Neural Collaborative Filtering", WWW 2017, arXiv 1708.05031, section 3.4, without pre-training; the
    widths are those of the authors' code. A pair ranker: a score for all items costs a forward pass each.

    Args:
        users, items: how many there are; inputs are numbers from 0 up to these.
        embedding_width: columns of p and q, the predictive factors.
        mlp_embedding_width: columns of r and t.
        hidden_units: widths of the dense layers; at least one.
        dropout: share of every hidden layer dropped in training, 0 to 1.
        embedding_l2: weight of the squared norm of the looked-up rows, averaged over the batch.
        name: the model's name.

    Returns: a functional `keras.Model`, {"user": int32 [batch], "item": int32 [batch]} -> float32 logits [batch, 1].

    >>> model = neu_mf(users=100, items=50, embedding_width=2, mlp_embedding_width=4, hidden_units=(6, 3))
    >>> model.count_params()  # 150 * (2 + 4) + (8 * 6 + 6) + (6 * 3 + 3) + (5 + 1)
    981
    """
    inputs = {name: keras.Input((), dtype="int32", name=name) for name in ("user", "item")}

    def rows(part, width):
        return [
            table(f"{part}_{side}", size, width, embedding_l2=embedding_l2)(inputs[side])
            for side, size in (("user", users), ("item", items))
        ]

    product = keras.layers.Multiply(name="product")(rows("factors", embedding_width))
    joined = keras.layers.Concatenate(name="joined")(rows("mlp", mlp_embedding_width))
    hidden = hidden_stack(joined, hidden_units, dropout)
    x = keras.layers.Concatenate(name="product_and_hidden")([product, hidden])
    return keras.Model(inputs, logits(x), name=name)
