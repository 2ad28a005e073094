import keras
import pytest

from tfdistill.export.flops import operator_flops, total


@pytest.mark.parametrize(
    ("name", "inputs", "outputs", "settings", "expected"),
    [
        ("FULLY_CONNECTED", [(1, 5), (3, 5)], [(1, 3)], {}, 2 * 5 * 3),
        ("FULLY_CONNECTED", [(1, 5), (3, 5), (3,)], [(1, 3)], {}, 2 * 5 * 3 + 3),
        ("FULLY_CONNECTED", [(1, 5), (3, 5), (3,)], [(1, 3)], {"activation": True}, 2 * 5 * 3 + 3 + 3),
        ("MatMul", [(1, 5), (5, 3)], [(1, 3)], {}, 2 * 5 * 3),
        ("MatMul", [(5, 2), (5, 3)], [(2, 3)], {"left_is_transposed": True}, 2 * 5 * 2 * 3),
        ("BATCH_MATMUL", [(4, 2, 5), (4, 5, 3)], [(4, 2, 3)], {}, 2 * 5 * 4 * 2 * 3),
        ("CONV_2D", [(1, 8, 8, 3), (6, 3, 3, 3), (6,)], [(1, 8, 8, 6)], {}, 2 * 384 * 27 + 384),
        ("Conv2D", [(1, 8, 8, 3), (3, 3, 3, 6)], [(1, 8, 8, 6)], {}, 2 * 384 * 27),
        ("DEPTHWISE_CONV_2D", [(1, 8, 8, 3), (1, 3, 3, 3)], [(1, 8, 8, 3)], {}, 2 * 192 * 9),
        ("DepthwiseConv2dNative", [(1, 8, 8, 3), (3, 3, 3, 1)], [(1, 8, 8, 3)], {}, 2 * 192 * 9),
        ("MUL", [(1, 65), (1, 65)], [(1, 65)], {}, 65),
        ("LOGISTIC", [(1, 1)], [(1, 1)], {}, 1),
        ("SUM", [(1, 6, 8), ()], [(1, 8)], {}, 48),
        ("GATHER", [(2000, 8), (1,)], [(1, 8)], {}, 0),
        ("DEQUANTIZE", [(1, 8)], [(1, 8)], {}, 0),
        ("WHILE", [(1,)], [(1,)], {}, None),
    ],
)
def test_the_count_of_one_operator(name, inputs, outputs, settings, expected):
    assert operator_flops(name, inputs, outputs, **settings) == expected


def test_a_sum_with_an_unknown_part_is_unknown():
    assert total([1, 2]) == 3
    assert total([1, None]) is None


def test_the_count_of_a_model_worked_by_hand_is_the_same_in_every_kind_of_file(tmp_path):
    from tfdistill.export import describe, export_saved_model, export_tflite

    x = keras.Input((4,), name="x")
    hidden = keras.layers.Dense(3, activation="relu", bias_initializer="ones")(x)
    model = keras.Model({"x": x}, keras.layers.Dense(1, bias_initializer="ones")(hidden))
    by_hand = (2 * 4 * 3 + 3 + 3) + (2 * 3 * 1 + 1)
    model.save(tmp_path / "m.keras")
    export_saved_model(model, tmp_path / "m")
    export_tflite(model, tmp_path / "m.tflite", "tflite_float32")
    assert describe(tmp_path / "m.keras")["flops"] == by_hand
    assert describe(tmp_path / "m")["flops"] == by_hand + 1  # the sigmoid
    assert describe(tmp_path / "m.tflite")["flops"] == by_hand + 1
