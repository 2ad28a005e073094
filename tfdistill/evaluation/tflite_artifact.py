"""A TFLite file in the LiteRT interpreter; imports numpy and ai_edge_litert only."""

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from tfdistill.errors import UserError
from tfdistill.evaluation.artifact import Artifact, only_output


class TFLiteArtifact(Artifact):
    """See `tfdistill.evaluation.open_artifact`.

    Holds one interpreter at a time, for batches or for single examples: LiteRT allows either signature runners or
    direct access to the first graph, and two interpreters would hold the weights twice.
    """

    def __init__(self, path, threads=1):
        self.path, self._threads = path, threads
        self._interpreter = self._runner = None
        try:
            interpreter = self._new_interpreter()
            signatures = interpreter.get_signature_list()
        except (ValueError, RuntimeError) as error:
            raise UserError(f"{path}: not a TFLite file, or damaged or cut short.") from error
        if "serving_default" not in signatures:
            raise UserError(f"{path}: expected a signature serving_default, found {', '.join(signatures) or 'none'}.")
        self.output = only_output(path, signatures["serving_default"]["outputs"])
        self._one = _first_graph(interpreter, self.output) if "serve_one" in signatures else None
        self._runner = interpreter.get_signature_runner("serving_default")
        self._inputs = self._runner.get_input_details()
        self._output_detail = self._runner.get_output_details()[self.output]
        self.fields = {}
        for name, detail in self._inputs.items():
            shape = tuple(None if size < 0 else int(size) for size in detail["shape_signature"][1:])
            self.fields[name] = (np.float32 if detail["quantization"][0] else detail["dtype"], shape)

    def _run(self, batch):
        if self._runner is None:
            self._interpreter = None
            self._runner = self._new_interpreter().get_signature_runner("serving_default")
        stored = {name: _quantized(values, self._inputs[name]) for name, values in batch.items()}
        return _dequantized(self._runner(**stored)[self.output], self._output_detail)

    def answer_one(self, row):
        """Runs one example and returns the output array.

        Sets the input tensors, invokes, copies the output: what an app does through the C or Java interface. A Python
        signature runner would add about 7 microseconds of its own, as much as a small student takes.
        """
        if self._one is None:
            return self._run(row)
        if self._interpreter is None:
            self._runner = None
            self._interpreter = self._new_interpreter()
            self._interpreter.allocate_tensors()
        inputs, output = self._one
        for name, detail in inputs:
            self._interpreter.set_tensor(detail["index"], _quantized(row[name], detail))
        self._interpreter.invoke()
        return _dequantized(self._interpreter.get_tensor(output["index"]), output)

    def _new_interpreter(self):
        return Interpreter(model_path=str(self.path), num_threads=self._threads)


def _first_graph(interpreter, output):
    """`serve_one`'s input and output tensors if it is the file's first graph, which direct access means; else None."""
    runner = interpreter.get_signature_runner("serve_one")
    inputs = runner.get_input_details()
    first = {(detail["name"], detail["index"]) for detail in interpreter.get_input_details()}
    if first != {(detail["name"], detail["index"]) for detail in inputs.values()}:
        return None
    return list(inputs.items()), runner.get_output_details()[output]


def _quantized(values, detail):
    scale, zero_point = detail["quantization"]
    if not scale:
        return values
    limits = np.iinfo(detail["dtype"])
    return np.clip(np.round(values / scale) + zero_point, limits.min, limits.max).astype(detail["dtype"])


def _dequantized(values, detail):
    scale, zero_point = detail["quantization"]
    return (values.astype(np.float32) - zero_point) * np.float32(scale) if scale else values
