"""How centroids begin and how their gradients are put together; the names are TFMOT's."""

import enum


class CentroidInitialization(enum.StrEnum):
    """Where the centroids are before training.

    Attributes:
        LINEAR: evenly spaced from the lowest weight to the highest.
        RANDOM: drawn uniformly between the lowest weight and the highest, seeded by `keras.utils.set_random_seed`.
        DENSITY_BASED: at evenly spaced levels of the weights' cumulative distribution, looked up on a grid of 30 points.
        KMEANS_PLUS_PLUS: weights drawn one after the other, each with a probability proportional to its squared distance
            to those drawn before ("k-means++: The Advantages of Careful Seeding", Arthur and Vassilvitskii, 2007). The
            seed is fixed, as it is in TFMOT, so that equal weights give equal centroids.
    """

    LINEAR = "linear"
    RANDOM = "random"
    DENSITY_BASED = "density_based"
    KMEANS_PLUS_PLUS = "kmeans_plus_plus"


class GradientAggregation(enum.StrEnum):
    """What the gradient of a centroid is made of.

    Attributes:
        SUM: the sum of the gradients of its weights.
        AVG: their mean.
    """

    SUM = "sum"
    AVG = "avg"


def member(options, value, argument):
    """The member of an enumeration that a value means: a member, its name in any case, or TFMOT's member of that name.

    Args:
        options: `CentroidInitialization` or `GradientAggregation`.
        value: what came.
        argument: the argument's name, for the message.

    Raises:
        ValueError: where none is meant.
    """
    name = value if type(value) is str else getattr(value, "name", None)
    if isinstance(name, str) and name.upper() in options.__members__:
        return options[name.upper()]
    raise ValueError(f"`{argument}` must be one of {', '.join(options.__members__)}. Received: {argument}={value!r}")
