"""What a transform is: a function on a weight, or on a layer's output, with state of its own."""

import keras
import tensorflow as tf


class WeightTransform(keras.layers.Layer):
    """A function that a variable of a model goes through whenever the model reads it.

    A subclass defines `call(value, training=False)`, and `build(shape)` where it has state (masks, centroids): variables
    that are saved with the model. Several transforms of one variable are applied by ascending `order`.

    Attributes:
        order: which comes first: 0 prunes, 1 clusters, 2 quantises.
        writes_back: whether the result is written into the variable in training, so that the optimizer goes on from it
            and gradients reach the variable as they are. Otherwise gradients go through `call`.

    Example, weights that are never negative:

    >>> import keras
    >>> class NonNegative(WeightTransform):
    ...     def call(self, value, training=False):
    ...         return keras.ops.relu(value)
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="ones")])
    >>> model.layers[0].kernel.assign([[-2.0]]).numpy().tolist()
    [[-2.0]]
    >>> float(parametrize(model, lambda weight: NonNegative())(keras.ops.ones((1, 1)))[0, 0])
    0.0
    """

    order = 0
    writes_back = False

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "float32", "autocast": False, **kwargs})

    def initialize(self, value):
        """Sets the state from the weight as it is when the transform is attached.

        Args:
            value: array of the variable's shape, after the transforms before this one.
        """

    @classmethod
    def advance(cls, transforms, values):
        """Moves on the states of all transforms of this class in a model at once, in training, before their `call`.

        For state that they have in common, such as one threshold for all weights; other state moves on in `call`.

        Args:
            transforms: those of the class itself, in the order of the variables.
            values: what `call` will get, for each; of a variable with two transforms of one order what the first gets.
        """

    def call(self, value, training=False):
        """Returns the value that the model computes with.

        Args:
            value: float32 tensor of the variable's shape, after the transforms before this one.
            training: whether this is a step of training, where state may move on (once a forward pass).
        """
        raise NotImplementedError


class OutputTransform(keras.layers.Layer):
    """A function that a layer's output goes through whenever the layer is called.

    A subclass defines `call(output, training=False)` on one tensor, and `build(shape)` where it has state.

    Attributes:
        where: "output"; "activation" for what goes into the layer's fused activation function; or "input:PATH" for one
            of the layer's inputs, named as `tfdistill.parametrize.places.tensor_paths` does.
    """

    where = "output"

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "float32", "autocast": False, **kwargs})

    def call(self, output, training=False):
        """Returns what the layers after this one see, of the output's shape and dtype.

        Args:
            output: float tensor.
            training: whether this is a step of training, where state may move on.
        """
        raise NotImplementedError


def assign(variable, value):
    """Sets a variable in a forward pass, under a distribution strategy to the mean over the replicas; what are no
    floating-point numbers (masks, counts) must be the same in all.

    Not inside a condition or a loop, where replicas cannot meet: work out the value there and assign it after.

    Args:
        variable: `keras.Variable`.
        value: tensor of its shape.
    """
    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        variable.assign(value)
        return

    def update(strategy, target, values):
        if target.dtype.is_floating:
            new = strategy.extended.batch_reduce_to(tf.distribute.ReduceOp.MEAN, [(values, target)])[0]
        else:
            new = strategy.experimental_local_results(values)[0]
        strategy.extended.update(target, lambda copy, new: copy.assign(tf.cast(new, copy.dtype)), args=(new,))

    replica.merge_call(update, args=(variable.value, keras.ops.convert_to_tensor(value)))
