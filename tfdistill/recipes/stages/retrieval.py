"""The stages of a retrieval recipe: data, teacher, rankings, students alone and distilled, export, evaluation."""

import json

import numpy as np

from tfdistill.errors import UserError
from tfdistill.recipes.roles import FORMAT_LABELS, role_label
from tfdistill.recipes.runner import Stage
from tfdistill.recipes.stages.artifacts import INDEX, REFERENCE_FORMAT, best_seed, model_path
from tfdistill.recipes.stages.common import MODEL, content_of, open_model, save_model, student_stage
from tfdistill.recipes.stages.data import FILE, open_dataset
from tfdistill.recipes.stages.losses import build_loss
from tfdistill.recipes.stages.retrieval_data import read
from tfdistill.recipes.stages.retrieval_models import Quality, build, distiller_of, vectors_of
from tfdistill.recipes.tasks import metric_of
from tfdistill.recipes.team import TOGETHER

TASK = "retrieval"
RANKINGS, ITEM_RANKINGS = "rankings.npz", "item_rankings.npz"


def plan(recipe):
    """The stages that `recipe` needs, each with just those settings that its output depends on."""
    settings, measured = recipe.resolved(), recipe.evaluate.model_dump(mode="json", exclude={"threads", "latency_runs"})
    data = {**settings["data"], "content": content_of(getattr(recipe.data, "path", None))}
    teacher = {**settings["teacher"], "evaluate": measured, "content": content_of(recipe.teacher.load)}
    stages = [
        Stage("data", "data", data, (), _data, recipe.seed),
        Stage("teacher", "teacher", teacher, ("data",), _teacher, recipe.seed, TOGETHER),
    ]
    needs = ["data", "teacher"]
    if recipe.distill.sides:
        asked = {side: settings["rankings"][side] for side in recipe.distill.sides}
        stages.append(Stage("rankings", "rankings of the teacher", asked, ("data", "teacher"), _rankings, recipe.seed))
        needs.append("rankings")
    student = {**settings["student"], "evaluate": measured}
    for seed in recipe.student_seeds:
        name, title = student_stage("alone", seed), f"student alone, seed {seed}"
        stages.append(Stage(name, title, student, ("data",), _student("alone", seed), seed, TOGETHER))
    shape = {name: settings["student"][name] for name in ("model", "precision")}
    distilled = {**shape, **settings["distill"], "evaluate": measured}
    for seed in recipe.student_seeds:
        name, title = student_stage("distilled", seed), f"distilled student, seed {seed}"
        stages.append(Stage(name, title, distilled, tuple(needs), _student("distilled", seed), seed, TOGETHER))
    trained = tuple(stage.name for stage in stages if stage.name.startswith(("alone", "distilled")))
    stages.append(Stage("export", "export", settings["export"], ("data", "teacher", *trained), _export, recipe.seed))
    needs = ("data", "teacher", *trained, "export")
    stages.append(Stage("evaluation", "evaluation of the files", settings["evaluate"], needs, _evaluation, recipe.seed))
    return stages


def rehearse(run):
    """Builds the models and losses of a recipe, so that what cannot be is told before anything is trained.

    Raises:
        UserError: for models that the data cannot have, and losses that cannot compare teacher and student.
    """
    from tfdistill._retrieval_windows import reads_history
    from tfdistill.models import start_from_teacher

    recipe, dataset = run.recipe, open_dataset(run)
    try:
        student = build(recipe.student.model, recipe.student.train, dataset, recipe.student.precision)
        teacher = _built_or_loaded(recipe.teacher, dataset)
        distiller_of(student, recipe.distill.train, recipe.distill, teacher)
        if recipe.distill.start == "teacher":
            start_from_teacher(student, *vectors_of(teacher, dataset))
    except ValueError as error:
        raise UserError(f"teacher, student or distill: {' '.join(str(error).split())}") from error
    for name, model in (("teacher", teacher), ("student", student)):
        if reads_history(model) and not dataset.is_ordered:
            raise UserError(
                f"{name}.model: reads what a user chose in the order of time, and {dataset.source} tells no times. Name a "
                "column of times or choose data that have them, or another model."
            )


