"""A model from disk, spoken to in our field names and answering in logits."""

import hashlib
import json

import keras
import tensorflow as tf

from tfdistill._features import PREDICTION
from tfdistill.errors import UserError
from tfdistill.losses.probabilities import as_logits
from tfdistill.teachers.fingerprint import fingerprint

OUTPUTS = ("logits", "probabilities")


class LoadedTeacher:
    """Callable: dict of tensors by our field names -> float32 logits `[batch, k]`. Made by `load_teacher`.

    A model of one input takes a tensor too.

    Attributes:
        path: where the model was loaded from.
        fields: the names of our fields that it reads, or `None` where the model does not declare its inputs.

    Args:
        function: callable on a dict of tensors by the teacher's input names, and on names of features; it returns
            `{None: the model's output, name: feature}`.
        specs: {input name: anything with shape and dtype}, or `None`.
        path, signature, inputs, outputs, task, precision: see `load_teacher`.
    """

    def __init__(
        self, function, specs, *, path, signature=None, inputs=None, outputs="logits", task="auto", precision=None
    ):
        self.path = path
        self._reading = {
            "signature": signature,
            "inputs": inputs or None,
            "outputs": outputs,
            "task": task,
            "precision": precision,
        }
        self._function = function
        self._specs = specs
        self._field_of = dict(inputs or {})
        self._outputs = outputs
        self._task = task
        if specs is not None:
            unknown = [name for name in self._field_of if name not in specs]
            if unknown:
                raise UserError(f"The teacher '{path}' has no inputs {unknown}. Its inputs: {list(specs)}")
            self._field_of = {name: self._field_of.get(name, name) for name in specs}
        self.fields = None if specs is None else tuple(self._field_of.values())

    def __call__(self, inputs):
        return self.feature_outputs(inputs, ())[PREDICTION]

    def fingerprint(self):
        """The identity of the teacher: that of its files, and how they are read where that was said."""
        reading = {name: value for name, value in self._reading.items() if value not in (None, "logits", "auto")}
        identity = fingerprint(self.path)
        return (
            hashlib.sha256(json.dumps([identity, reading], sort_keys=True).encode()).hexdigest()
            if reading
            else identity
        )

    def feature_outputs(self, inputs, names, training=False, labels=None):
        """Returns `{None: logits, name: feature}` of one pass.

        Args:
            inputs: dict of tensors by our field names.
            names: of a `.keras` or `.h5` file: layers of the model, as for a model in memory. Of a SavedModel: named
                outputs of the signature, besides the logits.

        Raises:
            ValueError: for a layer that the model does not have.
            UserError: for an output that the signature does not have, and for missing inputs.
        """
        outputs = self._function(self._arguments(inputs), names)
        return {**outputs, PREDICTION: self._logits(outputs[PREDICTION])}

    def __repr__(self):
        return f"LoadedTeacher(path={str(self.path)!r}, fields={self.fields})"

    def _arguments(self, inputs):
        if not isinstance(inputs, dict):
            if self._specs is None:
                return inputs
            if len(self._specs) > 1 or isinstance(inputs, (list, tuple)):
                raise UserError(
                    f"The teacher '{self.path}' needs a dict of inputs, {list(self._specs)}. Received: "
                    f"{type(inputs).__name__}"
                )
            inputs = {field: inputs for field in self._field_of.values()}
        missing = [field for field in self._field_of.values() if field not in inputs]
        if missing:
            raise UserError(
                f"The teacher '{self.path}' needs inputs that the data do not have: {missing}. The data have: "
                f"{list(inputs)}. Name our field for each input of the teacher: inputs={{teacher input: field}}."
            )
        arguments = {name: inputs[field] for name, field in self._field_of.items()}
        if self._specs is None:
            renamed = set(self._field_of.values())
            arguments |= {name: value for name, value in inputs.items() if name not in renamed}
        else:
            arguments = {name: self._fitted(name, value) for name, value in arguments.items()}
        return arguments

    def _fitted(self, name, value):
        """Casts an input to the declared width and gives it, or takes from it, a last dimension of 1."""
        spec = self._specs[name]
        value = tf.convert_to_tensor(value)
        given, declared = value.dtype, tf.as_dtype(spec.dtype)
        if given != declared:
            if tf.string in (given, declared) or (given.is_floating and declared.is_integer):
                raise UserError(
                    f"The teacher '{self.path}' takes {declared.name} for its input '{name}', but the field "
                    f"'{self._field_of[name]}' is {given.name}. Give it the field in the form that it was trained on."
                )
            value = tf.cast(value, declared)
        rank = tf.TensorShape(spec.shape).rank
        if rank == len(value.shape) + 1 and spec.shape[-1] in (1, None):
            return value[..., None]
        if rank == len(value.shape) - 1 and value.shape[-1] == 1:
            return value[..., 0]
        return value

    def _logits(self, result):
        if isinstance(result, dict) and len(result) > 1:
            if self._outputs not in result:
                raise UserError(
                    f"The teacher '{self.path}' returns several outputs, {sorted(result)}, and none is named "
                    f"'{self._outputs}'. Export it with that one alone."
                )
            result = result[self._outputs]
        flat = keras.tree.flatten(result)
        if len(flat) != 1:
            raise UserError(f"The teacher '{self.path}' returns {len(flat)} outputs. Export it with its logits alone.")
        result = flat[0][..., None] if len(flat[0].shape) == 1 else flat[0]
        return as_logits(result, self._task, from_logits=self._outputs == "logits")
