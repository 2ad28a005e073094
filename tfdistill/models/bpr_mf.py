"""Matrix factorisation, to be trained with the BPR loss: a row for every user and every item."""

import keras
from keras import ops

from tfdistill.models.embedding import table
from tfdistill.models.low_rank import set_vectors
from tfdistill.models.retrieval import item_vectors, retrieval_model, user_vectors


@keras.saving.register_keras_serializable("tfdistill")
class AppendOne(keras.layers.Layer):
    """Adds a coordinate that is 1 for all: what an item's bias, a coordinate of its vector, is multiplied with.

    Call arguments:
        vectors: float [batch, d].

    Returns: float [batch, d + 1].
    """

    def call(self, vectors):
        return ops.pad(vectors, [[0, 0], [0, 1]], constant_values=1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[1] + 1)


def bpr_mf(
    users,
    items,
    embedding_width,
    item_bias=False,
    *,
    initializer=None,
    embedding_l2=0.0,
    name="bpr_mf",
):
    """Matrix factorisation: s_ui = p_u . q_i (+ b_i), the model of the BPR paper. The loss is the trainer's business.

    Source: Rendle et al., "BPR: Bayesian Personalized Ranking from Implicit Feedback", UAI 2009, arXiv 1205.2618.

    Args:
        users, items: how many there are; inputs are numbers from 0 up to these.
        embedding_width: columns of both tables.
        item_bias: whether items have a bias, which begins at 0. It is then the last coordinate of the item's vector,
            against a 1 in the user's: vectors have `embedding_width` + 1.
        initializer: of both tables, a Keras initializer or its name; by default normal with deviation 0.01.
        embedding_l2: weight of the squared norm of the looked-up rows, averaged over the batch.
        name: the model's name.

    Returns: a functional `keras.Model`, {"user": int32 [batch], "item": int32 [batch]} -> float32 scores [batch, 1],
        with sub-models user_tower and item_tower.

    Raises:
        ValueError: for sizes below 1.

    >>> bpr_mf(users=100, items=50, embedding_width=4, item_bias=True).count_params()  # 150 * 4 + 50
    650
    """
    settings = {"initializer": initializer, "embedding_l2": embedding_l2}
    user, item = (keras.Input((), dtype="int32", name=name) for name in ("user", "item"))
    user_vector = table("embed_user", users, embedding_width, **settings)(user)
    item_vector = table("embed_item", items, embedding_width, **settings)(item)
    if item_bias:
        user_vector = AppendOne(name="one")(user_vector)
        bias = keras.layers.Embedding(items, 1, embeddings_initializer="zeros", name="item_bias")(item)
        item_vector = keras.layers.Concatenate(name="item_and_bias")([item_vector, bias])
    return retrieval_model(
        keras.Model({"user": user}, user_vector, name="user_tower"),
        keras.Model({"item": item}, item_vector, name="item_tower"),
        name,
    )


def frozen(model, dataset, parts=("train",), name=None):
    """Matrix factorisation with the finished vectors of another retrieval model, which it needs no more.

    For `light_gcn`, whose training form goes over the whole graph at every call; and wherever users and their histories
    stay as they are. It can be trained on, pruned, quantised and exported like any `bpr_mf`.

    Args:
        model: a retrieval model.
        dataset: the `ImplicitDataset` whose users and items get rows.
        parts: where histories are taken from.
        name: the model's name, by default that of `model` with "_frozen".

    Returns: what `bpr_mf` returns, of the vectors' width.

    Raises:
        ValueError: as `user_vectors` does.
    """
    users, items = user_vectors(model, dataset, parts=parts), item_vectors(model, dataset)
    plain = bpr_mf(len(users), len(items), users.shape[1], name=name or f"{model.name}_frozen")
    set_vectors(plain, users, items)
    return plain
