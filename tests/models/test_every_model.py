"""What holds for every recommender: types, files, XLA, export, pruning and quantisation."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from tests.models.small_models import MODELS, RANKERS, RETRIEVAL, inputs_of, random_inputs, shuffled, small_dataset
from tfdistill.errors import UserError
from tfdistill.export import export_saved_model, export_tflite
from tfdistill.models import frozen, towers
from tfdistill.quantization import quantize_model
from tfdistill.sparsity import ConstantSparsity, prune_low_magnitude, strip_pruning

HALF_AFTER_EVERY_STEP = ConstantSparsity(0.5, 0, frequency=1)


@pytest.fixture(scope="module", params=sorted(MODELS))
def model(request):
    keras.utils.set_random_seed(0)
    return shuffled(MODELS[request.param]())


@pytest.fixture(scope="module")
def expected(model):
    return model(inputs_of(model), training=False).numpy()


def outputs_of_file(path, inputs):
    interpreter = Interpreter(str(path))
    names = {detail["op_name"] for detail in interpreter._get_ops_details()}
    assert not any(name.startswith("Flex") or name == "CUSTOM" for name in names)
    return interpreter.get_signature_runner("serving_default")(**inputs)["logit"]


def correlation(a, b):
    return np.corrcoef(a.ravel(), b.ravel())[0, 1]


def test_it_gives_one_float32_a_row(model, expected):
    assert expected.shape == (200, 5 if model.name == "multi_label_tagger" else 1)
    assert expected.dtype == np.float32


def test_it_round_trips_through_a_safe_keras_file(model, expected, tmp_path):
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(loaded(inputs_of(model), training=False), expected)
    assert [variable.shape for variable in loaded.variables] == [variable.shape for variable in model.variables]


def test_it_is_compiled_by_xla(model, expected):
    compiled = tf.function(lambda inputs: model(inputs, training=False), jit_compile=True)
    given = {name: tf.constant(values) for name, values in inputs_of(model).items()}
    np.testing.assert_allclose(compiled(given), expected, rtol=1e-4, atol=1e-5)


def test_its_saved_model_gives_the_same(model, expected, tmp_path):
    export_saved_model(model, tmp_path / "saved", output="logit")
    serve = tf.saved_model.load(str(tmp_path / "saved")).signatures["serving_default"]
    given = {name: tf.constant(values) for name, values in inputs_of(model).items()}
    np.testing.assert_allclose(serve(**given)["logit"], expected, rtol=1e-4, atol=1e-5)


def test_its_float32_file_gives_the_same_without_flex_operators(model, expected, tmp_path):
    path = export_tflite(model, tmp_path / "model.tflite", "tflite_float32", output="logit")
    np.testing.assert_allclose(outputs_of_file(path, inputs_of(model)), expected, rtol=1e-4, atol=1e-5)


def test_its_int8_file_orders_pairs_alike_without_flex_operators(model, expected, tmp_path):
    path = export_tflite(model, tmp_path / "model.tflite", "tflite_int8", output="logit", calibration=inputs_of(model))
    assert correlation(outputs_of_file(path, inputs_of(model)), expected) > 0.995


@pytest.mark.parametrize("kind", ["bpr_mf_with_bias", "deep_fm", "sas_rec", "two_tower"])
def test_it_is_pruned_down_to_its_file(kind, tmp_path):
    model = shuffled(MODELS[kind]())
    inputs = inputs_of(model)
    pruned = prune_low_magnitude(model, HALF_AFTER_EVERY_STEP)
    pruned(inputs, training=True)  # a forward pass of training is what updates masks
    plain = strip_pruning(pruned)
    for variable in plain.trainable_variables:
        if ("embed" in variable.path or "kernel" in variable.path) and variable.shape[-1] > 1:
            assert np.mean(variable.numpy() == 0) == pytest.approx(0.5, abs=0.02), variable.path
    path = export_tflite(pruned, tmp_path / "model.tflite", "tflite_float32", output="logit")
    np.testing.assert_allclose(outputs_of_file(path, inputs), plain(inputs, training=False), rtol=1e-4, atol=1e-5)


def test_light_gcn_is_frozen_before_it_is_pruned_since_its_file_has_no_zeros_otherwise(tmp_path):
    model, data = shuffled(MODELS["light_gcn"]()), small_dataset()
    inputs = inputs_of(model)
    pruned = prune_low_magnitude(model, HALF_AFTER_EVERY_STEP)
    pruned(inputs, training=True)
    with pytest.raises(UserError, match="zeros are not zero in the tflite_float32 file"):
        export_tflite(pruned, tmp_path / "model.tflite", "tflite_float32")
    pruned = prune_low_magnitude(frozen(model, data), HALF_AFTER_EVERY_STEP)
    pruned(inputs, training=True)
    path = export_tflite(pruned, tmp_path / "model.tflite", "tflite_float32", output="logit")
    np.testing.assert_allclose(outputs_of_file(path, inputs), pruned(inputs, training=False), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["bpr_mf_with_bias", "sas_rec", "two_tower"])
def test_it_is_quantised_and_its_int8_file_computes_the_same(kind, tmp_path):
    model = shuffled(MODELS[kind]())
    inputs = inputs_of(model)
    quantized = quantize_model(model)
    quantized(inputs, training=True)  # a forward pass of training is what finds ranges
    path = export_tflite(quantized, tmp_path / "model.tflite", "tflite_int8", output="logit")
    assert correlation(outputs_of_file(path, inputs), quantized(inputs, training=False).numpy()) > 0.999


@pytest.mark.parametrize("kind", sorted(RETRIEVAL))
class TestEveryRetrievalModel:
    def test_its_score_is_the_inner_product_of_its_towers_vectors(self, kind):
        model, given = shuffled(RETRIEVAL[kind]()), random_inputs()
        vectors = [tower({name: given[name] for name in tower.input}) for tower in towers(model)]
        assert vectors[0].shape == vectors[1].shape
        expected = np.einsum("bd,bd->b", *(vector.numpy() for vector in vectors))
        np.testing.assert_allclose(model(inputs_of(model))[:, 0], expected, rtol=1e-4, atol=1e-5)

    def test_its_towers_are_there_after_loading_and_train_with_it(self, kind, tmp_path):
        model = RETRIEVAL[kind]()
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        before = [tower.get_weights() for tower in towers(loaded)]
        loaded.compile(keras.optimizers.SGD(10.0), "mse")
        loaded.fit(inputs_of(loaded), np.ones((200, 1)), verbose=0)
        for weights, tower in zip(before, towers(loaded), strict=True):
            assert any((old != new).any() for old, new in zip(weights, tower.get_weights(), strict=True))
        given = random_inputs()
        vectors = [tower({name: given[name] for name in tower.input}).numpy() for tower in towers(loaded)]
        np.testing.assert_allclose(
            loaded(inputs_of(loaded))[:, 0], np.einsum("bd,bd->b", *vectors), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("kind", sorted(RANKERS))
def test_a_pair_ranker_has_no_towers(kind):
    with pytest.raises(
        ValueError, match=f"sub-models user_tower and item_tower.*Received: '{kind}' of type Functional"
    ):
        towers(RANKERS[kind]())
