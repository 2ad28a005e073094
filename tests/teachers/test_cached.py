import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill import Distiller
from tfdistill.losses import FeatureDistillation, LogitsDistillation
from tfdistill.teachers import CachedTeacher


def test_the_column_is_returned_as_float32_logits():
    targets = tf.constant([[0.5, 1.0]], tf.float16)
    logits = CachedTeacher("soft")({"soft": targets, "age": tf.constant([3])})
    assert logits.dtype == tf.float32
    np.testing.assert_array_equal(logits, [[0.5, 1.0]])


def test_a_flat_column_is_one_logit_an_example():
    np.testing.assert_array_equal(CachedTeacher()({"teacher_logits": np.array([1.0, 2.0])}), [[1.0], [2.0]])


@pytest.mark.parametrize("inputs, received", [({"age": 1}, r"\['age'\]"), (np.zeros(3), "ndarray")])
def test_a_missing_column_is_named(inputs, received):
    with pytest.raises(ValueError, match=f"'teacher_logits'. Received: {received}"):
        CachedTeacher()(inputs)


def test_columns_are_all_that_the_student_must_not_see():
    assert CachedTeacher().columns == ("teacher_logits",)
    assert CachedTeacher(features=["hidden", "encoder/dense"]).columns == (
        "teacher_logits",
        "teacher_hidden",
        "teacher_encoder_dense",
    )
    assert CachedTeacher("soft", {"hidden": "h"}).columns == ("soft", "h")
    with pytest.raises(ValueError, match="`column` and `features` must name a column each"):
        CachedTeacher(features=["a/b", "a_b"])


def test_features_are_read_from_their_columns():
    teacher = CachedTeacher("soft", features={"hidden": "h"})
    inputs = {"soft": np.ones(2), "h": np.arange(6.0).reshape(2, 3)}
    outputs = teacher.feature_outputs(inputs, ["hidden", ("hidden", "attention_scores")])
    np.testing.assert_array_equal(outputs[None], [[1.0], [1.0]])
    for name in ("hidden", ("hidden", "attention_scores")):
        np.testing.assert_array_equal(outputs[name], inputs["h"])
        assert outputs[name].dtype == tf.float32


def test_a_missing_feature_and_a_missing_column_are_named():
    with pytest.raises(ValueError, match="no column for layer 'hidden'. Name it: CachedTeacher"):
        CachedTeacher().feature_outputs({"teacher_logits": np.ones(2)}, ["hidden"])
    with pytest.raises(
        ValueError, match=r"cached features are missing.*'teacher_hidden'. Received: \['teacher_logits'\]"
    ):
        CachedTeacher(features=["hidden"]).feature_outputs({"teacher_logits": np.ones(2)}, ["hidden"])


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_student_learns_from_cached_features_that_it_does_not_see(jit_compile):
    seen = []

    class Student(keras.Model):
        def __init__(self):
            super().__init__()
            self.small = keras.layers.Dense(3, name="small")
            self.out = keras.layers.Dense(1)

        def call(self, inputs):
            seen.append(sorted(inputs))
            return self.out(self.small(inputs["age"]))

    student = Student()
    generator = np.random.default_rng(0)
    ages, hidden = generator.normal(size=(8, 1)).astype("float32"), generator.normal(size=(8, 3)).astype("float32")
    teacher = CachedTeacher(features=["hidden"])
    losses = [FeatureDistillation("mse", "hidden", "small"), LogitsDistillation()]
    distiller = Distiller(teacher, student, losses, [1.0, 0.0], student_loss_weight=0.0)
    distiller.compile(keras.optimizers.SGD(0.0), jit_compile=jit_compile)
    batch = {"age": ages, "teacher_logits": np.ones((8, 1), "float32"), "teacher_hidden": hidden}
    logs = distiller.train_on_batch(batch, return_dict=True)
    kernel, bias = student.small.get_weights()
    np.testing.assert_allclose(logs["distillation_loss"], np.mean((hidden - ages @ kernel - bias) ** 2), rtol=1e-5)
    assert seen and all(names == ["age"] for names in seen)
