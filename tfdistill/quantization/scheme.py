"""How a model is quantised: bits, scales, ranges."""

import dataclasses

import keras

RANGES = ("ema", "learned")


@keras.saving.register_keras_serializable(package="tfdistill")
@dataclasses.dataclass(frozen=True)
class QuantizeScheme:
    """How weights and activations are rounded in training.

    Args:
        weight_bits: 2 to 8; symmetric, so that n bits give 2^n - 1 values. `None` leaves weights in float.
        per_channel: one scale for each output channel of Dense, EinsumDense and convolutions and of recurrent kernels,
            instead of one for the weight. Tables always have one. So have weights that are clustered, which would
            otherwise have more values than clusters.
        activation_bits: 8, or `None` to leave activations in float.
        ranges: "ema": activations range over a moving average of each batch's lowest and highest value, weights up to
            their own largest. "learned": the ends of all ranges are trained with the weights, which pays at few bits.
        ema_decay: what a step leaves of the moving average in the long run, 0 to 1; see `QuantizedOutput`.
        delay_steps: steps of training before anything is rounded; the ranges are observed from the first.
        overrides: {name, path or pattern of layers: their `QuantizeScheme`, or `None` to leave them in float}. The
            first that fits a layer counts.

    Raises:
        ValueError: for a value outside of these, and for a scheme that quantises nothing.

    >>> QuantizeScheme(weight_bits=4, overrides={"logits": QuantizeScheme()}).weight_bits
    4
    """

    weight_bits: int | None = 8
    per_channel: bool = True
    activation_bits: int | None = 8
    ranges: str = "ema"
    ema_decay: float = 0.99
    delay_steps: int = 0
    overrides: dict = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        _check(_is_whole(self.weight_bits, 2, 8), "weight_bits", "a whole number from 2 to 8, or None", self)
        _check(_is_whole(self.activation_bits, 8, 8), "activation_bits", "8, or None", self)
        _check(self.ranges in RANGES, "ranges", f"one of {RANGES}", self)
        _check(
            isinstance(self.ema_decay, (int, float)) and 0 <= self.ema_decay < 1,
            "ema_decay",
            "a number from 0 to below 1",
            self,
        )
        _check(
            self.delay_steps is not None and _is_whole(self.delay_steps, 0, 2**31 - 1),
            "delay_steps",
            "a whole number of at least 0",
            self,
        )
        _check(
            isinstance(self.overrides, dict)
            and all(isinstance(key, str) for key in self.overrides)
            and all(value is None or isinstance(value, QuantizeScheme) for value in self.overrides.values()),
            "overrides",
            "a dict from names or patterns of layers to a QuantizeScheme or None",
            self,
        )
        if self.weight_bits is None and self.activation_bits is None and not any(self.overrides.values()):
            raise ValueError(
                "A scheme with weight_bits=None and activation_bits=None quantises nothing. Set one of them, or overrides."
            )

    def get_config(self):
        config = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return config | {"overrides": keras.saving.serialize_keras_object(dict(self.overrides))}

    @classmethod
    def from_config(cls, config):
        overrides = {
            pattern: keras.saving.deserialize_keras_object(scheme) if isinstance(scheme, dict) else scheme
            for pattern, scheme in config.get("overrides", {}).items()
        }
        return cls(**{**config, "overrides": overrides})


def _is_whole(value, lowest, highest):
    if value is None:
        return True
    return isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= highest


def _check(is_right, name, expected, scheme):
    if not is_right:
        raise ValueError(f"`{name}` must be {expected}. Received: {name}={getattr(scheme, name)!r}")
