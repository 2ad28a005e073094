"""The losses of a retrieval recipe: a section a class of `tfdistill.losses`, with the arguments of its constructor.

They are written out, since reading the classes would import TensorFlow to validate a recipe; a test compares the two.
"""

from typing import Annotated, Literal

from pydantic import Field

from tfdistill.recipes.schema_types import Count, Section

NotNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Reduction = Literal["sum", "mean"]

REDUCTION = "of a batch"
TEMPERATURE, FINAL = "of the choice of an expert in the beginning", "the same in the end"
ANNEALING = "epochs from one to the other; null: all"


class RetrievalLoss(Section):
    """What teacher and student are compared by."""

    kind: str
    weight: NotNegative = Field(1.0, description="what it counts beside the base loss")


class FullTopologyDistillation(RetrievalLoss):
    """How like each other any two users and items of a batch are (FTD)."""

    kind: Literal["full_topology_distillation"] = Field(description="which loss")
    weight: NotNegative = Field(0.001, description="what it counts beside the base loss")
    reduction: Reduction = Field("sum", description=REDUCTION)


class HierarchicalTopologyDistillation(RetrievalLoss):
    """Relations within groups, and of groups to all (HTD)."""

    kind: Literal["hierarchical_topology_distillation"] = Field(description="which loss")
    weight: NotNegative = Field(0.001, description="what it counts beside the base loss")
    groups: Count = Field(30, description="of users, and of items")
    gamma: Share = Field(0.5, description="share of the relations; the experts have the rest")
    pairs: Literal["all", "positive"] = Field(
        "positive", description="which pairs of a group count; positive: those that the teacher finds alike"
    )
    temperature: Positive = Field(1.0, description=TEMPERATURE)
    final_temperature: Positive = Field(1e-10, description=FINAL)
    annealing_epochs: Count | None = Field(None, description=ANNEALING)


class DistillationExperts(RetrievalLoss):
    """The teacher's vectors out of the student's, by experts (DE)."""

    kind: Literal["distillation_experts"] = Field(description="which loss")
    weight: NotNegative = Field(0.01, description="what it counts beside the base loss")
    experts: Count = Field(30, description="of users, and of items")
    item_weight: NotNegative = Field(0.5, description="what items count beside users")
    temperature: Positive = Field(1.0, description=TEMPERATURE)
    final_temperature: Positive = Field(1e-10, description=FINAL)
    annealing_epochs: Count | None = Field(None, description=ANNEALING)
    reduction: Reduction = Field("sum", description=REDUCTION)


class EmbeddingDistillation(RetrievalLoss):
    """The teacher's vectors out of the student's by a learned map."""

    kind: Literal["embedding_distillation"] = Field(description="which loss")
    comparison: Literal["squared_error", "cosine"] = Field("squared_error", description="how vectors are compared")
    projector: Literal["auto", "dense"] | None = Field(
        "auto", description="what brings the student's vectors to the teacher's width, trained along; null: nothing"
    )
    shared: bool = Field(True, description="whether users and items have one projector")
    item_weight: NotNegative = Field(1.0, description="what items count beside users")
    reduction: Reduction = Field("sum", description=REDUCTION)


class NextItemDistillation(RetrievalLoss):
    """The teacher's distribution over the next item, and whose history it is."""

    kind: Literal["next_item_distillation"] = Field(description="which loss")
    temperature: Positive = Field(1.0, description="softens both distributions; 1: as they are")
    kl_weight: NotNegative = Field(0.8, description="what the distributions count")
    contrastive_weight: NotNegative = Field(0.2, description="what telling histories apart counts")
    contrastive_temperature: Positive = Field(0.2, description="of the similarities of histories")
    items: Literal["all", "batch"] = Field("all", description="which items the distributions are over")
    reduction: Reduction = Field("sum", description=REDUCTION)


