"""The stages of a run: data, teacher, soft targets, assistants, students alone and distilled, export, evaluation."""

from tfdistill.recipes.roles import role_label
from tfdistill.recipes.runner import Stage
from tfdistill.recipes.stages import artifacts, data, retrieval, soft_targets, students, teacher
from tfdistill.recipes.stages.chain import chain
from tfdistill.recipes.stages.common import content_of, student_stage
from tfdistill.recipes.stages.compress import STUDENTS, compression_work, compressions
from tfdistill.recipes.team import SHARES, TOGETHER


def plan(recipe):
    """The stages that `recipe` needs, each with just those settings that its output depends on."""
    if recipe.data.task == retrieval.TASK:
        return retrieval.plan(recipe)
    settings = recipe.resolved()
    evaluation = {"ndcg_k": recipe.evaluate.ndcg_k}
    stages = [
        Stage(
            "data",
            "data",
            {**settings["data"], "content": content_of(getattr(recipe.data, "path", None))},
            (),
            data.work,
            recipe.seed,
        ),
        Stage(
            "teacher",
            "teacher",
            {**settings["teacher"], **evaluation, "content": [content_of(path) for path in recipe.teacher.load or ()]},
            ("data",),
            teacher.work,
            recipe.seed,
            TOGETHER,
        ),
    ]
    links = chain(recipe)
    for link in links:
        stages.append(_labelling(link, settings["soft_targets"], recipe.seed))
        if link.learner is not None:
            title = f"teacher {link.learner.replace('_', ' ')}"
            work = students.assistant_work(link)
            stages.append(_distillation(link, link.learner, title, evaluation, work, recipe.seed))
    for seed in recipe.student_seeds:
        stages.append(
            Stage(
                student_stage("alone", seed),
                f"student alone, seed {seed}",
                {**settings["student"], **evaluation},
                ("data",),
                students.alone_work(seed),
                seed,
                TOGETHER,
            )
        )
    for seed in recipe.student_seeds:
        name, title = student_stage("distilled", seed), f"distilled student, seed {seed}"
        stages.append(_distillation(links[-1], name, title, evaluation, students.distilled_work(seed), seed))
    for compression in compressions(recipe):
        for seed in recipe.student_seeds:
            stages.append(_compression(recipe, links[-1], compression, evaluation, seed))
    trained = tuple(stage.name for stage in stages if stage.name.startswith(STUDENTS))
    compressed = [list(step.formats) for step in recipe.compress]
    files_made = {**settings["export"], **({"compressed": compressed} if compressed else {})}
    stages.append(
        Stage("export", "export", files_made, ("data", "teacher", *trained), artifacts.export_work, recipe.seed)
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


def _labelling(link, settings, seed):
    by = "" if link.teacher == "teacher" else f" of {link.teacher.replace('_', ' ')}"
    settings = {**settings, "layers": link.distill.teacher_layers}
    needs = ("data", link.teacher)
    return Stage(link.soft_targets, f"soft targets{by}", settings, needs, soft_targets.label_work(link), seed, SHARES)


def _distillation(link, name, title, evaluation, work, seed):
    settings = {"model": link.model.model_dump(mode="json"), "precision": link.precision}
    settings |= {**link.distill.model_dump(mode="json"), **evaluation}
    return Stage(name, title, settings, ("data", link.soft_targets), work, seed, TOGETHER)


def _compression(recipe, link, compression, evaluation, seed):
    settings = {"step": compression.step.model_dump(mode="json", exclude={"train", "train_alone", "formats"})}
    settings |= {"train": compression.train.model_dump(mode="json"), **evaluation}
    needs = ["data", student_stage(compression.before, seed)]
    if compression.base == "distilled":
        settings["distill"] = recipe.distill.model_dump(mode="json", exclude={"train"})
        needs.append(link.soft_targets)
    title = f"{role_label(compression.role)}, seed {seed}"
    name = student_stage(compression.role, seed)
    return Stage(name, title, settings, tuple(needs), compression_work(compression, seed), seed, TOGETHER)
