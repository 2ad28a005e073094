import keras
import numpy as np
from keras import layers, ops

from tests.quantization.models import Subclassed, cnn
from tfdistill.quantization import quantize_model


def places(quantized):
    return {(layer.name, transform.where) for layer, transform in quantized.transformed_outputs()}


def test_a_result_is_rounded_after_what_is_fused_into_its_operator():
    outputs = {"conv_relu", "depthwise_relu", "side", "sum_relu", "average", "logits"}
    assert places(quantize_model(cnn())) == {("cnn", "input:0"), *((name, "output") for name in outputs)}


def test_kernels_have_a_scale_for_each_output_channel_and_tables_one():
    quantized = quantize_model(cnn())
    axes = {weight.path: transforms[0].channel_axes for weight, transforms in quantized.transformed()}
    assert axes == {
        "conv/kernel": (3,),
        "depthwise/kernel": (2, 3),
        "side/kernel": (3,),
        "logits/kernel": (1,),
    }
    ids = keras.Input((4,), dtype="int32")
    heads = layers.EinsumDense("abc,cde->abde", (None, 2, 5), name="heads")(layers.Embedding(9, 3, name="table")(ids))
    quantized = quantize_model(keras.Model(ids, heads))
    axes = {weight.path: transforms[0].channel_axes for weight, transforms in quantized.transformed()}
    assert axes == {"table/embeddings": (), "heads/kernel": (1, 2)}


def test_transposed_and_separable_convolutions_find_their_channels():
    image = keras.Input((8, 8, 3))
    x = layers.SeparableConv2D(4, 3, name="separable")(layers.Conv2DTranspose(5, 3, name="transposed")(image))
    quantized = quantize_model(keras.Model(image, x))
    axes = {weight.path: transforms[0].channel_axes for weight, transforms in quantized.transformed()}
    assert axes == {
        "transposed/kernel": (2,),
        "separable/depthwise_kernel": (2, 3),
        "separable/pointwise_kernel": (3,),
    }


def test_a_kernel_with_two_readers_is_rounded_before_its_normalisation():
    x = keras.Input((4,))
    product = layers.Dense(3, name="dense")(x)
    normalized = layers.BatchNormalization(name="norm")(product)
    quantized = quantize_model(keras.Model(x, [product, normalized], name="two"))
    assert places(quantized) == {("two", "input:0"), ("dense", "output"), ("norm", "output")}


def test_nothing_is_rounded_after_a_table_nor_after_layers_that_move_values():
    ids = keras.Input((4,), dtype="int32")
    x = layers.Flatten(name="flat")(layers.Dropout(0.2, name="drop")(layers.Embedding(9, 3, name="table")(ids)))
    quantized = quantize_model(keras.Model(ids, layers.Dense(1, name="logits")(x)))
    assert places(quantized) == {("logits", "output")}


def test_sigmoid_and_softmax_have_the_range_that_tflite_gives_them():
    x = keras.Input((4,))
    x1 = layers.Dense(3, activation="sigmoid", name="gate")(x)
    x2 = layers.Softmax(name="share")(layers.Dense(3, name="dense")(x1))
    quantized = quantize_model(keras.Model(x, layers.Activation("tanh", name="bend")(x2), name="fixed"))
    assert places(quantized) == {
        ("fixed", "input:0"),
        ("gate", "activation"),
        ("gate", "output"),
        ("dense", "output"),
        ("share", "output"),
        ("bend", "output"),
    }
    fixed = {layer.name: one.fixed for layer, one in quantized.transformed_outputs() if one.fixed}
    assert fixed == {"gate": (0, 255 / 256), "share": (0, 255 / 256), "bend": (-1, 127 / 128)}


def test_bare_operations_of_a_functional_model_are_rounded_like_layers():
    x = keras.Input((4,))
    hidden = layers.Dense(3, name="dense")(x)
    joined = ops.concatenate([ops.relu(hidden), hidden * hidden], axis=-1)
    model = keras.Model(x, layers.Dense(1, name="logits")(joined), name="bare")
    quantized = quantize_model(model)
    names = {type(layer).__name__ for layer, _ in quantized.transformed_outputs()}
    assert names == {"Functional", "Dense", "Concatenate"}  # product and ReLU are rounded where they are joined
    batch = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    quantized(batch, training=True)
    assert not any(transform.is_waiting for transform in quantized.output_transforms)
    np.testing.assert_allclose(quantized(batch), model(batch), atol=0.15)


def test_a_subclassed_model_is_traced_at_its_first_call():
    model = Subclassed(name="subclassed")
    quantized = quantize_model(model)
    ids = np.arange(24).reshape(4, 6) % 20
    quantized(ids)
    found = places(quantized)
    # Between layers, where operators of the model's own made the input, a product's input is rounded.
    assert {("attention", "output"), ("norm", "output"), ("dense", "input:0"), ("dense", "activation")} <= found
    assert {("dense", "output"), ("head", "input:0"), ("head", "output"), ("subclassed", "output")} <= found
    assert not any(name in ("table", "query", "key", "value") for name, _ in found)
    weights = {weight.path for weight, _ in quantized.transformed()}
    assert {"table/embeddings", "head/kernel", "block/dense/kernel", "block/attention/query/kernel"} <= weights
    assert sum("recurrent_kernel" in path for path in weights) == 2


def test_the_bag_and_the_scaled_number_of_a_ranker_are_rounded_where_they_are_joined():
    from tfdistill.data import Field
    from tfdistill.models import build

    fields = [
        Field("user", "categorical", "user", 9),
        Field("genres", "bag", "item", 5, length=3),
        Field("age", "numeric", "user", 1),
    ]
    quantized = quantize_model(build("dcn_v2", fields, embedding_width=2, cross_layers=1, hidden_units=(4,)))
    outputs = {"fields", "cross_1", "cross_1_product", "crosses_and_hidden", "logits"}
    assert places(quantized) == {(name, "output") for name in outputs}
