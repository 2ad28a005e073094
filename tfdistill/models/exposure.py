"""A second task for a ranker: which items a user meets at all."""

import keras


def with_exposure_head(ranker):
    """Adds a logit for "was this pair rated at all?" beside the ranker's own, on the same embeddings and layers.

    What a user chooses to rate says as much of the user's taste as the ratings themselves. The second task trains the
    shared embeddings with that; the ranker itself, whose weights these are, is what is kept.

    Source: Ma et al., "Entire Space Multi-Task Model", SIGIR 2018, arXiv 1804.07931, for the shared embeddings; Koren,
    "Factorization Meets the Neighborhood", KDD 2008, for what implicit feedback adds to ratings.

    Args:
        ranker: a functional model with a last layer called "logits".

    Returns: a `keras.Model` with outputs [logits, exposure logits], each float32 [batch, 1].
    """
    shared = ranker.get_layer("logits").input
    exposure = keras.layers.Dense(1, dtype="float32", name="exposure")(shared)
    return keras.Model(ranker.input, [ranker.output, exposure], name=f"{ranker.name}_with_exposure")
