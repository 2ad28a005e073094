"""The methods that are compared on MNIST: three learning rates times two values of what each can be tuned in."""

from methods_tasks.study import ALONE, Method, Training
from tfdistill import losses, schedules
from tfdistill.teachers import CachedTeacher, Ensemble

LEARNING_RATES = (0.01, 0.02, 0.04)
TEMPERATURE = {"temperature": (2.0, 4.0)}
FEATURES = CachedTeacher(features=["maps", "hidden"])
LONGER, SHIFTED = "alone, twice the epochs", "alone, shifted images too, twice the steps"
COLUMNS = ("teacher_logits", "teacher_logits_2", "teacher_logits_3")


def method(name, knob, training, baseline=None):
    return Method(name, {"learning_rate": LEARNING_RATES, **knob}, training, baseline)


def soft_targets(name, loss, baseline=None, **arguments):
    """Soft targets with a tenth of the weight on the hard labels."""
    return method(
        name, TEMPERATURE, lambda settings, steps: Training(loss(settings["temperature"]), **arguments), baseline
    )


def beside_labels(name, loss, weights, **arguments):
    """The hard loss plus a weight times another loss; half of the share each, so that the weight is the paper's."""
    return method(
        name,
        {"weight": weights},
        lambda settings, steps: Training(loss(), settings["weight"], share=0.5, teacher=FEATURES, **arguments),
    )


def alone(name, **arguments):
    return method(
        name,
        {"label_smoothing": (0.0, 0.1)},
        lambda settings, steps: Training(label_smoothing=settings["label_smoothing"], **arguments),
    )


def annealing(settings, steps):
    """Soft targets alone in the first stage, hard labels alone in the second."""
    first = round(settings["soft_epochs"] * steps)
    scale = schedules.AnnealingSchedule(7, steps_per_temperature=first / 7)
    share = schedules.StepSchedule([first - 1], [0.0, 1.0])
    return Training(losses.AnnealingDistillation(scale), share=share)


def decoupled(settings, steps):
    loss = losses.DecoupledDistillation(4.0, beta=settings["beta"])
    return Training(loss, schedules.WarmUp(1.0, steps=5 * steps), share=0.5)


def curriculum(settings, steps):
    temperature = schedules.CurriculumTemperature(steps=10 * steps, span=settings["span"])
    return Training(losses.LogitsDistillation(temperature))


def weighted_by(weight):
    """Soft targets whose weight follows the training; `weight`: steps an epoch -> weight."""
    return lambda settings, steps: Training(losses.LogitsDistillation(settings["temperature"]), weight(steps))


def teachers(**arguments):
    def training(settings, steps):
        temperature = {"temperature": settings["temperature"]} if arguments["combine"] == "probabilities" else {}
        teacher = Ensemble([CachedTeacher(column) for column in COLUMNS], **arguments, **temperature)
        return Training(losses.LogitsDistillation(settings["temperature"]), teacher=teacher)

    return training


def with_feature(feature_loss, weight):
    """Soft targets and a feature loss beside them."""
    return lambda settings, steps: Training(
        [losses.LogitsDistillation(settings["temperature"]), feature_loss()], [1.0, weight], teacher=FEATURES
    )


def hint():
    return losses.HintDistillation("maps", "maps")


def similarity():
    return losses.SimilarityPreserving("hidden", "hidden")


METHODS = [
    alone(ALONE),
    soft_targets("KD", losses.LogitsDistillation),
    method(
        "MSE of logits",
        {"share": (0.1, 0.5)},
        lambda settings, steps: Training(losses.LogitsDistillation(1.0, "mse"), share=settings["share"]),
    ),
    method("DKD", {"beta": (2.0, 8.0)}, decoupled),
    beside_labels("DIST", losses.CorrelationDistillation, (1.0, 4.0)),
    beside_labels("MLD", losses.MultiLevelDistillation, (0.001, 0.01)),
    soft_targets(
        "KD, standardised logits",
        lambda temperature: losses.StandardizedLogits(losses.LogitsDistillation(temperature)),
        weights=10.0,
    ),
    soft_targets("KL + L2", lambda temperature: losses.BlendedDistillation(0.5, temperature)),
    method("annealing", {"soft_epochs": (10, 16)}, annealing),
    method("KD, curriculum temperature (CTKD)", {"span": (6.0, 20.0)}, curriculum),
    soft_targets(
        "KD, flsw temperature",
        lambda temperature: losses.LogitsDistillation(schedules.FocalTemperature(temperature)),
    ),
    method("KD, uncertainty weight", TEMPERATURE, weighted_by(lambda steps: schedules.UncertaintyWeight())),
    method("KD, fading teacher", TEMPERATURE, weighted_by(schedules.FadingWeight)),
    method("KD, mean logits of 3 teachers", TEMPERATURE, teachers(combine="logits")),
    method("KD, 3 teachers, CA-MKD", TEMPERATURE, teachers(combine="probabilities", weights="confidence")),
    beside_labels("FitNets hint (maps)", hint, (10.0, 100.0)),
    beside_labels("AT (maps)", lambda: losses.AttentionTransfer("maps", "maps"), (100.0, 1000.0)),
    beside_labels("SP (hidden)", similarity, (300.0, 3000.0)),
    beside_labels(
        "RKD (hidden)", lambda: losses.RelationalDistillation("hidden", "hidden", angle_examples=32), (0.1, 1.0)
    ),
    beside_labels("contrastive (hidden)", lambda: losses.ContrastiveDistillation("hidden", "hidden"), (0.2, 0.8)),
    method("KD + hint (maps)", TEMPERATURE, with_feature(hint, 1.0)),
    method("KD + SP (hidden)", TEMPERATURE, with_feature(similarity, 300.0)),
    alone(LONGER, epochs=2),
    alone(SHIFTED, rows="shifted"),
    soft_targets("KD, twice the epochs", losses.LogitsDistillation, LONGER, epochs=2),
    soft_targets("KD, unlabelled images too, twice the steps", losses.LogitsDistillation, SHIFTED, rows="unlabelled"),
    soft_targets("KD, mixed images too, twice the steps", losses.LogitsDistillation, SHIFTED, rows="mixed"),
]
