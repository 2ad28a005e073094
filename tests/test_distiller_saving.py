"""Files of the Distiller: what is in them, and training that goes on from them."""

import zipfile

import keras
import numpy as np
import pytest

from tfdistill import Distiller
from tfdistill.losses import FeatureDistillation, LogitsDistillation

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(24, 4)).astype("float32")
Y = GENERATOR.integers(0, 3, 24)
HARD = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def model(width, seed=0):
    keras.utils.set_random_seed(seed)
    layers = [
        keras.layers.Dense(width, "relu", name="hidden"),
        keras.layers.BatchNormalization(),
        keras.layers.Dense(3),
    ]
    return keras.Sequential([keras.Input((4,)), *layers])


def trained_distiller(run_eagerly=True, **arguments):
    losses = [LogitsDistillation(2.0), FeatureDistillation("mse", "hidden", "hidden")]
    distiller = Distiller(model(8), model(8, seed=1), losses, [1.0, 0.5], student_loss_weight=0.3, **arguments)
    distiller.compile(keras.optimizers.Adam(0.01), HARD, ["accuracy"], run_eagerly=run_eagerly)
    distiller.fit(X, Y, epochs=2, verbose=0)
    return distiller


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    distiller = trained_distiller(unlabeled_value=-1)
    path = tmp_path_factory.mktemp("saved") / "distiller.keras"
    distiller.save(path)
    return path, distiller


def test_training_goes_on_where_it_stopped(tmp_path):
    distiller = trained_distiller(run_eagerly=False)
    distiller.save(tmp_path / "distiller.keras")
    loaded = keras.saving.load_model(tmp_path / "distiller.keras")
    loaded.teacher = distiller.teacher
    for _ in range(2):
        expected = distiller.train_on_batch(X, Y, return_dict=True)
        assert loaded.train_on_batch(X, Y, return_dict=True) == expected
    for one, other in zip(loaded.student.get_weights(), distiller.student.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_arguments_and_losses_come_back(saved):
    path, distiller = saved
    loaded = keras.saving.load_model(path)
    configs = [{**model.get_config(), "student": None} for model in (loaded, distiller)]
    assert configs[0] == configs[1]
    assert loaded.student_loss_weight == 0.3
    assert loaded.distillation_loss_weights == [1.0, 0.5]
    assert loaded.unlabeled_value == -1
    assert [type(loss) for loss in loaded.distillation_losses] == [LogitsDistillation, FeatureDistillation]
    assert loaded.optimizer.iterations == 2


def test_the_file_holds_no_teacher(saved):
    path, distiller = saved
    alone = path.with_name("student.keras")
    distiller.student.save(alone)
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(alone) as student_archive:
        assert distiller.teacher.name not in archive.read("config.json").decode()
        # Adam keeps two moments of every trainable weight besides the student's own weights.
        weights = sum(w.numpy().nbytes for w in [*distiller.student.weights, *distiller.optimizer.variables])
        overhead = archive.getinfo("model.weights.h5").file_size - weights
        assert weights > 0 and "teacher" not in archive.read("model.weights.h5").decode("latin-1")
        assert overhead < 64 * 1024
        assert student_archive.getinfo("model.weights.h5").file_size < archive.getinfo("model.weights.h5").file_size


def test_a_loaded_distiller_predicts_and_evaluates_without_a_teacher(saved):
    path, distiller = saved
    loaded = keras.saving.load_model(path)
    assert loaded.teacher is None
    np.testing.assert_allclose(loaded.predict(X, verbose=0), distiller.predict(X, verbose=0), atol=1e-6)
    assert loaded.evaluate(X, Y, verbose=0) == distiller.evaluate(X, Y, verbose=0)


def test_training_without_a_teacher_says_what_to_do(saved):
    loaded = keras.saving.load_model(saved[0])
    with pytest.raises(ValueError, match="Set `distiller.teacher` before training"):
        loaded.fit(X, Y, verbose=0)


def test_a_teacher_that_does_not_fit_is_refused(saved):
    loaded = keras.saving.load_model(saved[0])
    with pytest.raises(ValueError, match="In teacher model: no layer named 'hidden'"):
        loaded.teacher = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])


def test_weights_files_hold_the_student(tmp_path):
    distiller = trained_distiller()
    distiller.save_weights(tmp_path / "some.weights.h5")
    other = Distiller(None, model(8, seed=5), LogitsDistillation())
    other.load_weights(tmp_path / "some.weights.h5")
    np.testing.assert_array_equal(other.predict(X, verbose=0), distiller.predict(X, verbose=0))


def test_the_teacher_does_not_show_in_a_checkpoint(tmp_path):
    import tensorflow as tf

    distiller = trained_distiller()
    path = tf.train.Checkpoint(distiller).save(str(tmp_path / "checkpoint"))
    assert not [name for name, _ in tf.train.list_variables(path) if "teacher" in name]


def test_a_mixed_precision_student_comes_back_with_its_loss_scale(tmp_path):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        student = model(8)
    finally:
        keras.config.set_dtype_policy("float32")
    distiller = Distiller(model(8), student, LogitsDistillation())
    distiller.compile("adam", HARD, run_eagerly=True)
    distiller.fit(X, Y, verbose=0)
    distiller.save(tmp_path / "distiller.keras")
    loaded = keras.saving.load_model(tmp_path / "distiller.keras")
    assert isinstance(loaded.optimizer, keras.optimizers.LossScaleOptimizer)
    loaded.teacher = distiller.teacher
    expected = distiller.train_on_batch(X, Y, return_dict=True)
    assert loaded.train_on_batch(X, Y, return_dict=True) == expected


@keras.saving.register_keras_serializable(package="tests")
class SubclassedStudent(keras.Model):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.dense = keras.layers.Dense(units)

    def call(self, inputs):
        return self.dense(inputs)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def test_a_subclassed_student_comes_back(tmp_path):
    distiller = Distiller(model(8), SubclassedStudent(3), LogitsDistillation())
    distiller.compile("adam", HARD, run_eagerly=True)
    distiller.fit(X, Y, verbose=0)
    distiller.save(tmp_path / "distiller.keras")
    loaded = keras.saving.load_model(tmp_path / "distiller.keras")
    loaded.teacher = distiller.teacher
    assert loaded.train_on_batch(X, Y, return_dict=True) == distiller.train_on_batch(X, Y, return_dict=True)


def test_backup_and_restore_continues_an_interrupted_fit(tmp_path):
    class Interrupt(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    def distiller():
        made = Distiller(model(8), model(8, seed=1), LogitsDistillation())
        made.compile(keras.optimizers.Adam(0.01), HARD, run_eagerly=True)
        return made

    whole, broken, resumed = distiller(), distiller(), distiller()
    whole.fit(X, Y, epochs=3, shuffle=False, verbose=0)
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    with pytest.raises(KeyboardInterrupt):
        broken.fit(X, Y, epochs=3, shuffle=False, verbose=0, callbacks=[backup, Interrupt()])
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    resumed.fit(X, Y, epochs=3, shuffle=False, verbose=0, callbacks=[backup])
    np.testing.assert_allclose(resumed.predict(X, verbose=0), whole.predict(X, verbose=0), atol=1e-6)
