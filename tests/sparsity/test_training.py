"""Pruned models of every kind in training, in files and stripped."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

import tfdistill
from tfdistill.losses import LogitsDistillation
from tfdistill.parametrize import WeightTransform, parametrize
from tfdistill.sparsity import (
    ConstantSparsity,
    PolynomialDecay,
    PruningSchedule,
    UpdatePruningStep,
    prune_low_magnitude,
    sparsity_of,
    strip_pruning,
)

GENERATOR = np.random.default_rng(0)
IDS = GENERATOR.integers(1, 20, (16, 6))
X = GENERATOR.normal(size=(16, 8)).astype("float32")
Y = GENERATOR.normal(size=(16, 2)).astype("float32")
DECAY = PolynomialDecay(0.0, 0.75, begin_step=0, end_step=6, frequency=2)


@keras.saving.register_keras_serializable(package="test_sparsity_training")
class Recommender(keras.Model):
    """A subclassed model of what TFMOT does not take."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.table = layers.Embedding(20, 8, name="table")
        self.both_ways = layers.Bidirectional(layers.LSTM(4, return_sequences=True), name="both_ways")
        self.gru = layers.GRU(4, return_sequences=True, name="gru")
        self.attention = layers.MultiHeadAttention(2, 4, name="attention")
        self.convolution = layers.Conv1D(8, 3, name="convolution")
        self.normalization = layers.BatchNormalization()
        self.head = layers.Dense(2, name="head")

    def call(self, inputs, training=False):
        hidden = self.gru(self.both_ways(self.table(inputs)))
        hidden = self.convolution(self.attention(hidden, hidden))
        return self.head(ops.mean(self.normalization(hidden, training=training), axis=1))


def mlp():
    return keras.Sequential([keras.Input((8,)), layers.Dense(8, "relu", name="hidden"), layers.Dense(2, name="head")])


def fitted(model, x=X, epochs=4, **arguments):
    model.compile(keras.optimizers.Adam(0.01), "mse", **arguments)
    model.fit(x, Y, batch_size=8, epochs=epochs, shuffle=False, verbose=0, callbacks=[UpdatePruningStep()])
    return model


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_subclassed_model_of_many_kinds_of_layers_is_pruned(jit_compile, tmp_path):
    model = Recommender()
    pruned = fitted(prune_low_magnitude(model, DECAY), IDS, jit_compile=jit_compile)
    shares = sparsity_of(pruned)
    assert {path.split("/")[0] for path in shares} == {
        "table", "both_ways", "gru", "attention", "convolution", "head"
    }  # fmt: skip
    assert len(shares) == 13
    assert list(shares.values()) == pytest.approx([0.75] * len(shares), abs=0.04)
    assert sparsity_of(model) == shares  # the variables hold the zeros
    expected = pruned(IDS)
    stripped = strip_pruning(pruned)
    assert type(stripped) is Recommender
    assert len(stripped.variables) == len(model.variables)
    np.testing.assert_allclose(stripped(IDS), expected, atol=1e-6)
    np.testing.assert_allclose(model(IDS), expected, atol=1e-6)
    pruned.save(tmp_path / "pruned.keras")
    np.testing.assert_allclose(keras.saving.load_model(tmp_path / "pruned.keras")(IDS), expected, atol=1e-6)


@pytest.mark.parametrize(("scope", "block_size"), [("layer", (1, 1)), ("global", (2, 1))])
def test_training_resumed_from_a_file_equals_training_in_one_go(scope, block_size, tmp_path):
    def start():
        keras.utils.set_random_seed(3)
        return prune_low_magnitude(mlp(), DECAY, block_size=block_size, scope=scope)

    whole = fitted(start(), epochs=4)
    fitted(start(), epochs=2).save(tmp_path / "half.keras")
    resumed = keras.saving.load_model(tmp_path / "half.keras")
    assert [int(transform.step.numpy()) for transform in resumed.weight_transforms] == [4, 4]
    resumed.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0, callbacks=[UpdatePruningStep()])
    for ours, other in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, other)
    assert np.mean(whole.weight_transforms[0].mask) < 0.5


def test_with_global_scope_all_weights_have_one_threshold():
    model = mlp()
    model.layers[1].kernel.assign(model.layers[1].kernel * 100.0)
    pruned = prune_low_magnitude(model, ConstantSparsity(0.5, 1, frequency=1), scope="global")
    pruned.compile(keras.optimizers.SGD(0.0), "mse")
    before = [model.layers[0].kernel.numpy(), model.layers[1].kernel.numpy()]
    pruned.train_on_batch(X, Y)
    # 40 of 64 + 16 entries are kept, nearly all of the head.
    threshold = np.sort(np.abs(np.concatenate([one.ravel() for one in before])))[::-1][39]
    for layer, value in zip(model.layers, before, strict=True):
        np.testing.assert_array_equal(layer.kernel, np.where(np.abs(value) >= threshold, value, 0))
    assert [float(transform.threshold.numpy()) for transform in pruned.weight_transforms] == [threshold] * 2
    assert list(sparsity_of(pruned).values()) == [np.mean(np.abs(value) < threshold) for value in before]


def test_gradients_reach_pruned_entries_so_that_they_may_come_back():
    model = mlp()
    pruned = prune_low_magnitude(model, ConstantSparsity(0.5, 1, frequency=100))
    pruned.compile(keras.optimizers.SGD(0.1), "mse")
    pruned.train_on_batch(X, Y)
    raw, mask = model.layers[1].kernel.numpy(), pruned.weight_transforms[1].mask.numpy()
    assert np.all(raw[~mask] != 0)
    assert sparsity_of(pruned)["head/kernel"] == 0.5  # the model computes with zeros there


