"""Masks, thresholds and weights equal TFMOT's at every step of training, on twins with equal weights, data and schedule."""

import keras
import numpy as np
import pytest

tf_keras = pytest.importorskip("tf_keras")
tfmot = pytest.importorskip("tensorflow_model_optimization").sparsity.keras

from tfdistill import sparsity  # noqa: E402

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(32, 12)).astype("float32")
Y = GENERATOR.normal(size=(32, 3)).astype("float32")
IMAGES = GENERATOR.normal(size=(32, 6, 6, 3)).astype("float32")
IDS = GENERATOR.integers(0, 13, (32, 5))
EPOCHS, BATCH = 3, 4

CONSTANT = ("ConstantSparsity", {"target_sparsity": 0.5, "begin_step": 2, "frequency": 3})
DECAY = (
    "PolynomialDecay",
    {"initial_sparsity": 0.1, "final_sparsity": 0.8, "begin_step": 0, "end_step": 20, "frequency": 2},
)
ENDING = ("ConstantSparsity", {"target_sparsity": 0.7, "begin_step": 1, "end_step": 9, "frequency": 4})
CASES = {
    "constant": (CONSTANT, {}),
    "polynomial decay": (DECAY, {}),
    "ending before training does": (ENDING, {}),
    "4x1 blocks, mean": (DECAY, {"block_size": (4, 1)}),
    "4x1 blocks, maximum": (CONSTANT, {"block_size": (4, 1), "block_pooling_type": "MAX"}),
    "5x2 blocks that do not fill the shapes": (DECAY, {"block_size": (5, 2)}),
    "2:4": (CONSTANT, {"sparsity_m_by_n": (2, 4)}),
    "1:3": (CONSTANT, {"sparsity_m_by_n": (1, 3)}),
}


def dense(library):
    layers = library.layers
    return [layers.Dense(7, "tanh"), layers.Dense(3)], (12,), "float32"


def convolutions(library):
    layers = library.layers
    return (
        [layers.Conv2D(5, 3, activation="relu"), layers.Conv2DTranspose(4, 2), layers.Flatten(), layers.Dense(3)],
        (6, 6, 3),
        "float32",
    )


def recurrent(library):
    layers = library.layers
    sequence = [layers.LSTM(5, return_sequences=True), layers.GRU(4, return_sequences=True), layers.SimpleRNN(4)]
    return [layers.Embedding(13, 6), *sequence, layers.Dense(3)], (5,), "int64"


def twins(layers_of):
    def sequential(library):
        layers, shape, dtype = layers_of(library)
        return library.Sequential([library.Input(shape, dtype=dtype), *layers])

    ours, theirs = sequential(keras), sequential(tf_keras)
    theirs.set_weights(ours.get_weights())
    return ours, theirs


def assert_equal_at_every_step(layers_of, x, schedule, arguments, optimizer="SGD", jit_compile=False):
    kind, settings = schedule
    ours, theirs = twins(layers_of)
    pruned = sparsity.prune_low_magnitude(ours, getattr(sparsity, kind)(**settings), **arguments)
    wrapped = tfmot.prune_low_magnitude(theirs, getattr(tfmot, kind)(**settings), **arguments)
    pruned.compile(getattr(keras.optimizers, optimizer)(0.05), "mse", jit_compile=jit_compile)
    wrapped.compile(getattr(tf_keras.optimizers, optimizer)(0.05), "mse")
    callbacks = [(sparsity.UpdatePruningStep(), pruned), (tfmot.UpdatePruningStep(), wrapped)]
    for callback, model in callbacks:
        callback.set_model(model)
        callback.on_train_begin()
    states = [state for layer in wrapped.layers for state in layer.pruning_vars]
    assert len(states) == len(pruned.weight_transforms)
    steps = len(x) // BATCH
    seen = set()
    for step in range(EPOCHS * steps):
        batch = slice(step % steps * BATCH, (step % steps + 1) * BATCH)
        pruned.train_on_batch(x[batch], Y[batch])
        wrapped.train_on_batch(x[batch], Y[batch])
        if step % steps == steps - 1:
            for callback, _ in callbacks:
                callback.on_epoch_end(-1)
        for transform, (_, mask, threshold) in zip(pruned.weight_transforms, states, strict=True):
            np.testing.assert_array_equal(transform.mask, mask.numpy(), f"step {step + 1}")
            if "sparsity_m_by_n" not in arguments:  # TFMOT sets 999 there
                np.testing.assert_allclose(transform.threshold, threshold, rtol=1e-5)
            seen.add(transform.mask.numpy().mean())
        for weight, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_allclose(weight, other, atol=3e-7, rtol=3e-6, err_msg=f"step {step + 1}")
    assert len(seen) > 1  # masks were updated
    return ours, theirs


