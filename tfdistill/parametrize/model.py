"""`Parametrized`: a model, or a layer, whose weights and outputs go through transforms."""

import contextlib

import keras
import tensorflow as tf
from keras import ops
from keras.src.backend import AutocastScope  # Keras has no public name for it

from tfdistill._layers import is_functional, model_inputs, model_output
from tfdistill.parametrize.places import hooked, operations_of
from tfdistill.parametrize.scope import WeightScope, weights_are_final
from tfdistill.parametrize.transforms import assign
from tfdistill.parametrize.weights import weights_of
from tfdistill.precision import policy_of


@keras.saving.register_keras_serializable(package="tfdistill")
class Parametrized(keras.Model):
    """Runs a model, or a layer, with transforms on its weights and on its layers' outputs.

    The model inside is as it was, of its own class, with its own variables: it is trained through the wrapper under
    `fit`, a `Distiller` or a custom loop, saved and loaded with it, and given back by `strip`. Made by `parametrize`.

    Args:
        model: `keras.Model` of any kind, or a layer.
        weight_transforms: pairs (index in `model.variables`, `WeightTransform`).
        output_transforms: pairs (index in the list of the model, all layers below it and the bare operations of its
            functional parts, `OutputTransform`).
        name: by default that of the model.

    Attributes:
        model: what is wrapped.
    """

    def __init__(self, model, weight_transforms=(), output_transforms=(), name=None):
        # Loss scaling follows the policy; casting is the business of the model inside.
        super().__init__(name=name or model.name, autocast=False, dtype=policy_of(model))
        self.supports_masking = True
        self.model = model
        self._choices = []  # what to attach once the model has its variables
        self._weight_places, self.weight_transforms = _unzipped(weight_transforms)
        self._output_places, self.output_transforms = _unzipped(output_transforms)
        self._are_transforms_built = False
        self._uninitialized = []  # places of transforms, in weight_transforms, that wait for Keras to make their weights
        if _is_built(model):
            self._attach()

    def again(self):
        """Another wrapper of the same model with the same transforms, to which more can be added."""
        weights = zip(self._weight_places, self.weight_transforms, strict=True)
        outputs = zip(self._output_places, self.output_transforms, strict=True)
        other = Parametrized(self.model, weights, outputs, name=self.name)
        other._choices = list(self._choices)
        return other

    def choose(self, choose_weights=None, choose_outputs=None):
        """Adds transforms; see `parametrize`."""
        self._choices.append((choose_weights, choose_outputs))
        if _is_built(self.model):
            self._attach()

    def __call__(self, *args, **kwargs):
        if not self._is_attached:
            if not _is_built(self.model):
                with keras.name_scope(self.model.name):
                    self.model(*args, **kwargs)  # makes its variables
            self._attach((args, kwargs))
        self._initialize_transforms()
        return super().__call__(*args, **kwargs)

    def call(self, *args, training=None, **kwargs):
        values = [] if weights_are_final() else self._weight_values(training=bool(training))
        if training is not None and _takes_training(self.model):
            kwargs["training"] = training
        with contextlib.ExitStack() as stack:
            stack.enter_context(WeightScope(values, self.model._flatten_layers()))
            if self.output_transforms:
                stack.enter_context(hooked(self.transformed_outputs(), bool(training)))
            return self.model(*args, **kwargs)

    def train_step(self, data):
        own = [name for name in ("train_step", "compute_loss") if _has_own(self.model, name)]
        if own:
            raise ValueError(
                f"{type(self.model).__name__} {self.model.name!r} has a {' and a '.join(own)} of its own, which `fit` of the "
                "model with transforms would not run. Put the transforms on the models inside it (of a Distiller: its student) "
                "before making it, or train in a loop of your own."
            )
        return super().train_step(data)

    def compute_mask(self, inputs, previous_mask):
        return None  # the model inside has put its masks on its outputs

    def transformed(self):
        """Yields (`Weight`, its transforms in the order of application) of all weights that have some."""
        weights = {weight.index: weight for weight in weights_of(self.model)}
        for place, transforms in self._transforms_by_place().items():
            yield weights[place], transforms

    def transformed_outputs(self):
        """Yields (layer or bare operation, `OutputTransform`) of all whose outputs, or inputs, are transformed."""
        operations = operations_of(self.model)
        for place, transform in zip(self._output_places, self.output_transforms, strict=True):
            yield operations[place], transform

    def transformed_values(self):
        """{index in `model.variables`: the value that the model computes with outside training, a tensor}."""
        values = self._weight_values(training=False)
        return {place: value for place, (_, value) in zip(self._transforms_by_place(), values, strict=True)}

    def get_layer(self, name=None, index=None):
        """A layer of the model inside."""
        return self.model.get_layer(name=name, index=index)

    @property
    def inputs(self):
        """The symbolic inputs of the model inside; `None` unless it is functional."""
        return getattr(self.model, "inputs", None)

    @property
    def outputs(self):
        """The symbolic outputs of the model inside; `None` unless it is functional."""
        return getattr(self.model, "outputs", None)

    @property
    def input(self):
        """The symbolic input, or structure of inputs, of the functional model inside."""
        return model_inputs(self.model)

    @property
    def output(self):
        """The symbolic output, or structure of outputs, of the functional model inside."""
        return model_output(self.model)

    @property
    def output_names(self):
        """The names of the outputs of the functional model inside."""
        return getattr(self.model, "output_names", None)

    def get_config(self):
        if self._choices:
            raise ValueError(
                f"{self.name!r} has not been built, so its transforms are not known. Call it on a batch before saving."
            )
        write = keras.saving.serialize_keras_object
        weights = zip(self._weight_places, self.weight_transforms, strict=True)
        outputs = zip(self._output_places, self.output_transforms, strict=True)
        return {
            "name": self.name,
            "model": write(self.model),
            "weight_transforms": [[place, write(transform)] for place, transform in weights],
            "output_transforms": [[place, write(transform)] for place, transform in outputs],
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        def read(one):
            return keras.saving.deserialize_keras_object(one, custom_objects=custom_objects)

        weights = [(place, read(transform)) for place, transform in config["weight_transforms"]]
        outputs = [(place, read(transform)) for place, transform in config["output_transforms"]]
        return cls(read(config["model"]), weights, outputs, name=config["name"])

    @property
    def is_waiting(self):
        """Whether there are transforms still to be chosen, once the model is built."""
        return bool(self._choices)

    @property
    def _is_attached(self):
        return self._are_transforms_built and not self._choices

    def _attach(self, call=None):
        """Makes the state of the transforms, those chosen by now included; outputs wait for a call where one is needed."""
        if not self._are_transforms_built:
            self._build_loaded_transforms()
        if is_functional(self.model):
            call = ((model_inputs(self.model),), {})
        choices, self._choices = self._choices, []
        for place, (choose_weights, choose_outputs) in enumerate(choices):
            if choose_weights is not None:
                try:
                    self._attach_weights(choose_weights)
                except Exception:
                    self._choices += choices[place:]  # a wrong choice stays one: the next call is told so, too
                    raise
            if choose_outputs is not None and call is None:
                self._choices.append((None, choose_outputs))
            elif choose_outputs is not None:
                self._attach_outputs(choose_outputs, call)
        self._initialize_transforms()
        self.built = self._is_attached

    def _build_loaded_transforms(self):
        variables = self.model.variables
        for place, transform in zip(self._weight_places, self.weight_transforms, strict=True):
            if not transform.built:
                transform.build(tuple(variables[place].shape))
        for transform in self.output_transforms:
            if not transform.built:
                transform.build(None)
        self._are_transforms_built = True

    def _attach_weights(self, choose):
        for weight, transform in [(weight, choose(weight)) for weight in weights_of(self.model)]:
            if transform is None:
                continue
            transform.build(tuple(weight.variable.shape))
            self._weight_places.append(weight.index)
            self.weight_transforms.append(transform)
            self._uninitialized.append(len(self.weight_transforms) - 1)

    def _initialize_transforms(self):
        """Sets the state of new transforms, once their weights have values: while it works out shapes Keras makes none."""
        variables = self.model.variables
        if any(variables[self._weight_places[place]]._value is None for place in self._uninitialized):
            return
        with tf.init_scope():
            for place in self._uninitialized:
                transform, weight_place = self.weight_transforms[place], self._weight_places[place]
                value = ops.convert_to_tensor(variables[weight_place].value)
                for before in self._transforms_by_place()[weight_place]:
                    if before is transform:
                        break
                    value = before(value, training=False)
                transform.initialize(ops.convert_to_numpy(value))
        self._uninitialized = []

    def _attach_outputs(self, choose, call):
        places = {id(operation): place for place, operation in enumerate(operations_of(self.model))}
        for layer, transform in choose(self.model, *call):
            transform.build(None)
            self._output_places.append(places[id(layer)])
            self.output_transforms.append(transform)

    def _weight_values(self, training):
        """Pairs (variable, what it reads as); in training the states of the transforms move on."""
        variables, by_place = self.model.variables, self._transforms_by_place()
        with AutocastScope(None):  # weights as they are, whatever dtype the model computes in
            values = {place: ops.convert_to_tensor(variables[place].value) for place in by_place}
            for order in sorted({transform.order for transform in self.weight_transforms}):
                turn = [
                    (place, one) for place, transforms in by_place.items() for one in transforms if one.order == order
                ]
                if training:
                    _advance(turn, values)
                for place, transform in turn:
                    values[place] = transform(values[place], training=training)
                    if training and transform.writes_back:
                        assign(variables[place], values[place])
                        values[place] = ops.convert_to_tensor(variables[place].value)
        return [(variables[place], value) for place, value in values.items()]

    def _transforms_by_place(self):
        """{index in `model.variables`: its transforms in the order of application}."""
        by_place = {}
        for place, transform in zip(self._weight_places, self.weight_transforms, strict=True):
            by_place.setdefault(place, []).append(transform)
        return {place: sorted(by_place[place], key=lambda transform: transform.order) for place in sorted(by_place)}


def parametrize(model, choose_weights=None, choose_outputs=None):
    """Puts transforms on the weights, and on the layers' outputs, of a model.

    Args:
        model: `keras.Model` of any kind, a layer, or what this function returned: transforms are then added to those
            that are there, and take effect in the order of their `order`.
        choose_weights: function of a `Weight` that returns a new `WeightTransform`, or `None` for a weight that stays
            as it is.
        choose_outputs: function of the built model and of the arguments of one call of it (a tuple, and a dict of those
            by keyword; symbolic tensors where the model is functional) that returns pairs (layer or bare operation of
            the model, new `OutputTransform`). For a model that is not functional it waits for the first call.

    Returns: `Parametrized`; compile it before training. If the model is not built, choices are made when it is.

    Raises:
        ValueError: for what is neither a Keras 3 model nor a layer.
    """
    if not isinstance(model, keras.layers.Layer):
        raise ValueError(
            f"`model` must be a Keras 3 model or layer. Received: {model!r} of type {type(model).__name__}"
        )
    parametrized = model.again() if isinstance(model, Parametrized) else Parametrized(model)
    parametrized.choose(choose_weights, choose_outputs)
    return parametrized


def parametrized_parts(model):
    """Every `Parametrized` in a model, the model itself and the student of a distiller included."""
    if not isinstance(model, keras.layers.Layer):
        return []
    return [layer for layer in model._flatten_layers() if isinstance(layer, Parametrized)]


def plain_model(model):
    """The model inside, of what `parametrize` returned; any other model itself."""
    return model.model if isinstance(model, Parametrized) else model


def _advance(turn, values):
    """Has the transforms of a turn, pairs (place, transform), move their states on, those of a class together."""
    by_class = {}
    for place, transform in turn:
        by_class.setdefault(type(transform), []).append((transform, values[place]))
    for cls, members in by_class.items():
        cls.advance(*zip(*members, strict=True))


def _unzipped(pairs):
    pairs = list(pairs)
    return [int(place) for place, _ in pairs], [transform for _, transform in pairs]


def _is_built(model):
    return model.built and all(layer.built for layer in model._flatten_layers())


def _has_own(model, method):
    return isinstance(model, keras.Model) and getattr(type(model), method) is not getattr(keras.Model, method)


def _takes_training(model):
    return getattr(model, "_call_has_training_arg", True)
