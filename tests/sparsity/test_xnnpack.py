"""The policy for XNNPACK: what it prunes, and the same models refused as TFMOT refuses."""

import keras
import pytest

from tfdistill.sparsity import PruneForLatencyOnXNNPack, prune_low_magnitude


def network(library=keras, begin=True, between=lambda layers, x: x, depthwise=None):
    layers = library.layers
    inputs = library.Input((16, 16, 3))
    x = layers.ZeroPadding2D(1)(inputs)
    x = layers.Conv2D(4, 3, strides=2 if begin else 1, padding="valid", name="stem")(x)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU(6.0)(x)
    y = layers.Conv2D(8, 1, name="expand")(x)
    y = layers.Activation("relu")(y)
    y = layers.DepthwiseConv2D(**(depthwise or {"kernel_size": 3, "padding": "same"}))(y)
    y = layers.Conv2D(4, 1, use_bias=False, name="project")(y)
    x = layers.Add()([x, y]) if depthwise is None else y
    x = between(layers, x)
    x = layers.GlobalAveragePooling2D(keepdims=True)(x)
    return library.Model(inputs, layers.Conv2D(3, 1, name="head")(x))


def padded(layers, x):
    return layers.DepthwiseConv2D(5, strides=2, padding="valid")(layers.ZeroPadding2D(2)(x))


ACCEPTED = {
    "inverted residual": {},
    "padded depthwise convolution": {"between": padded},
    "upsampling": {"between": lambda layers, x: layers.UpSampling2D(2, interpolation="bilinear")(x)},
    "multiplication": {"between": lambda layers, x: layers.Multiply()([x, layers.Activation("sigmoid")(x)])},
}
REFUSED = {
    "another beginning": ({"begin": False}, "must begin with ZeroPadding2D"),
    "3x3 convolution": (
        {"between": lambda layers, x: layers.Conv2D(4, 3, name="wide")(x)},
        "layer 'wide' .Conv2D. is not one that XNNPACK",
    ),
    "max pooling": ({"between": lambda layers, x: layers.MaxPooling2D(name="pool")(x)}, "layer 'pool'"),
    "softmax": ({"between": lambda layers, x: layers.Activation("softmax", name="soft")(x)}, "layer 'soft'"),
    "nearest": ({"between": lambda layers, x: layers.UpSampling2D(2, name="up")(x)}, "layer 'up'"),
    "strided depthwise": ({"depthwise": {"kernel_size": 3, "strides": 2, "padding": "same", "name": "deep"}}, "'deep'"),
}


def test_1x1_convolutions_alone_are_pruned():
    pruned = prune_low_magnitude(network(), pruning_policy=PruneForLatencyOnXNNPack())
    assert [weight.path for weight, _ in pruned.transformed()] == ["expand/kernel", "project/kernel", "head/kernel"]


@pytest.mark.parametrize("case", ACCEPTED)
def test_models_that_run_faster_are_accepted(case):
    PruneForLatencyOnXNNPack().ensure_model_supports_pruning(network(**ACCEPTED[case]))


@pytest.mark.parametrize("case", REFUSED)
def test_other_models_are_refused(case):
    arguments, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        prune_low_magnitude(network(**arguments), pruning_policy=PruneForLatencyOnXNNPack())


def test_tfmot_accepts_and_refuses_the_same_models():
    tf_keras = pytest.importorskip("tf_keras")
    theirs = pytest.importorskip("tensorflow_model_optimization").sparsity.keras.PruneForLatencyOnXNNPack()
    for arguments in ACCEPTED.values():
        theirs.ensure_model_supports_pruning(network(tf_keras, **arguments))
    for arguments, _ in REFUSED.values():
        with pytest.raises(ValueError):
            theirs.ensure_model_supports_pruning(network(tf_keras, **arguments))


def test_models_that_do_not_end_in_pooling_or_have_no_graph_are_refused():
    inputs = keras.Input((16, 16, 3))
    stem = keras.layers.Conv2D(4, 3, strides=2)(keras.layers.ZeroPadding2D(1)(inputs))
    with pytest.raises(ValueError, match="must end with GlobalAveragePooling2D"):
        prune_low_magnitude(keras.Model(inputs, stem), pruning_policy=PruneForLatencyOnXNNPack())

    class Subclassed(keras.Model):
        pass

    with pytest.raises(ValueError, match="takes functional and built Sequential models"):
        PruneForLatencyOnXNNPack().ensure_model_supports_pruning(Subclassed())


def test_sequential_models_are_judged_too():
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.ZeroPadding2D(1),
            layers.Conv2D(4, 3, strides=2),
            layers.Conv2D(8, 1, name="wide"),
            layers.GlobalAveragePooling2D(keepdims=True),
        ]
    )
    pruned = prune_low_magnitude(model, pruning_policy=PruneForLatencyOnXNNPack())
    assert [weight.path for weight, _ in pruned.transformed()] == ["wide/kernel"]
