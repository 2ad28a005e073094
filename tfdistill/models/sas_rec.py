"""SASRec: what a user chose last, through causal self-attention, as the user's vector."""

import keras

from tfdistill.models.attention import AddPositions, CausalAttention, HistoryTable, MaskedRows, WeightedSum
from tfdistill.models.embedding import table
from tfdistill.models.retrieval import SharingTowers

EPSILON = 1e-8


@keras.saving.register_keras_serializable("tfdistill")
class SASRec(SharingTowers):
    """What `sas_rec` returns: towers that share the item table, "embed_item"."""

    is_faster_without_xla = True  # on CPUs: of width 8 an epoch takes twice as long with it, of width 64 as long

    @staticmethod
    def make_towers(items, max_length, embedding_width, blocks, heads, dropout, initializer, embedding_l2):
        embed_item = table("embed_item", items, embedding_width, initializer=initializer, layer=HistoryTable)
        history = keras.Input((max_length,), dtype="int32", name="history")
        x = MaskedRows(
            embedding_width**0.5,
            # Not on the table, where padding would count as item 0.
            activity_regularizer=keras.regularizers.L2(embedding_l2 / embedding_width) if embedding_l2 else None,
            dtype="float32",
            name="history_rows",
        )(embed_item(history, is_history=True), history)
        x = AddPositions(initializer=initializer, name="positions")(x)
        x = keras.layers.Dropout(dropout, name="input_dropout")(x)
        for number in range(1, blocks + 1):
            x = _block(x, history, heads, dropout, f"block_{number}")
        x = keras.layers.LayerNormalization(epsilon=EPSILON, name="norm")(x)
        places = keras.Model({"history": history}, x, name="sequence_tower")

        history = keras.Input((max_length,), dtype="int32", name="history")
        last = keras.layers.Cropping1D((max_length - 1, 0), name="last_place")(places({"history": history}))
        user_vector = keras.layers.Reshape((embedding_width,), name="user_vector")(last)
        item = keras.Input((), dtype="int32", name="item")
        user_tower = keras.Model({"history": history}, user_vector, name="user_tower")
        item_vector = embed_item(item)
        if embedding_l2:
            item_vector = keras.layers.ActivityRegularization(l2=embedding_l2, dtype="float32", name="item_vector")(
                item_vector
            )
        return user_tower, keras.Model({"item": item}, item_vector, name="item_tower")


def sas_rec(
    items,
    max_length,
    embedding_width=64,
    *,
    blocks=2,
    heads=1,
    dropout=0.2,
    initializer=None,
    embedding_l2=0.0,
    name="sas_rec",
):
    """SASRec: the next item's score is the inner product of its row and of the last place of a causal transformer.

        x = sqrt(d) q_history + positions
        per block:  a = norm(x),  b = norm(a + attention(a, x, x)),  x = b + W2 relu(W1 b + b1) + b2
        user vector = norm(x) at the last place,  item vector = q_i

    Keys, queries and values have kernels and biases, heads no projection behind them; both additions are to what was
    normalised, as in the authors' code (the paper's equation adds to what was not). Padding is never attended to. A user
    without history has a vector that depends on nobody.

    Source: Kang and McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018, arXiv 1808.09781, and
    github.com/kang205/SASRec.

    Args:
        items: how many there are.
        max_length: L, the last items of a history that count.
        embedding_width: d, columns of the item table, which input and output share.
        blocks: of attention and two dense layers.
        heads: of attention; a divisor of `embedding_width`.
        dropout: share dropped in training of the input, of attention weights and after both dense layers.
        initializer: of the item table and the positions, a Keras initializer or its name; by default normal with
            deviation 0.01.
        embedding_l2: weight of the squared norm of the looked-up rows, averaged over the batch.
        name: the model's name.

    Returns: a functional `keras.Model`, {"history": int32 [batch, L] of item number + 1, newest last, 0 on the left where
        there are fewer, "item": int32 [batch]} -> float32 scores [batch, 1], with sub-models user_tower and item_tower.
        `sequence_tower` gives the vectors of all places.

    Raises:
        ValueError: for sizes below 1, and heads that do not divide the width.

    >>> model = sas_rec(items=50, max_length=6, embedding_width=4, blocks=1)
    >>> model.count_params()  # 50 * 4 + 6 * 4, 3 norms of 8, 5 kernels and biases of 4 * 4 + 4
    348
    """
    for argument, value in (("max_length", max_length), ("heads", heads)):
        if value < 1:
            raise ValueError(f"`{argument}` must be a positive integer. Received: {value!r}")
    if embedding_width % heads:
        raise ValueError(f"`heads` must divide `embedding_width`, {embedding_width}. Received: heads={heads}")
    settings = {
        "items": items,
        "max_length": max_length,
        "embedding_width": embedding_width,
        "blocks": blocks,
        "heads": heads,
        "dropout": dropout,
        "initializer": initializer,
        "embedding_l2": embedding_l2,
    }
    return SASRec(settings, name=name)


def sequence_tower(model):
    """The sub-model of a `sas_rec` that gives vectors of all places: {"history": int32 [batch, L]} -> [batch, L, d].

    That of place l depends on the history up to there, and predicts the item of place l + 1. Places of padding have
    vectors that mean nothing.

    Raises:
        ValueError: for another model.
    """
    try:
        return model.get_layer("user_tower").get_layer("sequence_tower")
    except (AttributeError, ValueError) as error:
        raise ValueError(
            f"`model` must be made by sas_rec. Received: {getattr(model, 'name', model)!r} of type {type(model).__name__}"
        ) from error


def _block(x, history, heads, dropout, name):
    def dense(part, activation=None):
        return keras.layers.Dense(x.shape[-1], activation=activation, name=f"{name}_{part}")

    def dropped(tensor, part):
        return keras.layers.Dropout(dropout, name=f"{name}_{part}_dropout")(tensor)

    queries = keras.layers.LayerNormalization(epsilon=EPSILON, name=f"{name}_attention_norm")(x)
    weights = CausalAttention(heads, name=f"{name}_weights")(dense("query")(queries), dense("key")(x), history)
    attended = WeightedSum(name=f"{name}_attended")(dropped(weights, "weights"), dense("value")(x))
    attended = keras.layers.Add(name=f"{name}_attention")([attended, queries])
    start = keras.layers.LayerNormalization(epsilon=EPSILON, name=f"{name}_hidden_norm")(attended)
    hidden = dropped(dense("hidden", "relu")(start), "hidden")
    return keras.layers.Add(name=name)([dropped(dense("output")(hidden), "output"), start])
