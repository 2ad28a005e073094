"""Pruning a model, a layer or a list of layers, and plain models again after it."""

import keras

from tfdistill._families import is_tf_keras, tfmot
from tfdistill.parametrize.model import Parametrized, parametrize, parametrized_parts, plain_model
from tfdistill.parametrize.stripping import strip
from tfdistill.parametrize.weights import fitting, patterns_of
from tfdistill.sparsity.prunable import prunable_weights, pruned_weights
from tfdistill.sparsity.schedules import ConstantSparsity, PolynomialDecay
from tfdistill.sparsity.transform import MagnitudePruning

_DEFAULT_SCHEDULE = ConstantSparsity(0.5, 0)


def prune_low_magnitude(
    to_prune,
    pruning_schedule=_DEFAULT_SCHEDULE,
    block_size=(1, 1),
    block_pooling_type="AVG",
    pruning_policy=None,
    sparsity_m_by_n=None,
    *,
    layers=None,
    scope="layer",
    **kwargs,
):
    """Prunes the weights that are smallest in magnitude while a model is trained.

        w <- w * mask,   mask = 1 where |w| is at least the k-th largest, k = max(round(N (1 - sparsity)), 1)

    in every forward pass of training, of N weights; the schedule says when the mask is updated, and the sparsity.
    Gradients are not masked. Steps, masks and weights are TFMOT's; no callback is needed.

    Args:
        to_prune: `keras.Model` of any kind, a layer (returned wrapped, for use in a model), a list of layers (the
            result is a list, layers without weights as they were), or what another technique of tfdistill returned.
            Models, layers and lists of tf_keras go to TFMOT, with TFMOT's arguments.
        pruning_schedule: `PruningSchedule`: when masks are updated, and the share of zeros.
        block_size: (height, width) of blocks of weights that are kept or pruned together, beginning at the first row
            and column. Other than (1, 1) for weights of two axes only.
        block_pooling_type: `"AVG"` or `"MAX"`: what of the magnitudes in a block it is ranked by.
        pruning_policy: `PruningPolicy` that says which layers are pruned.
        sparsity_m_by_n: (m, n) for m zeros in every n consecutive inputs, such as (2, 4). The mask is made at step 1
            and stays: the schedule has no say. For weights of two and of four axes.
        layers: names, paths, shell patterns ("encoder/*") or layers whose weights are pruned. `None` for all kernels
            and tables of at least two axes; of a layer that has `get_prunable_weights()`, what this returns.
        scope: `"layer"` ranks every weight by itself, `"global"` all weights of the model together.
        **kwargs: for tf_keras layers alone, which TFMOT gives to its wrapper.

    Returns: a `tfdistill.parametrize.Parametrized` around the same model, to be compiled; or a list.

    Raises:
        ValueError: for arguments of the wrong kind, and where nothing would be pruned.

    >>> import keras
    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4), keras.layers.Dense(1, name="head")])
    >>> pruned = prune_low_magnitude(model, ConstantSparsity(0.75, 0, frequency=1), layers=["head"])
    >>> pruned.compile("sgd", "mse")
    >>> history = pruned.fit(keras.ops.ones((4, 8)), keras.ops.ones((4, 1)), verbose=0)
    >>> int(strip_pruning(pruned).layers[1].kernel.numpy().astype(bool).sum())
    1

    Reference: Zhu and Gupta, "To prune, or not to prune: exploring the efficacy of pruning for model compression",
    2017, arXiv 1710.01878.
    """
    if is_tf_keras(to_prune):
        if layers is not None or scope != "layer":
            raise ValueError(
                "`layers` and `scope` are for Keras 3 models: a tf_keras model is pruned by TFMOT, which has neither. "
                f"Received: layers={layers!r}, scope={scope!r}"
            )
        schedule = _schedule_of_tfmot(pruning_schedule)
        return tfmot("Pruning").sparsity.keras.prune_low_magnitude(
            to_prune, schedule, block_size, block_pooling_type, pruning_policy, sparsity_m_by_n, **kwargs
        )
    if kwargs:
        raise ValueError(
            f"A Keras 3 layer takes no arguments when it is pruned: give them to the layer itself, and the shape of the "
            f"inputs to keras.Input. Received: {', '.join(sorted(kwargs))}"
        )
    is_list = isinstance(to_prune, (list, tuple))
    if not is_list and not isinstance(to_prune, keras.layers.Layer):
        raise ValueError(
            "`to_prune` must be a Keras 3 or tf_keras model or layer, or a list of layers. "
            f"Received: {to_prune!r} of type {type(to_prune).__name__}"
        )
    settings = _checked(pruning_schedule, block_size, block_pooling_type, sparsity_m_by_n, scope)
    if pruning_policy is not None and not hasattr(pruning_policy, "allow_pruning"):
        raise ValueError(
            f"`pruning_policy` must be a PruningPolicy. Received: {pruning_policy!r} of type {type(pruning_policy).__name__}"
        )
    if is_list:
        return _pruned_list(list(to_prune), settings, pruning_policy, layers)
    return _pruned(to_prune, settings, pruning_policy, layers)


