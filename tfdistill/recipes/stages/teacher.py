"""The teacher, one or several, trained here or loaded, and what is asked of it or of an assistant in its place."""

import numpy as np

from tfdistill.recipes.stages.common import MODEL, build_ranker, open_model, save_model, summarise, train_on_labels
from tfdistill.recipes.stages.data import open_dataset

HARD_LABEL = "hard label"  # the column of a labelled row's label, for teachers that are weighed by it
NO_LABEL = -1.0
ROWS_AT_A_TIME = 1 << 18  # bounds the memory that the inputs of a long labelling take


def work(run, folder, tell):
    """Trains the teacher, or several, and writes them, or checks what is loaded; and scores it."""
    dataset, settings, ndcg_k = open_dataset(run), run.recipe.teacher, run.recipe.evaluate.ndcg_k
    trained = [] if settings.load else _train(run.recipe, dataset, folder, tell)
    teacher = Teacher(run, folder=folder)
    teacher.check(dataset)
    epochs = [epoch for one in trained for epoch in one["epochs"]]
    record = summarise(epochs, lambda rows: teacher.rows(dataset, rows), dataset, ndcg_k)
    if settings.is_one_of_ours:
        return {**trained[0], **record}
    if trained:
        layers = [{**layer, "name": f"{k}/{layer['name']}"} for k, one in enumerate(trained) for layer in one["layers"]]
        parameters = sum(one["parameters"] for one in trained)
        return {**record, "epochs": [], "parameters": parameters, "layers": layers}
    from tfdistill.export import describe

    parameters = sum(describe(path)["parameters"] for path in settings.load)
    return {"loaded": list(settings.load), "parameters": parameters, "layers": [], **record}


class Teacher:
    """The model of a stage, or several as one, asked by rows or by pairs of the data set in the form that it reads.

    Args:
        run: the run.
        stage: "teacher", or that of an assistant.
        folder: where the models are; default: the stage's.

    Attributes:
        ask: callable on a dict of tensors that returns logits.
    """

    def __init__(self, run, stage="teacher", folder=None):
        from tfdistill.teachers import load_teacher
        from tfdistill.training import inference

        settings = run.recipe.teacher
        self._raw = stage == "teacher" and settings.reads == "raw"
        if stage == "teacher" and settings.load:
            options = {"signature": settings.signature, "inputs": settings.inputs, "outputs": settings.outputs}
            members = [load_teacher(path, **options) for path in settings.load]
        else:
            members = [load_teacher(path) for path in model_files(run, stage, folder)]
        self.ask = combined(settings, members) if stage == "teacher" else members[0]
        self.reads_labels = isinstance(self.ask, _WeighedByLabels)
        self._infer = inference(self.ask)

    def check(self, dataset):
        """Raises `UserError` where the teacher does not take these inputs or give one finite logit a row."""
        from tfdistill.teachers import check_teacher_outputs

        check_teacher_outputs(self.ask, self.inputs(dataset, **dataset.pairs(dataset.rows("train")[:64])), units=1)

    def inputs(self, dataset, user_row, item_row, context_row):
        """What the teacher reads of user-item pairs that need not be in the data."""
        return (dataset.raw_pair_inputs if self._raw else dataset.pair_inputs)(user_row, item_row, context_row)

    def rows(self, dataset, rows):
        """Logits float32 [n, 1] of interactions, by their row numbers."""
        return self.pairs(dataset, **dataset.pairs(rows))

    def pairs(self, dataset, user_row, item_row, context_row):
        """Logits float32 [n, 1] of user-item pairs."""
        from tfdistill.training import predict_logits

        columns, pieces = (user_row, item_row, context_row), [np.zeros((0, 1), np.float32)]
        for start in range(0, len(user_row), ROWS_AT_A_TIME):
            part = (column[start : start + ROWS_AT_A_TIME] for column in columns)
            pieces.append(predict_logits(self._infer, self.inputs(dataset, *part)))
        return np.concatenate(pieces)


def combined(settings, members):
    """Returns one teacher of several, as the recipe's `teacher` wants it."""
    from tfdistill.teachers import Ensemble

    if len(members) == 1:
        return members[0]
    ensemble = Ensemble(members, combine=settings.combine, weights=settings.weights, task="binary")
    return _WeighedByLabels(ensemble) if settings.weights == "confidence" else ensemble


def model_files(run, stage, folder=None):
    """The files of the models that a stage has trained."""
    folder = run.path(stage) if folder is None else folder
    if stage != "teacher" or run.recipe.teacher.is_one_of_ours:
        return [folder / MODEL]
    return [folder / f"model_{k}.keras" for k in range(run.recipe.teacher.count)]


def fingerprint(run, stage):
    """The identity of a stage's teacher: of models trained here their configuration and weights, of loaded ones files."""
    from tfdistill.soft_targets import teacher_fingerprint

    settings = run.recipe.teacher
    if stage != "teacher":
        return teacher_fingerprint(open_model(run.path(stage, MODEL)))
    if settings.load:
        members = list(settings.load)
    else:
        members = [open_model(path) for path in model_files(run, stage)]
    teacher = combined(settings, members)
    return teacher_fingerprint(teacher.ensemble if isinstance(teacher, _WeighedByLabels) else teacher)


class _WeighedByLabels:
    """An ensemble whose members count by how well they know the label of the row; rows without one weigh them alike."""

    def __init__(self, ensemble):
        self.ensemble = ensemble

    def __call__(self, inputs):
        return self.feature_outputs(inputs, [])[None]

    def feature_outputs(self, inputs, names, training=False, labels=None):
        inputs = dict(inputs)
        return self.ensemble.feature_outputs(inputs, names, training, labels=inputs.pop(HARD_LABEL, None))


def _train(recipe, dataset, folder, tell):
    """Trains and writes the members; returns {parameters, layers, epochs} of each."""
    import keras

    from tfdistill.export.keras_contents import layer_table

    settings, records = recipe.teacher, []
    for k in range(settings.members):
        if k:
            keras.utils.set_random_seed(recipe.seed + k)
        model = build_ranker(settings.model, settings.train, dataset)
        epochs = train_on_labels(model, dataset, settings.train, recipe.seed + k, tell)
        save_model(model, folder / (MODEL if settings.is_one_of_ours else f"model_{k}.keras"))
        records.append({"parameters": model.count_params(), "layers": layer_table(model), "epochs": epochs})
    return records
