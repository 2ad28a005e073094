"""Callbacks: exact zeros after every epoch, what is wrong told, summaries written."""

import sys
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import tfdistill
from tfdistill.losses import LogitsDistillation
from tfdistill.sparsity import ConstantSparsity, PruningSummaries, UpdatePruningStep, prune_low_magnitude

X = np.random.default_rng(0).normal(size=(16, 8)).astype("float32")
Y = np.random.default_rng(1).normal(size=(16, 2)).astype("float32")


def mlp():
    return keras.Sequential([keras.Input((8,)), layers.Dense(4, "relu", name="hidden"), layers.Dense(2, name="head")])


def fit(model, callback, optimizer="adam", **arguments):
    model.compile(optimizer, "mse")
    model.fit(X, Y, batch_size=8, verbose=0, callbacks=[callback], **arguments)


def test_variables_hold_exact_zeros_after_every_epoch():
    model, shares = mlp(), []
    pruned = prune_low_magnitude(model, ConstantSparsity(0.5, 1, frequency=1))
    read = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: shares.append(np.mean(model.layers[0].kernel.numpy() == 0))
    )
    pruned.compile("adam", "mse")
    pruned.fit(X, Y, epochs=3, verbose=0, callbacks=[UpdatePruningStep(), read])
    assert shares == [0.5] * 3


def test_variables_hold_exact_zeros_after_the_averages_of_an_optimizer_too():
    model = mlp()
    optimizer = keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9)
    fit(prune_low_magnitude(model, ConstantSparsity(0.5, 2, frequency=1)), UpdatePruningStep(), optimizer)
    assert np.mean(model.layers[0].kernel.numpy() == 0) == 0.5


def test_a_model_in_which_nothing_is_pruned_is_refused(tmp_path):
    message = "nothing is pruned in 'sequential.*Train what `prune_low_magnitude` returned"
    with pytest.raises(ValueError, match=f"UpdatePruningStep: {message}"):
        fit(mlp(), UpdatePruningStep())
    pytest.importorskip("tensorboard")
    with pytest.raises(ValueError, match=f"PruningSummaries: {message}"):
        fit(mlp(), PruningSummaries(tmp_path / "logs"))


def test_summaries_of_a_tf_keras_model_are_those_of_tfmot(tmp_path):
    pytest.importorskip("tensorboard")
    tf_keras = pytest.importorskip("tf_keras")
    with pytest.raises(ValueError, match="use tensorflow_model_optimization"):
        PruningSummaries(tmp_path / "logs").set_model(tf_keras.Sequential([tf_keras.layers.Dense(2)]))


def test_a_pruned_model_that_is_built_by_its_training_is_accepted():
    pruned = prune_low_magnitude(keras.Sequential([layers.Dense(2)]), ConstantSparsity(0.5, 1, frequency=1))
    fit(pruned, UpdatePruningStep())
    assert np.mean(pruned.model.layers[0].kernel.numpy() == 0) == 0.5


def test_the_pruned_student_of_a_distiller_is_found():
    student = mlp()
    pruned = prune_low_magnitude(student, ConstantSparsity(0.5, 1, frequency=1))
    distiller = tfdistill.Distiller(mlp(), pruned, LogitsDistillation())
    fit(distiller, UpdatePruningStep())
    assert np.mean(student.layers[0].kernel.numpy() == 0) == 0.5


def test_a_schedule_that_had_no_turn_is_told_when_training_ends():
    pruned = prune_low_magnitude(mlp(), ConstantSparsity(0.5, 100))
    with pytest.warns(UserWarning, match=r"'hidden/kernel', 'head/kernel'.*'begin_step': 100.*in 4 steps"):
        fit(pruned, UpdatePruningStep(), epochs=2)


def test_further_training_with_masks_that_stay_is_no_reason_for_a_warning():
    pruned = prune_low_magnitude(mlp(), ConstantSparsity(0.5, 1, end_step=1))
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Nothing was pruned")
        fit(pruned, UpdatePruningStep())
        fit(pruned, UpdatePruningStep())


def test_the_callback_serves_in_a_custom_loop():
    model = mlp()
    pruned = prune_low_magnitude(model, ConstantSparsity(0.5, 1, frequency=1))
    callback = UpdatePruningStep()
    callback.set_model(pruned)
    callback.on_train_begin()
    pruned.compile("sgd", "mse")
    pruned.train_on_batch(X, Y)
    assert np.mean(model.layers[1].kernel.numpy() == 0) < 0.5  # the optimizer has moved some
    callback.on_epoch_end(-1)
    assert np.mean(model.layers[1].kernel.numpy() == 0) == 0.5


def test_summaries_hold_sparsity_and_threshold_of_every_weight(tmp_path):
    pytest.importorskip("tensorboard")
    pruned = prune_low_magnitude(mlp(), ConstantSparsity(0.5, 1, frequency=1))
    fit(pruned, PruningSummaries(tmp_path / "logs"), epochs=2)
    values = {}
    for file in (tmp_path / "logs" / "metrics").iterdir():
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            for value in event.summary.value:
                values[value.tag, event.step] = float(tf.make_ndarray(value.tensor))
    assert {tag for tag, _ in values} == {
        f"{path}/kernel/{kind}" for path in ("hidden", "head") for kind in ("mask/sparsity", "threshold")
    }
    assert {step for _, step in values} == {2, 4}
    assert values["hidden/kernel/mask/sparsity", 2] == values["hidden/kernel/mask/sparsity", 4] == 0.5
    assert values["head/kernel/threshold", 4] == pytest.approx(float(pruned.weight_transforms[1].threshold.numpy()))


def test_summaries_need_a_folder():
    with pytest.raises(ValueError, match="`log_dir` must be the path of a folder. Received: log_dir=''"):
        PruningSummaries("")


def test_summaries_ask_for_tensorboard(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ImportError, match="pip install tensorboard"):
        PruningSummaries(tmp_path / "logs")
