import keras
import numpy as np
import pytest

from tfdistill.models import cnn

BLOCKS = [{"filters": 3, "kernel_size": 2, "strides": 2}, {"filters": 4, "kernel_size": 3, "strides": 1}]


def images(count=5, size=6):
    return {"image": np.random.default_rng(0).uniform(size=(count, size, size, 1)).astype(np.float32)}


def test_parameters_are_those_of_its_layers():
    model = cnn((6, 6, 1), 5, blocks=BLOCKS, hidden_units=(7,))
    # convolutions without a bias, 4 numbers a channel of normalisation, 3 x 3 maps of 4 channels
    assert model.count_params() == 2 * 2 * 3 + 3 * 4 + 3 * 3 * 3 * 4 + 4 * 4 + (9 * 4 * 7 + 7) + (7 * 5 + 5)
    names = [layer.name for layer in model.layers]
    assert names == [
        "image",
        *("conv_1", "norm_1", "maps_1", "conv_2", "norm_2", "maps_2"),
        *("pixels", "hidden_1", "logits"),
    ]


def test_a_block_is_a_product_with_patches_normalised_and_cut_at_zero():
    model = cnn((6, 6, 1), 5, blocks=BLOCKS[:1], hidden_units=())
    random = np.random.default_rng(1)
    kernel = random.normal(size=(2, 2, 1, 3))
    gamma, beta, mean = random.normal(size=(3, 3))
    variance = np.array([0.5, 2.0, 1.0])
    model.get_layer("conv_1").set_weights([kernel])
    model.get_layer("norm_1").set_weights([gamma, beta, mean, variance])
    x = images()
    patches = x["image"].reshape(5, 3, 2, 3, 2).transpose(0, 1, 3, 2, 4).reshape(5, 3, 3, 4)
    normalised = (patches @ kernel.reshape(4, 3) - mean) / np.sqrt(variance + 1e-3) * gamma + beta
    weights, bias = model.get_layer("logits").get_weights()
    expected = np.maximum(normalised, 0).reshape(5, 27) @ weights + bias
    np.testing.assert_allclose(model(x, training=False), expected, rtol=1e-4, atol=1e-5)


def test_logits_are_float32_under_mixed_precision_too():
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        output = cnn((6, 6, 1), 5, blocks=BLOCKS)(images())
    finally:
        keras.mixed_precision.set_dtype_policy("float32")
    assert output.shape == (5, 5) and keras.backend.standardize_dtype(output.dtype) == "float32"


def test_it_round_trips_through_a_safe_keras_file(tmp_path):
    model = cnn((6, 6, 1), 5, blocks=BLOCKS, dropout=0.2)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(loaded(images()), model(images()))


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_dropout_follows_hidden_layers_only_where_it_is_asked_for(dropout):
    layers = cnn((6, 6, 1), 5, blocks=BLOCKS, hidden_units=(7, 6), dropout=dropout).layers
    rates = [layer.rate for layer in layers if isinstance(layer, keras.layers.Dropout)]
    assert rates == ([dropout] * 2 if dropout else [])
