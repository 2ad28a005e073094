"""DeepFM: a factorisation machine and a network over the same embeddings."""

import keras
from keras import ops

from tfdistill.models.embedding import field_input, hidden_stack, logits, looked_up, scaled_number


@keras.saving.register_keras_serializable("tfdistill")
class PairwiseProducts(keras.layers.Layer):
    """The sum of the inner products of all pairs of vectors: sum over the width of ((sum v)^2 - sum v^2) / 2.

    Call arguments:
        vectors: list of float [batch, width].

    Returns: float [batch, 1].

    >>> PairwiseProducts()([ops.array([[1.0]]), ops.array([[3.0]]), ops.array([[5.0]])])  # 1*3 + 1*5 + 3*5
    <tf.Tensor: shape=(1, 1), dtype=float32, numpy=array([[23.]], dtype=float32)>
    """

    def call(self, vectors):
        total, squares = vectors[0], ops.square(vectors[0])
        for vector in vectors[1:]:
            total, squares = total + vector, squares + ops.square(vector)
        return ops.sum(ops.square(total) - squares, axis=-1, keepdims=True) / 2

    def compute_output_shape(self, input_shape):
        return (input_shape[0][0], 1)


def deep_fm(fields, *, embedding_width=16, hidden_units=(128, 64), dropout=0.0, embedding_l2=0.0, name="deep_fm"):
    """DeepFM: logit = b + sum_i w_i x_i + sum_{i<j} <v_i, v_j> x_i x_j + w . f([v_1 x_1, v_2 x_2, ...]).

    A categorical field has x = 1 and the row of its value, a bag the mean over its members, a number its value times a
    vector. f are dense layers over the same vectors.

    Source: Guo et al., "DeepFM: A Factorization-Machine based Neural Network for CTR Prediction", IJCAI 2017, arXiv
    1703.04247.

    Args:
        fields: the fields of the data set, at least two.
        embedding_width: length of every v.
        hidden_units: widths of the dense layers.
        dropout: share of every hidden layer dropped in training, 0 to 1.
        embedding_l2: weight of the squared norm of the looked-up v, averaged over the batch.
        name: the model's name.

    Returns: a functional `keras.Model`, {field name: tensor} -> float32 logits [batch, 1].

    >>> from tfdistill.data import Field
    >>> fields = [Field("user", "categorical", "user", 100), Field("item", "categorical", "item", 50)]
    >>> deep_fm(fields, embedding_width=4, hidden_units=(8,)).count_params()  # 150 * (1 + 4) + (8 * 8 + 8) + (8 + 1)
    831
    """
    inputs = {field.name: field_input(field) for field in fields}
    weights, vectors = [], []
    for field in fields:
        x = inputs[field.name]
        if field.is_numeric:
            number = scaled_number(field, x)
            weights.append(keras.layers.Dense(1, use_bias=False, name=f"weight_{field.name}")(number))
            vectors.append(keras.layers.Dense(embedding_width, use_bias=False, name=f"vector_{field.name}")(number))
        else:
            weights.append(looked_up(field, x, 1, prefix="weight_"))
            vectors.append(looked_up(field, x, embedding_width, embedding_l2=embedding_l2))
    joined = keras.layers.Concatenate(name="fields")(vectors)
    hidden = logits(hidden_stack(joined, hidden_units, dropout), "hidden_logits")
    pairs = PairwiseProducts(dtype="float32", name="pairs")(vectors)
    total = keras.layers.Add(dtype="float32", name="logits")([*weights, pairs, hidden])
    return keras.Model(inputs, total, name=name)