def strip_pruning(model):
    """Returns a plain model of the original class whose pruned weights are zero. Its outputs are the same.

    Args:
        model: what `prune_low_magnitude` returned, or a functional or Sequential model with pruned layers. A tf_keras
            model goes to TFMOT.

    Returns: a model with variables of its own, not compiled.

    Raises:
        ValueError: for a model in which nothing is pruned, and one with transforms of other techniques.
    """
    if is_tf_keras(model):
        return tfmot("Pruning").sparsity.keras.strip_pruning(model)
    if not pruned_weights(model):
        raise ValueError(f"`model` has no pruned weights to strip. Received: {model!r} of type {type(model).__name__}")
    others = sorted({type(one).__name__ for one in _transforms(model) if not isinstance(one, MagnitudePruning)})
    if others:
        raise ValueError(
            f"{model.name!r} has transforms besides pruning ({', '.join(others)}). tfdistill.parametrize.strip takes all "
            "of them away and keeps the values that they gave the weights."
        )
    return strip(model)


def prune_scope():
    """A context in which models pruned by TFMOT can be loaded by tf_keras; pruned Keras 3 models need none."""
    return tfmot("Loading a pruned model").sparsity.keras.prune_scope()


def _pruned(model, settings, policy, layers):
    plain = plain_model(model)
    choice = _Choice(model, plain, settings, policy, layers)
    if plain.built and all(layer.built for layer in plain._flatten_layers()):
        choice.settle()  # what does not fit is told at the call
    return parametrize(model, choice)


def _pruned_list(layers_to_prune, settings, policy, layers):
    for layer in layers_to_prune:
        if not isinstance(layer, keras.layers.Layer):
            raise ValueError(
                "`to_prune` must be a list of Keras 3 layers, or of tf_keras layers. Received in it: "
                f"{layer!r} of type {type(layer).__name__}"
            )
    if settings["scope"] == "global":
        raise ValueError('`scope="global"` ranks the weights of one model: give the model instead of a list of layers.')
    if layers is not None:
        raise ValueError("`layers` chooses within a model; of a list, give those layers that are to be pruned.")
    pruned = []
    for layer in layers_to_prune:
        has_nothing = layer.built and not prunable_weights(layer)
        forbidden = policy is not None and not policy.allow_pruning(layer)
        skipped = has_nothing or forbidden or isinstance(layer, (keras.layers.InputLayer, Parametrized))
        pruned.append(layer if skipped else _pruned(layer, settings, policy, None))
    if not any(isinstance(layer, Parametrized) for layer in pruned):
        raise ValueError(f"`to_prune`: none of the layers has weights to prune: {[layer.name for layer in pruned]}")
    return pruned


