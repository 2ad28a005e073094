"""What is true of every row-sparse optimizer."""

import doctest
import importlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.optimizers import reference
from tests.optimizers.schedule import Falling
from tfdistill import optimizers

KINDS = ("Adam", "AdamW", "Adagrad", "RowWiseAdagrad")
PLAIN = {"AdamW": "Adam"}  # whose reference is the same, with weight decay
CLIPPING = ({}, {"clipvalue": 0.5}, {"clipnorm": 1.5}, {"global_clipnorm": 1.5})
# float32 keeps 1.2e-7 of numbers of about 1; five steps add a few of these up.
CLOSE = {"rtol": 0, "atol": 2e-6}


def slices(ids, values, rows=reference.ROWS):
    return tf.IndexedSlices(tf.constant(values, "float32"), tf.constant(ids), tf.constant((rows, *values.shape[1:])))


def variables():
    return [
        keras.Variable(value.astype("float32"), name=name)
        for value, name in zip(reference.start(), ("embeddings", "vector"), strict=True)
    ]


def train(optimizer, how, variables, steps=None):
    """The weights after the steps, taken in eager mode, in a tf.function or under XLA."""

    def step(ids, values, vector):
        optimizer.apply([slices_of(ids, values), vector], variables)

    def slices_of(ids, values):
        return tf.IndexedSlices(values, ids, tf.constant((reference.ROWS, reference.WIDTH)))

    optimizer.build(variables)
    run = step if how == "eager" else tf.function(step, jit_compile=how == "xla")
    for ids, values, vector in steps or reference.batches():
        run(tf.constant(ids), tf.constant(values, "float32"), tf.constant(vector, "float32"))
    return [variable.numpy() for variable in variables]


def made(kind, lazy, **options):
    return getattr(optimizers, kind)(Falling(), lazy=lazy, **options)


HOW = ("eager", "function", "eager", "xla")
CASES = [
    (kind, True, how, 0.3 if kind == "AdamW" or place > 1 else 0.0, clipping)
    for kind in KINDS
    for place, (how, clipping) in enumerate(zip(HOW, CLIPPING, strict=True))
] + [
    (kind, False, how, 0.3, clipping) for kind in KINDS for how, clipping in (("function", {}), ("eager", CLIPPING[3]))
]
CASES.append(("Adam", False, "xla", 0.3, CLIPPING[3]))


@pytest.mark.parametrize(("kind", "lazy", "how", "decay", "clipping"), CASES)
def test_training_with_ids_that_repeat_equals_the_numpy_reference(kind, lazy, how, decay, clipping):
    optimizer = made(kind, lazy, weight_decay=decay, **clipping)
    expected = reference.train(PLAIN.get(kind, kind), reference.batches(), lazy, decay, **clipping)
    for ours, theirs in zip(train(optimizer, how, variables()), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, **CLOSE)


@pytest.mark.parametrize("kind", KINDS)
def test_more_ids_than_the_table_has_rows_equal_the_numpy_reference_under_xla(kind):
    steps = [
        (np.tile(ids, 4), np.concatenate([values, -values, 2 * values, values**2]), vector)
        for ids, values, vector in reference.batches()
    ]
    expected = reference.train(PLAIN.get(kind, kind), steps, True, 0.3, **CLIPPING[3])
    optimizer = made(kind, True, weight_decay=0.3, **CLIPPING[3])
    for ours, theirs in zip(train(optimizer, "xla", variables(), steps), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, **CLOSE)


@pytest.mark.parametrize("kind", ["Adam", "AdamW", "Adagrad"])
@pytest.mark.parametrize("clipping", CLIPPING[::3])
def test_dense_gradients_get_the_update_of_keras_to_the_last_bit(kind, clipping):
    results = []
    for make in (getattr(optimizers, kind), getattr(keras.optimizers, kind)):
        trained, optimizer = variables(), make(Falling(), weight_decay=0.1, **clipping)
        for ids, values, vector in reference.batches():
            table = tf.convert_to_tensor(slices(ids, values))
            optimizer.apply([table, tf.constant(vector, "float32")], trained)
        results.append([one.numpy() for one in (*trained, *optimizer.variables)])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_rows_of_row_wise_adagrad_with_dense_gradients_are_updated_as_sparse_ones():
    sparse, dense = (train_adagrad(convert) for convert in (lambda one: one, tf.convert_to_tensor))
    np.testing.assert_allclose(sparse, dense, **CLOSE)


