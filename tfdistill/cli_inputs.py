"""Random inputs that an exported file takes: ids from the whole range of the tables that it looks them up in."""

import collections
from pathlib import Path

import numpy as np

ROWS = 1000
VARYING_LENGTH = 5  # members of a bag whose length the file leaves open
SIGNATURES = ("serving_default", "serve_one")
FALLBACK_ROWS = 2  # every table has at least the unknown row 0 and one value


def random_inputs(path, contents, seed=0):
    """Draws inputs for an exported file.

    Args:
        path: a .tflite file or a SavedModel folder.
        contents: what `tfdistill.export.describe` says about it.
        seed: fixes what is drawn.

    Returns: `(inputs, unknown)`: {field: array [1000, ...]}, integers uniform over the rows of the field's table and
        numbers standard normal; and the names of integer fields whose table was not found, whose ids are 0 and 1.
    """
    signatures = {signature["name"]: signature for signature in contents["signatures"]}
    signature = next((signatures[name] for name in SIGNATURES if name in signatures), contents["signatures"][0])
    rows = table_rows(path, signature["name"])
    generator, inputs, unknown = np.random.default_rng(seed), {}, []
    for field in signature["inputs"]:
        name = field["name"]
        shape = (ROWS, *(VARYING_LENGTH if size is None else size for size in field["shape"][1:]))
        if field["dtype"].startswith(("int", "uint")):
            if name not in rows:
                unknown.append(name)
            inputs[name] = generator.integers(0, rows.get(name, FALLBACK_ROWS), shape, dtype=np.dtype(field["dtype"]))
        else:
            inputs[name] = generator.standard_normal(shape).astype(np.float32)
    return inputs, unknown


def table_rows(path, signature):
    """Returns {field: rows of the smallest table that its values are looked up in}, as far as the graph tells."""
    path = Path(path)
    return _saved_model_rows(path, signature) if path.is_dir() else _tflite_rows(path, signature)


def _tflite_rows(path, signature):
    """Follows every input forward through the graph until a lookup."""
    from tfdistill.export import flatbuffer

    model = flatbuffer.read(path)
    definition = next(each for each in model.signatureDefs if each.signatureKey.decode() == signature)
    subgraph = model.subgraphs[definition.subgraphIndex]
    origin = {entry.tensorIndex: {entry.name.decode()} for entry in definition.inputs}
    found = {}
    for operator in subgraph.operators:
        name = flatbuffer.operator_name(model, operator)
        inputs = [index for index in operator.inputs if index >= 0]
        if name in ("GATHER", "EMBEDDING_LOOKUP"):
            table, ids = inputs[:2] if name == "GATHER" else inputs[1::-1]
            rows = flatbuffer.shape(subgraph.tensors[table])[:1]
            _note(found, origin.get(ids, ()), rows[0] if rows else None)
        else:
            reached = set().union(*(origin.get(index, ()) for index in inputs))
            origin.update((index, reached) for index in operator.outputs)
    return found


def _saved_model_rows(folder, signature):
    """Follows the ids of every lookup back to the inputs, through the functions that the graph calls."""
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((folder / "saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0]
    functions = {function.signature.name: function for function in graph.graph_def.library.function}
    tables = _lookups(graph.graph_def.node, functions)
    found = {}
    for name, tensor in graph.signature_def[signature].inputs.items():
        for rows in tables.get(_node(tensor.name), ()):
            _note(found, [name], rows)
    return found


def _lookups(nodes, functions):
    """What is looked up where in a graph or a function's body.

    Returns: {placeholder or argument: set of tables}; a table is its number of rows, or the name of the argument that
        brings it from outside.
    """
    by_name, found = {node.name: node for node in nodes}, collections.defaultdict(set)
    for node in nodes:
        sources = [source for source in node.input if not source.startswith("^")]
        if node.op in ("GatherV2", "Gather", "ResourceGather"):
            for leaf in _leaves(by_name, sources[1]):
                found[leaf].add(_table(by_name, sources[0]))
        called = functions.get(node.attr["f"].func.name) if node.op.endswith("PartitionedCall") else None
        if called is not None:
            given = {
                argument.name: source for argument, source in zip(called.signature.input_arg, sources, strict=True)
            }
            for argument, tables in _lookups(called.node_def, functions).items():
                outside = {_table(by_name, given[table]) if table in given else table for table in tables}
                for leaf in _leaves(by_name, given[argument]) if argument in given else ():
                    found[leaf] |= outside
    return found


def _table(by_name, reference):
    """The rows of a table, or the name of the argument that holds it; `None` where the graph does not tell."""
    name = _node(reference)
    node = by_name.get(name)
    if node is None:
        return name
    shape = node.attr["shape"].shape if node.op == "VarHandleOp" else next(iter(_output_shapes(node)), None)
    if shape is not None and len(shape.dim):
        return shape.dim[0].size
    return _table(by_name, node.input[0]) if node.op in ("Identity", "ReadVariableOp") else None


def _output_shapes(node):
    return node.attr["_output_shapes"].list.shape


def _leaves(by_name, reference):
    """What a tensor comes from in the end: placeholders of a graph, arguments of a function (which have no node)."""
    pending, seen, leaves = [_node(reference)], set(), set()
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        node = by_name.get(name)
        if node is None or node.op == "Placeholder":
            leaves.add(name)
        else:
            pending.extend(_node(source) for source in node.input if not source.startswith("^"))
    return leaves


def _note(found, names, rows):
    if isinstance(rows, int) and rows > 0:
        for name in names:
            found[name] = min(rows, found.get(name, rows))


def _node(reference):
    return reference.split(":")[0]
