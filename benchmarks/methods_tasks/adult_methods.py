"""The methods that are compared on Adult: three learning rates times two values of what each can be tuned in."""

from methods_tasks.study import ALONE, Method, Training
from tfdistill import losses, schedules
from tfdistill.teachers import CachedTeacher, Ensemble

LEARNING_RATES = (0.01, 0.03, 0.06)
LONGER = "alone, three times the epochs"
TEMPERATURE = {"temperature": (1.0, 2.0)}
SWAP = {"swap": (0.1, 0.3)}
FEATURES = CachedTeacher(features=["hidden_2"])
NETWORK = CachedTeacher("network_logits")
BOTH = Ensemble([CachedTeacher("teacher_logits"), NETWORK])
HELD_OUT = CachedTeacher("held_out_logits")


def method(name, knob, training, baseline=None):
    return Method(name, {"learning_rate": LEARNING_RATES, **knob}, training, baseline)


def kd(name, baseline=None, **arguments):
    """Soft targets with a tenth of the weight on the hard labels."""
    return method(
        name,
        TEMPERATURE,
        lambda settings, steps: Training(losses.LogitsDistillation(settings["temperature"]), **arguments),
        baseline,
    )


def on_recombined_rows(name, loss):
    return method(name, SWAP, lambda settings, steps: Training(loss(), rows="recombined"), LONGER)


def beside_labels(name, loss, weights, **arguments):
    """The hard loss plus a weight times another loss; half of the share each, so that the weight is the paper's."""
    return method(
        name,
        {"weight": weights},
        lambda settings, steps: Training(loss(), settings["weight"], share=0.5, **arguments),
    )


def alone(name, **arguments):
    return method(
        name,
        {"label_smoothing": (0.0, 0.1)},
        lambda settings, steps: Training(label_smoothing=settings["label_smoothing"], **arguments),
    )


def squared_error():
    return losses.LogitsDistillation(1.0, "mse")


def annealing(settings, steps):
    """Soft targets alone in the first stage, hard labels alone in the second."""
    first = round(settings["soft_epochs"] * steps)
    scale = schedules.AnnealingSchedule(7, steps_per_temperature=first / 7)
    share = schedules.StepSchedule([first - 1], [0.0, 1.0])
    return Training(losses.AnnealingDistillation(scale), share=share)


METHODS = [
    alone(ALONE),
    kd("KD"),
    kd("KD, soft targets of held-out folds", teacher=HELD_OUT),
    kd("KD, from the network", teacher=NETWORK),
    kd("KD, mean logits of both teachers", teacher=BOTH),
    method(
        "MSE of logits",
        {"share": (0.1, 0.5)},
        lambda settings, steps: Training(squared_error(), share=settings["share"]),
    ),
    method(
        "KL + L2",
        TEMPERATURE,
        lambda settings, steps: Training(losses.BlendedDistillation(0.5, settings["temperature"])),
    ),
    beside_labels("DIST (the column)", losses.CorrelationDistillation, (1.0, 4.0)),
    method("annealing", {"soft_epochs": (8, 12)}, annealing),
    beside_labels(
        "hint (hidden)", lambda: losses.HintDistillation("hidden_2", "hidden_1"), (1.0, 10.0), teacher=FEATURES
    ),
    beside_labels(
        "SP (hidden)", lambda: losses.SimilarityPreserving("hidden_2", "hidden_1"), (300.0, 3000.0), teacher=FEATURES
    ),
    beside_labels(
        "RKD (hidden)",
        lambda: losses.RelationalDistillation("hidden_2", "hidden_1", angle_examples=32),
        (0.1, 1.0),
        teacher=FEATURES,
    ),
    beside_labels(
        "contrastive (hidden)",
        lambda: losses.ContrastiveDistillation("hidden_2", "hidden_1"),
        (0.2, 0.8),
        teacher=FEATURES,
    ),
    alone(LONGER, epochs=3),
    kd("KD, three times the epochs", LONGER, epochs=3),
    on_recombined_rows("KD, recombined rows too, three times the steps", lambda: losses.LogitsDistillation(1.0)),
    on_recombined_rows("MSE, recombined rows too, three times the steps", squared_error),
]