def train_adagrad(convert):
    table, optimizer = variables()[0], optimizers.RowWiseAdagrad(0.1)
    for ids, values, _ in reference.batches():
        optimizer.apply([convert(slices(ids, values))], [table])
    return table.numpy()


@pytest.mark.parametrize("kind", ["Adagrad", "RowWiseAdagrad"])
def test_lazy_and_dense_adagrad_are_the_same_without_weight_decay(kind):
    lazy, dense = (train(made(kind, mode), "function", variables()) for mode in (True, False))
    for one, two in zip(lazy, dense, strict=True):
        np.testing.assert_array_equal(one, two)


def test_dense_adam_equals_tf_keras_adam_which_sums_repeats_too():
    import tf_keras

    ours = train(optimizers.Adam(0.05, lazy=False), "function", variables())
    theirs, optimizer = [tf.Variable(one) for one in variables()], tf_keras.optimizers.Adam(0.05, jit_compile=False)
    for ids, values, vector in reference.batches():
        optimizer.apply_gradients(zip([slices(ids, values), tf.constant(vector, "float32")], theirs, strict=True))
    for one, two in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, two.numpy(), **CLOSE)


def test_amsgrad_rows_equal_the_dense_update_while_no_row_rests():
    every = np.arange(reference.ROWS, dtype="int32")
    steps = [(every, np.full((every.size, 3), size), np.zeros(3)) for size in (1.0, -2.0, 0.1)]
    lazy, dense = (
        train(optimizers.Adam(0.1, amsgrad=True, lazy=mode), "function", variables(), steps) for mode in (True, False)
    )
    np.testing.assert_allclose(lazy[0], dense[0], **CLOSE)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_no_batch_keep_weights_and_slots_when_lazy(kind):
    trained = variables()
    optimizer = made(kind, True, weight_decay=0.5, clipnorm=1.0)
    optimizer.build(trained)
    before = [one.numpy() for one in (trained[0], *optimizer.variables) if one.shape[:1] == (reference.ROWS,)]
    train(optimizer, "function", trained)
    after = [one.numpy() for one in (trained[0], *optimizer.variables) if one.shape[:1] == (reference.ROWS,)]
    assert len(after) == (3 if kind.startswith("Adam") else 2)
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(new[[3, 5]], old[[3, 5]])
        assert (new[[0, 1, 2, 4, 6]] != old[[0, 1, 2, 4, 6]]).all()


def test_raw_variables_of_tensorflow_are_trained_as_those_of_keras():
    for kind in ("Adam", "RowWiseAdagrad"):
        raw = [tf.Variable(one, name=one.name) for one in variables()]
        ours, theirs = (train(made(kind, True), "eager", held) for held in (raw, variables()))
        np.testing.assert_array_equal(ours[0], theirs[0])


def test_tables_of_vectors_of_one_number_and_of_three_axes_are_trained():
    for shape in ((7,), (7, 2, 2)):
        for kind in ("Adam", "Adagrad"):
            table = keras.Variable(np.ones(shape, "float32"))
            values = np.ones((2, *shape[1:]), "float32")
            getattr(optimizers, kind)(0.1).apply([slices(np.array([3, 3], "int64"), values)], [table])
            assert (table.numpy()[3] < 1).all() and (np.delete(table.numpy(), 3, 0) == 1).all()


def test_accumulated_gradients_give_one_update_of_their_mean():
    accumulating = optimizers.Adam(0.1, lazy=False, gradient_accumulation_steps=2)
    ours = train(accumulating, "function", variables(), steps=reference.batches()[:2])
    (ids, values, vector), (more_ids, more_values, more) = reference.batches()[:2]
    joined = [(np.concatenate([ids, more_ids]), np.concatenate([values, more_values]) / 2, (vector + more) / 2)]
    for one, two in zip(ours, train(optimizers.Adam(0.1, lazy=False), "function", variables(), joined), strict=True):
        np.testing.assert_allclose(one, two, **CLOSE)


def test_averages_of_weights_are_those_of_all_rows():
    trained = variables()
    optimizer = optimizers.Adam(0.1, use_ema=True, ema_momentum=0.5)
    optimizer.build(trained)
    expected = None
    for ids, values, vector in reference.batches():
        optimizer.apply([slices(ids, values), tf.constant(vector, "float32")], trained)
        now = trained[0].numpy()
        expected = now if expected is None else 0.5 * expected + 0.5 * now
    optimizer.finalize_variable_values(trained)
    np.testing.assert_allclose(trained[0].numpy(), expected, **CLOSE)


