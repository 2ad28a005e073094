"""Export of the trained models, and the measurement of the exported files."""

import json

import numpy as np

from tfdistill.recipes.roles import FORMAT_LABELS, role_label
from tfdistill.recipes.stages.common import MODEL, open_model, student_stage
from tfdistill.recipes.stages.compress import compressions
from tfdistill.recipes.stages.data import open_dataset
from tfdistill.recipes.stages.teacher import model_files
from tfdistill.recipes.tasks import metric_of, task_of

INDEX = "artifacts.json"
REFERENCE_FORMAT = "tflite_float32"  # what teacher and student alone are exported as, to be compared like for like


def export_work(run, folder, tell):
    """Exports the distilled student in every format asked for, teacher and student alone in the reference format.

    Of several seeds the best one on the validation part is exported. artifacts.json lists what was written.
    """
    recipe, dataset = run.recipe, open_dataset(run)
    calibration = _calibration_inputs(dataset, recipe)
    jobs = [("teacher", recipe.seed, [REFERENCE_FORMAT])] if recipe.teacher.is_one_of_ours else []
    jobs.append(("alone", best_seed(run, "alone"), [REFERENCE_FORMAT]))
    jobs.append(("distilled", best_seed(run, "distilled"), recipe.export.formats))
    jobs += [(one.role, best_seed(run, one.role), one.step.formats) for one in compressions(recipe)]
    count, index = sum(len(formats) for *_, formats in jobs), []
    for role, seed, formats in jobs:
        model = open_model(model_path(run, role, seed))
        for format in formats:
            tell(len(index), count, unit="files", what=f"{role_label(role)}, {FORMAT_LABELS[format]}")
            stem = role.replace(" ", "_")
            name = f"{stem}_{format}" if format == "saved_model" else f"{stem}.{format.removeprefix('tflite_')}.tflite"
            _export(model, folder / name, format, recipe.export.output, calibration)
            index.append({"role": role, "format": format, "seed": seed, "file": name})
    (folder / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    return {"files": len(index)}


def evaluation_work(run, folder, tell):
    """Opens every exported file in its own runtime and measures it: quality on the whole test part, parity, cost."""
    from tfdistill.evaluation import evaluate_artifact
    from tfdistill.training import predict_logits

    settings, dataset = run.recipe.evaluate, open_dataset(run)
    task, rows = task_of(dataset), dataset.rows("test")
    inputs, measured_by = dataset.inputs(rows), task.measured_by(dataset, rows, settings)
    index = json.loads(run.path("export", INDEX).read_text(encoding="utf-8"))
    keras_probability, records = {}, [] if run.recipe.teacher.is_one_of_ours else [_teacher_as_it_is(run)]
    for position, entry in enumerate(index):
        role, seed = entry["role"], entry["seed"]
        text = f"{role_label(role)}, {FORMAT_LABELS[entry['format']]}"
        tell(position, len(index), unit="files", what=text)
        if role not in keras_probability:
            model = open_model(model_path(run, role, seed))
            keras_probability[role] = task.probability(predict_logits(model, inputs, task.rows_a_call))
        measured = evaluate_artifact(
            run.path("export", entry["file"]),
            keras_probability[role],
            inputs,
            threads=settings.threads,
            latency_runs=settings.latency_runs,
            **measured_by,
        )
        head = {"label": text, "role": role, "format": entry["format"], "path": f"export/{entry['file']}", "seed": seed}
        records.append({**head, **measured})
    return {"artifacts": records}


def best_seed(run, role):
    """The seed whose student is the best on the validation part."""
    metric = metric_of(run.recipe)
    return max(run.recipe.student_seeds, key=lambda seed: run.result(student_stage(role, seed))["validation"][metric])


def model_path(run, role, seed):
    """The file of the teacher, or of the student of a role and seed."""
    return run.path("teacher" if role == "teacher" else student_stage(role, seed), MODEL)


def _export(model, path, format, output, calibration):
    from tfdistill.export import export_saved_model, export_tflite

    if format == "saved_model":
        export_saved_model(model, path, output=output)
    else:
        export_tflite(model, path, format, output=output, calibration=calibration)


def _calibration_inputs(dataset, recipe):
    """Inputs of training rows, drawn by the recipe's seed."""
    rows = dataset.rows("train")
    count = min(recipe.export.calibration_examples, len(rows))
    return dataset.inputs(np.random.default_rng(recipe.seed).choice(rows, count, replace=False))


def _teacher_as_it_is(run):
    """The record of a teacher that is not exported, since it was loaded or is several: it has a size and a quality."""
    from tfdistill.export import describe

    settings = run.recipe.teacher
    paths = [str(path) for path in settings.load or model_files(run, "teacher")]
    contents = [describe(path) for path in paths]
    several = f", {len(paths)} models" if len(paths) > 1 else ""
    return {
        "label": f"teacher, as loaded{several}" if settings.load else f"teacher{several}",
        "role": "teacher",
        "format": "keras" if paths[0].endswith(".keras") else "saved_model",
        "path": ", ".join(paths) if settings.load else "teacher",
        "seed": None,
        "bytes": sum(one["bytes"] for one in contents),
        "gzip_bytes": sum(one["gzip_bytes"] for one in contents),
        "parameters": sum(one["parameters"] for one in contents),
        "flops": None,
        "test": run.result("teacher")["test"],
        "parity": None,
        "latency_ms": None,
        "throughput": None,
        "peak_memory_bytes": None,
        "layers": [],
        "operators": {},
    }
