"""metrics.json: the numbers of all stages, gathered in the form that the report reads."""

import statistics

from tfdistill.recipes.roles import base_role, role_label
from tfdistill.recipes.stages import student_stage
from tfdistill.recipes.stages.artifacts import REFERENCE_FORMAT
from tfdistill.recipes.stages.chain import chain
from tfdistill.recipes.stages.compress import compressions
from tfdistill.recipes.tasks import metric_of, task_of

FORMAT = 1


def collect(run):
    """Returns the content of metrics.json from the results of the finished stages of `run`."""
    teacher, alone, distilled = _teacher(run), _students(run, "alone"), _students(run, "distilled")
    compressed = [_students(run, one.role) for one in compressions(run.recipe)]
    artifacts = run.result("evaluation")["artifacts"]
    task, metric = task_of(run.recipe.data), metric_of(run.recipe)
    return {
        "format": FORMAT,
        "task": task.name,
        "metric": metric,
        "data": run.result("data"),
        "models": [teacher, *_assistants(run), alone, distilled, *compressed],
        "artifacts": artifacts,
        "summary": _summary(teacher, alone, distilled, artifacts, metric),
    }


def spread(values):
    """{mean, std, count} of numbers; std is the sample's own (divisor n - 1), `None` for a single number.

    >>> spread([1.0, 2.0, 3.0])
    {'mean': 2.0, 'std': 1.0, 'count': 3}
    """
    return {
        "mean": statistics.fmean(values),
        "std": statistics.stdev(values) if len(values) > 1 else None,
        "count": len(values),
    }


def _model(role, label, results, seeds, precision):
    tests = [result["test"] for result in results]
    return {
        "role": role,
        "label": label,
        "precision": precision,
        "parameters": results[0]["parameters"],
        "layers": results[0]["layers"],
        "seeds": [
            {
                "seed": seed,
                "seconds": result.get("seconds"),
                "examples_per_second": result.get("examples_per_second"),
                "epochs": result["epochs"],
                "validation": result["validation"],
                "test": result["test"],
            }
            for seed, result in zip(seeds, results, strict=True)
        ],
        "test": {metric: spread([test[metric] for test in tests]) for metric in tests[0]},
    }


def _teacher(run):
    return _model(
        "teacher", role_label("teacher"), [run.result("teacher")], [run.recipe.seed], run.recipe.teacher.precision
    )


def _assistants(run):
    links = [link for link in chain(run.recipe) if link.learner is not None]
    roles = [link.learner.replace("_", " ") for link in links]
    return [
        _model(role, f"teacher {role}", [run.result(link.learner)], [run.recipe.seed], link.precision)
        for link, role in zip(links, roles, strict=True)
    ]


def _students(run, role):
    seeds = run.recipe.student_seeds
    results = [run.result(student_stage(role, seed)) for seed in seeds]
    return _model(role, role_label(role), results, seeds, run.recipe.student.precision)


def _summary(teacher, alone, distilled, artifacts, metric):
    mean = {model["role"]: model["test"][metric]["mean"] for model in (teacher, alone, distilled)}
    by_seed = [_gap_closed(mean["teacher"], mean["alone"], seed["test"][metric]) for seed in distilled["seeds"]]
    reference = {entry["role"]: entry for entry in artifacts if entry["format"] == REFERENCE_FORMAT}
    big = reference.get("teacher") or next((entry for entry in artifacts if entry["role"] == "teacher"), None)
    students = [entry for entry in artifacts if base_role(entry["role"]) == "distilled"]
    small = reference.get("distilled") or students[0]
    smallest = min(students, key=lambda entry: entry["bytes"])
    return {
        metric: mean,
        "gap_closed": _gap_closed(mean["teacher"], mean["alone"], mean["distilled"]),
        "gap_closed_by_seed": by_seed,
        "size_ratio": big["bytes"] / small["bytes"],
        "size_ratio_smallest": big["bytes"] / smallest["bytes"],
        "speedup": _ratio(big["latency_ms"], small["latency_ms"]),
    }


def _gap_closed(teacher, alone, distilled):
    """(distilled - alone) / (teacher - alone); `None` where the student alone is no worse than the teacher."""
    return (distilled - alone) / (teacher - alone) if teacher > alone else None


def _ratio(slow, fast):
    return slow["p50"] / fast["p50"] if slow and fast else None
