"""From fields to one vector: the first layer of every ranker."""

import keras
import numpy as np
from keras import ops

# Standardised numbers are ten times as wide as embeddings, and in an int8 file whatever is joined shares one scale:
# unscaled, a single number cost .02 of AUC there (.8738 to .8531 on MovieLens-1M), scaled nothing.
NUMBER_SCALE = 0.1


@keras.saving.register_keras_serializable("tfdistill")
class MaskedMean(keras.layers.Layer):
    """The mean over a bag's members, leaving out the padding (index 0); zeros for an empty bag.

    Call arguments:
        embedded: float [batch, length, width], the looked-up rows.
        indices: int32 [batch, length], what was looked up; 0 is padding.

    Returns: float [batch, width].
    """

    def call(self, embedded, indices):
        mask = ops.minimum(indices, 1)
        # Looked up, not divided by: TFLite's int8 division overflows where the mean is joined with what is wider.
        shares = ops.cast(1 / np.maximum(np.arange(indices.shape[1] + 1), 1), embedded.dtype)
        share = ops.take(shares, ops.sum(mask, axis=1))
        total = ops.sum(embedded * ops.expand_dims(ops.cast(mask, embedded.dtype), -1), axis=1)
        return total * ops.expand_dims(share, -1)

    def compute_output_shape(self, embedded_shape, indices_shape):
        return (embedded_shape[0], embedded_shape[2])


def table(name, size, width, *, initializer=None, embedding_l2=0.0, layer=keras.layers.Embedding):
    """The layer that looks rows up, which start normal with deviation 0.01 unless `initializer` says otherwise.

    It is float32 whatever the policy: looking up multiplies nothing, and the norms of rows are too small for float16.

    Args:
        name: the layer's.
        size, width: rows and columns.
        initializer: a Keras initializer or its name.
        embedding_l2: weight of the squared norm of the looked-up rows, averaged over the batch.
        layer: the class, `keras.layers.Embedding` or a child of it.

    Raises:
        ValueError: for a size or width below 1.
    """
    for argument, value in ((f"the number of rows of {name!r}", size), ("`embedding_width`", width)):
        if value < 1:
            raise ValueError(f"{argument} must be a positive integer. Received: {value!r}")
    return layer(
        size,
        width,
        embeddings_initializer=keras.initializers.RandomNormal(stddev=0.01) if initializer is None else initializer,
        activity_regularizer=keras.regularizers.L2(embedding_l2) if embedding_l2 else None,
        dtype="float32",
        name=name,
    )


def field_input(field):
    """The `keras.Input` of one field: int32 [batch], int32 [batch, length] for a bag, float32 [batch] for a number."""
    shape = (field.length,) if field.kind == "bag" else ()
    return keras.Input(shape, dtype="float32" if field.kind == "numeric" else "int32", name=field.name)


def scaled_number(field, x):
    """A number times `NUMBER_SCALE`: float [batch, 1]."""
    number = keras.layers.Reshape((1,), name=f"number_{field.name}")(x)
    return keras.layers.Rescaling(NUMBER_SCALE, name=f"scaled_{field.name}")(number)


def looked_up(field, x, width, *, prefix="", embedding_l2=0.0):
    """The row of a category, or the mean of a bag's rows: float [batch, width]. `prefix` begins the layers' names."""
    rows = table(f"{prefix}embed_{field.name}", field.size, width, embedding_l2=embedding_l2)(x)
    return MaskedMean(name=f"{prefix}mean_{field.name}")(rows, x) if field.kind == "bag" else rows


def embed_fields(fields, embedding_width, embedding_l2=0.0, dropout=0.0):
    """Looks every field up in a table of its own and joins the rows (a number goes in times `NUMBER_SCALE`).

    Args:
        fields: the fields, in the order in which they are joined.
        embedding_width: columns of every table.
        embedding_l2: weight of the squared norm of the looked-up rows, averaged over the batch. On these rows rather
            than on the whole table: rare ids are then not shrunk by batches that they are not in.
        dropout: share of the joined vector dropped in training.

    Returns: `(inputs, x)`: {name: `keras.Input`} and float [batch, sum of widths].
    """
    inputs = {field.name: field_input(field) for field in fields}
    joined = [
        scaled_number(field, inputs[field.name])
        if field.is_numeric
        else looked_up(field, inputs[field.name], embedding_width, embedding_l2=embedding_l2)
        for field in fields
    ]
    x = keras.layers.Concatenate(name="fields")(joined) if len(joined) > 1 else joined[0]
    if dropout:
        x = keras.layers.Dropout(dropout, name="fields_dropout")(x)
    return inputs, x


def hidden_stack(x, hidden_units, dropout=0.0):
    """Dense layers with ReLU, each followed by dropout where it is wanted."""
    for number, units in enumerate(hidden_units, start=1):
        x = keras.layers.Dense(units, activation="relu", name=f"hidden_{number}")(x)
        if dropout:
            x = keras.layers.Dropout(dropout, name=f"hidden_{number}_dropout")(x)
    return x


def logits(x, name="logits"):
    """The last layer: one logit an example, float32 whatever the policy."""
    return keras.layers.Dense(1, dtype="float32", name=name)(x)
