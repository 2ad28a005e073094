"""One forward pass of a model that yields its prediction and what its layers computed."""

import inspect

import keras

from tfdistill._layers import OUTPUT, find_layer, is_functional, model_inputs, output_specs, recording

PREDICTION = None  # the name under which a model's own output is found, as `layer_name=None` means it in a loss


class FeatureExtractor:
    """Runs a teacher or a student once and returns `{None: prediction, reference: what that layer computed, ...}`.

    It is no Keras object on purpose: Keras tracks, counts and saves the models it finds in a model's attributes.

    Args:
        model: a keras.Model, a callable with a method `feature_outputs(inputs, names)` that answers like this class,
            or, where nothing but the prediction is read, any callable on the inputs.
        references: the layers to read, as `find_layer` takes them; or pairs (reference, "attention_scores").
        role: `"teacher"` or `"student"`, for messages.

    Raises:
        ValueError: for a layer that cannot be read.
    """

    def __init__(self, model, references, role):
        self.model = model
        self.outputs = [PREDICTION, *references]
        self._role = role
        self._answers_itself = len(self.outputs) > 1 and hasattr(model, "feature_outputs")
        self._readings = None
        if not self._answers_itself:
            try:
                self._find_layers()
            except ValueError:
                if getattr(model, "built", True):
                    raise  # a subclassed model that is not built yet may make the layer when it is first called
        # A Keras layer drops the argument itself where its `call` has none.
        self._takes_training = isinstance(model, keras.Layer) or takes_argument(
            getattr(model, "call", model), "training"
        )
        self._takes_labels = not isinstance(model, keras.Layer) and takes_argument(model, "labels")

    def __call__(self, inputs, training, hidden_columns=(), labels=None):
        inputs = self.select_inputs(inputs, hidden_columns)
        arguments = {"training": training} if self._takes_training else {}
        arguments |= {"labels": labels} if self._takes_labels else {}
        if self._answers_itself:
            return self.model.feature_outputs(inputs, self.outputs[1:], **arguments)
        if len(self.outputs) == 1:
            return {PREDICTION: self.model(inputs, **arguments)}
        if self._readings is None:
            self.model(inputs, **arguments)  # makes its layers
            self._find_layers()
        with recording(self._readings) as outputs:
            prediction = self.model(inputs, **arguments)
            return {PREDICTION: prediction, **outputs()}

    def specs(self):
        """What the extractor returns as symbolic tensors; `None` unless the model is functional."""
        return None if self._answers_itself else output_specs(self.model, self._readings)

    @property
    def supports_jit(self):
        """Whether the model is known to compile under XLA; a callable is not, unless it says so."""
        parts = self.model._flatten_layers() if isinstance(self.model, keras.Layer) else [self.model]
        return all(getattr(part, "supports_jit", False) for part in parts)

    def select_inputs(self, inputs, hidden_columns=()):
        """The part of a dict of inputs that is meant for this model.

        A functional model gets what it declares, so a batch may carry more: cached soft targets, or features that only
        the teacher may see. Any other model gets everything but `hidden_columns`.

        Raises:
            ValueError: where a declared input is missing.
        """
        if not isinstance(inputs, dict):
            return inputs
        if not is_functional(self.model):
            return {name: value for name, value in inputs.items() if name not in hidden_columns}
        declared = model_inputs(self.model)
        names = list(declared) if isinstance(declared, dict) else [t.name for t in keras.tree.flatten(declared)]
        missing = [name for name in names if name not in inputs]
        if missing:
            raise ValueError(
                f"The {self._role} '{self.model.name}' misses the inputs {missing}. The batch has: {list(inputs)}"
            )
        if isinstance(declared, dict):
            return {name: inputs[name] for name in names}
        selected = [inputs[name] for name in names]
        return selected if len(selected) > 1 else selected[0]

    def _find_layers(self):
        readings = {}
        for key in self.outputs[1:]:
            reference, reading = key if isinstance(key, tuple) else (key, OUTPUT)
            readings[key] = find_layer(self.model, reference, self._role), reading
        self._readings = readings


def feature_key(loss, role):
    """The key under which a loss finds what it reads of the "teacher" or the "student" in a `FeatureExtractor`."""
    reference = getattr(loss, f"{role}_layer_name", None)
    reading = getattr(loss, "reading", OUTPUT)
    return reference if reference is None or reading == OUTPUT else (reference, reading)


def takes_argument(function, name, by_keywords=False):
    """Whether `function` has a parameter `name` (or, with `by_keywords`, takes any keyword argument)."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False
    kinds = [parameter.kind for parameter in parameters.values()]
    return name in parameters or (by_keywords and inspect.Parameter.VAR_KEYWORD in kinds)
