"""Hierarchical topology distillation (HTD): relations within groups, and between groups and everybody."""

import keras
from keras import ops

from tfdistill.losses.distillation_experts import ExpertLoss
from tfdistill.losses.ranking_loss import check_choice, check_number
from tfdistill.losses.representation_loss import ENTITIES, stacked, unit_vectors
from tfdistill.losses.tiles import Tiles

PAIRS = ("all", "positive")


@keras.saving.register_keras_serializable(package="tfdistill")
class HierarchicalTopologyDistillation(ExpertLoss):
    """The student learns how like each other members of a group are, and how like each group everybody is (HTD).

    `γ (||cos(P_t, E_t) - cos(P_s, E_s)||² + ||M * (A_t - A_s)||²) + (1 - γ) (DE of users + DE of items)`, sums over the
    batch's different users and items: E their vectors, A their cosine similarities, M_ij = 1 where i and j are of one
    group, P the groups' mean vectors, without gradient. A user's group is the expert that the selector of
    `DistillationExperts` likes best, without noise; groups of users are not groups of items. So the DE part, that
    rebuilds the teacher's vectors, also makes the groups.

    When to use it: for a student much narrower than its teacher, which cannot hold all of its relations
    (`FullTopologyDistillation`). Weight 1e-3 with a base loss summed over batches of 1024.

    Args:
        groups: how many experts, and so groups, users have, and items.
        gamma: share of the relations; that of DE is 1 - gamma.
        pairs: which pairs of a group count: `"positive"`, those that the teacher finds alike (cosine above 0), as in
            the authors' code, or `"all"`, as in the paper, which takes half the time, for no cosine is then computed by
            itself.
        temperature, final_temperature: of the selectors' Gumbel softmax at the start and at the end.
        annealing_epochs: how many epochs the way takes; `None` for those of the training.
        seed: of the selectors' noise; `None` for Keras's global seed.

    Raises:
        ValueError: for an argument out of range, and outputs that are not {"user": [b, d], "item": [m, d]}.

    Example, gamma=1 with one group of users and one of items:

    >>> import keras
    >>> loss = HierarchicalTopologyDistillation(groups=1, gamma=1.0)
    >>> teacher = {"user": keras.ops.array([[1.0, 0.0], [0.0, 1.0]]), "item": keras.ops.array([[1.0, 0.0]])}
    >>> student = {"user": keras.ops.array([[1.0], [2.0]]), "item": keras.ops.array([[3.0]])}
    >>> round(float(loss.compute_loss(teacher, student)), 4)  # to the users' mean 3 (1 - √½)², to the item 1
    1.2574

    Reference: Kang et al., "Topology Distillation for Recommender System", KDD 2021, arXiv 2106.08700.
    """

    def __init__(
        self,
        groups=30,
        gamma=0.5,
        pairs="positive",
        temperature=1.0,
        final_temperature=1e-10,
        annealing_epochs=None,
        seed=None,
        **kwargs,
    ):
        super().__init__(groups, temperature, final_temperature, annealing_epochs, seed, **kwargs)
        self.gamma = check_number("gamma", gamma, at_least=0)
        if gamma > 1:
            raise ValueError(f"`gamma` must be a number of at most 1. Received: gamma={gamma!r}")
        self.pairs = check_choice("pairs", pairs, PAIRS)

    def compute_loss(self, teacher_outputs, student_outputs, sample_weight=None, labels=None, step=None):
        prepared = self.prepare(teacher_outputs, student_outputs, sample_weight)
        groups = {entity: self.assign(entity, prepared[entity][0]) for entity in ENTITIES}
        loss = 0.0
        if self.gamma > 0:
            loss += self.gamma * self.relations(prepared, groups)
        if self.gamma < 1:
            loss += (1.0 - self.gamma) * sum(self.reconstruction(entity, *prepared[entity]) for entity in ENTITIES)
        return loss

    def assign(self, entity, teacher):
        """The group of every row of teacher vectors [n, d_t]: int32 [n], from 0."""
        return ops.cast(ops.argmax(self.networks[entity].selector_logits(teacher), axis=1), "int32")

    def relations(self, prepared, groups):
        """The part of the loss that compares relations; `groups` {"user": int32 [b], "item": int32 [m]}."""
        within = same_group_topology if self.pairs == "all" else same_group_positive_topology
        loss = sum(within(*prepared[entity], groups[entity], self.experts) for entity in ENTITIES)
        teacher, student, weights = stacked(prepared)
        joined = ops.concatenate([groups["user"], groups["item"] + self.experts], axis=0)
        return loss + group_topology(teacher, student, weights, joined, 2 * self.experts)

    def get_config(self):
        config = super().get_config()
        groups = config.pop("experts")
        return {**config, "groups": groups, "gamma": self.gamma, "pairs": self.pairs}


def same_group_topology(teacher, student, weights, groups, count):
    """`Σ (A_t - A_s)²` of cosine similarities over all pairs of rows of the same group.

    With U_t the teacher's rows of a group, of length 1, it is `||U_tᵀ U_t||² - 2 ||U_tᵀ U_s||² + ||U_sᵀ U_s||²`, so no
    n² numbers are ever made.

    Args:
        teacher, student: float32 [n, d_t] and [n, d_s]. No gradient flows into the teacher.
        weights: [n]; rows of weight 0 are left out.
        groups: int32 [n], from 0 to `count` - 1.
        count: how many groups there are.

    Returns:
        float32 scalar.
    """
    teacher, student = unit_vectors(ops.stop_gradient(teacher), weights), unit_vectors(student, weights)
    tiles = Tiles(ops.where(weights > 0, groups, count), count)
    of_teacher = tiles.squared_products(teacher, teacher, count)
    between = tiles.squared_products(teacher, student, count)
    loss = of_teacher - 2.0 * between + tiles.squared_products(student, student, count)
    return loss + ops.stop_gradient(ops.maximum(loss, 0.0) - loss)  # as in full_topology


def same_group_positive_topology(teacher, student, weights, groups, count):
    """The same over the pairs whose teacher cosine is above 0; arguments as there."""
    teacher, student = unit_vectors(ops.stop_gradient(teacher), weights), unit_vectors(student, weights)
    cosines = ops.matmul(teacher, ops.transpose(teacher))
    counts = (ops.expand_dims(groups, 0) == ops.expand_dims(groups, 1)) & (cosines > 0)
    difference = ops.where(counts, cosines - ops.matmul(student, ops.transpose(student)), 0.0)
    return ops.sum(ops.square(difference))


def group_topology(teacher, student, weights, groups, count):
    """`Σ (cos(P_t, e_t) - cos(P_s, e_s))²` over all groups that have a row, and all rows e; P are the groups' means.

    Args:
        as of `same_group_topology`. No gradient flows into the means.

    Returns:
        float32 scalar.
    """
    counted = ops.cast(weights > 0, "float32")
    member = ops.one_hot(groups, count, dtype="float32") * ops.expand_dims(counted, 1)
    sizes = ops.expand_dims(ops.sum(member, axis=0), 1)

    def cosines(vectors):
        means = ops.divide_no_nan(ops.matmul(ops.transpose(member), ops.stop_gradient(vectors)), sizes)
        return ops.matmul(unit_vectors(means), ops.transpose(unit_vectors(vectors, weights)))

    return ops.sum(ops.square(ops.stop_gradient(cosines(teacher)) - cosines(student)))
