"""Which weights are pruned, and what is refused at the call."""

import keras
import numpy as np
import pytest
from keras import layers

from tfdistill.parametrize import Parametrized
from tfdistill.sparsity import ConstantSparsity, PruningPolicy, prune_low_magnitude

EVERY_STEP = ConstantSparsity(0.5, 1, frequency=1)


def mlp():
    return keras.Sequential(
        [keras.Input((4,)), layers.Dense(8, name="first"), layers.Dense(8, name="second"), layers.Dense(1, name="head")]
    )


def convolution():
    return keras.Sequential(
        [keras.Input((6, 6, 3)), layers.Conv2D(4, 3, name="conv"), layers.Flatten(), layers.Dense(2, name="head")]
    )


def paths(pruned):
    return [weight.path for weight, _ in pruned.transformed()]


def test_all_kernels_and_tables_are_pruned_and_no_bias_nor_scale():
    model = keras.Sequential(
        [
            keras.Input((5,), dtype="int64"),
            layers.Embedding(7, 4, name="table"),
            layers.GRU(3, name="gru"),
            layers.BatchNormalization(),
            layers.Dense(2, name="head"),
        ]
    )
    assert paths(prune_low_magnitude(model)) == [
        "table/embeddings",
        "gru/gru_cell/kernel",
        "gru/gru_cell/recurrent_kernel",
        "head/kernel",
    ]


def test_layers_are_chosen_by_name_path_pattern_and_as_objects():
    model = mlp()
    assert paths(prune_low_magnitude(model, layers=["first", "head"])) == ["first/kernel", "head/kernel"]
    assert paths(prune_low_magnitude(model, layers="second/kernel")) == ["second/kernel"]
    assert paths(prune_low_magnitude(model, layers=["[fs]*"])) == ["first/kernel", "second/kernel"]
    assert paths(prune_low_magnitude(model, layers=model.layers[1])) == ["second/kernel"]


def test_a_choice_that_fits_nothing_is_refused_and_the_nearest_named():
    with pytest.raises(ValueError, match=r"'secnd' fits no kernel or table .* The nearest: 'second'.*'head/kernel'"):
        prune_low_magnitude(mlp(), layers=["first", "secnd"])
    with pytest.raises(ValueError, match="'first/bias' fits no kernel or table"):
        prune_low_magnitude(mlp(), layers=["first/bias"])
    with pytest.raises(ValueError, match="`layers` must not be empty"):
        prune_low_magnitude(mlp(), layers=[])
    with pytest.raises(ValueError, match="`layers` must be a list of names.*3"):
        prune_low_magnitude(mlp(), layers=[3])


class Scaled(layers.Layer):
    """Declares that its scale is to be pruned, and not its kernel."""

    def build(self, input_shape):
        self.kernel = self.add_weight(name="kernel", shape=(input_shape[-1], 6))
        self.scale = self.add_weight(name="scale", shape=(6,))

    def call(self, inputs):
        return inputs @ self.kernel * self.scale

    def get_prunable_weights(self):
        return [self.scale]


def test_a_layer_may_say_itself_which_of_its_weights_are_pruned():
    model = keras.Sequential([keras.Input((4,)), Scaled(name="scaled"), layers.Dense(2, name="head")])
    pruned = prune_low_magnitude(model, EVERY_STEP)
    assert paths(pruned) == ["scaled/scale", "head/kernel"]
    pruned.compile("sgd", "mse")
    pruned.fit(np.ones((4, 4)), np.ones((4, 2)), verbose=0)
    assert np.sum(pruned.weight_transforms[0].mask.numpy()) == 3


def test_a_layer_that_names_what_is_no_weight_of_it_is_refused():
    class Wrong(Scaled):
        def get_prunable_weights(self):
            return [keras.Variable(np.ones(3))]

    model = keras.Sequential([keras.Input((4,)), Wrong(name="wrong")])
    with pytest.raises(ValueError, match="`get_prunable_weights` of layer 'wrong' must return trainable weights"):
        prune_low_magnitude(model)


class DenseOnly(PruningPolicy):
    def __init__(self):
        self.models = []

    def allow_pruning(self, layer):
        return isinstance(layer, layers.Dense)

    def ensure_model_supports_pruning(self, model):
        self.models.append(model)


def test_a_policy_chooses_layers_and_judges_the_model():
    policy, model = DenseOnly(), convolution()
    assert paths(prune_low_magnitude(model, pruning_policy=policy)) == ["head/kernel"]
    assert policy.models == [model]
    with pytest.raises(ValueError, match="no weight to prune under DenseOnly"):
        prune_low_magnitude(layers.Conv1D(2, 2, name="conv"), pruning_policy=policy)(np.ones((1, 4, 3)))
    assert len(policy.models) == 1
    with pytest.raises(ValueError, match="`pruning_policy` must be a PruningPolicy"):
        prune_low_magnitude(model, pruning_policy="dense")


