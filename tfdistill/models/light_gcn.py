"""LightGCN: matrix factorisation whose rows are averaged over the graph of who chose what."""

import keras
import numpy as np
from keras import ops

from tfdistill.models.retrieval import SharingTowers


@keras.saving.register_keras_serializable("tfdistill")
class LightGraphConvolution(keras.layers.Layer):
    """Tables of users and items, their propagation over a graph, and rows of the result.

    One step:  p_u <- sum over u's items of q_i / sqrt(|N_u| |N_i|),   q_i <- sum over i's users of p_u / sqrt(|N_u| |N_i|).
    The result is the mean of the tables and of `steps` steps. The graph is held in weights that are not trained, so that
    a saved model has it. All of it is propagated at every call.

    Args:
        users, items: how many there are.
        edges: number of pairs in the graph.
        embedding_width: columns of both tables.
        steps: of propagation.
        initializer: of both tables.
        embedding_l2: weight of the squared norm of the looked-up rows of the tables, averaged over the batch.

    Call arguments:
        numbers: int32 [batch], of users or items.
        side: "user" or "item".

    Returns: float [batch, embedding_width].
    """

    def __init__(self, users, items, edges, embedding_width, steps, initializer, embedding_l2=0.0, **kwargs):
        super().__init__(**kwargs)
        self.users, self.items, self.edges = users, items, edges
        self.embedding_width, self.steps = embedding_width, steps
        self.initializer = keras.initializers.get(initializer)
        self.embedding_l2 = embedding_l2

    def build(self, numbers_shape):
        def weight(name, shape, **settings):
            # Not cast to half precision, in which the sum over a popular item's users would stop growing.
            return self.add_weight(name=name, shape=shape, autocast=False, **settings)

        constant = {"initializer": "zeros", "trainable": False}
        for side, size in (("user", self.users), ("item", self.items)):
            shape = (size, self.embedding_width)
            setattr(self, f"{side}_table", weight(f"{side}_table", shape, initializer=self.initializer))
            setattr(self, f"edge_{side}s", weight(f"edge_{side}s", (self.edges,), dtype="int32", **constant))
            setattr(self, f"{side}_factors", weight(f"{side}_factors", (size, 1), **constant))

    def set_graph(self, pairs):
        """Makes `pairs`, int32 [edges, 2] of (user, item), the graph."""
        for side, column, size in (("user", pairs[:, 0], self.users), ("item", pairs[:, 1], self.items)):
            degrees = np.maximum(np.bincount(column, minlength=size), 1)  # nobody's row is divided by zero
            getattr(self, f"edge_{side}s").assign(column)
            getattr(self, f"{side}_factors").assign(degrees[:, None] ** -0.5)

    def propagated(self):
        """The vectors of all: `(float32 [users, embedding_width], float32 [items, embedding_width])`."""
        user_factors, item_factors = ops.convert_to_tensor(self.user_factors), ops.convert_to_tensor(self.item_factors)
        edge_users, edge_items = ops.convert_to_tensor(self.edge_users), ops.convert_to_tensor(self.edge_items)
        user_sum = users = ops.convert_to_tensor(self.user_table)
        item_sum = items = ops.convert_to_tensor(self.item_table)
        for _ in range(self.steps):
            from_items = ops.take(items * item_factors, edge_items, axis=0)
            from_users = ops.take(users * user_factors, edge_users, axis=0)
            users = ops.segment_sum(from_items, edge_users, num_segments=self.users) * user_factors
            items = ops.segment_sum(from_users, edge_items, num_segments=self.items) * item_factors
            user_sum, item_sum = user_sum + users, item_sum + items
        return user_sum / (self.steps + 1), item_sum / (self.steps + 1)

    def call(self, numbers, side):
        if self.embedding_l2:
            rows = ops.take(self.user_table if side == "user" else self.item_table, numbers, axis=0)
            norms = ops.sum(ops.square(rows), axis=-1)
            self.add_loss(self.embedding_l2 * ops.mean(norms))
        users, items = self.propagated()
        return ops.cast(ops.take(users if side == "user" else items, numbers, axis=0), self.compute_dtype)

    def compute_output_shape(self, numbers_shape):
        return (*numbers_shape, self.embedding_width)

    def get_config(self):
        return super().get_config() | {
            "users": self.users,
            "items": self.items,
            "edges": self.edges,
            "embedding_width": self.embedding_width,
            "steps": self.steps,
            "initializer": keras.initializers.serialize(self.initializer),
            "embedding_l2": self.embedding_l2,
        }


@keras.saving.register_keras_serializable("tfdistill")
class LightGCN(SharingTowers):
    """What `light_gcn` returns: towers that share a `LightGraphConvolution`, called "graph"."""

    @staticmethod
    def make_towers(**settings):
        graph = LightGraphConvolution(**settings, name="graph")

        def tower(side):
            numbers = keras.Input((), dtype="int32", name=side)
            return keras.Model({side: numbers}, graph(numbers, side=side), name=f"{side}_tower")

        return tower("user"), tower("item")


def light_gcn(dataset, embedding_width, layers=3, *, initializer=None, embedding_l2=0.0, name="light_gcn"):
    """LightGCN: s_ui = p_u . q_i, of rows averaged over `layers` steps on the graph of the training pairs.

    Source: He et al., "LightGCN: Simplifying and Powering Graph Convolution Network for Recommendation", SIGIR 2020,
    arXiv 2002.02126, equations 7 and 8 with alpha = 1 / (layers + 1).

    This is the form for training, and for a teacher: every call goes over the whole graph. To serve it, prune it or
    quantise it, take `frozen(model, dataset)`, matrix factorisation with the finished vectors.

    Args:
        dataset: `ImplicitDataset`; its training pairs are the graph.
        embedding_width: columns of both tables, and width of the vectors.
        layers: steps of propagation; 0 is matrix factorisation.
        initializer: of both tables, a Keras initializer or its name; by default normal with deviation 0.1, the authors'.
        embedding_l2: weight of the squared norm of the tables' looked-up rows, averaged over the batch.
        name: the model's name.

    Returns: a functional `keras.Model`, {"user": int32 [batch], "item": int32 [batch]} -> float32 scores [batch, 1],
        with sub-models user_tower and item_tower, which share one layer.

    Raises:
        ValueError: for a width below 1, or a negative number of layers.

    >>> from tfdistill.data.implicit import ImplicitDataset
    >>> data = ImplicitDataset(2, 3, {"train": [[0, 1], [1, 2]], "validation": [], "test": [[0, 2]]})
    >>> light_gcn(data, embedding_width=4).output_shape
    (None, 1)
    """
    if embedding_width < 1:
        raise ValueError(f"`embedding_width` must be a positive integer. Received: {embedding_width!r}")
    if layers < 0:
        raise ValueError(f"`layers` must be 0 or more. Received: {layers!r}")
    pairs = dataset.pairs["train"]
    settings = {
        "users": dataset.users,
        "items": dataset.items,
        "edges": len(pairs),
        "embedding_width": embedding_width,
        "steps": layers,
        "initializer": keras.initializers.RandomNormal(stddev=0.1) if initializer is None else initializer,
        "embedding_l2": embedding_l2,
    }
    model = LightGCN(settings, name=name)
    model.get_layer("user_tower").get_layer("graph").set_graph(pairs)
    return model