class CandidateLoss(RetrievalLoss):
    """What teacher and student are compared by, on candidates drawn before every epoch."""

    rows: Literal["batch", "all"] = Field(
        "batch",
        description="whose candidates a step compares: those of the batch, or of as many drawn in turn from all",
    )
    reduction: Reduction = Field("sum", description=REDUCTION)


class TwoSidedLoss(CandidateLoss):
    """The same, either way round."""

    side: Literal["user", "item"] = Field("user", description="user: items are ranked for users; item: users for items")


class RelaxedRankingDistillation(TwoSidedLoss):
    """The teacher's order of interesting items, above all others (RRD; IR-RRD with side: item)."""

    kind: Literal["relaxed_ranking_distillation"] = Field(description="which loss")
    weight: NotNegative = Field(0.001, description="what it counts beside the base loss")
    interesting: Count = Field(40, description="items drawn from the teacher's best")
    uninteresting: Count = Field(40, description="items drawn from the others")
    rank_temperature: Positive = Field(10.0, description="p of an interesting item falls as exp(-rank / this)")
    pool: Count = Field(500, description="of the teacher's best that interesting items are drawn from")


class RankingDistillation(TwoSidedLoss):
    """The teacher's best items as positives, those that the student ranks too low the more (RD)."""

    kind: Literal["ranking_distillation"] = Field(description="which loss")
    best: Count = Field(10, description="items of the teacher's list")
    position_scale: Positive = Field(1.0, description="the weight of a place falls as exp(-rank / this)")
    discrepancy_scale: Positive = Field(0.1, description="of the difference between the ranks, in tanh")
    static_epochs: Annotated[int, Field(ge=0)] = Field(10, description="epochs in which the place alone counts")
    samples: Count = Field(100, description="items that the student's ranks are estimated from")


class CollaborativeDistillation(TwoSidedLoss):
    """The teacher's probabilities of items that nobody chose (CD)."""

    kind: Literal["collaborative_distillation"] = Field(description="which loss")
    candidates: Count = Field(50, description="items drawn")
    temperature: Positive = Field(2.0, description="the teacher's scores are divided by it")
    shift: float = Field(0.0, description="added to the teacher's scores before")
    rank_scale: Positive = Field(100.0, description="p of an item falls as exp(-rank / this)")
    ranked_by: Literal["teacher", "student"] = Field("teacher", description="whose ranks these are")
    pool: Count = Field(500, description="of the teacher's best that items are drawn from")


class DualCorrectionDistillation(TwoSidedLoss):
    """Items that the student ranks too low above those that it ranks too high (DCD)."""

    kind: Literal["dual_correction_distillation"] = Field(description="which loss")
    weight: NotNegative = Field(0.001, description="what it counts beside the base loss")
    underestimated: Count = Field(40, description="items drawn that the student ranks too low")
    overestimated: Count = Field(40, description="items drawn that it ranks too high")
    discrepancy_scale: Positive = Field(10.0, description="p of an item is tanh(difference of the ranks / this)")
    pool: Count = Field(500, description="of the teacher's best that items are drawn from")


class UnbiasedDistillation(CandidateLoss):
    """The teacher's order of items that are equally popular (UnKD)."""

    kind: Literal["unbiased_distillation"] = Field(description="which loss")
    pairs: Count = Field(30, description="pairs drawn of every group")
    groups: Count = Field(4, description="of equal training mass, by popularity")
    rank_scale: Positive = Field(20.0, description="p of an item falls as exp(-rank / this)")
    exponent: NotNegative = Field(1.0, description="of a group's share in the user's choices")
    pool: Count = Field(1000, description="of the teacher's best in every group")

    @property
    def side(self):
        """What is ranked: items for users."""
        return "user"


AnyRankingLoss = Annotated[
    FullTopologyDistillation
    | HierarchicalTopologyDistillation
    | DistillationExperts
    | EmbeddingDistillation
    | NextItemDistillation
    | RelaxedRankingDistillation
    | RankingDistillation
    | CollaborativeDistillation
    | DualCorrectionDistillation
    | UnbiasedDistillation,
    Field(discriminator="kind"),
]
