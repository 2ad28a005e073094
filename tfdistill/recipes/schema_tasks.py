"""What a recipe may say of one task only, and what it means by default for it."""

from tfdistill.recipes.schema_types import as_mapping, refuse
from tfdistill.recipes.tasks import TASKS, task_of

IMAGES = "mnist"  # the source of data that is no interactions
IMAGE_MODEL = {"kind": "cnn"}
IMAGES_A_CALL = 1024


def with_task_defaults(values):
    """The keys of a recipe with those filled in whose default is another one for images.

    Args:
        values: the recipe as given.
    """
    data = as_mapping(values.get("data"))
    if data is None or data.get("source") != IMAGES:
        return values
    given = {key: as_mapping(values.get(key, {})) for key in ("soft_targets", "student", "distill")}
    if None in given.values():
        return values
    pool = {} if data.get("labelled") is not None else {"unrated_ratio": 0.0}
    return {
        **values,
        "soft_targets": {"batch_size": IMAGES_A_CALL, **pool, **given["soft_targets"]},
        "student": {"model": IMAGE_MODEL, **given["student"]},
        "distill": {**pool, **given["distill"]},
    }


def check_task(recipe):
    """Raises what `refuse` returns where a recipe asks for what its data cannot do."""
    task, source = task_of(recipe.data), recipe.data.source
    for key, model in _models(recipe):
        if model is not None and model.kind not in task.models:
            kinds = " or ".join(map(repr, task.models))
            raise refuse(f"{key}.kind", f"expected {kinds}, since data.source is {source!r}, received {model.kind!r}")
    if task is TASKS["click-through"]:
        return
    for key, train in _trainings(recipe):
        for name in ("exposure_weight", "embedding_l2"):
            if getattr(train, name, 0.0):
                raise refuse(f"{key}.{name}", f"only for users and items, data.source is {source!r}. Remove it")
    for key, section, name in (
        ("soft_targets", recipe.soft_targets, "draw"),
        ("evaluate", recipe.evaluate, "ndcg_k"),
    ):
        if getattr(section, name) != type(section).model_fields[name].default:
            raise refuse(f"{key}.{name}", f"only for users and items, data.source is {source!r}. Remove it")
    if recipe.data.labelled is None and recipe.soft_targets.unrated_ratio:
        raise refuse(
            "soft_targets.unrated_ratio",
            "expected 0, since all images have a label. Set data.labelled to the number of those that are to keep it",
        )


def _models(recipe):
    yield "teacher.model", recipe.teacher.model
    yield "student.model", recipe.student.model
    for number, assistant in enumerate(recipe.assistants):
        yield f"assistants.{number}.model", assistant.model


def _trainings(recipe):
    yield "teacher.train", recipe.teacher.train
    yield "student.train", recipe.student.train
    yield "distill.train", recipe.distill.train
    for number, assistant in enumerate(recipe.assistants):
        yield f"assistants.{number}.distill.train", assistant.distill.train
    for number, step in enumerate(recipe.compress):
        yield f"compress.{number}.train", step.train
        yield f"compress.{number}.train_alone", step.train_alone
