"""What the models of a recipe learn: clicks, the class of an image, or what a user chooses next; and what differs."""

import numpy as np

from tfdistill.errors import UserError


class ClickThrough:
    """Whether a user likes an item: one logit a pair, of interactions.

    Attributes:
        name: what metrics.json calls it.
        metric: chooses the best epoch and the best seed, and stands first in the report; more is better.
        title: what people call the metric.
        models: the kinds of models that learn it.
        unlabeled: the label of a row that has none.
        form: what `tfdistill.losses` call it.
        rows_a_call: how many rows a model is asked for at once.
    """

    name, metric, title = "click-through", "auc", "AUC"
    models = ("mlp", "dcn_v2")
    unlabeled, form = -1.0, "binary"
    rows_a_call = 8192

    def open(self, path):
        """The data set that the data stage wrote."""
        from tfdistill.data import Dataset

        return Dataset.load(path)

    def build_model(self, shape, settings, dataset, **arguments):
        """Builds a model for the data: its shape from a recipe's `model`, its regularisation from its `train`."""
        from tfdistill.models import build

        regularisation = {"dropout": settings.dropout, "embedding_l2": settings.embedding_l2}
        return build(**shape.model_dump(), fields=dataset.fields, **regularisation, **arguments)

    def outputs(self, dataset):
        """Logits of an example."""
        return 1

    def hard_loss(self):
        """The loss of logits against labels."""
        import keras

        return keras.losses.BinaryCrossentropy(from_logits=True)

    def labels(self, dataset, rows):
        """Labels of rows as the hard loss takes them: float32 [n, 1]."""
        return dataset.label[rows][:, None]

    def columns(self, dataset, rows):
        """The few numbers a row that stand for the inputs of a model: {column: array [n]}."""
        return dataset.pairs(rows)

    def inputs(self, dataset, columns, raw=False):
        """The inputs of a model, or of a teacher that reads raw values, of such columns."""
        return (dataset.raw_pair_inputs if raw else dataset.pair_inputs)(**columns)

    def expander(self, dataset):
        """Returns what makes inputs of columns inside a tf.data pipeline; columns of other names pass through."""
        from tfdistill.data import pair_expander

        return pair_expander(dataset)

    def probability(self, logits):
        """What logits [n, 1] stand for: float64 [n]."""
        return 0.5 * (1.0 + np.tanh(0.5 * np.asarray(logits, dtype=np.float64)[:, 0]))

    def quality(self, dataset, rows, logits):
        """The metric of rows from their logits."""
        from tfdistill.evaluation import auc

        return auc(dataset.label[rows], logits[:, 0])

    def measured_by(self, dataset, rows, settings):
        """What `evaluate_artifact` measures rows by, beside their inputs, from a recipe's `evaluate`."""
        return {"label": dataset.label[rows], "user": dataset.user_row[rows], "k": settings.ndcg_k}

    def metrics(self, dataset, rows, probability, ndcg_k):
        """All metrics of rows from their probabilities."""
        from tfdistill.evaluation import click_metrics

        return click_metrics(dataset.label[rows], probability, dataset.user_row[rows], k=ndcg_k)

    def draw_pool(self, dataset, settings, seed, ask):
        """Draws the rows without a label that a teacher labels: pairs that nobody rated.

        Args:
            dataset: the data.
            settings: the recipe's `soft_targets`.
            seed: fixes the draw.
            ask: columns -> logits of the teacher [n, 1].

        Returns: example_id int64 [pool], none of which the data has labelled, and the columns.
        """
        from tfdistill.data import sample_unrated

        count, choice = round(settings.unrated_ratio * len(dataset.rows("train"))), {}
        if settings.draw == "teacher":
            names = ("user_row", "item_row", "context_row")
            choice = {
                "candidates": settings.candidates,
                "score": lambda *pairs: ask(dict(zip(names, pairs, strict=True))),
            }
        user, item, context_row = sample_unrated(dataset, count, seed, settings.draw, **choice)
        first = dataset.example_id.max() + 1
        ids = np.arange(first, first + count, dtype=np.int64)
        return {"example_id": ids, "user_row": user, "item_row": item, "context_row": context_row}

    def check_pool(self, dataset, unrated_ratio):
        """Raises `UserError` where the data has fewer rows without a label than the recipe asks for."""