def _data(run, folder, tell):
    """Writes the data set, numbered and split; returns its counts."""
    dataset = read(run.recipe.data, run.recipe.seed, lambda done, total: tell(done, total, unit="bytes"))
    for what, count in dataset.dropped.items():
        if count:
            run.reporter.say(f"  {count:,} rows left out: {what}")
    dataset.save(folder / FILE)
    return dataset.summary()


def _teacher(run, folder, tell):
    """Trains the teacher, or takes the one that there is; writes the model and what it is worth."""
    recipe, dataset = run.recipe, open_dataset(run)
    model, settings, epochs = _built_or_loaded(recipe.teacher, dataset), recipe.teacher.train, []
    if recipe.teacher.load is None:
        epochs = _train(run, distiller_of(model, settings), dataset, settings, recipe.seed, tell)
    return _finish(run, model, folder, epochs, dataset)


def _built_or_loaded(settings, dataset):
    """The model of a recipe's `teacher`, not trained yet where it is to be trained here."""
    if settings.load is None:
        return build(settings.model, settings.train, dataset, settings.precision)
    from tfdistill.precision import in_precision

    model = open_model(settings.load)
    return model if settings.precision is None else in_precision(model, settings.precision)


def _rankings(run, folder, tell):
    """Writes the teacher's best items of every user, or users of every item, as far as a loss asks for them."""
    from tfdistill.evaluation import dot_scores
    from tfdistill.soft_targets import rank_items, rank_users, vectors_fingerprint

    dataset, asked = open_dataset(run), run.recipe.rankings
    user, item = vectors_of(open_model(run.path("teacher", MODEL)), dataset)
    fingerprint, result, drawn_from = vectors_fingerprint(user, item), {}, {}
    if "user" in run.recipe.distill.sides:
        k = min(asked.user, dataset.items - int(dataset.lists("train").lengths.max()))
        rankings = drawn_from["rankings"] = rank_items(dot_scores(user, item), dataset, k, fingerprint=fingerprint)
        rankings.save(folder / RANKINGS)
        result["items_per_user"] = k
    if "item" in run.recipe.distill.sides:
        k = min(asked.item, dataset.users - int(dataset.item_counts().max()))
        rankings = drawn_from["item_rankings"] = rank_users(dot_scores(item, user), dataset, k, fingerprint=fingerprint)
        rankings.save(folder / ITEM_RANKINGS)
        result["users_per_item"] = k
    _check_draws(run.recipe.distill, dataset, dot_scores(user, item), dot_scores(item, user), drawn_from)
    return result


def _check_draws(distill, dataset, scores, item_scores, drawn_from):
    """Raises UserError where a loss finds too few candidates to draw, before a student is trained."""
    from tfdistill.data.random_streams import generator
    from tfdistill.losses import RankingContext

    context = RankingContext(dataset, student_scores=scores, student_item_scores=item_scores, **drawn_from)
    for place, settings in enumerate(distill.losses):
        loss = build_loss(settings, None)
        if hasattr(loss, "draw"):
            try:
                loss.draw(context, generator("candidates", 0))
            except ValueError as error:
                raise UserError(f"distill.losses[{place}]: {' '.join(str(error).split())}") from error


def _student(role, seed):
    """The stage that trains one student, alone or beside the teacher."""

    def work(run, folder, tell):
        recipe, dataset = run.recipe, open_dataset(run)
        settings = recipe.student.train if role == "alone" else recipe.distill.train
        model = build(recipe.student.model, settings, dataset, recipe.student.precision, name="student")
        if role == "alone":
            epochs = _train(run, distiller_of(model, settings), dataset, settings, seed, tell)
        else:
            teacher = open_model(run.path("teacher", MODEL))
            vectors = vectors_of(teacher, dataset)
            if recipe.distill.start == "teacher":
                from tfdistill.models import start_from_teacher

                start_from_teacher(model, *vectors)
            distiller = distiller_of(model, settings, recipe.distill, teacher)
            rankings = _open_rankings(run, dataset, vectors)
            epochs = _train(run, distiller, dataset, settings, seed, tell, **rankings)
        return {"seed": seed, **_finish(run, model, folder, epochs, dataset)}

    return work


