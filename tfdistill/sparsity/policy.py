"""Which layers of a model may be pruned, said by an object."""


class PruningPolicy:
    """Says which layers may be pruned, and refuses models that pruning would not help.

    A subclass defines both methods; give an instance to `prune_low_magnitude(pruning_policy=)`.

    >>> class DenseOnly(PruningPolicy):
    ...     def allow_pruning(self, layer):
    ...         return type(layer).__name__ == "Dense"
    ...     def ensure_model_supports_pruning(self, model):
    ...         pass
    """

    def allow_pruning(self, layer):
        """Whether the weights that a layer made may be pruned."""
        raise NotImplementedError(f"{type(self).__name__} must define `allow_pruning(layer)`")

    def ensure_model_supports_pruning(self, model):
        """Raises `ValueError` for a built model that should not be pruned under this policy."""
        raise NotImplementedError(f"{type(self).__name__} must define `ensure_model_supports_pruning(model)`")