class Classification:
    """Which class an image belongs to: a logit a class. See `ClickThrough` for what the members mean."""

    name, metric, title = "classification", "accuracy", "accuracy"
    models = ("cnn",)
    unlabeled, form = -1, "categorical"
    rows_a_call = 1024

    def open(self, path):
        from tfdistill.data import ImageDataset

        return ImageDataset.load(path)

    def build_model(self, shape, settings, dataset, **arguments):
        from tfdistill.models import cnn

        return cnn(
            dataset.images.shape[1:],
            dataset.classes,
            **shape.model_dump(exclude={"kind"}),
            dropout=settings.dropout,
            **arguments,
        )

    def outputs(self, dataset):
        return dataset.classes

    def hard_loss(self):
        import keras

        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def labels(self, dataset, rows):
        return dataset.label[rows]

    def columns(self, dataset, rows):
        return {"image_row": np.asarray(rows, np.int32)}

    def inputs(self, dataset, columns, raw=False):
        return (dataset.raw_inputs if raw else dataset.inputs)(columns["image_row"])

    def expander(self, dataset):
        from tfdistill.data import image_expander

        return image_expander(dataset)

    def probability(self, logits):
        logits = np.asarray(logits, dtype=np.float64)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    def quality(self, dataset, rows, logits):
        from tfdistill.evaluation import class_accuracy

        return class_accuracy(dataset.label[rows], logits)

    def measured_by(self, dataset, rows, settings):
        return {"label": dataset.label[rows]}

    def metrics(self, dataset, rows, probability, ndcg_k):
        from tfdistill.evaluation import class_metrics

        return class_metrics(dataset.label[rows], probability)

    def draw_pool(self, dataset, settings, seed, ask):
        from tfdistill.data.random_streams import generator

        self.check_pool(dataset, settings.unrated_ratio)
        count = round(settings.unrated_ratio * len(dataset.rows("train")))
        rows = generator("pool", seed).permutation(dataset.rows("unlabelled"))[:count]
        return {"example_id": dataset.example_id[rows], **self.columns(dataset, rows)}

    def check_pool(self, dataset, unrated_ratio):
        labelled, others = len(dataset.rows("train")), len(dataset.rows("unlabelled"))
        if round(unrated_ratio * labelled) > others:
            raise UserError(
                f"soft_targets.unrated_ratio: expected at most {others / labelled:g}, since beside the {labelled:,} labelled "
                f"images of data.labelled there are {others:,} others, received {unrated_ratio:g}."
            )


class Retrieval:
    """Which items of all a user chooses next: a list of them for every user. Its stages are in `stages.retrieval`.

    Attributes:
        name, metric, title, models: as of `ClickThrough`; `evaluate.metric` of a recipe names another metric.
    """

    name, metric, title = "retrieval", "recall@50", "recall@50"
    models = ("bpr_mf", "two_tower", "light_gcn", "sas_rec")

    def open(self, path):
        """The data set that the data stage wrote."""
        from tfdistill.data import ImplicitDataset

        return ImplicitDataset.load(path)


TASKS = {task.name: task for task in (ClickThrough(), Classification(), Retrieval())}


def task_of(data):
    """The task of a data set, or of the `data` section of a recipe.

    >>> from tfdistill.recipes.loading import load_recipe
    >>> task_of(load_recipe("quickstart").data).metric
    'auc'
    """
    return TASKS[data.task]


def metric_of(recipe):
    """What chooses the best epoch and the best seed of a recipe, and stands first in its report.

    >>> from tfdistill.recipes.loading import load_recipe
    >>> metric_of(load_recipe("quickstart"))
    'auc'
    """
    return getattr(recipe.evaluate, "leading", task_of(recipe.data).metric)


def task_named(name):
    """The task that metrics.json names; click-through where it names none that there is."""
    return TASKS.get(name if isinstance(name, str) else None, TASKS[ClickThrough.name])