def test_nothing_moves_on_outside_training():
    pruned = prune_low_magnitude(mlp(), ConstantSparsity(0.5, 1, frequency=1))
    pruned.compile("sgd", "mse")
    before = pruned.get_weights()
    pruned.evaluate(X, Y, verbose=0)
    pruned.predict(X, verbose=0)
    for one, other in zip(before, pruned.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_custom_loop_prunes_as_fit_does():
    keras.utils.set_random_seed(1)
    model = mlp()
    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    looped, trained = prune_low_magnitude(model, DECAY), prune_low_magnitude(twin, DECAY)
    trained.compile(keras.optimizers.SGD(0.1), "mse")
    optimizer = keras.optimizers.SGD(0.1)

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = ops.mean((looped(x, training=True) - y) ** 2)
        optimizer.apply(tape.gradient(loss, looped.trainable_variables), looped.trainable_variables)

    for _ in range(8):
        step(tf.constant(X), tf.constant(Y))
        trained.train_on_batch(X, Y)
    for one, other in zip(looped.get_weights(), trained.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert sparsity_of(looped) == {"hidden/kernel": 0.75, "head/kernel": 0.75}


def test_a_pruned_student_learns_from_a_teacher(tmp_path):
    teacher, student = mlp(), mlp()
    distiller = tfdistill.Distiller(teacher, prune_low_magnitude(student, DECAY), LogitsDistillation(temperature=2.0))
    distiller.compile("adam", keras.losses.CategoricalCrossentropy(from_logits=True))
    distiller.fit(X, np.eye(2)[np.argmax(Y, 1)], batch_size=8, epochs=4, verbose=0, callbacks=[UpdatePruningStep()])
    assert set(sparsity_of(distiller).values()) == set(sparsity_of(student).values()) == {0.75}
    stripped = strip_pruning(distiller.student)
    np.testing.assert_allclose(stripped.predict(X, verbose=0), distiller.predict(X, verbose=0), atol=1e-6)
    distiller.save(tmp_path / "distiller.keras")
    loaded = keras.saving.load_model(tmp_path / "distiller.keras")
    np.testing.assert_allclose(loaded.predict(X, verbose=0), distiller.predict(X, verbose=0), atol=1e-6)


def test_pruned_layers_serve_in_models_of_any_kind():
    inputs = keras.Input((8,))
    hidden = prune_low_magnitude(layers.Dense(8, "relu"), DECAY)(inputs)
    model = fitted(keras.Model(inputs, layers.Dense(2, name="head")(hidden)))
    shares = sparsity_of(model)
    assert sorted(shares.values()) == [0.0, 0.75]
    stripped = strip_pruning(model)
    assert [type(layer).__name__ for layer in stripped.layers] == ["InputLayer", "Dense", "Dense"]
    np.testing.assert_allclose(stripped.predict(X, verbose=0), model.predict(X, verbose=0), atol=1e-6)


def test_a_list_of_pruned_layers_makes_a_model():
    model = keras.Sequential(prune_low_magnitude([layers.Dense(8), layers.ReLU(), layers.Dense(2)], DECAY))
    fitted(model)
    assert list(sparsity_of(model).values()) == [0.75, 0.75]
    assert [type(layer).__name__ for layer in strip_pruning(model).layers] == ["Dense", "ReLU", "Dense"]


@keras.saving.register_keras_serializable(package="test_sparsity_training")
class AtThirdStep(PruningSchedule):
    def __call__(self, step):
        return step == 3, 0.5

    def get_config(self):
        return {}


def test_a_schedule_of_ones_own_is_followed_and_saved(tmp_path):
    pruned = prune_low_magnitude(mlp(), AtThirdStep())
    pruned.compile("sgd", "mse")
    shares = []
    for _ in range(4):
        pruned.train_on_batch(X, Y)
        shares.append(sparsity_of(pruned)["hidden/kernel"])
    assert shares == [0.0, 0.0, 0.5, 0.5]
    pruned.save(tmp_path / "own.keras")
    loaded = keras.saving.load_model(tmp_path / "own.keras")
    assert type(loaded.weight_transforms[0].pruning_schedule) is AtThirdStep


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16", "float16", "float64"])
def test_weights_keep_their_precision_under_any_dtype_policy(dtype):
    keras.config.set_dtype_policy(dtype)
    try:
        model = mlp()
        pruned = prune_low_magnitude(model, ConstantSparsity(0.5, 1, frequency=1))
        before = model.layers[0].kernel.numpy()
        pruned.compile(keras.optimizers.SGD(0.0), "mse")
        pruned.train_on_batch(X, Y)
    finally:
        keras.config.set_dtype_policy("float32")
    kept = pruned.weight_transforms[0].mask.numpy()
    np.testing.assert_array_equal(model.layers[0].kernel, np.where(kept, before, 0))
    assert kept.mean() == 0.5


def test_eager_steps_prune_as_compiled_ones_do():
    weights = []
    for arguments in ({"run_eagerly": True}, {"jit_compile": False}):
        keras.utils.set_random_seed(2)
        weights.append(fitted(prune_low_magnitude(mlp(), DECAY), **arguments).get_weights())
    for eager, compiled in zip(*weights, strict=True):
        np.testing.assert_allclose(eager, compiled, atol=1e-6)


def test_strip_pruning_refuses_what_is_not_pruned_or_more_than_pruned():
    with pytest.raises(ValueError, match="`model` has no pruned weights to strip. Received: .*Sequential"):
        strip_pruning(mlp())

    class Same(WeightTransform):
        def call(self, value, training=False):
            return value

    with pytest.raises(ValueError, match=r"transforms besides pruning \(Same\).*tfdistill.parametrize.strip"):
        strip_pruning(parametrize(prune_low_magnitude(mlp()), lambda weight: Same()))
