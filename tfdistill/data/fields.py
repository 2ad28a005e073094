"""What a model is told about one of its inputs."""

from dataclasses import dataclass

KINDS = ("categorical", "bag", "numeric")
OWNERS = ("user", "item", "context")


@dataclass(frozen=True)
class Field:
    """One input of a ranker.

    Args:
        name: the input's name.
        kind: "categorical" (int32 [batch], an index into the vocabulary), "bag" (int32 [batch, length], indices padded
            with 0) or "numeric" (float32 [batch], standardised).
        of: what the value belongs to, "user", "item" or "context" (the interaction itself).
        size: vocabulary size with row 0 for the unknown; 0 for a numeric field.
        length: places in a bag; 1 for the other kinds.

    >>> Field("genres", "bag", "item", size=19, length=6).is_numeric
    False
    """

    name: str
    kind: str
    of: str
    size: int
    length: int = 1

    def __post_init__(self):
        check_choice("kind", self.kind, KINDS)
        check_choice("of", self.of, OWNERS)

    @property
    def is_numeric(self):
        """Whether the field is a number and so has no vocabulary."""
        return self.kind == "numeric"


def check_choice(argument, value, choices):
    """Raises a ValueError that names `argument` unless `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(f"Received an invalid value for `{argument}`, expected one of {choices}. Received: {value!r}")
