"""The stages of a run: data, teacher, soft targets, students alone, distilled students, export, evaluation."""

from tfdistill import files
from tfdistill.recipes.runner import Stage
from tfdistill.recipes.stages import artifacts, data, students, teacher
from tfdistill.recipes.stages.common import student_stage

ROLES = ("alone", "distilled")


def plan(recipe):
    """The stages that `recipe` needs, each with just those settings that its output depends on."""
    settings = recipe.resolved()
    evaluation = {"ndcg_k": recipe.evaluate.ndcg_k}
    stages = [
        Stage(
            "data",
            "data",
            {**settings["data"], "content": _content(getattr(recipe.data, "path", None))},
            (),
            data.work,
            recipe.seed,
        ),
        Stage(
            "teacher",
            "teacher",
            {**settings["teacher"], **evaluation, "content": _content(recipe.teacher.load)},
            ("data",),
            teacher.work,
            recipe.seed,
        ),
        Stage(
            "soft_targets",
            "soft targets",
            settings["soft_targets"],
            ("data", "teacher"),
            teacher.label_work,
            recipe.seed,
        ),
    ]
    for seed in recipe.student_seeds:
        stages.append(
            Stage(
                student_stage("alone", seed),
                f"student alone, seed {seed}",
                {**settings["student"], **evaluation},
                ("data",),
                students.alone_work(seed),
                seed,
            )
        )
    for seed in recipe.student_seeds:
        stages.append(
            Stage(
                student_stage("distilled", seed),
                f"distilled student, seed {seed}",
                {"model": settings["student"]["model"], **settings["distill"], **evaluation},
                ("data", "soft_targets"),
                students.distilled_work(seed),
                seed,
            )
        )
    trained = tuple(stage.name for stage in stages if stage.name.startswith(ROLES))
    stages.append(
        Stage("export", "export", settings["export"], ("data", "teacher", *trained), artifacts.export_work, recipe.seed)
    )
    stages.append(
        Stage(
            "evaluation",
            "evaluation of the files",
            settings["evaluate"],
            ("data", "teacher", "export"),
            artifacts.evaluation_work,
            recipe.seed,
        )
    )
    return stages


def _content(path):
    """What a path holds, by its bytes: a changed file makes the stages that read it run again."""
    return None if path is None else files.fingerprint(path)