class _Choice:
    """Chooses the weights of a model when they are there, and makes their transforms.

    Args:
        model: what is pruned, with the transforms that it has.
        plain: the model inside, whose weights are chosen from.
        settings: arguments of `MagnitudePruning`.
        policy: `PruningPolicy` or `None`.
        layers: as for `prune_low_magnitude`.
    """

    def __init__(self, model, plain, settings, policy, layers):
        self._model, self._plain, self._settings, self._policy, self._layers = model, plain, settings, policy, layers
        self._places = None

    def __call__(self, weight):
        if self._places is None:
            self.settle()
        return MagnitudePruning(**self._settings, group=self._places[0]) if weight.index in self._places else None

    def settle(self):
        """Chooses; raises `ValueError` where there is nothing to prune, and for what cannot be."""
        pruned = {id(weight.variable) for weight, _ in pruned_weights(self._model)}
        able = [weight for weight in prunable_weights(self._plain) if id(weight.variable) not in pruned]
        if self._policy is not None:
            if isinstance(self._plain, keras.Model):
                self._policy.ensure_model_supports_pruning(self._plain)
            able = [weight for weight in able if self._policy.allow_pruning(weight.layer)]
        if not able:
            under = f" under {type(self._policy).__name__}" if self._policy is not None else ""
            already = " that is not pruned already" if pruned else ""
            raise ValueError(f"{self._plain.name!r} has no weight to prune{under}{already}.")
        chosen = fitting(able, patterns_of("layers", self._layers), "layers", self._plain.name)
        self._refuse_shapes(chosen)
        self._places = [weight.index for weight in chosen]

    def _refuse_shapes(self, weights):
        block_size, m_by_n = self._settings["block_size"], self._settings["sparsity_m_by_n"]
        if m_by_n is not None:
            what, axes = f"sparsity_m_by_n={m_by_n} is for weights of two or four axes", (2, 4)
        elif block_size != (1, 1):
            what, axes = f"block_size={block_size} is for weights of two axes", (2,)
        else:
            return
        wrong = [weight for weight in weights if len(weight.variable.shape) not in axes]
        if not wrong:
            return
        fitting = sorted({weight.layer_path or weight.path for weight in weights if weight not in wrong})
        choice = f"Prune the others alone: layers={fitting}." if fitting else "None of the others has such weights."
        shapes = ", ".join(f"{weight.path!r} {tuple(weight.variable.shape)}" for weight in wrong)
        raise ValueError(f"{what}. These have another shape: {shapes}. {choice}")


def _checked(schedule, block_size, pooling, m_by_n, scope):
    """The arguments of `MagnitudePruning`; raises `ValueError` for wrong ones."""
    if not callable(schedule) or not hasattr(schedule, "get_config"):
        raise ValueError(
            f"`pruning_schedule` must be a PruningSchedule. Received: {schedule!r} of type {type(schedule).__name__}"
        )
    block_size = _two_integers(block_size, "block_size")
    if min(block_size) < 1:
        raise ValueError(f"`block_size` must be two numbers of at least 1. Received: block_size={block_size}")
    if pooling not in ("AVG", "MAX"):
        raise ValueError(f'`block_pooling_type` must be "AVG" or "MAX". Received: block_pooling_type={pooling!r}')
    if scope not in ("layer", "global"):
        raise ValueError(f'`scope` must be "layer" or "global". Received: scope={scope!r}')
    if m_by_n is not None:
        m_by_n = _two_integers(m_by_n, "sparsity_m_by_n")
        if not 0 < m_by_n[0] < m_by_n[1]:
            raise ValueError(
                f"`sparsity_m_by_n` must be (m, n) for m zeros in every n, 0 < m < n. Received: sparsity_m_by_n={m_by_n}"
            )
        if block_size != (1, 1):
            raise ValueError(
                f"`sparsity_m_by_n` and `block_size` exclude each other. Received: {m_by_n} and {block_size}"
            )
        if scope == "global":
            raise ValueError('`sparsity_m_by_n` has no `scope="global"`: every few weights are ranked by themselves.')
    return {
        "pruning_schedule": _own_schedule(schedule),
        "block_size": block_size,
        "block_pooling_type": pooling,
        "sparsity_m_by_n": m_by_n,
        "scope": scope,
    }


def _two_integers(value, name):
    try:
        pair = tuple(value)
    except TypeError:
        pair = ()
    if len(pair) != 2 or any(isinstance(one, bool) or not isinstance(one, int) for one in pair):
        raise ValueError(f"`{name}` must be two whole numbers. Received: {name}={value!r}")
    return pair


def _own_schedule(schedule):
    """A schedule of TFMOT's as one of ours, which Keras 3 can save; others as they are."""
    twins = {cls.__name__: cls for cls in (ConstantSparsity, PolynomialDecay)}
    is_tfmot = type(schedule).__module__.startswith("tensorflow_model_optimization.")
    return twins[type(schedule).__name__].from_config(schedule.get_config()) if is_tfmot else schedule


def _schedule_of_tfmot(schedule):
    """One of our schedules as TFMOT's, which tf_keras can save; others as they are."""
    if type(schedule) not in (ConstantSparsity, PolynomialDecay):
        return schedule
    return getattr(tfmot("Pruning").sparsity.keras, type(schedule).__name__)(**schedule.get_config())


def _transforms(model):
    """All transforms of a model."""
    return [
        transform
        for part in parametrized_parts(model)
        for transform in (*part.weight_transforms, *part.output_transforms)
    ]