def test_the_policy_judges_a_model_that_is_not_built_once_it_is():
    policy = DenseOnly()
    model = keras.Sequential([layers.Dense(2)])
    pruned = prune_low_magnitude(model, pruning_policy=policy)
    assert policy.models == []
    pruned(np.ones((1, 3)))
    assert policy.models == [model]


def test_blocks_for_other_than_two_axes_are_refused_and_those_that_fit_named():
    with pytest.raises(
        ValueError,
        match=r"block_size=\(4, 1\) is for weights of two axes.*'conv/kernel' \(3, 3, 3, 4\).*layers=\['head'\]",
    ):
        prune_low_magnitude(convolution(), block_size=(4, 1))
    assert paths(prune_low_magnitude(convolution(), block_size=(4, 1), layers=["head"])) == ["head/kernel"]


def test_m_by_n_for_other_than_two_or_four_axes_is_refused():
    model = keras.Sequential([keras.Input((6, 3)), layers.Conv1D(4, 2, name="conv")])
    with pytest.raises(ValueError, match=r"two or four axes.*'conv/kernel' \(2, 3, 4\).*None of the others"):
        prune_low_magnitude(model, sparsity_m_by_n=(2, 4))


def test_layers_come_back_wrapped_and_lists_as_lists():
    wrapped = prune_low_magnitude(layers.Dense(3, name="dense"))
    assert isinstance(wrapped, Parametrized)
    built = layers.ReLU()
    built.build((None, 3))
    listed = [keras.Input((2,))._keras_history.operation, wrapped, layers.Dense(2), built]
    again = prune_low_magnitude(listed)
    assert [again[place] is listed[place] for place in range(4)] == [True, True, False, True]
    assert isinstance(again[2], Parametrized)


def test_what_is_pruned_already_stays_as_it_is():
    once = prune_low_magnitude(mlp(), layers=["first"])
    twice = prune_low_magnitude(once)
    assert twice.weight_transforms[0] is once.weight_transforms[0]
    assert sorted(paths(twice)) == ["first/kernel", "head/kernel", "second/kernel"]
    with pytest.raises(ValueError, match="no weight to prune that is not pruned already"):
        prune_low_magnitude(twice)
    partly = keras.Sequential([keras.Input((4,)), prune_low_magnitude(layers.Dense(3)), layers.Dense(2, name="head")])
    assert paths(prune_low_magnitude(partly)) == ["head/kernel"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pruning_schedule": 0.5}, "`pruning_schedule` must be a PruningSchedule. Received: 0.5"),
        ({"block_size": (4,)}, r"`block_size` must be two whole numbers. Received: block_size=\(4,\)"),
        ({"block_size": 4}, "`block_size` must be two whole numbers"),
        ({"block_size": (0, 4)}, "`block_size` must be two numbers of at least 1"),
        ({"block_pooling_type": "avg"}, '`block_pooling_type` must be "AVG" or "MAX". Received: .*avg'),
        ({"scope": "model"}, '`scope` must be "layer" or "global"'),
        ({"sparsity_m_by_n": (4, 4)}, "0 < m < n"),
        ({"sparsity_m_by_n": (2, 4), "block_size": (4, 1)}, "exclude each other"),
        ({"sparsity_m_by_n": (2, 4), "scope": "global"}, "ranked by themselves"),
        ({"input_shape": (3,)}, "give them to the layer itself.*Received: input_shape"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        prune_low_magnitude(mlp(), **arguments)


def test_what_is_no_model_nor_layer_is_refused():
    with pytest.raises(
        ValueError, match="`to_prune` must be a Keras 3 or tf_keras model.*Received: 'model' of type str"
    ):
        prune_low_magnitude("model")
    with pytest.raises(ValueError, match="Received in it: 3 of type int"):
        prune_low_magnitude([layers.Dense(1), 3])
    with pytest.raises(ValueError, match="give the model instead of a list"):
        prune_low_magnitude([layers.Dense(1)], scope="global")
    with pytest.raises(ValueError, match="`layers` chooses within a model"):
        prune_low_magnitude([layers.Dense(1)], layers=["dense"])
    with pytest.raises(ValueError, match="none of the layers has weights"):
        prune_low_magnitude([])
    with pytest.raises(ValueError, match="has no weight to prune"):
        prune_low_magnitude(keras.Sequential([keras.Input((2,)), layers.ReLU()]))