@pytest.mark.parametrize("case", CASES)
def test_masks_and_weights_equal_those_of_tfmot_at_every_step(case):
    assert_equal_at_every_step(dense, X, *CASES[case])


@pytest.mark.parametrize("case", ["polynomial decay", "4x1 blocks, mean"])
def test_those_under_adam_equal_those_of_tfmot(case):
    assert_equal_at_every_step(dense, X, *CASES[case], "Adam")


@pytest.mark.parametrize("case", ["polynomial decay", "4x1 blocks, mean", "4x1 blocks, maximum", "2:4"])
def test_those_of_steps_compiled_by_xla_equal_those_of_tfmot(case):
    assert_equal_at_every_step(dense, X, *CASES[case], "Adam", jit_compile=True)


@pytest.mark.parametrize("arguments", [{}, {"sparsity_m_by_n": (2, 4)}])
def test_those_of_convolutions_equal_those_of_tfmot(arguments):
    assert_equal_at_every_step(convolutions, IMAGES, DECAY, arguments)


def test_those_of_tables_and_recurrent_layers_equal_those_of_tfmot():
    assert_equal_at_every_step(recurrent, IDS, DECAY, {})


def test_stripped_models_equal_those_of_tfmot():
    ours, theirs = assert_equal_at_every_step(dense, X, DECAY, {})
    np.testing.assert_allclose(ours.predict(X, verbose=0), theirs.predict(X, verbose=0), atol=1e-6)
    assert [np.mean(weight == 0) for weight in ours.get_weights()[::2]] == [67 / 84, 17 / 21]


def test_a_tf_keras_model_is_pruned_by_tfmot_itself():
    _, theirs = twins(dense)
    schedule = sparsity.PolynomialDecay(0.0, 0.5, 0, 4, frequency=1)
    pruned = sparsity.prune_low_magnitude(theirs, schedule)
    assert type(pruned).__module__.startswith("tf_keras.")
    assert {type(layer).__name__ for layer in pruned.layers} == {"PruneLowMagnitude"}
    assert type(pruned.layers[0].pruning_schedule) is tfmot.PolynomialDecay
    twin = tf_keras.models.clone_model(theirs)
    twin.set_weights(theirs.get_weights())
    direct = tfmot.prune_low_magnitude(twin, tfmot.PolynomialDecay(0.0, 0.5, 0, 4, frequency=1))
    for model, callback in ((pruned, sparsity.UpdatePruningStep()), (direct, tfmot.UpdatePruningStep())):
        model.compile(tf_keras.optimizers.SGD(0.1), "mse")
        model.fit(X, Y, batch_size=8, shuffle=False, verbose=0, callbacks=[callback])
    stripped, expected = sparsity.strip_pruning(pruned), tfmot.strip_pruning(direct)
    assert type(stripped) is type(expected)
    for weight, other in zip(stripped.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, other)
    assert np.mean(stripped.get_weights()[0] == 0) == 0.5


def test_layers_and_lists_of_tf_keras_are_pruned_by_tfmot_itself():
    assert type(sparsity.prune_low_magnitude(tf_keras.layers.Dense(2), input_shape=(3,))) is type(
        tfmot.prune_low_magnitude(tf_keras.layers.Dense(2))
    )
    both = sparsity.prune_low_magnitude([tf_keras.layers.Dense(2), tf_keras.layers.ReLU()])
    assert {type(layer).__name__ for layer in both} == {"PruneLowMagnitude"}


def test_what_tfmot_does_not_have_is_refused_for_tf_keras_models():
    with pytest.raises(ValueError, match="`layers` and `scope` are for Keras 3 models"):
        sparsity.prune_low_magnitude(tf_keras.layers.Dense(2), layers=["dense"])


def test_a_schedule_of_tfmot_serves_for_a_keras_3_model():
    pruned = sparsity.prune_low_magnitude(twins(dense)[0], tfmot.PolynomialDecay(0.1, 0.8, 0, 20, frequency=2))
    schedule = pruned.weight_transforms[0].pruning_schedule
    assert type(schedule) is sparsity.PolynomialDecay
    assert schedule.get_config() == sparsity.PolynomialDecay(0.1, 0.8, 0, 20, frequency=2).get_config()


@pytest.mark.parametrize("schedule", [CONSTANT, DECAY, ENDING])
def test_schedules_equal_those_of_tfmot(schedule):
    kind, settings = schedule
    ours, theirs = getattr(sparsity, kind)(**settings), getattr(tfmot, kind)(**settings)
    for step in np.arange(40):
        assert bool(ours(step)[0]) == bool(theirs(step)[0])
        assert float(ours(step)[1]) == pytest.approx(float(theirs(step)[1]), abs=1e-7)
