"""The teacher, one or several, trained here or loaded, and what is asked of it or of an assistant in its place."""

import numpy as np

from tfdistill.recipes.stages.common import MODEL, build_model, open_model, save_model, summarise, train_on_labels
from tfdistill.recipes.stages.data import open_dataset
from tfdistill.recipes.tasks import task_of

HARD_LABEL = "hard label"  # the column of a labelled row's label, for teachers that are weighed by it
ROWS_AT_A_TIME = 1 << 18  # bounds the memory that the inputs of a long labelling take


def work(run, folder, tell):
    """Trains the teacher, or several, and writes them, or checks what is loaded; and scores it."""
    dataset, settings, ndcg_k = open_dataset(run), run.recipe.teacher, run.recipe.evaluate.ndcg_k
    trained = [] if settings.load else _train(run, dataset, folder, tell)
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
    """The model of a stage, or several as one, asked by rows or by columns of the data set in the form that it reads.

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
            members = [load_teacher(path, **_reading(settings)) for path in settings.load]
        else:
            members = [load_teacher(path) for path in model_files(run, stage, folder)]
        self.ask = combined(settings, members, task_of(run.recipe.data)) if stage == "teacher" else members[0]
        self.reads_labels = isinstance(self.ask, _WeighedByLabels)
        self._infer = inference(self.ask)

    def check(self, dataset):
        """Raises `UserError` where the teacher does not take these inputs or give finite logits, as many as the student."""
        from tfdistill.teachers import check_teacher_outputs

        task = task_of(dataset)
        sample = self.inputs(dataset, task.columns(dataset, dataset.rows("train")[:64]))
        check_teacher_outputs(self.ask, sample, units=task.outputs(dataset))

    def inputs(self, dataset, columns):
        """What the teacher reads of columns that stand for rows, in the data or not."""
        return task_of(dataset).inputs(dataset, columns, raw=self._raw)

    def rows(self, dataset, rows):
        """Logits float32 [n, k] of rows of the data, by their numbers."""
        return self.logits(dataset, task_of(dataset).columns(dataset, rows))

    def logits(self, dataset, columns):
        """Logits float32 [n, k] of columns."""
        from tfdistill.training import predict_logits

        task = task_of(dataset)
        pieces = [np.zeros((0, task.outputs(dataset)), np.float32)]
        for start in range(0, len(next(iter(columns.values()))), ROWS_AT_A_TIME):
            part = {name: column[start : start + ROWS_AT_A_TIME] for name, column in columns.items()}
            pieces.append(predict_logits(self._infer, self.inputs(dataset, part), task.rows_a_call))
        return np.concatenate(pieces)


def combined(settings, members, task):
    """Returns one teacher of several, as the recipe's `teacher` wants it, for a task of `tfdistill.recipes.tasks`."""
    from tfdistill.teachers import Ensemble

    if len(members) == 1:
        return members[0]
    ensemble = Ensemble(members, combine=settings.combine, weights=settings.weights, task=task.form)
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
        from tfdistill.teachers import load_teacher

        precision = settings.precision
        members = [load_teacher(path, precision=precision) if precision else path for path in settings.load]
    else:
        members = [open_model(path) for path in model_files(run, stage)]
    teacher = combined(settings, members, task_of(run.recipe.data))
    return teacher_fingerprint(teacher.ensemble if isinstance(teacher, _WeighedByLabels) else teacher)


def _reading(settings):
    """How `load_teacher` is to read the files."""
    return {name: getattr(settings, name) for name in ("signature", "inputs", "outputs", "precision")}


class _WeighedByLabels:
    """An ensemble whose members count by how well they know the label of the row; rows without one weigh them alike."""

    def __init__(self, ensemble):
        self.ensemble = ensemble

    def __call__(self, inputs):
        return self.feature_outputs(inputs, [])[None]

    def feature_outputs(self, inputs, names, training=False, labels=None):
        inputs = dict(inputs)
        return self.ensemble.feature_outputs(inputs, names, training, labels=inputs.pop(HARD_LABEL, None))


def _train(run, dataset, folder, tell):
    """Trains and writes the members; returns {parameters, layers, epochs} of each."""
    import keras

    from tfdistill.export.keras_contents import layer_table

    recipe, settings, records = run.recipe, run.recipe.teacher, []
    for k in range(settings.members):
        if k:
            keras.utils.set_random_seed(recipe.seed + k)
        model = build_model(settings.model, settings.train, dataset, settings.precision)
        state = run.training_state(k)
        epochs = train_on_labels(model, dataset, settings.train, recipe.seed + k, tell, state=state)
        save_model(model, folder / (MODEL if settings.is_one_of_ours else f"model_{k}.keras"))
        records.append({"parameters": model.count_params(), "layers": layer_table(model), "epochs": epochs})
    return records
