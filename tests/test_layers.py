"""Layers found by name, path and object, and what they compute read from one forward pass."""

import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill._layers import ATTENTION_SCORES, OUTPUT, find_layer, layer_paths, output_specs, recording

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(3, 4)).astype("float32")
SEQUENCE = GENERATOR.normal(size=(2, 5, 4)).astype("float32")


@keras.saving.register_keras_serializable(package="test_layers")
class Subclassed(keras.Model):
    """Two blocks in a list, each with a layer of the same name, and a head."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.blocks = [Block(name=f"block_{i}") for i in range(2)]
        self.heads = {"main": keras.layers.Dense(2, name="head")}

    def call(self, inputs):
        for block in self.blocks:
            inputs = block(inputs)
        return self.heads["main"](inputs)


class Block(keras.layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(4, name="dense")

    def build(self, input_shape):
        self.late = keras.layers.Dense(4, name="late")
        super().build(input_shape)

    def call(self, inputs):
        return self.late(self.dense(inputs))


def nested():
    inputs = keras.Input((4,))
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="dense")], name="inner")
    outputs = keras.layers.Dense(2, name="out")(inner(keras.layers.Dense(4, name="dense")(inputs)))
    return keras.Model(inputs, outputs)


def transformer(ask=False, heads=2):
    inputs = keras.Input((5, 4))
    attention = keras.layers.MultiHeadAttention(heads, 3, name="attention")
    attended = attention(inputs, inputs, return_attention_scores=ask)
    attended, scores = attended if ask else (attended, None)
    return keras.Model(inputs, [attended, scores] if ask else attended)


def read(model, inputs, reference, reading=OUTPUT, **arguments):
    layer = find_layer(model, reference, "student")
    with recording({reference: (layer, reading)}) as outputs:
        model(inputs, **arguments)
        result = outputs()[reference]
    assert_no_hook_is_left(model)
    return result


def assert_no_hook_is_left(model):
    for layer in [model, *layer_paths(model).values()]:
        assert "call" not in vars(layer) and "quantized_call" not in vars(layer)


def test_a_layer_is_found_by_name_by_path_and_as_itself():
    model = nested()
    inner = model.get_layer("inner").get_layer("dense")
    assert find_layer(model, "inner/dense", "student") is inner
    assert find_layer(model, "dense", "student") is model.get_layer("dense")  # the outer of two
    assert find_layer(model, inner, "student") is inner
    assert find_layer(model, "inner", "student") is model.get_layer("inner")


def test_the_end_of_a_path_is_enough_where_one_layer_fits():
    model = Subclassed()
    assert find_layer(model, "block_1", "student") is model.blocks[1]
    assert find_layer(model, "head", "student") is model.heads["main"]
    assert find_layer(model, "block_1/dense", "student") is model.blocks[1].dense
    with pytest.raises(
        ValueError, match=r"'dense' fits several layers, \['block_0/dense', 'block_1/dense'\]. Give the"
    ):
        find_layer(model, "dense", "student")


def test_layers_of_the_same_name_side_by_side_are_told_apart_as_objects():
    class Twins(keras.Model):
        def __init__(self):
            super().__init__()
            self.first, self.second = keras.layers.Dense(2, name="twin"), keras.layers.Dense(2, name="twin")

    model = Twins()
    assert find_layer(model, model.second, "student") is model.second
    with pytest.raises(ValueError, match="or the layer itself"):
        find_layer(model, "twin", "student")


def test_a_wrong_name_lists_the_near_ones_and_all_others():
    with pytest.raises(
        ValueError,
        match=r"In teacher model: no layer named 'inner/dens'. The nearest: 'inner/dense'.* "
        r"Its layers: \['dense', 'inner', 'out', 'inner/dense'\]$",
    ):
        find_layer(nested(), "inner/dens", "teacher")
    with pytest.raises(ValueError, match=r"no layer named 'zzz'. Its layers: .*not built yet"):
        find_layer(Subclassed(), "zzz", "teacher")
    with pytest.raises(ValueError, match="the layer 'stranger' is none of its layers"):
        find_layer(nested(), keras.layers.Dense(2, name="stranger"), "student")


def test_a_long_list_of_layers_is_cut():
    model = keras.Sequential([keras.layers.Identity(name=f"layer_{i}") for i in range(60)])
    with pytest.raises(ValueError, match="'layer_39'] and 20 more"):
        find_layer(model, "zzz", "student")


def test_a_callable_has_no_layers():
    with pytest.raises(
        ValueError, match="In teacher model: the output of layer 'a' can be read from a Keras model only"
    ):
        find_layer(lambda x: x, "a", "teacher")


def test_a_layer_that_holds_its_model_ends_the_search():
    class Child(keras.layers.Layer):
        parent = None

    model = Subclassed(name="parent")
    model.child = Child(name="child")
    model.child.parent = model
    assert {"child", "child/parent"} <= set(layer_paths(model))
    assert not any(path.startswith("child/parent/") for path in layer_paths(model))


def test_layers_made_in_build_are_found_once_the_model_has_run():
    model = Subclassed()
    assert "block_0/late" not in layer_paths(model)
    model(X)
    assert find_layer(model, "block_0/late", "student") is model.blocks[0].late


def test_outputs_of_functional_and_sequential_models_are_read():
    model = nested()
    outer = X @ model.get_layer("dense").get_weights()[0]
    inner = outer @ model.get_layer("inner").get_weights()[0]
    np.testing.assert_allclose(read(model, X, "dense"), outer, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(read(model, X, "inner/dense"), inner, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(read(model, X, "inner"), inner, rtol=1e-5, atol=1e-6)
    sequential = keras.Sequential([keras.layers.Dense(3, name="a"), keras.layers.Dense(2, name="b")])
    sequential(X)
    expected = X @ sequential.layers[0].get_weights()[0]
    np.testing.assert_allclose(read(sequential, X, "a"), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("jit_compile", [None, False, True], ids=["eager", "graph", "xla"])
def test_outputs_inside_subclassed_models_are_read(jit_compile):
    model = Subclassed()
    model(X)

    def features(inputs):
        return read(model, inputs, "block_1/dense")

    if jit_compile is not None:
        features = tf.function(features, jit_compile=jit_compile)
    expected = model.blocks[1].dense(model.blocks[0](X))
    np.testing.assert_allclose(features(X), expected, rtol=1e-5, atol=1e-6)


def test_several_layers_are_read_in_one_pass_with_the_prediction():
    model = Subclassed()
    prediction = model(X)
    layers = {name: find_layer(model, name, "student") for name in ("block_0", "block_1", "head")}
    with recording({name: (layer, OUTPUT) for name, layer in layers.items()}) as outputs:
        same = model(X)
        found = outputs()
    assert found["head"] is same
    np.testing.assert_array_equal(same, prediction)
    np.testing.assert_allclose(model.blocks[1](found["block_0"]), found["block_1"], rtol=1e-5)


def test_gradients_flow_through_what_is_read():
    model = nested()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(read(model, X, "dense"))
    kernel = model.get_layer("dense").kernel
    np.testing.assert_allclose(tape.gradient(loss, kernel.value), X.sum(0)[:, None] * np.ones((4, 4)), rtol=1e-5)


def test_a_layer_with_several_outputs_gives_all_of_them():
    inputs = keras.Input((5, 4))
    outputs, *_ = keras.layers.LSTM(3, return_state=True, name="lstm")(inputs)
    model = keras.Model(inputs, outputs)
    assert [tuple(output.shape) for output in read(model, SEQUENCE, "lstm")] == [(2, 3)] * 3


def test_both_directions_of_a_bidirectional_layer_are_read():
    model = keras.Sequential(
        [keras.Input((5, 4)), keras.layers.Bidirectional(keras.layers.GRU(3, name="gru"), name="both")]
    )
    both = read(model, SEQUENCE, "both")
    np.testing.assert_allclose(read(model, SEQUENCE, "both/forward_gru"), both[:, :3])
    np.testing.assert_allclose(read(model, SEQUENCE, "both/backward_gru"), both[:, 3:])


def test_a_mask_stays_on_what_is_read():
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Embedding(5, 4, mask_zero=True, name="table"),
            keras.layers.Dense(2, name="out"),
        ]
    )
    ids = np.array([[1, 2, 0]])
    for name in ("table", "out"):
        np.testing.assert_array_equal(read(model, ids, name)._keras_mask, [[True, True, False]])


def test_a_layer_called_twice_or_never_has_no_single_output():
    inputs = keras.Input((4,))
    shared = keras.layers.Dense(4, name="shared")
    twice = keras.Model(inputs, shared(shared(inputs)))
    with pytest.raises(ValueError, match="'shared' is called 2 times.*keras.layers.Identity"):
        read(twice, X, "shared")
    unused = Subclassed()
    unused.unused = keras.layers.Dense(4, name="unused")
    unused.unused.build((None, 4))
    with pytest.raises(ValueError, match="'unused' is not called in the model's forward pass"):
        read(unused, X, "unused")
    for model in (twice, unused):
        assert_no_hook_is_left(model)


def test_a_layer_shared_between_models_is_read_in_the_one_that_runs():
    shared = keras.layers.Dense(4, name="shared")
    first, second = (keras.Sequential([keras.Input((4,)), shared, keras.layers.Dense(2)]) for _ in range(2))
    with recording({"first": (shared, OUTPUT)}) as outputs:
        first(X)
        found = outputs()["first"]
    np.testing.assert_allclose(found, shared(X))
    np.testing.assert_allclose(read(second, 2 * X, "shared"), shared(2 * X))


@pytest.mark.parametrize("ask", [False, True])
def test_attention_scores_are_read_whether_or_not_the_model_asks_for_them(ask):
    model = transformer(ask)
    plain = model(SEQUENCE)
    scores = read(model, SEQUENCE, "attention", ATTENTION_SCORES)
    attention = model.get_layer("attention")
    np.testing.assert_allclose(scores, attention(SEQUENCE, SEQUENCE, return_attention_scores=True)[1], rtol=1e-5)
    np.testing.assert_allclose(np.sum(scores, -1), 1.0, rtol=1e-5)
    with recording({"scores": (attention, ATTENTION_SCORES), "output": (attention, OUTPUT)}) as outputs:
        unchanged = model(SEQUENCE)
        found = outputs()
    for structure in (plain, found["output"]):
        for one, other in zip(keras.tree.flatten(structure), keras.tree.flatten(unchanged), strict=True):
            # Sums of numbers of either sign around 1: what cancels leaves their rounding.
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_attention_scores_carry_the_mask_of_the_queries():
    ids = keras.Input((4,), dtype="int32")
    embedded = keras.layers.Embedding(9, 4, mask_zero=True)(ids)
    model = keras.Model(ids, keras.layers.MultiHeadAttention(2, 3, name="attention")(embedded, embedded))
    scores = read(model, np.array([[1, 2, 3, 0], [4, 0, 0, 0]]), "attention", ATTENTION_SCORES)
    np.testing.assert_array_equal(scores._keras_mask, [[True, True, True, False], [True, False, False, False]])
    np.testing.assert_allclose(scores[0, :, :3, 3], 0.0)  # nothing looks at padding


def test_the_scores_of_another_layer_are_its_output():
    model = nested()
    np.testing.assert_array_equal(read(model, X, "dense", ATTENTION_SCORES), read(model, X, "dense"))


def test_a_quantized_layer_is_read():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="a"), keras.layers.Dense(2, name="b")])
    before = read(model, X, "a")
    model.get_layer("a").quantize("int8")
    np.testing.assert_allclose(read(model, X, "a"), before, atol=0.05)


def test_shapes_are_known_without_data_for_functional_models():
    model = nested()
    readings = {name: (find_layer(model, name, "student"), OUTPUT) for name in ("dense", "inner/dense")}
    specs = output_specs(model, readings)
    assert {key: spec.shape for key, spec in specs.items()} == {
        None: (None, 2),
        "dense": (None, 4),
        "inner/dense": (None, 3),
    }
    assert_no_hook_is_left(model)
    attention = transformer(heads=3)
    specs = output_specs(attention, {"scores": (attention.get_layer("attention"), ATTENTION_SCORES)})
    assert specs["scores"].shape == (None, 3, 5, 5)
    assert output_specs(Subclassed(), {}) is None


def test_asking_for_shapes_leaves_states_and_seeds_alone():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(2, name="out"),
        ]
    )
    before = [variable.numpy() for variable in model.variables]
    output_specs(model, {"out": (model.get_layer("out"), OUTPUT)})
    for one, other in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(one, other)


def test_threads_read_their_own_passes():
    model = Subclassed()
    model(X)
    layer, barrier, found = model.blocks[0].dense, threading.Barrier(4), {}

    def run(number):
        for _ in range(20):
            with recording({"dense": (layer, OUTPUT)}) as outputs:
                barrier.wait()
                model(number * X)
                found[number] = outputs()["dense"]

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(4):
        np.testing.assert_allclose(found[number], layer(number * X), rtol=1e-5)
    assert_no_hook_is_left(model)


def test_a_replica_of_a_mirrored_strategy_reads_in_its_own_thread():
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        model = Subclassed()
        model(X)
    per_replica = strategy.run(lambda: read(model, X, "block_0/dense"))
    np.testing.assert_allclose(strategy.experimental_local_results(per_replica)[0], model.blocks[0].dense(X), rtol=1e-5)


def test_an_exception_leaves_no_hook_behind():
    class Failing(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(2, name="dense")

        def call(self, inputs):
            self.dense(inputs)
            raise RuntimeError("fails")

    model = Failing()
    with pytest.raises(RuntimeError, match="fails"):
        read(model, X, "dense")
    assert_no_hook_is_left(model)
    with pytest.raises(AttributeError), recording({"dense": (model.dense, OUTPUT), "none": (object(), OUTPUT)}):
        pass
    assert_no_hook_is_left(model)


def test_a_call_that_someone_replaced_before_is_put_back():
    model = nested()
    layer = model.get_layer("dense")
    original = layer.call

    def doubled(inputs):
        return 2 * original(inputs)

    layer.call = doubled
    with recording({"dense": (layer, OUTPUT)}) as outputs:
        model(X)
        found = outputs()["dense"]
    np.testing.assert_allclose(found, 2 * original(X))
    assert layer.call is doubled


def test_a_model_that_was_read_saves_and_clones_as_before(tmp_path):
    model = Subclassed()
    expected = model(X)
    read(model, X, "block_0/dense")
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(X), expected, rtol=1e-5)
    functional = nested()
    read(functional, X, "inner/dense")
    clone = keras.models.clone_model(functional)
    assert find_layer(clone, "inner/dense", "student") is not find_layer(functional, "inner/dense", "student")
    clone.set_weights(functional.get_weights())
    np.testing.assert_allclose(clone(X), functional(X), rtol=1e-5)


@pytest.mark.parametrize("in_graph", [False, True])
def test_a_layer_in_a_condition_is_read_where_there_is_no_graph(in_graph):
    class Conditional(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4, name="dense")

        def call(self, inputs):
            return keras.ops.cond(keras.ops.sum(inputs) > -1e9, lambda: self.dense(inputs), lambda: inputs)

    model = Conditional()
    model.dense.build((None, 4))
    if not in_graph:
        np.testing.assert_allclose(read(model, X, "dense"), model.dense(X), rtol=1e-5)
        return
    with pytest.raises(ValueError, match="'dense' is called inside a loop, a condition"):
        tf.function(lambda inputs: read(model, inputs, "dense"))(X)


@pytest.fixture
def tf_keras():
    """Keras 2, whose models may be teachers."""
    return pytest.importorskip("tf_keras")


@pytest.mark.parametrize("in_graph", [False, True])
def test_outputs_of_keras_2_models_are_read(tf_keras, in_graph):
    class Model(tf_keras.Model):
        def __init__(self):
            super().__init__()
            self.parts = [tf_keras.layers.Dense(3, name=f"part_{i}") for i in range(2)]

        def call(self, inputs):
            for part in self.parts:
                inputs = part(inputs)
            return inputs

    inputs = tf_keras.Input((4,))
    inner = tf_keras.Sequential([tf_keras.layers.Dense(3, name="dense")], name="inner")
    functional = tf_keras.Model(inputs, tf_keras.layers.Dense(2, name="out")(inner(inputs)))
    subclassed = Model()
    subclassed(X)
    for model, reference, expected in (
        (functional, "inner/dense", inner(X)),
        (subclassed, "part_0", subclassed.parts[0](X)),
    ):

        def features(inputs, model=model, reference=reference):
            return read(model, inputs, reference)

        np.testing.assert_allclose((tf.function(features) if in_graph else features)(X), expected, rtol=1e-5)
    with pytest.raises(ValueError, match="no layer named 'iner/dense'. The nearest: 'inner/dense'"):
        find_layer(functional, "iner/dense", "teacher")


@pytest.mark.parametrize("in_graph", [False, True])
def test_attention_scores_of_keras_2_are_read(tf_keras, in_graph):
    ids = tf_keras.Input((4,))
    embedded = tf_keras.layers.Embedding(9, 4, mask_zero=True)(ids)
    attention = tf_keras.layers.MultiHeadAttention(2, 3, name="attention")
    model = tf_keras.Model(ids, attention(embedded, embedded))
    batch = np.array([[1, 2, 3, 0], [4, 0, 0, 0]])

    def features(inputs):
        scores = read(model, inputs, "attention", ATTENTION_SCORES)
        return scores, scores._keras_mask

    scores, mask = (tf.function(features) if in_graph else features)(tf.constant(batch))
    np.testing.assert_allclose(np.sum(scores, -1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(scores[0, :, :3, 3], 0.0)
    np.testing.assert_array_equal(mask, batch > 0)
