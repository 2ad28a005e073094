"""One forward pass of a model that yields its prediction and what its layers computed."""

import keras

from tfdistill._layers import OUTPUT, find_layer, output_specs, recording
from tfdistill.teachers.calling import call_arguments, select_inputs

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

    def __call__(self, inputs, training, hidden_columns=(), labels=None):
        inputs = self.select_inputs(inputs, hidden_columns)
        arguments = call_arguments(self.model, training, labels)
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
        """The part of a dict of inputs that is meant for this model, see `tfdistill.teachers.calling.select_inputs`."""
        return select_inputs(self.model, inputs, self._role, hidden_columns)

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
