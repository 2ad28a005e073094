"""The inference function of a ranker, with named inputs and one named output, apart from Keras."""

import contextlib
import re

import keras
import tensorflow as tf

from tfdistill._families import is_tf_keras
from tfdistill.errors import UserError
from tfdistill.names import is_field_name
from tfdistill.precision import FLOAT32, in_precision

EACH = "probabilities"  # of labels that do not exclude each other
OUTPUTS = ("probability", "logit", EACH)
SIGNATURES = {"serving_default": None, "serve_one": 1}


def check_output(output):
    """Raises ValueError unless `output` is one of `OUTPUTS`."""
    if output not in OUTPUTS:
        raise ValueError(f"output: expected one of {OUTPUTS}, received {output!r}.")


def field_inputs(model):
    """The inputs of a functional model by field name: {name: KerasTensor}, in the model's order.

    Raises:
        ValueError: the model is not functional, or does not have exactly one output.
        UserError: a name cannot be the name of a signature's input.
    """
    if not getattr(model, "inputs", None):
        raise ValueError(f"model: expected a functional keras.Model, received {type(model).__name__} without inputs.")
    if len(model.outputs) != 1:
        raise ValueError(f"model: expected one output, the logits, received {len(model.outputs)}.")
    structure = input_structure(model)
    named = structure if isinstance(structure, dict) else {tensor.name: tensor for tensor in model.inputs}
    for name in named:
        if not is_field_name(name):
            raise UserError(
                f"field {name!r}: cannot be an input of an exported model; a name has letters (a to z), digits and"
                " underscores only, begins with a letter, and is no word of Python's. Rename the field."
            )
    return named


def input_structure(model):
    """What the model is called with: a dict, a list or one tensor (always one for a Sequential model)."""
    return model.inputs[0] if isinstance(model, keras.Sequential) else model.input


def serving_module(model, output="probability", final=None):
    """Traces the inference of `model` into a `tf.Module` that holds nothing but its weights and its signatures.

    Dropout is off and BatchNormalization uses its moving statistics. A model under a half-precision policy is rebuilt
    under float32 first: in place of half-precision matrix products TFLite would have Flex operators, which phones
    refuse. The weights are copies, named by their Keras paths; optimizer and seeds stay behind. With the Keras model
    itself in the module, the TFLite converter would leave the variables out of the file and the interpreter would answer
    NaN.

    Args:
        model: functional `keras.Model`, {field: tensor} -> logits [batch, 1], or [batch, k] for k classes. One of tf_keras
            is traced with its own weights, under the policy that it has.
        output: "probability" (sigmoid of one logit, softmax of several), "probabilities" (sigmoid of each) or "logit".
        final: `tfdistill.export.quantized.FinalWeights` of a model that was quantised in training.

    Returns: `(module, signatures)`: signatures has "serving_default" (any batch size) and "serve_one" (batch size 1),
        each a concrete function {field: tensor} -> {output: float32 [batch, k]}.
    """
    check_output(output)
    fields = field_inputs(model)
    is_legacy = is_tf_keras(model)
    model = model if is_legacy else in_precision(model, FLOAT32)
    value = (lambda variable: variable.numpy()) if final is None else final.value
    structure, sources = input_structure(model), {}
    for variable in model.variables:
        name = variable.name.partition(":")[0] if is_legacy else variable.path
        while name in sources:
            name += "_"
        sources[name] = variable
    copies = (
        sources
        if is_legacy
        else {name: tf.Variable(value(source), trainable=False, name=name) for name, source in sources.items()}
    )

    def serve(**inputs):
        values = []
        for name, source in () if is_legacy else sources.items():
            with tf.name_scope(re.sub(r"[^\w./-]", "_", name)):
                copy = tf.convert_to_tensor(copies[name])
                values.append((source, copy if final is None else final.read(source, copy)))
        in_force = contextlib.nullcontext() if final is None else final.in_force()
        with keras.StatelessScope(state_mapping=values), in_force:
            if isinstance(structure, dict):
                logits = model(inputs, training=False)
            else:
                given = keras.tree.pack_sequence_as(structure, [inputs[name] for name in fields])
                logits = model(given, training=False)
        logits = tf.cast(keras.tree.flatten(logits)[0], tf.float32)
        if output == "logit":
            return {output: logits}
        if output == EACH or logits.shape[-1] == 1:
            return {output: tf.sigmoid(logits)}
        return {output: tf.nn.softmax(logits)}

    signatures = {}
    for signature, batch in SIGNATURES.items():
        specs = {name: tf.TensorSpec((batch, *x.shape[1:]), x.dtype, name=name) for name, x in fields.items()}
        signatures[signature] = tf.function(serve, autograph=False).get_concrete_function(**specs)
    used = {id(variable) for signature in signatures.values() for variable in signature.variables}
    module = tf.Module()
    module.weights = {name: copy for name, copy in copies.items() if id(copy) in used}
    return module, signatures
