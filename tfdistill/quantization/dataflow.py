"""Which layer's output goes where, found by tracing one forward pass; so it works for models of any kind."""

import dataclasses

import keras
import tensorflow as tf

from tfdistill._layers import wrapping
from tfdistill.parametrize.places import operations_of, tensor_paths
from tfdistill.quantization.kinds import is_unit, parts_of_units

# Operators through which a value goes as it is, between layers, and those that only move values about.
_UNCHANGED = {"Identity", "StopGradient", "PreventGradient", "EnsureShape", "Cast"}
_MOVING = {"Reshape", "Squeeze", "ExpandDims", "Transpose", "StridedSlice", "Slice", "GatherV2", "Split", "Unpack"}


@dataclasses.dataclass(eq=False)
class Call:
    """One call of a unit, a layer that is not looked into, or of a bare operation."""

    unit: object
    inputs: list  # symbolic tensors, floating-point ones
    outputs: list


@dataclasses.dataclass(frozen=True)
class Use:
    """What a tensor goes into: a unit's call, the model's output, or an operator between layers."""

    call: Call | None
    is_output: bool = False


class Dataflow:
    """The calls of one forward pass.

    Attributes:
        calls: every `Call`, in order.
        inputs: {path: symbolic tensor} of the model's floating-point inputs; paths as in `tensor_paths`.
        outputs: the model's floating-point outputs.
    """

    def __init__(self, calls, inputs, outputs, owners, graph):
        self.calls, self.inputs, self.outputs = calls, inputs, outputs
        self._owners = owners  # {name of a graph's node: the Call that made it}
        self._graph = graph  # tensors do not keep theirs alive

    def uses(self, tensor):
        """The `Use`s of a tensor, seen through operators that leave it as it is."""
        found = [Use(None, is_output=True)] if any(tensor is one for one in self.outputs) else []
        for node in tensor.consumers():
            call = self._owners.get(node.name)
            if call is not None:
                found.append(Use(call))
            elif node.type in _UNCHANGED:
                for output in node.outputs:
                    found.extend(self.uses(output) if output.dtype.is_floating else [])
            elif node.outputs:
                found.append(Use(None))
        return found

    def sources(self, tensor):
        """What a tensor comes from: calls, names of inputs, `None` for operators between layers that compute."""
        for path, one in self.inputs.items():
            if one is tensor:
                return [path]
        call = self._owners.get(tensor.op.name)
        if call is not None:
            return [call]
        if tensor.op.type not in _UNCHANGED | _MOVING:
            return [None]
        before = [one for one in tensor.op.inputs if one.dtype.is_floating]
        return [source for one in before for source in self.sources(one)] or [None]


def trace(model, args, kwargs):
    """The `Dataflow` of a model when it is called with such arguments, outside training.

    Args:
        model: built model or layer.
        args, kwargs: the arguments of a call, tensors (symbolic ones will do).
    """
    inside = parts_of_units(model)
    units = [one for one in operations_of(model) if is_unit(one) and id(one) not in inside]
    paths = tensor_paths(args, kwargs)
    calls, owners, ends = [], {}, {}

    def run(*tensors):
        graph = tf.compat.v1.get_default_graph()
        inputs = dict(zip(paths, tensors, strict=True))
        given = {id(old): new for old, new in zip(paths.values(), tensors, strict=True)}

        def recorder(unit):
            def record(call, *args, **kwargs):
                if tf.compat.v1.get_default_graph() is not graph:  # inside a loop
                    return call(*args, **kwargs)
                first = len(graph.get_operations())
                returned = call(*args, **kwargs)
                made = Call(unit, _floats((args, kwargs)), _floats(returned))
                calls.append(made)
                for node in graph.get_operations()[first:]:
                    owners.setdefault(node.name, made)
                return returned

            return record

        placed, named = keras.tree.map_structure(lambda leaf: given.get(id(leaf), leaf), (tuple(args), dict(kwargs)))
        with keras.StatelessScope(), wrapping([(unit, recorder(unit)) for unit in units]):
            outputs = model(*placed, **named)
        ends["inputs"] = {path: tensor for path, tensor in inputs.items() if tensor.dtype.is_floating}
        ends["outputs"] = _floats(outputs)

    specs = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in paths.values()]
    graph = tf.function(run, autograph=False).get_concrete_function(*specs)
    return Dataflow(calls, ends["inputs"], ends["outputs"], owners, graph)


def _floats(structure):
    return [leaf for leaf in keras.tree.flatten(structure) if tf.is_tensor(leaf) and leaf.dtype.is_floating]
