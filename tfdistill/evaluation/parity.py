"""How far an exported file's answers are from those of the model it was made from."""

import numpy as np


def probability_difference(probability, keras_probability):
    """The largest and the mean absolute difference between two predictions of the same rows.

    Args:
        probability: float [n], from the exported file.
        keras_probability: float [n], from the Keras model.

    Returns: {"max": float, "mean": float}

    >>> probability_difference([0.5, 0.25], [0.5, 0.75])
    {'max': 0.5, 'mean': 0.25}
    """
    probability = np.asarray(probability, np.float64)
    keras_probability = np.asarray(keras_probability, np.float64)
    if probability.shape != keras_probability.shape or not probability.size:
        raise ValueError(
            "keras_probability: expected one value for each of the artifact's"
            f" {probability.shape}, received {keras_probability.shape}."
        )
    difference = np.abs(probability - keras_probability)
    return {"max": float(difference.max()), "mean": float(difference.mean())}
