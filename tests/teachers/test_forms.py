"""What may be passed as a teacher."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill import Distiller, UserError
from tfdistill.losses import LogitsDistillation
from tfdistill.teachers import CachedTeacher, Ensemble, LoadedTeacher, as_teacher


def test_models_and_callables_are_teachers_as_they_are(rankers):
    for teacher in (rankers.model, rankers.legacy, CachedTeacher(), lambda inputs: inputs):
        assert as_teacher(teacher) is teacher
    assert as_teacher(None) is None


def test_a_path_is_loaded_and_a_list_becomes_an_ensemble(rankers):
    for path in (rankers.folder / "ranker", str(rankers.folder / "ranker.keras")):
        assert isinstance(as_teacher(path), LoadedTeacher)
    ensemble = as_teacher([rankers.model, rankers.folder / "ranker"])
    assert isinstance(ensemble, Ensemble) and isinstance(ensemble.teachers[1], LoadedTeacher)
    assert isinstance(as_teacher((rankers.model,)), Ensemble)


def test_a_distiller_takes_a_list_and_a_path(rankers):
    student = keras.Model({"age": (age := keras.Input((1,), name="age"))}, keras.layers.Dense(1)(age))
    losses = []
    for teacher in (rankers.model, [rankers.model, rankers.model], rankers.folder / "ranker.keras"):
        distiller = Distiller(teacher, student, LogitsDistillation(2.0), student_loss_weight=0.0)
        distiller.compile(keras.optimizers.SGD(0.0))
        losses.append(distiller.train_on_batch(rankers.inputs, return_dict=True)["distillation_loss"])
    np.testing.assert_allclose(losses, losses[0], rtol=1e-5)


def test_nothing_at_a_path_is_told():
    with pytest.raises(UserError, match="No teacher at 'absent.keras'"):
        as_teacher("absent.keras")


@pytest.mark.parametrize("wrong", [3, {"a": 1}, np.zeros(2)])
def test_anything_else_is_refused(wrong):
    with pytest.raises(
        ValueError, match="`teacher` must be a keras.Model, a callable on the inputs, a path, or a list"
    ):
        as_teacher(wrong)


def test_a_model_without_a_call_is_refused():
    class Empty(keras.Model):
        pass

    with pytest.raises(ValueError, match="`teacher` has no `call`.*Received: Empty. Define `call`"):
        as_teacher(Empty())


class TestTfrs:
    @pytest.fixture
    def two_towers(self):
        tfrs = pytest.importorskip("tensorflow_recommenders")
        import tf_keras

        class TwoTowers(tfrs.Model):
            def __init__(self):
                super().__init__()
                self.user_tower = tf_keras.layers.Embedding(7, 4)
                self.movie_tower = tf_keras.layers.Embedding(5, 4)
                self.task = tfrs.tasks.Retrieval()

            def compute_loss(self, inputs, training=False):
                return self.task(self.user_tower(inputs["user"]), self.movie_tower(inputs["movie"]))

        model = TwoTowers()
        model.compile("sgd")
        users, movies = np.arange(6, dtype="int32"), np.array([0, 1, 2, 3, 4, 0], "int32")
        model.fit(tf.data.Dataset.from_tensors({"user": users, "movie": movies}), verbose=0)
        return model, {"user": users, "movie": movies}

    def test_two_towers_without_a_call_are_refused_and_the_way_out_told(self, two_towers):
        with pytest.raises(ValueError, match="Received: TwoTowers.*for a TFRS model of two towers, pass a callable"):
            as_teacher(two_towers[0])

    def test_a_callable_on_the_towers_teaches_their_dot_products(self, two_towers):
        model, batch = two_towers

        def teacher(inputs):
            user, movie = model.user_tower(inputs["user"]), model.movie_tower(inputs["movie"])
            return tf.reduce_sum(user * movie, axis=1, keepdims=True)

        inputs = {name: keras.Input((), dtype="int32", name=name) for name in batch}
        embedded = [keras.layers.Embedding(7, 2)(tensor) for tensor in inputs.values()]
        student = keras.Model(inputs, keras.layers.Dot(axes=1)(embedded))
        before = [tower.get_weights()[0] for tower in (model.user_tower, model.movie_tower)]
        distiller = Distiller(as_teacher(teacher), student, LogitsDistillation(loss="mse"), student_loss_weight=0.0)
        distiller.compile(keras.optimizers.SGD(0.1))
        scores = (before[0][batch["user"]] * before[1][batch["movie"]]).sum(1, keepdims=True)
        expected = np.mean((scores - student.predict(batch, verbose=0)) ** 2)
        logs = distiller.train_on_batch(batch, return_dict=True)
        np.testing.assert_allclose(logs["distillation_loss"], expected, rtol=1e-4)
        for old, tower in zip(before, (model.user_tower, model.movie_tower), strict=True):
            np.testing.assert_array_equal(old, tower.get_weights()[0])


def test_a_cache_on_disk_becomes_a_teacher_that_reads_its_columns(tmp_path):
    from tfdistill.soft_targets import write_soft_targets

    x = {"a": np.ones((3, 2), "float32")}
    cache = write_soft_targets(tmp_path / "soft", lambda x: x["a"], x, [0, 1, 2], fingerprint="itself")
    teacher = as_teacher(cache)
    assert teacher.columns == ("teacher_logits",)
