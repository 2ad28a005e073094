"""Where in a model activations are rounded."""

import dataclasses

import keras

from tfdistill.quantization import kinds
from tfdistill.quantization.dataflow import Call, trace


@dataclasses.dataclass(frozen=True)
class Place:
    """One quantiser of activations.

    Attributes:
        operation: the layer, or bare operation, that it hangs on; the model itself for its inputs and outputs.
        where: as in `OutputTransform`.
        chosen_by: the layer or operation whose scheme counts; the model for its own inputs and outputs.
        fixed: (low, high), or `None` for a range that training finds.
    """

    operation: object
    where: str
    chosen_by: object
    fixed: tuple | None = None


class Placement:
    """Places of quantisers, and what is folded into what.

    A result is rounded after what TFLite fuses into its operator: not between a kernel and its BatchNormalization, nor
    before a ReLU; and not after layers that only move or look up values.

    Args:
        model: built model or layer.
        args, kwargs: the arguments of one call.
        is_chosen: function of a layer or bare operation: whether its activations are to be rounded.

    Attributes:
        places: list of `Place`.
        folded: pairs (layer with a kernel, the BatchNormalization after it).
    """

    def __init__(self, model, args, kwargs, is_chosen):
        self._model, self._flow = model, trace(model, args, kwargs)
        self._calls = {}
        for call in self._flow.calls:
            self._calls.setdefault(id(call.unit), []).append(call)
        self._units = {id(call.unit): call.unit for call in self._flow.calls}
        self._next = {key: self._absorbing(unit) for key, unit in self._units.items()}
        self.folded = [
            (unit, self._next[key])
            for key, unit in self._units.items()
            if self._next[key] is not None and kinds.is_batch_normalization(self._next[key])
        ]
        self._choosing = {}  # {id of the unit whose output is rounded: the unit whose scheme counts}
        for unit in self._units.values():
            if is_chosen(unit):
                self._choosing.setdefault(id(self._end(unit)), unit)
        self.places = [*self._input_places(), *self._unit_places(is_chosen), *self._output_places()]

    def readers_of_tables(self):
        """Yields (table, the units that its rows go to, `None` for operators between layers and the model's output)."""
        for unit in self._units.values():
            if kinds.is_table(unit):
                yield unit, self._readers(unit)

    def parts_of_joined(self):
        """Yields (unit that concatenates, the units that made its parts, `None` for inputs and operators between layers)."""
        for key, unit in self._units.items():
            if kinds.concatenates(unit):
                parts = [part for call in self._calls[key] for part in call.inputs]
                sources = [source for part in parts for source in self._flow.sources(part)]
                yield unit, [source.unit if isinstance(source, Call) else None for source in sources]

    def _readers(self, unit):
        found = []
        for call in self._calls[id(unit)]:
            for output in call.outputs:
                for use in self._flow.uses(output):
                    if use.call is not None and kinds.is_passing(use.call.unit):
                        found.extend(self._readers(use.call.unit))
                    else:
                        found.append(None if use.call is None else use.call.unit)
        return found

    def _absorbing(self, unit):
        """The layer that is fused into `unit`'s operator, or `None`."""
        after = set()
        for call in self._calls[id(unit)]:
            for output in call.outputs:
                uses = self._flow.uses(output)
                if any(use.call is None for use in uses):
                    return None
                after.update(id(use.call.unit) for use in uses)
        if len(after) != 1:
            return None
        following = self._units[after.pop()]
        if len(self._calls[id(following)]) != len(self._calls[id(unit)]):
            return None
        rank = self._calls[id(unit)][0].outputs[0].shape.rank
        is_folded = kinds.takes_batch_normalization(unit) and kinds.is_batch_normalization(following, rank)
        is_fused = kinds.is_relu(following) and kinds.takes_relu(unit)
        return following if is_folded or is_fused else None

    def _end(self, unit):
        """The last of what is fused into `unit`'s operator."""
        while self._next[id(unit)] is not None:
            unit = self._next[id(unit)]
        return unit

    def _unit_places(self, is_chosen):
        for key, unit in self._units.items():
            if kinds.has_kernel(unit) and is_chosen(unit):
                yield from self._kernel_input(unit)
            if kinds.needs_rounding_before_activation(unit) and is_chosen(unit):
                yield Place(unit, "activation", unit)
            chosen = self._choosing.get(key) or self._chosen_by_neighbour(unit)
            if chosen is not None and self._computes(unit):
                yield Place(unit, "output", chosen, kinds.fixed_range(unit))

    def _chosen_by_neighbour(self, unit):
        """For a joined tensor, which TFLite would give the grid of one of its parts: the unit that made the part."""
        if not kinds.concatenates(unit):
            return None
        sources = [
            source for call in self._calls[id(unit)] for one in call.inputs for source in self._flow.sources(one)
        ]
        units = [source.unit for source in sources if isinstance(source, Call)]
        return next((self._choosing[id(one)] for one in units if id(one) in self._choosing), None)

    def _kernel_input(self, unit):
        """A place at what a product takes in, where nothing before it is rounded."""
        for call in self._calls[id(unit)]:
            if call.inputs and not self._is_rounded(call.inputs[0]):
                yield Place(unit, "input:0", unit)
                return

    def _input_places(self):
        for path, tensor in self._flow.inputs.items():
            chosen = self._chosen_after(tensor)
            if chosen is not None:
                yield Place(self._model, f"input:{path}", chosen)

    def _chosen_after(self, tensor):
        """A chosen unit that works in integers on a model's input as it is; `None` if there is none."""
        for use in self._flow.uses(tensor):
            if use.call is None:
                continue
            unit = use.call.unit
            if kinds.is_passing(unit):
                found = [self._chosen_after(output) for output in use.call.outputs]
                found = next((one for one in found if one is not None), None)
            elif kinds.is_table(unit) or kinds.is_opaque(unit) or kinds.is_preparing(unit):
                found = None
            else:
                found = self._choosing.get(id(self._end(unit)))
            if found is not None:
                return found
        return None

    def _output_places(self):
        """A place at the model's one output where operators between layers made it."""
        if len(self._flow.outputs) == 1 and self._choosing and isinstance(self._model, keras.Model):
            output = self._flow.outputs[0]
            if None in self._flow.sources(output) and not self._is_rounded(output):
                yield Place(self._model, "output", next(iter(self._choosing.values())))

    def _computes(self, unit):
        """Whether a chosen unit's own output is rounded."""
        if kinds.is_passing(unit) or kinds.is_table(unit) or self._next[id(unit)] is not None:
            return False
        if not any(call.outputs for call in self._calls[id(unit)]):  # whole numbers only, such as ids moved by one
            return False
        return not self._is_rounded_when_joined(unit)

    def _is_rounded_when_joined(self, unit):
        """Whether a result goes only into tensors that are rounded as a whole, so that TFLite computes it on their grid."""
        uses = [use for call in self._calls[id(unit)] for output in call.outputs for use in self._flow.uses(output)]
        readers = [None if use.call is None else use.call.unit for use in uses]
        if not readers or not all(
            one is not None and kinds.concatenates(one) and id(one) in self._choosing for one in readers
        ):
            return False
        if kinds.is_preparing(unit) or not kinds.computes_in_integers(unit):
            return True
        if kinds.concatenates(unit) or kinds.fixed_range(unit) is not None:
            return False
        return all(
            isinstance(source, Call) and kinds.computes_in_integers(source.unit)
            for use in uses
            for part in use.call.inputs
            for source in self._flow.sources(part)
        )

    def _is_rounded(self, tensor):
        """Whether a value lies on a grid when it arrives."""
        for source in self._flow.sources(tensor):
            if source is None:
                return False
            if isinstance(source, str):
                if self._chosen_after(self._flow.inputs[source]) is None:
                    return False
            elif kinds.is_passing(source.unit):
                if not all(self._is_rounded(one) for one in source.inputs):
                    return False
            elif kinds.is_table(source.unit):
                continue
            elif id(source.unit) not in self._choosing or self._next[id(source.unit)] is not None:
                return False
        return True
