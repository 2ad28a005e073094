"""One forward pass of a model that yields its prediction and the outputs of named layers."""

import inspect

import keras

from tfdistill.losses.symbolic import is_functional, layer_output, model_output

PREDICTION = None  # the name under which a model's own output is found, as `layer_name=None` means it in a loss


class FeatureExtractor:
    """Runs a teacher or a student once and returns `{None: prediction, layer name: that layer's output, ...}`.

    It is no Keras object on purpose: Keras tracks, counts and saves the models it finds in a model's attributes.

    Args:
        model: a keras.Model, or, without layer names, any callable on the inputs.
        layer_names: names of layers of a Functional or built Sequential model.
        role: `"teacher"` or `"student"`, for messages.

    Raises:
        ValueError: for a layer that cannot be read.
    """

    def __init__(self, model, layer_names, role):
        self.model = model
        self.outputs = [PREDICTION, *layer_names]
        self._role = role
        self._forward = model
        if layer_names:
            features = [layer_output(model, name, role) for name in layer_names]
            inputs = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
            self._forward = keras.Model(inputs, [model_output(model), *features], name=f"{model.name}_features")
        # A Keras layer drops the argument itself where its `call` has none.
        self._takes_training = isinstance(model, keras.Layer) or takes_argument(model, "training")

    def __call__(self, inputs, training, hidden_column=None):
        inputs = self.select_inputs(inputs, hidden_column)
        outputs = self._forward(inputs, training=training) if self._takes_training else self._forward(inputs)
        return dict(zip(self.outputs, outputs, strict=True)) if len(self.outputs) > 1 else {PREDICTION: outputs}

    @property
    def supports_jit(self):
        """Whether the model is known to compile under XLA; a callable is not, unless it says so."""
        parts = self.model._flatten_layers() if isinstance(self.model, keras.Layer) else [self.model]
        return all(getattr(part, "supports_jit", False) for part in parts)

    def select_inputs(self, inputs, hidden_column=None):
        """The part of a dict of inputs that is meant for this model.

        A functional model gets what it declares, so a batch may carry more: cached soft targets, or features that only
        the teacher may see. Any other model gets everything but `hidden_column`.

        Raises:
            ValueError: where a declared input is missing.
        """
        if not isinstance(inputs, dict):
            return inputs
        if not is_functional(self.model):
            return {name: value for name, value in inputs.items() if name != hidden_column}
        declared = self.model.inputs if isinstance(self.model, keras.Sequential) else self.model.input
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


def takes_argument(function, name, by_keywords=False):
    """Whether `function` has a parameter `name` (or, with `by_keywords`, takes any keyword argument)."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False
    kinds = [parameter.kind for parameter in parameters.values()]
    return name in parameters or (by_keywords and inspect.Parameter.VAR_KEYWORD in kinds)
