"""Clustered models of every kind: training, saving, stripping, together with other techniques."""

import importlib
import pkgutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

import tfdistill.clustering
from tfdistill import Distiller, losses
from tfdistill.clustering import ClusteringSummaries, cluster_weights, clusters_of, strip_clustering
from tfdistill.parametrize import Parametrized
from tfdistill.sparsity import ConstantSparsity, prune_low_magnitude, strip_pruning


@keras.saving.register_keras_serializable(package="tests_clustering")
class Recommender(keras.Model):
    """A subclassed model of the layers that recommenders are made of."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.items = keras.layers.Embedding(20, 4, mask_zero=True, name="items")
        self.history = keras.layers.Bidirectional(
            keras.layers.LSTM(3, return_sequences=True, name="lstm"), name="history"
        )
        self.attention = keras.layers.MultiHeadAttention(2, 3, name="attention")
        self.normalization = keras.layers.BatchNormalization(name="normalization")
        self.dropout = keras.layers.Dropout(0.2)
        self.head = keras.layers.Dense(6, name="head")

    def call(self, ids, training=False):
        hidden = self.history(self.items(ids))
        hidden = self.normalization(self.attention(hidden, hidden), training=training)
        return self.head(ops.mean(self.dropout(hidden, training=training), axis=1))


@keras.saving.register_keras_serializable(package="tests_clustering")
class OwnChoice(keras.layers.Layer):
    """A layer that says itself which of its weights are clustered."""

    def build(self, shape):
        self.first = self.add_weight(name="first", shape=(shape[-1], 4))
        self.second = self.add_weight(name="second", shape=(4,), initializer="ones")

    def call(self, x):
        return x @ self.first + self.second

    def get_clusterable_weights(self):
        return [("first", self.first)]


def recommender_data():
    random = np.random.default_rng(0)
    return random.integers(1, 20, (16, 4)), random.normal(size=(16, 6)).astype("float32")


def dense_data():
    random = np.random.default_rng(1)
    return random.normal(size=(24, 5)).astype("float32"), random.normal(size=(24, 4)).astype("float32")


def dense_model():
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(8, "relu", name="hidden"), keras.layers.Dense(4, name="head")]
    return keras.Sequential([keras.Input((5,)), *layers])


def assert_trains_and_strips(clustered, x, y, most):
    clustered.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    before = clustered.evaluate(x, y, verbose=0)
    clustered.fit(x, y, epochs=4, batch_size=8, verbose=0)
    assert clustered.evaluate(x, y, verbose=0) < before
    stripped = strip_clustering(clustered)
    np.testing.assert_allclose(stripped(x), clustered(x), atol=1e-6)
    assert all(count <= most for count in clusters_of(clustered).values())
    counts = clusters_of(stripped)
    assert len(counts) >= len(clusters_of(clustered)) and all(count <= most for count in counts.values())
    return stripped


def test_a_subclassed_recommender_trains_and_is_stripped_to_its_own_class():
    keras.utils.set_random_seed(0)
    x, y = recommender_data()
    clustered = cluster_weights(Recommender(), 4)
    stripped = assert_trains_and_strips(clustered, x, y, most=4)
    assert type(stripped) is Recommender
    assert [weight.path for weight, _ in clustered.transformed()] == [
        "items/embeddings",
        *(
            f"history/{way}_lstm/lstm_cell/{name}"
            for way in ("forward", "backward")
            for name in ("kernel", "recurrent_kernel")
        ),
        *(f"attention/{name}/kernel" for name in ("query", "key", "value", "attention_output")),
        "head/kernel",
    ]


def test_a_functional_model_with_a_model_in_it_trains():
    x, y = dense_data()
    inputs = keras.Input((5,))
    model = keras.Model(inputs, keras.layers.Dense(4)(dense_model()(inputs)))
    assert_trains_and_strips(cluster_weights(model, 4, "linear"), x, y, most=4)


def test_a_layer_and_a_list_of_layers_are_clustered_within_a_model():
    x, y = dense_data()
    hidden, dropout, head = cluster_weights(
        [keras.layers.Dense(8), keras.layers.Dropout(0.1), keras.layers.Dense(6)], 4
    )
    last = cluster_weights(keras.layers.Dense(4), 4)
    model = keras.Sequential([keras.Input((5,)), hidden, dropout, head, last])
    stripped = assert_trains_and_strips(model, x, y, most=4)
    assert [type(layer) for layer in stripped.layers] == [keras.layers.Dense, keras.layers.Dropout] + [
        keras.layers.Dense
    ] * 2


def test_layers_choose_by_name_path_pattern_and_layer():
    model = Recommender()
    model(recommender_data()[0])
    chosen = cluster_weights(model, 3, layers=["items", "attention/*/kernel", model.head, "recurrent_kernel"])
    paths = [weight.path for weight, _ in chosen.transformed()]
    assert "items/embeddings" in paths and "head/kernel" in paths
    assert sum(path.startswith("attention/") for path in paths) == 4
    assert [path for path in paths if path.startswith("history")] == [
        "history/forward_lstm/lstm_cell/recurrent_kernel",
        "history/backward_lstm/lstm_cell/recurrent_kernel",
    ]


def test_a_layers_own_choice_is_honoured_and_depthwise_kernels_are_left_out_unless_named():
    model = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            keras.layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise"),
            keras.layers.SeparableConv2D(4, 3, name="separable"),
            keras.layers.Flatten(),
            OwnChoice(name="own"),
        ]
    )
    paths = [weight.path for weight, _ in cluster_weights(model, 3).transformed()]
    assert paths == ["separable/pointwise_kernel", "own/first"]
    named = cluster_weights(model, 3, layers=["depthwise"])
    assert [weight.path for weight, _ in named.transformed()] == ["depthwise/kernel"]


def test_channels_have_centroids_of_their_own_where_asked():
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 2)).astype("float32")
    layers = [keras.layers.Conv2D(3, 3, name="convolution"), keras.layers.Flatten(), keras.layers.Dense(5, name="head")]
    model = keras.Sequential([keras.Input((6, 6, 2)), *layers])
    convolutions = cluster_weights(model, 4, "linear", cluster_per_channel=True)
    assert [tuple(one.centroids.shape) for one in convolutions.weight_transforms] == [(3, 4), (4,)]
    dense = cluster_weights(model, 4, "linear", cluster_per_channel=["head"])
    assert [tuple(one.centroids.shape) for one in dense.weight_transforms] == [(4,), (5, 4)]
    stripped = strip_clustering(convolutions)
    np.testing.assert_allclose(stripped(x), convolutions(x), atol=1e-6)
    channels = np.moveaxis(stripped.layers[0].kernel.numpy(), -1, 0)
    assert [len(np.unique(channel)) for channel in channels] == [4, 4, 4]
    np.testing.assert_array_equal(channels.reshape(3, -1).min(1), model.layers[0].kernel.numpy().reshape(-1, 3).min(0))


def test_clusters_under_a_distiller_and_after_saving_it(tmp_path):
    x, _ = dense_data()
    distiller = Distiller(dense_model(), cluster_weights(dense_model(), 4), losses.LogitsDistillation())
    distiller.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
    started = np.array(distiller.student.weight_transforms[0].centroids)
    distiller.fit(x, np.arange(24) % 4, verbose=0)
    assert not np.allclose(distiller.student.weight_transforms[0].centroids, started)
    assert list(clusters_of(distiller).values()) == [4, 4]
    distiller.save(tmp_path / "distiller.keras")
    loaded = keras.saving.load_model(tmp_path / "distiller.keras")
    np.testing.assert_array_equal(loaded.student(x), distiller.student(x))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_custom_loop_trains_weights_and_centroids(jit_compile):
    x, y = dense_data()
    clustered, optimizer = cluster_weights(dense_model(), 4, "linear"), keras.optimizers.SGD(0.1)
    optimizer.build(clustered.trainable_variables)

    @tf.function(jit_compile=jit_compile)
    def step():
        with tf.GradientTape() as tape:
            loss = ops.mean((clustered(x, training=True) - y) ** 2)
        optimizer.apply(tape.gradient(loss, clustered.trainable_variables))
        return loss

    values = [float(step()) for _ in range(6)]
    assert values[-1] < values[0]
    assert len(clustered.trainable_variables) == 6  # two kernels, two biases, two sets of centroids


def test_saving_in_the_middle_gives_the_training_that_was_not_interrupted(tmp_path):
    x, y = dense_data()

    def clustered():
        made = cluster_weights(dense_model(), 4, "linear", preserve_sparsity=True, cluster_gradient_aggregation="AVG")
        made.compile("adam", "mse", jit_compile=False)
        return made

    whole, first = clustered(), clustered()
    for _ in range(2):
        first.train_on_batch(x, y)
    first.save(tmp_path / "model.keras")
    second = keras.saving.load_model(tmp_path / "model.keras")
    assert [one.get_config() for one in second.weight_transforms] == [
        one.get_config() for one in first.weight_transforms
    ]
    for _ in range(2):
        second.train_on_batch(x, y)
    for _ in range(4):
        whole.train_on_batch(x, y)
    for ours, expected in zip(second.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("is_stripped_first", [False, True])
def test_zeros_of_pruning_stay_zeros(is_stripped_first):
    x, y = dense_data()
    pruned = prune_low_magnitude(dense_model(), ConstantSparsity(0.5, 0, end_step=2, frequency=1))
    pruned.compile("sgd", "mse", jit_compile=False)
    pruned.fit(x, y, epochs=3, verbose=0)
    plain = strip_pruning(pruned)
    zeros = [layer.kernel.numpy() == 0 for layer in plain.layers]
    assert [mask.mean() for mask in zeros] == [0.5, 0.5]
    model = plain if is_stripped_first else pruned
    clustered = cluster_weights(model, 4, preserve_sparsity=True)
    clustered.compile(keras.optimizers.Adam(0.05), "mse", jit_compile=False)
    clustered.fit(x, y, epochs=5, batch_size=8, verbose=0)
    stripped = strip_clustering(clustered)
    np.testing.assert_allclose(stripped(x), clustered(x), atol=1e-6)
    for layer, mask in zip(stripped.layers, zeros, strict=True):
        assert (layer.kernel.numpy()[mask] == 0).all()
        assert len(np.unique(layer.kernel.numpy())) <= 4


def test_clustering_around_a_pruned_part_is_refused():
    part = prune_low_magnitude(keras.layers.Dense(8, name="pruned"))
    model = keras.Sequential([keras.Input((5,)), part, keras.layers.Dense(4, name="head")])
    with pytest.raises(ValueError, match="Prune and cluster the same thing"):
        cluster_weights(model, 4)
    assert list(clusters_of(cluster_weights(model, 4, layers=["head"])).values()) == [4]


def test_untrained_and_all_zero_weights_can_be_clustered():
    x, y = dense_data()
    model = dense_model()
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    for preserve_sparsity in (False, True):
        clustered = cluster_weights(model, 4, preserve_sparsity=preserve_sparsity)
        clustered.compile("sgd", "mse", jit_compile=False)
        assert np.isfinite(clustered.fit(x, y, verbose=0).history["loss"]).all()


def test_a_large_weight_trains_as_a_small_one_does(monkeypatch):
    x, y = dense_data()
    losses_by_limit = []
    for limit in (1, 1 << 15):
        monkeypatch.setattr("tfdistill.clustering.clustered_weight.COMPILED_FROM", limit)
        clustered = cluster_weights(dense_model(), 4, "linear")
        clustered.compile("sgd", "mse", jit_compile=False)
        losses_by_limit.append(clustered.fit(x, y, epochs=3, shuffle=False, verbose=0).history["loss"])
    np.testing.assert_allclose(*losses_by_limit, rtol=1e-5)


def test_mixed_precision_keeps_centroids_in_float32():
    x, y = dense_data()
    layers = [keras.layers.Dense(8, dtype="mixed_bfloat16"), keras.layers.Dense(4, dtype="mixed_bfloat16")]
    clustered = cluster_weights(keras.Sequential([keras.Input((5,)), *layers]), 4)
    clustered.compile("sgd", "mse", jit_compile=False)
    assert np.isfinite(clustered.fit(x, y, verbose=0).history["loss"]).all()
    assert {str(one.centroids.dtype) for one in clustered.weight_transforms} == {"float32"}
    assert set(clusters_of(clustered).values()) == {4}


def test_summaries_write_centroids_and_weights(tmp_path):
    pytest.importorskip("tensorboard")
    x, y = dense_data()
    clustered = cluster_weights(dense_model(), 4)
    clustered.compile("sgd", "mse", jit_compile=False)
    clustered.fit(x, y, batch_size=8, verbose=0, callbacks=[ClusteringSummaries(str(tmp_path), cluster_update_freq=2)])
    tags = {}
    for path in tmp_path.glob("events*"):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            tags.update({value.tag: event.step for value in event.summary.value})
    assert tags == {
        f"clustering/{layer}/kernel{part}": 2 for layer in ("hidden", "head") for part in ("", "/centroids")
    }


def test_the_first_call_of_a_model_that_is_not_built_clusters_it():
    clustered = cluster_weights(keras.Sequential([keras.layers.Dense(6, name="hidden")]), 3)
    assert isinstance(clustered, Parametrized)
    clustered(np.ones((2, 5)))
    assert clusters_of(clustered) == {"hidden/kernel": 3}


@pytest.mark.parametrize("module", [one.name for one in pkgutil.iter_modules(tfdistill.clustering.__path__)])
def test_examples_in_docstrings_run(module):
    import doctest

    failures, _ = doctest.testmod(
        importlib.import_module(f"tfdistill.clustering.{module}"), extraglobs={"clusters_of": clusters_of}
    )
    assert failures == 0
