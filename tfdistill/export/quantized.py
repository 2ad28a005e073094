"""A model trained with rounding, made ready for the converter: constants on their grids, ranges as constants."""

import contextlib
import dataclasses

import numpy as np
import tensorflow as tf

from tfdistill._layers import is_functional, model_inputs
from tfdistill.errors import UserError
from tfdistill.export.isolation import isolated
from tfdistill.export.recurrent import unrolled
from tfdistill.parametrize import parametrized_parts
from tfdistill.parametrize.scope import final_weights
from tfdistill.quantization import kinds
from tfdistill.quantization.outputs import QuantizedOutput
from tfdistill.quantization.placement import Placement
from tfdistill.quantization.weights import QuantizedWeight

LARGEST = 127  # of symmetric int8


@dataclasses.dataclass(frozen=True)
class StoredWeight:
    """What the file must hold of one weight: integers * scales.

    Attributes:
        path: the weight's path in the model.
        integers: int8, in the layout of the Keras weight.
        scales: float32 of the same rank, 1 for axes that share a scale.
    """

    path: str
    integers: np.ndarray
    scales: np.ndarray

    @property
    def values(self):
        """The weight, float32."""
        return self.integers * self.scales


class FinalWeights:
    """The weights of a quantised model as they go into its file.

    Every transform has been applied, BatchNormalization is folded into the kernel before it, and what has n bits takes
    its integers from int8's range in equal steps, so that biases, which have the kernel's scale, stay fine.

    Args:
        model: functional model with quantised parts, in float32.

    Attributes:
        stored: list of `StoredWeight`.
        rounds_activations: whether some activation is rounded.

    Raises:
        UserError: where training has not found all ranges yet.
    """

    def __init__(self, model):
        _check_is_trained(model)
        self._values, self._table_limits, self.stored = {}, {}, []
        self._model, self.rounds_activations = model, False
        self._rounded, self._folded, self._joined_in_float = set(), set(), set()  # ids of variables, of layers
        for part in parametrized_parts(model):
            self._add(part)

    def value(self, variable):
        """A variable's final value, an array."""
        return self._values[id(variable)] if id(variable) in self._values else variable.numpy()

    def read(self, variable, value):
        """What the graph reads for a variable: a table goes through the operator that makes the converter look up int8."""
        limit = self._table_limits.get(id(variable))
        if limit is None:
            return value
        return tf.quantization.fake_quant_with_min_max_args(value, -limit, limit, narrow_range=True)

    @contextlib.contextmanager
    def in_force(self):
        """A context in which the model is traced with them."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(final_weights())
            stack.enter_context(unrolled(self._model))
            for part in parametrized_parts(self._model):
                stack.enter_context(isolated(part.model, self._stays_in_float))
            yield

    def _stays_in_float(self, unit):
        """Whether nothing in a layer may become an integer but the weights that were rounded."""
        if kinds.is_table(unit):
            return id(unit.embeddings) not in self._table_limits
        if kinds.has_kernel(unit) and not any(id(variable) in self._rounded for variable in unit.variables):
            return True
        if id(unit) in self._joined_in_float:
            return True
        return not kinds.computes_in_integers(unit) and id(unit) not in self._folded

    def _add(self, part):
        variables = part.model.variables
        for place, value in part.transformed_values().items():
            self._values[id(variables[place])] = np.asarray(value)
        self.rounds_activations |= any(isinstance(one, QuantizedOutput) for one in part.output_transforms)
        placement = None
        if is_functional(part.model):
            placement = Placement(part.model, (model_inputs(part.model),), {}, lambda operation: False)
        factors = self._fold(part, placement) if placement else {}
        if placement:
            self._join_in_float(part, placement)
        in_integers = self._tables_in_integers(part, placement) if placement else set()
        for weight, transforms in part.transformed():
            transform = next((one for one in transforms if isinstance(one, QuantizedWeight)), None)
            if transform is None:
                continue
            value = self._values[id(weight.variable)]
            factor = factors.get(id(weight.variable))
            stored = _stored(weight.path, value, transform, factor)
            self.stored.append(stored)
            self._rounded.add(id(weight.variable))
            self._values[id(weight.variable)] = stored.values.astype(value.dtype)
            if id(weight.layer) in in_integers and stored.scales.size == 1:
                self._table_limits[id(weight.variable)] = float(LARGEST * stored.scales.ravel()[0])

    def _join_in_float(self, part, placement):
        """Notes what joins parts that have grids of their own.

        From grid to grid XNNPACK goes in steps of 1/256 of a step, up to half a step wrong; through float it is right.
        """
        rounded = _rounded_operations(part)
        self._joined_in_float |= {
            id(unit)
            for unit, makers in placement.parts_of_joined()
            if any(one is None or id(one) in rounded or kinds.is_table(one) or kinds.is_passing(one) for one in makers)
        }

    def _tables_in_integers(self, part, placement):
        """ids of the layers whose rows go only to layers that keep them apart or round what they make of them."""
        rounded = _rounded_operations(part)
        return {
            id(table)
            for table, readers in placement.readers_of_tables()
            if rounded
            and all(
                unit is not None
                and (id(unit) in rounded or kinds.has_kernel(unit) or not kinds.computes_in_integers(unit))
                for unit in readers
            )
        }

    def _fold(self, part, placement):
        """Folds normalisations; returns {id of a kernel: the factors of its channels, broadcastable to it}."""
        rounded = {
            id(weight.variable): weight
            for weight, transforms in part.transformed()
            if any(isinstance(one, QuantizedWeight) for one in transforms)
        }
        factors = {}
        for layer, normalization in placement.folded:
            kernel = layer.pointwise_kernel if hasattr(layer, "pointwise_kernel") else layer.kernel
            if id(kernel) not in rounded:
                continue
            scale = self._fold_into_bias(layer, normalization)
            self._folded.add(id(normalization))
            axes = kinds.channel_axes(rounded[id(kernel)])
            shape = [size if axis in axes else 1 for axis, size in enumerate(kernel.shape)]
            factors[id(kernel)] = scale.reshape(shape)
        return factors

    def _fold_into_bias(self, layer, normalization):
        """Leaves of a normalisation the addition of a constant; returns what it multiplied channels with."""
        mean, variance = self.value(normalization.moving_mean), self.value(normalization.moving_variance)
        scale = 1 / np.sqrt(variance.astype(np.float64) + normalization.epsilon)
        shift = -mean * scale
        if normalization.scale:
            scale, shift = scale * self.value(normalization.gamma), shift * self.value(normalization.gamma)
            self._values[id(normalization.gamma)] = np.ones_like(mean)
        if normalization.center:
            shift = shift + self.value(normalization.beta)
            self._values[id(normalization.beta)] = np.zeros_like(mean)
        self._values[id(normalization.moving_mean)] = -shift.astype(np.float32)
        self._values[id(normalization.moving_variance)] = np.full_like(variance, 1 - normalization.epsilon)
        if getattr(layer, "bias", None) is not None:
            self._values[id(layer.bias)] = (self.value(layer.bias) * scale).astype(np.float32)
        return scale


def _rounded_operations(part):
    return {id(one) for one, transform in part.transformed_outputs() if isinstance(transform, QuantizedOutput)}


def check_format(format):
    """Raises ValueError for a format that cannot hold what training rounded."""
    if format != "tflite_int8":
        raise ValueError(
            f"format: a model quantised in training is exported as tflite_int8, received {format!r}. For other formats "
            "pass strip_quantization(model)."
        )


def _stored(path, value, transform, factor):
    """The integers and scales of a rounded weight, its channels multiplied with `factor`."""
    scales = np.asarray(transform.scales(value), np.float64)
    integers = np.round(value / scales)
    if factor is not None:
        scales, integers = scales * np.abs(factor), integers * np.sign(factor)
    # Channels of zeros get a scale like the others: biases count in it.
    reduced = tuple(axis for axis, size in enumerate(scales.shape) if size == 1)
    used = np.any(integers != 0, axis=reduced, keepdims=True)
    scales = np.where(used, scales, np.median(scales[used]) if used.any() else 1 / LARGEST)
    steps = LARGEST // transform.levels
    return StoredWeight(path, (integers * steps).astype(np.int8), (scales / steps).astype(np.float32))


def _check_is_trained(model):
    for part in parametrized_parts(model):
        waiting = [
            f"{weight.path} (delay)"
            for weight, transforms in part.transformed()
            if any(isinstance(one, QuantizedWeight) and one.is_waiting for one in transforms)
        ]
        for layer, transform in part.transformed_outputs():
            if isinstance(transform, QuantizedOutput) and transform.fixed is None and transform.is_waiting:
                waiting.append(f"{layer.name} ({transform.where})")
        if waiting:
            raise UserError(
                f"tflite_int8: {part.name!r} has not been trained far enough to be rounded: {', '.join(waiting[:5])}"
                f"{' ...' if len(waiting) > 5 else ''} have no range yet, or are within delay_steps. Train it first."
            )
