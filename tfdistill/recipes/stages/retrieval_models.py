"""The models of a retrieval recipe: built, put into a distiller, measured."""

REPORTED = ("recall", "ndcg", "hit_rate", "coverage")
SAMPLED_SEED = 0  # of the negatives that test items are ranked among: the same for every model of a data set


def build(shape, settings, dataset, precision="float32", **arguments):
    """Builds a model for the data: its shape from a recipe's `model`, its dropout from its `train`."""
    from tfdistill.precision import building_in

    with building_in(precision):
        return _build(shape, settings, dataset, **arguments)


def _build(shape, settings, dataset, **arguments):
    from tfdistill import models

    shape = shape.model_dump(exclude={"kind"}) | {"kind": shape.kind}
    kind = shape.pop("kind")
    if kind == "bpr_mf":
        return models.bpr_mf(dataset.users, dataset.items, **shape, **arguments)
    if kind == "light_gcn":
        return models.light_gcn(dataset, **shape, **arguments)
    if kind == "sas_rec":
        return models.sas_rec(dataset.items, **shape, dropout=settings.dropout, **arguments)
    from tfdistill.data import Field

    user = (Field("user", "categorical", "user", dataset.users), *dataset.user_fields)
    item = (Field("item", "categorical", "item", dataset.items), *dataset.item_fields)
    return models.two_tower(user, item, **shape, dropout=settings.dropout, **arguments)


def distiller_of(student, settings, distill=None, teacher=None):
    """The `RetrievalDistiller` that trains a student, alone or as a recipe's `distill` says.

    Args:
        student: the model.
        settings: a recipe's `train`.
        distill: the section; `None` for the student alone.
        teacher: the teacher's model.

    Raises:
        ValueError: for losses that cannot compare the two.
    """
    from tfdistill import RetrievalDistiller
    from tfdistill._retrieval_windows import check_teacher
    from tfdistill.losses.representation_loss import RepresentationLoss
    from tfdistill.recipes.stages.losses import build_loss

    common = {"base_loss": settings.base_loss, "l2": settings.l2}
    if distill is None:
        return RetrievalDistiller(None, student, **common)
    losses = [build_loss(loss, None) for loss in distill.losses]
    if any(isinstance(loss, RepresentationLoss) for loss in losses):
        check_teacher(student, teacher)
    return RetrievalDistiller(
        teacher,
        student,
        losses,
        [loss.weight for loss in distill.losses],
        base_loss_weight=distill.base_loss_weight,
        **common,
    )


def vectors_of(model, dataset, parts=("train",)):
    """(user vectors, item vectors) of a model; histories are those of `parts`."""
    from tfdistill.models import item_vectors, user_vectors

    return user_vectors(model, dataset, parts=parts), item_vectors(model, dataset)


class Quality:
    """Measures models, or any scores, on a part of the data as a recipe's `evaluate` says.

    Args:
        dataset: `ImplicitDataset`.
        settings: the section.
    """

    def __init__(self, dataset, settings):
        self.dataset, self.settings = dataset, settings
        self._candidates = {}  # of each part, the same at every look

    def of_model(self, model, part):
        """{metric: value} of a retrieval model."""
        from tfdistill.evaluation import dot_scores

        # What a user did before: to test, that is the validation part too.
        known = ("train",) if part == "validation" else ("train", "validation")
        return self.of_scores(dot_scores(*vectors_of(model, self.dataset, known)), part)

    def of_scores(self, score, part):
        """{metric: value} of a function, users -> scores of all items; of the test part by full ranking in any case."""
        from tfdistill.evaluation import evaluate_ranking

        settings, found = self.settings, {}
        if settings.sampled_negatives:
            found = self._sampled(score, part)
            if part == "validation":
                return found
        exclude = tuple(one for one in settings.exclude if one != part)
        ranked = evaluate_ranking(score, self.dataset, part, exclude, settings.list_lengths(self.dataset.items))
        return found | {name: ranked[name] for name in self.names(ranked.k)}

    @staticmethod
    def names(lengths):
        """The metrics that a report shows, of lists of these lengths."""
        return [f"{name}@{k}" for k in lengths for name in REPORTED]

    def _sampled(self, score, part):
        from tfdistill.data import sampled_candidates
        from tfdistill.evaluation import evaluate_sampled

        if part not in self._candidates:
            count = self.settings.sampled_negatives
            self._candidates[part] = sampled_candidates(self.dataset, part, count, seed=SAMPLED_SEED)
        return evaluate_sampled(score, self.dataset, self._candidates[part], self.settings.lengths, part=part).metrics
