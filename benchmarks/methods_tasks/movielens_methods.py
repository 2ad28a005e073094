"""The methods that are compared on MovieLens-1M: three values of what each can be tuned in."""

from methods_tasks.study import ALONE, Method, Training
from tfdistill import losses, schedules
from tfdistill.teachers import CachedTeacher

FEATURES = CachedTeacher(features=["hidden_2"])


def kd(name, rows):
    return Method(
        name,
        {"temperature": (1.0, 2.0, 4.0)},
        lambda settings, steps: Training(losses.LogitsDistillation(settings["temperature"]), rows=rows),
    )


def with_feature(name, loss, weights):
    """Soft targets, and a loss between the last hidden layers beside them."""
    return Method(
        name,
        {"weight": weights},
        lambda settings, steps: Training(
            [losses.LogitsDistillation(1.0), loss("hidden_2", "hidden_2")],
            [1.0, settings["weight"]],
            teacher=FEATURES,
        ),
    )


def annealing(settings, steps):
    """Soft targets alone in the first stage, hard labels alone in the second."""
    first = settings["soft_epochs"] * steps
    scale = schedules.AnnealingSchedule(7, steps_per_temperature=first / 7)
    share = schedules.StepSchedule([first - 1], [0.0, 1.0])
    return Training(losses.AnnealingDistillation(scale), share=share)


METHODS = [
    Method(ALONE, {"learning_rate": (0.006, 0.012, 0.024)}, lambda settings, steps: Training(rows="rated")),
    kd("KD, rated pairs alone", "rated"),
    kd("KD", "all"),
    Method(
        "MSE of logits",
        {"share": (0.03, 0.1, 0.3)},
        lambda settings, steps: Training(losses.LogitsDistillation(1.0, "mse"), share=settings["share"]),
    ),
    Method(
        "KL + L2",
        {"alpha": (0.2, 0.5, 0.8)},
        lambda settings, steps: Training(losses.BlendedDistillation(settings["alpha"])),
    ),
    Method(
        "DIST (the column)",
        {"weight": (1.0, 4.0, 16.0)},
        lambda settings, steps: Training(losses.CorrelationDistillation(), settings["weight"], share=0.5),
    ),
    Method("annealing", {"soft_epochs": (4, 6, 7)}, annealing),
    with_feature("KD + hint (hidden)", losses.HintDistillation, (0.01, 0.1, 1.0)),
    with_feature("KD + SP (hidden)", losses.SimilarityPreserving, (3.0, 30.0, 300.0)),
    with_feature("KD + RKD (hidden)", losses.RelationalDistillation, (0.001, 0.01, 0.1)),
    with_feature("KD + contrastive (hidden)", losses.ContrastiveDistillation, (0.01, 0.03, 0.1)),
]
