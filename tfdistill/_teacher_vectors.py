"""A teacher as the vectors of its users and items."""

from dataclasses import dataclass

import numpy as np

from tfdistill.losses.representation_loss import ENTITIES


@dataclass(frozen=True, eq=False)
class TeacherVectors:
    """The vectors of a teacher's users and items: all that losses between representations need of it.

    Args:
        user: float [users, d].
        item: float [items, d].

    Raises:
        ValueError: for arrays that are not matrices of finite numbers of one width.

    >>> TeacherVectors(np.ones((2, 4)), np.ones((3, 4))).width
    4
    """

    user: np.ndarray
    item: np.ndarray

    def __post_init__(self):
        for name in ENTITIES:
            array = np.asarray(getattr(self, name), np.float32)
            if array.ndim != 2 or not np.isfinite(array).all():
                raise ValueError(f"`{name}` must be a matrix of finite numbers. Received: shape {array.shape}")
            object.__setattr__(self, name, array)
        if self.user.shape[1] != self.item.shape[1]:
            raise ValueError(
                f"`user` and `item` must have vectors of one width. Received: {self.user.shape[1]}, {self.item.shape[1]}"
            )

    @property
    def width(self):
        """The width of the vectors."""
        return self.user.shape[1]
