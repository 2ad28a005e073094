"""Learned projectors in a Distiller: trained and saved with it, no part of the student."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill import Distiller
from tfdistill.losses import (
    AttentionMapTransfer,
    AttentionTransfer,
    ContrastiveDistillation,
    FeatureDistillation,
    HintDistillation,
    RelationalDistillation,
    SimilarityPreserving,
)

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(24, 4)).astype("float32")
Y = GENERATOR.integers(0, 2, 24)
IMAGES = GENERATOR.normal(size=(8, 8, 8, 1)).astype("float32")
TOKENS = GENERATOR.integers(1, 9, (8, 5))
HARD = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def model(width):
    return keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(width, "relu", name="hidden"), keras.layers.Dense(2, name="out")]
    )


@keras.saving.register_keras_serializable(package="test_distiller_projectors")
class Tower(keras.Model):
    """A subclassed model: blocks in a list, made in the constructor and in the first call."""

    def __init__(self, width, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.blocks = [keras.layers.Dense(width, "relu", name=f"block_{i}") for i in range(2)]
        self.head = keras.Sequential([keras.layers.Dense(width, name="inner"), keras.layers.Dense(2)], name="head")

    def call(self, inputs):
        for block in self.blocks:
            inputs = block(inputs)
        return self.head(inputs)

    def get_config(self):
        return {**super().get_config(), "width": self.width}


def image_model(channels, stride):
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(channels, 3, stride, "same", activation="relu", name="maps"),
            keras.layers.GlobalAveragePooling2D(name="pooled"),
            keras.layers.Dense(2),
        ]
    )


def transformer(heads):
    tokens = keras.Input((5,), dtype="int32")
    embedded = keras.layers.Embedding(9, 6, keras.initializers.RandomNormal(stddev=2.0), mask_zero=True)(tokens)
    attended = keras.layers.MultiHeadAttention(heads, 3, name="attention")(embedded, embedded)
    return keras.Model(tokens, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling1D()(attended)))


def compiled(teacher, student, losses, run_eagerly=False, **arguments):
    distiller = Distiller(teacher, student, losses, **arguments)
    distiller.compile(keras.optimizers.Adam(0.02), HARD, run_eagerly=run_eagerly)
    return distiller


def test_the_projector_is_trained_and_is_no_part_of_the_student(tmp_path):
    loss, student = HintDistillation("hidden", "hidden"), model(3)
    distiller = compiled(model(8), student, loss)
    before = [weights.copy() for weights in loss.get_weights()]
    history = distiller.fit(X, Y, epochs=20, verbose=0).history["distillation_loss"]
    assert history[-1] < 0.7 * history[0]
    assert [weights.shape for weights in before] == [(3, 8), (8,)]
    assert all(np.abs(one - other).max() > 0.01 for one, other in zip(before, loss.get_weights(), strict=True))
    assert len(distiller.trainable_weights) == len(student.trainable_weights) + 2
    plain = model(3)
    assert [weight.shape for weight in student.weights] == [weight.shape for weight in plain.weights]
    student.save(tmp_path / "student.keras")
    assert keras.saving.load_model(tmp_path / "student.keras").count_params() == plain.count_params()
    student.export(tmp_path / "exported", verbose=False)
    assert len(tf.saved_model.load(str(tmp_path / "exported")).variables) == len(plain.weights)


def test_keras_own_distiller_trains_the_projector_too():
    loss = HintDistillation("hidden", "hidden")
    distiller = keras.distillation.Distiller(model(8), model(3), loss)
    distiller.compile(keras.optimizers.Adam(0.02), HARD)
    before = [weights.copy() for weights in loss.get_weights()]
    distiller.fit(X, Y, epochs=2, verbose=0)
    assert len(before) == 2
    assert all(np.abs(one - other).max() > 0 for one, other in zip(before, loss.get_weights(), strict=True))


def test_the_first_loss_is_that_of_the_features_through_the_projector():
    teacher, student, loss = model(8), model(3), HintDistillation("hidden", "hidden")
    distiller = compiled(teacher, student, loss)
    hidden = [np.maximum(X @ m.get_weights()[0] + m.get_weights()[1], 0) for m in (teacher, student)]
    kernel, bias = loss.get_weights()
    expected = np.mean((hidden[1] @ kernel + bias - hidden[0]) ** 2)
    logs = distiller.train_on_batch(X, Y, return_dict=True)
    np.testing.assert_allclose(logs["distillation_loss"], expected, rtol=1e-5)


@pytest.mark.parametrize(("built", "run_eagerly"), [(True, False), (False, False), (False, True)])
def test_subclassed_models_are_read_by_path_and_by_object_built_or_not(built, run_eagerly):
    teacher, student = Tower(8), Tower(3)
    if built:
        teacher(X), student(X)
    losses = [
        HintDistillation("block_1", student.blocks[1]),
        HintDistillation("head/inner", "inner"),
        ContrastiveDistillation(teacher.blocks[0], "block_0", dimension=4),
    ]
    distiller = compiled(teacher, student, losses, run_eagerly=run_eagerly)
    distiller.train_on_batch(X, Y)
    before = [[weights.copy() for weights in loss.get_weights()] for loss in losses]
    assert [[weights.shape for weights in each] for each in before] == [
        [(3, 8), (8,)],
        [(3, 8), (8,)],
        [(8, 4), (4,), (3, 4), (4,)],
    ]
    distiller.train_on_batch(X, Y)
    for loss, weights in zip(losses, before, strict=True):
        assert all(np.abs(one - other).max() > 0 for one, other in zip(weights, loss.get_weights(), strict=True))


@pytest.mark.parametrize("kind", ["functional", "subclassed"])
def test_a_distiller_from_a_file_has_its_projectors_and_trains_on(tmp_path, kind):
    def make(width):
        return model(width) if kind == "functional" else Tower(width)

    layers = ("hidden", "hidden") if kind == "functional" else ("head/inner", "head/inner")
    teacher = make(8)
    losses = [
        HintDistillation(*layers),
        FeatureDistillation("mae", *layers, projector=keras.layers.Dense(8, "tanh")),
        ContrastiveDistillation(*layers, dimension=4),
    ]
    distiller = compiled(teacher, make(3), losses)
    distiller.fit(X, Y, verbose=0)
    distiller.save(tmp_path / "distiller.keras")
    loaded = keras.saving.load_model(tmp_path / "distiller.keras")
    for loss, copy in zip(losses, loaded.distillation_losses, strict=True):
        for one, other in zip(loss.get_weights(), copy.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)
    loaded.teacher = teacher
    for _ in range(2):
        expected = distiller.train_on_batch(X, Y, return_dict=True)
        assert loaded.train_on_batch(X, Y, return_dict=True) == pytest.approx(expected, rel=1e-6)


def test_layers_given_as_objects_are_saved_by_name(tmp_path):
    teacher, student = model(8), model(3)
    loss = HintDistillation(teacher.get_layer("hidden"), student.get_layer("hidden"))
    distiller = compiled(teacher, student, loss)
    distiller.train_on_batch(X, Y)
    distiller.save(tmp_path / "distiller.keras")
    loaded = keras.saving.load_model(tmp_path / "distiller.keras")
    assert loaded.distillation_losses[0].student_layer_name == "hidden"
    loaded.teacher = teacher
    expected = distiller.train_on_batch(X, Y, return_dict=True)
    assert loaded.train_on_batch(X, Y, return_dict=True) == pytest.approx(expected, rel=1e-6)


def test_losses_between_images_of_other_sizes_and_channels_train():
    losses = [
        HintDistillation("maps", "maps"),
        AttentionTransfer("maps", "maps"),
        SimilarityPreserving("maps", "pooled"),
        RelationalDistillation("pooled", "pooled"),
        ContrastiveDistillation("pooled", "pooled", dimension=4),
    ]
    weights = [1.0, 10.0, 10.0, 0.1, 0.1]
    distiller = compiled(image_model(6, 1), image_model(3, 2), losses, distillation_loss_weights=weights)
    history = distiller.fit(IMAGES, Y[:8], epochs=5, batch_size=5, shuffle=False, verbose=0).history[
        "distillation_loss"
    ]
    assert np.isfinite(history).all() and history[-1] < history[0]


@pytest.mark.parametrize("loss", ["mse", "kl_divergence"])
def test_attention_maps_of_transformers_are_read_and_learned(loss):
    keras.utils.set_random_seed(1)
    teacher, student = transformer(4), transformer(2)
    tokens = TOKENS.copy()
    tokens[:, 3:] = 0
    loss_between_maps = AttentionMapTransfer(loss, "attention", "attention")
    distiller = compiled(teacher, student, loss_between_maps, student_loss_weight=0.0)

    def maps(model):
        embedded = model.layers[1](tokens)
        return model.get_layer("attention")(embedded, embedded, return_attention_scores=True)[1].numpy().mean(1)

    teacher_maps, student_maps = maps(teacher)[:, :3], maps(student)[:, :3]  # the queries that are no padding
    if loss == "mse":
        expected = np.mean((teacher_maps - student_maps) ** 2)
    else:
        teacher_maps, student_maps = teacher_maps[..., :3], student_maps[..., :3]  # padding has probability 0
        expected = np.mean(np.sum(teacher_maps * np.log(teacher_maps / student_maps), -1))
    first = distiller.train_on_batch(tokens, Y[:8], return_dict=True)["distillation_loss"]
    np.testing.assert_allclose(first, expected, rtol=1e-4)
    for _ in range(20):
        last = distiller.train_on_batch(tokens, Y[:8], return_dict=True)["distillation_loss"]
    assert last < 0.9 * first


def test_a_student_in_mixed_precision_trains_through_float32_projectors():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        student = model(3)
    finally:
        keras.config.set_dtype_policy("float32")
    losses = [HintDistillation("hidden", "hidden"), ContrastiveDistillation("hidden", "hidden", dimension=4)]
    distiller = compiled(model(8), student, losses)
    history = distiller.fit(X, Y, epochs=5, verbose=0).history["distillation_loss"]
    assert np.isfinite(history).all() and history[-1] < history[0]
    assert {weight.dtype for loss in losses for weight in loss.weights} == {"float32"}


def test_shapes_that_no_projector_brings_together_are_refused_at_once():
    with pytest.raises(ValueError, match=r"not their rank.* teacher \(None, 8, 8, 6\), student \(None, 3\)"):
        Distiller(image_model(6, 1), image_model(3, 1), HintDistillation("maps", "pooled"))
    with pytest.raises(ValueError, match="In student model: no layer named 'hiden'. The nearest: 'hidden'"):
        Distiller(model(8), model(3), HintDistillation("hidden", "hiden"))