def _open_rankings(run, dataset, teacher):
    from tfdistill.soft_targets import Rankings, vectors_fingerprint

    fingerprint = vectors_fingerprint(*teacher)
    files = {"user": ("rankings", RANKINGS), "item": ("item_rankings", ITEM_RANKINGS)}
    return {
        files[side][0]: Rankings.load(run.path("rankings", files[side][1]), dataset=dataset, fingerprint=fingerprint)
        for side in run.recipe.distill.sides
    }


def _train(run, distiller, dataset, settings, seed, tell, **rankings):
    from tfdistill.retrieval_training import train_retrieval

    metric, quality = metric_of(run.recipe), Quality(dataset, run.recipe.evaluate)
    return train_retrieval(
        distiller,
        dataset,
        settings,
        seed=seed,
        score=lambda: quality.of_model(distiller.student, "validation")[metric],
        metric=metric,
        on_progress=tell,
        state=run.training_state(),
        **rankings,
    )


def _finish(run, model, folder, epochs, dataset):
    """Writes a trained model into a stage's folder and returns its record."""
    from tfdistill.export.keras_contents import layer_table

    save_model(model, folder / MODEL)
    quality = Quality(dataset, run.recipe.evaluate)
    record = {"parameters": model.count_params(), "layers": layer_table(model), "epochs": epochs}
    record |= {part: quality.of_model(model, part) for part in ("validation", "test")}
    if epochs:
        record["seconds"] = sum(epoch["seconds"] for epoch in epochs)
        record["examples_per_second"] = float(np.median([epoch["examples_per_second"] for epoch in epochs]))
    return record


def _export(run, folder, tell):
    """Exports the distilled student in every format asked for, teacher and student alone in the reference format.

    Of several seeds the best one on the validation part is exported. artifacts.json lists what was written.
    """
    from tfdistill.export import export_retrieval

    recipe, dataset = run.recipe, open_dataset(run)
    jobs = [("teacher", recipe.seed, [REFERENCE_FORMAT]), ("alone", best_seed(run, "alone"), [REFERENCE_FORMAT])]
    jobs.append(("distilled", best_seed(run, "distilled"), recipe.export.formats))
    count, index = sum(len(formats) for *_, formats in jobs), []
    for role, seed, formats in jobs:
        model = open_model(model_path(run, role, seed))
        for format in formats:
            tell(len(index), count, unit="files", what=f"{role_label(role)}, {FORMAT_LABELS[format]}")
            name = f"{role}_{format}" if format == "saved_model" else f"{role}.{format.removeprefix('tflite_')}.tflite"
            k = min(recipe.export.k, dataset.items)
            export_retrieval(model, dataset, folder / name, format, k=k, exclude=recipe.evaluate.exclude)
            index.append({"role": role, "format": format, "seed": seed, "file": name})
    (folder / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    return {"files": len(index)}


def _evaluation(run, folder, tell):
    """Asks every exported file, in its own runtime, for the list of every user, and measures the lists and what they cost."""
    from tfdistill.recipes.stages.retrieval_files import measure_file

    dataset = open_dataset(run)
    index, records = json.loads(run.path("export", INDEX).read_text(encoding="utf-8")), []
    for position, entry in enumerate(index):
        text = f"{role_label(entry['role'])}, {FORMAT_LABELS[entry['format']]}"
        tell(position, len(index), unit="files", what=text)
        model = open_model(model_path(run, entry["role"], entry["seed"]))
        path = f"export/{entry['file']}"
        head = {"label": text, "role": entry["role"], "format": entry["format"], "path": path, "seed": entry["seed"]}
        records.append({**head, **measure_file(run.path(path), model, dataset, run.recipe)})
    return {"artifacts": records}
