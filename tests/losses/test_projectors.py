import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.losses.projectors import make_projector


def test_a_dense_projector_maps_the_last_axis():
    projector = make_projector("dense", (None, 6, 8), (None, 6, 3))
    assert projector.count_params() == 3 * 8 + 8
    features = np.random.default_rng(0).normal(size=(2, 6, 3)).astype("float32")
    kernel, bias = projector.get_weights()
    np.testing.assert_allclose(projector(features), features @ kernel + bias, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ((None, 5, 3), keras.layers.Conv1D),
        ((None, 5, 5, 3), keras.layers.Conv2D),
        ((None, 2, 5, 5, 3), keras.layers.Conv3D),
    ],
)
def test_a_convolution_has_kernel_size_one_and_the_rank_of_the_maps(shape, kind):
    projector = make_projector("conv", (*shape[:-1], 8), shape)
    assert isinstance(projector, kind) and projector.count_params() == 3 * 8 + 8
    features = np.random.default_rng(0).normal(size=(2, *shape[1:])).astype("float32")
    kernel, bias = projector.get_weights()
    expected = features @ kernel.reshape(3, 8) + bias
    np.testing.assert_allclose(projector(features), expected, rtol=1e-5, atol=1e-6)


def test_auto_projects_only_where_shapes_differ():
    assert make_projector("auto", (None, 8), (None, 8)) is None
    assert make_projector("auto", (None, None, 8), (None, None, 8)) is None
    assert isinstance(make_projector("auto", (None, 8), (None, 3)), keras.layers.Dense)
    assert isinstance(make_projector("auto", (None, None, 8), (None, None, 3)), keras.layers.Dense)
    assert isinstance(make_projector("auto", (None, 4, 4, 8), (None, 4, 4, 3)), keras.layers.Conv2D)


def test_auto_pools_images_of_different_sizes():
    assert make_projector("auto", (None, 8, 8, 4), (None, 4, 4, 2)).count_params() == 2 * 4 + 4
    assert make_projector("auto", (None, 4, 4, 4), (None, 8, 8, 2)).count_params() == 2 * 4 + 4


def test_a_projector_starts_from_the_global_seed():
    def first_weights(seed):
        keras.utils.set_random_seed(seed)
        return make_projector("dense", (None, 8), (None, 3)).get_weights()[0]

    np.testing.assert_array_equal(first_weights(1), first_weights(1))
    assert np.abs(first_weights(1) - first_weights(2)).max() > 0


def test_weights_are_float32_whatever_the_policy():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        projector = make_projector("conv", (None, 4, 4, 8), (None, 4, 4, 3))
    finally:
        keras.config.set_dtype_policy("float32")
    assert projector(tf.ones((1, 4, 4, 3), "float16")).dtype == "float32"


def test_images_keep_their_channels_last_whatever_the_default():
    keras.config.set_image_data_format("channels_first")
    try:
        projector = make_projector("auto", (None, 8, 8, 4), (None, 4, 4, 2))
    finally:
        keras.config.set_image_data_format("channels_last")
    assert projector.data_format == "channels_last"


def test_a_layer_of_ones_own_may_change_the_rank():
    own = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(5)])
    assert make_projector(own, (None, 5), (None, 2, 2, 3)) is own
    assert own.count_params() == 12 * 5 + 5


@pytest.mark.parametrize(
    ("kind", "teacher", "student", "message"),
    [
        (None, (None, 8), (None, 3), r"teacher \(None, 8\), student \(None, 3\). Give a `projector`"),
        (
            "dense",
            (None, 4, 8),
            (None, 5, 3),
            r"teacher \(None, 4, 8\), student \(None, 5, 8\). The student's are those",
        ),
        ("auto", (None, 4, 4, 8), (None, 3), r"not their rank.* teacher \(None, 4, 4, 8\), student \(None, 3\)"),
        ("conv", (None, 8), (None, 3), "one to three spatial axes"),
        ("dense", (None, None), (None, 3), "known width"),
        ("dense", (None, 8), (None, None), "known width"),
        (keras.layers.Dense(5), (None, 8), (None, 3), r"teacher \(None, 8\), student \(None, 5\). The student's are"),
        (
            "linear",
            (None, 8),
            (None, 3),
            "`projector` must be 'auto', 'dense', 'conv', a keras Layer or None. Received",
        ),
        (3, (None, 8), (None, 3), "Received: projector=3"),
    ],
)
def test_shapes_that_no_projector_brings_together_are_named(kind, teacher, student, message):
    with pytest.raises(ValueError, match=message):
        make_projector(kind, teacher, student)
