"""A small convolutional network for images."""

import keras

from tfdistill.models.embedding import hidden_stack

# Keras's 0.99 needs some 500 steps before the moving statistics are those of the data; small data has 20 an epoch.
MOMENTUM = 0.9


def cnn(image_shape, classes, *, blocks=({},), hidden_units=(32,), dropout=0.0, name="cnn"):
    """Blocks of convolution (without a bias), batch normalisation and ReLU, then dense layers and the logits.

    Layers are called conv_1, norm_1, maps_1 and so on, hidden_1 and so on, logits.

    Args:
        image_shape: (height, width, channels) of the images.
        classes: number of logits.
        blocks: a dict each, with filters, kernel_size and strides (defaults 8, 3 and 2); "same" padding.
        hidden_units: widths of the dense layers.
        dropout: share of every hidden layer dropped in training, 0 to 1.
        name: the model's name.

    Returns: a functional `keras.Model`, {"image": float [batch, height, width, channels]} -> float32 logits
        [batch, classes].

    >>> model = cnn((28, 28, 1), 10, blocks=[{"filters": 8, "kernel_size": 4, "strides": 4}], hidden_units=(16,))
    >>> model.count_params()  # 16 * 8 + 4 * 8 + (7 * 7 * 8 * 16 + 16) + (16 * 10 + 10)
    6618
    """
    image = keras.Input(image_shape, name="image")
    x = image
    for number, block in enumerate(blocks, start=1):
        settings = {"filters": 8, "kernel_size": 3, "strides": 2, **block}
        x = keras.layers.Conv2D(**settings, padding="same", use_bias=False, name=f"conv_{number}")(x)
        x = keras.layers.BatchNormalization(momentum=MOMENTUM, name=f"norm_{number}")(x)
        x = keras.layers.ReLU(name=f"maps_{number}")(x)
    x = hidden_stack(keras.layers.Flatten(name="pixels")(x), hidden_units, dropout)
    return keras.Model({"image": image}, keras.layers.Dense(classes, dtype="float32", name="logits")(x), name=name)
