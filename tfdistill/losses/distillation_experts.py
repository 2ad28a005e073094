"""Distillation experts (DE): networks that rebuild the teacher's vectors from the student's, each for users of its kind."""

import keras
from keras import ops

from tfdistill.losses.experts import Experts
from tfdistill.losses.ranking_loss import REDUCTIONS, check_choice, check_count, check_number
from tfdistill.losses.representation_loss import ENTITIES, RepresentationLoss


class ExpertLoss(RepresentationLoss):
    """A loss with experts for users and for items, whose selectors grow sure of themselves as epochs go by.

    `temperature · (final_temperature / temperature)^(max(epoch - 1, 0) / annealing_epochs)` is that of the Gumbel
    softmax.

    Args:
        experts: how many for users, and as many for items.
        temperature: of the selectors at the start.
        final_temperature: after `annealing_epochs`.
        annealing_epochs: how many epochs it takes; `None` for all but one of those of the training.
        seed: of the selectors' noise; `None` for Keras's global seed.
    """

    needs_build = True
    is_faster_without_xla = True  # on CPUs: XLA's products of the experts' matrices take two to three times as long

    def __init__(self, experts, temperature, final_temperature, annealing_epochs, seed, **kwargs):
        super().__init__(**kwargs)
        self.experts = check_count("experts", experts)
        self.temperature = check_number("temperature", temperature, above=0)
        self.final_temperature = check_number("final_temperature", final_temperature, above=0)
        self.annealing_epochs = None if annealing_epochs is None else check_count("annealing_epochs", annealing_epochs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.current_temperature = self.add_weight(
            shape=(),
            initializer=keras.initializers.Constant(temperature),
            trainable=False,
            name="current_temperature",
        )
        self.networks = {}

    def build(self, teacher_shape, student_shape):
        """Makes the experts; shapes {"user": (b, d), "item": (m, d)}."""
        for entity in ENTITIES:
            widths = teacher_shape[entity][-1], student_shape[entity][-1]
            network = Experts(self.experts, *widths, name=f"{entity}_experts")
            network.build()
            self.networks[entity] = network
        self.built = True

    def begin_epoch(self, epoch, epochs):
        """Sets the selectors' temperature."""
        share = min(max(epoch - 1, 0) / (self.annealing_epochs or max(epochs - 1, 1)), 1.0)
        self.current_temperature.assign(self.temperature * (self.final_temperature / self.temperature) ** share)

    def reconstruction(self, entity, teacher, student, weights):
        """`Σ_i w_i ||t_i - Σ_m z_im E_m(s_i)||²` over the users or items of a batch."""
        temperature = ops.convert_to_tensor(self.current_temperature)
        rebuilt = self.networks[entity](student, teacher, temperature, seed_generator=self.seed_generator)
        errors = ops.sum(ops.square(teacher - rebuilt), axis=1)
        return ops.sum(ops.where(weights > 0, errors, 0.0) * weights)

    def get_config(self):
        return {
            **super().get_config(),
            "experts": self.experts,
            "temperature": self.temperature,
            "final_temperature": self.final_temperature,
            "annealing_epochs": self.annealing_epochs,
            "seed": self.seed,
        }


@keras.saving.register_keras_serializable(package="tfdistill")
class DistillationExperts(ExpertLoss):
    """Small networks rebuild the teacher's vectors from the student's (DE).

    `Σ_users ||t - Σ_m g_m E_m(s)||² + item_weight Σ_items ||...||²` over the batch's different users and items. Expert
    E_m is a network d_s -> (d_s + d_t) / 2 -> ReLU -> d_t; g is the Gumbel softmax of a selector that looks at the
    teacher's vector, its temperature going from 1 to 1e-10 so that at last each user has one expert. Users and items
    have experts and a selector of their own, trained along, saved with the distiller, and no part of the student.

    Worked by hand with one expert, whose weights are all 0: it rebuilds 0, so a user with the teacher's vector (3, 4)
    adds 25 and an item with (0, 2) half of 4.

    When to use it: to give a narrow student the teacher's vectors as they are, positions and all; beside a loss on
    rankings (DE-RRD) above all. Weight 1e-2 with a base loss summed over the batch.

    Args:
        experts: M for users, and M for items.
        item_weight: what the items' part counts. The authors count positive and negative items apart, half each; here
            an item that is both counts once.
        temperature, final_temperature: of the selectors at the start and at the end.
        annealing_epochs: how many epochs the way takes; `None` for those of the training. The authors' 1000 are far
            more than they train, so that their selectors stay soft.
        reduction: `"sum"` over users and items, as in the authors' code, or `"mean"`.
        seed: of the selectors' noise; `None` for Keras's global seed.

    Raises:
        ValueError: for an argument out of range, and outputs that are not {"user": [b, d], "item": [m, d]}.

    Example:

    >>> import keras
    >>> loss = DistillationExperts(experts=1)
    >>> loss.build({"user": (None, 2), "item": (None, 2)}, {"user": (None, 1), "item": (None, 1)})
    >>> loss.set_weights([0 * weight for weight in loss.get_weights()])
    >>> teacher = {"user": keras.ops.array([[3.0, 4.0]]), "item": keras.ops.array([[0.0, 2.0]])}
    >>> student = {"user": keras.ops.array([[1.0]]), "item": keras.ops.array([[1.0]])}
    >>> float(loss.compute_loss(teacher, student))
    27.0

    Reference: Kang et al., "DE-RRD: A Knowledge Distillation Framework for Recommender System", CIKM 2020, arXiv
    2012.04357.
    """

    def __init__(
        self,
        experts=30,
        item_weight=0.5,
        temperature=1.0,
        final_temperature=1e-10,
        annealing_epochs=None,
        reduction="sum",
        seed=None,
        **kwargs,
    ):
        super().__init__(experts, temperature, final_temperature, annealing_epochs, seed, **kwargs)
        self.item_weight = check_number("item_weight", item_weight, at_least=0)
        self.reduction = check_choice("reduction", reduction, REDUCTIONS)

    def compute_loss(self, teacher_outputs, student_outputs, sample_weight=None, labels=None, step=None):
        loss = 0.0
        for entity, prepared in self.prepare(teacher_outputs, student_outputs, sample_weight).items():
            part = self.reconstruction(entity, *prepared)
            if self.reduction == "mean":
                part = ops.divide_no_nan(part, ops.sum(prepared[2]))
            loss += part if entity == "user" else self.item_weight * part
        return loss

    def get_config(self):
        return {**super().get_config(), "item_weight": self.item_weight, "reduction": self.reduction}