def test_a_loss_scale_is_divided_out_again():
    ids, values, vector = reference.batches()[0]
    scaled = [(ids, 1024 * values, 1024 * vector)]
    ours = train(optimizers.Adagrad(0.1, loss_scale_factor=1024.0), "function", variables(), scaled)
    theirs = train(optimizers.Adagrad(0.1), "function", variables(), [(ids, values, vector)])
    np.testing.assert_array_equal(ours[0], theirs[0])


@pytest.mark.parametrize(("library", "xla"), [(keras.optimizers, False), (optimizers, True)])
def test_an_overflow_in_mixed_precision_skips_the_step_and_touches_no_row(library, xla):
    keras.utils.set_random_seed(1)
    embedding = keras.layers.Embedding(5, 2, dtype="mixed_float16")
    model = keras.Sequential(
        [keras.Input((2,), dtype="int32"), embedding, keras.layers.Flatten(), keras.layers.Dense(1)]
    )
    optimizer = library.LossScaleOptimizer(optimizers.Adam(0.1), initial_scale=2.0**15)
    model.compile(optimizer, "mse", jit_compile=xla)
    ids, seen = np.array([[1, 1], [3, 1]]), []
    update_step = optimizer.inner_optimizer.update_step
    optimizer.inner_optimizer.update_step = lambda one, *rest: seen.append(one) or update_step(one, *rest)
    before = model.get_weights()
    model.fit(ids, np.full((2, 1), 1e30, "float32"), verbose=0)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)
    assert optimizer.iterations == 0 and optimizer.dynamic_scale == 2.0**14
    model.fit(ids, np.ones((2, 1), "float32"), verbose=0)
    moved = (embedding.get_weights()[0] != before[0]).all(axis=1)
    assert moved.tolist() == [False, True, False, True, False] and optimizer.iterations == 1
    tables = [one for one in seen if one.shape[1:] == (2,)]
    assert tables and all(isinstance(one, tf.IndexedSlices) and one.dtype == tf.float32 for one in tables)


def test_constraints_of_layers_hold_after_the_step():
    layer = keras.layers.Embedding(4, 3, embeddings_constraint=keras.constraints.UnitNorm(axis=1))
    layer.build()
    optimizers.Adam(0.1).apply([slices(np.array([1, 1]), np.ones((2, 3)), rows=4)], [layer.embeddings])
    np.testing.assert_allclose(np.linalg.norm(layer.embeddings.numpy(), axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("kind", ["Adam", "RowWiseAdagrad"])
def test_a_model_saved_amid_training_goes_on_as_if_it_were_not(kind, tmp_path):
    keras.utils.set_random_seed(1)
    layers = [
        keras.Input((2,), dtype="int32"),
        keras.layers.Embedding(6, 2),
        keras.layers.Flatten(),
        keras.layers.Dense(1),
    ]
    model = keras.Sequential(layers)
    optimizer = optimizers.LossScaleOptimizer(made(kind, False, clipnorm=1.0))
    model.compile(optimizer, "mse", run_eagerly=True)
    ids, labels = np.array([[1, 1], [3, 1]]), np.ones((2, 1))
    model.train_on_batch(ids, labels)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    inner = loaded.optimizer.inner_optimizer
    assert type(loaded.optimizer) is optimizers.LossScaleOptimizer and type(inner) is getattr(optimizers, kind)
    assert inner.get_config() == optimizer.inner_optimizer.get_config() and inner.lazy is False
    for one in (model, loaded):
        one.train_on_batch(ids, labels)
    for ours, theirs in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_wrong_arguments_are_told():
    with pytest.raises(ValueError, match="`lazy` must be True or False. Received: lazy='yes'"):
        optimizers.Adam(lazy="yes")
    with pytest.raises(ValueError, match="pass lazy=False.*gradient_accumulation_steps=4"):
        optimizers.AdamW(gradient_accumulation_steps=4)
    with pytest.raises(ValueError, match="`tables` must be a list of patterns.*Received: tables='embeddings'"):
        optimizers.RowWiseAdagrad(tables="embeddings")
    with pytest.raises(ValueError, match="`tables` fit none of the variables: embeddings, vector. Received.*users"):
        optimizers.RowWiseAdagrad(tables=["users/*"]).build(variables())


@pytest.mark.parametrize("module", ["adam", "adagrad", "loss_scale", "row_wise_adagrad"])
def test_examples_in_the_docstrings_hold(module):
    failures, tried = doctest.testmod(importlib.import_module(f"tfdistill.optimizers.{module}"))
    assert tried and not failures
