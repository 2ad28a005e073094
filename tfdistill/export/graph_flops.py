"""Operators and operations of a TensorFlow graph, found from its outputs backwards and into the functions it calls."""

import collections

from tfdistill.export.flops import operator_flops, total

_CALLS = ("StatefulPartitionedCall", "PartitionedCall")


def graph_cost(graph_def, outputs):
    """Counts what has to run for `outputs`.

    Args:
        graph_def: a `GraphDef` whose nodes carry their "_output_shapes", as those of a SavedModel do.
        outputs: names of its output tensors.

    Returns: `(operators, flops)`: a Counter of operators, constants and variables left out, and the operations for
        one example (a dimension of unknown size counts as 1), None where they cannot be told.
    """
    functions = {function.signature.name: function for function in graph_def.library.function}
    shapes = _node_shapes(graph_def.node)
    return _cost({node.name: node for node in graph_def.node}, outputs, shapes, functions)


def _cost(nodes, outputs, shapes, functions):
    pending, seen = [_node_name(output) for output in outputs], set()
    operators, counts = collections.Counter(), []
    while pending:
        name = pending.pop()
        if name in seen or name not in nodes:
            continue
        seen.add(name)
        node = nodes[name]
        sources = [source for source in node.input if not source.startswith("^")]
        pending.extend(_node_name(source) for source in sources)
        if node.op in _CALLS and node.attr["f"].func.name in functions:
            called, count = _function_cost(functions[node.attr["f"].func.name], functions)
            operators += called
            counts.append(count)
        elif node.op not in ("Const", "Placeholder", "VarHandleOp", "ReadVariableOp", "Identity", "NoOp"):
            operators[node.op] += 1
            inputs = [_shape(source, shapes) for source in sources]
            transposed = node.attr["transpose_a"].b or node.attr["adj_x"].b
            written = shapes.get(name, [])
            counts.append(operator_flops(node.op, inputs, written, left_is_transposed=transposed))
    return operators, total(counts)


def _function_cost(function, functions):
    shapes = _node_shapes(function.node_def)
    for number, argument in enumerate(function.signature.input_arg):
        attributes = function.arg_attr[number].attr if number in function.arg_attr else {}
        if "_output_shapes" in attributes:
            shapes[argument.name] = [_sizes(shape) for shape in attributes["_output_shapes"].list.shape]
    return _cost({node.name: node for node in function.node_def}, function.ret.values(), shapes, functions)


def _node_shapes(nodes):
    return {node.name: [_sizes(shape) for shape in node.attr["_output_shapes"].list.shape] for node in nodes}


def _sizes(shape):
    return [] if shape.unknown_rank else [max(dim.size, 1) for dim in shape.dim]


def _node_name(reference):
    return reference.split(":")[0].lstrip("^")


def _shape(reference, shapes):
    """The shape behind "node", "node:1" (in a graph) or "node:output:1" (in a function); [] where it is unknown."""
    known = shapes.get(_node_name(reference)) or [[]]
    last = reference.rpartition(":")[2] if ":" in reference else "0"
    return known[min(int(last), len(known) - 1)]
