"""The compression of the students, step after step: of the distilled ones beside their teacher, of those alone without."""

import dataclasses
import math

from tfdistill.recipes.schema_compress import Step
from tfdistill.recipes.stages.chain import chain
from tfdistill.recipes.stages.common import MODEL, finish, open_model, student_stage, train_on_labels
from tfdistill.recipes.stages.data import open_dataset
from tfdistill.recipes.stages.students import train_with_teacher

STUDENTS = ("alone", "distilled")


@dataclasses.dataclass(frozen=True)
class Compression:
    """One step of one kind of student.

    Attributes:
        base: "alone" or "distilled".
        role: the base and the kinds of the steps so far: "distilled prune quantize_aware".
        before: the role that the step goes on from.
        step: the step, as the recipe has it.
        key: where the recipe says so.
    """

    base: str
    role: str
    before: str
    step: Step
    key: str

    @property
    def train(self):
        """How the student trains on."""
        return self.step.train if self.base == "distilled" else self.step.train_alone


def compressions(recipe):
    """Returns the steps of a recipe for both kinds of students, in the order in which they are made."""
    found = []
    for base in STUDENTS:
        role = base
        for position, step in enumerate(recipe.compress):
            before, role = role, f"{role} {step.kind}"
            found.append(Compression(base, role, before, step, f"compress[{position}]"))
    return found


def compression_work(compression, seed):
    """The stage that makes one student smaller while it trains on."""

    def work(run, folder, tell):
        dataset, settings = open_dataset(run), compression.train
        student = open_model(run.path(student_stage(compression.before, seed), MODEL))
        taught = compression.base == "distilled"
        rows = _rows_per_epoch(run.recipe, dataset, compression)
        steps_per_epoch = max(rows // settings.batch_size, 1)
        student = apply_step(compression.step, student, steps_per_epoch * settings.epochs)
        first = first_epoch(compression.step, settings.epochs)
        if taught:
            link = chain(run.recipe)[-1]
            distill = link.distill.model_copy(update={"train": settings})
            epochs = train_with_teacher(
                run, dataclasses.replace(link, distill=distill), student, dataset, seed, tell, first
            )
        else:
            epochs = train_on_labels(student, dataset, settings, seed, tell, first, run.training_state())
        return {"seed": seed, **finish(student, folder, epochs, dataset, run.recipe.evaluate.ndcg_k)}

    return work


def apply_step(step, student, steps):
    """Puts a step's transforms on a student.

    Args:
        step: a step of a recipe.
        student: the model, whose earlier steps stay in force.
        steps: number of updates in the whole training of this step.

    Returns: a `tfdistill.parametrize.Parametrized`.

    Raises:
        ValueError: for layers that do not exist or cannot have it.
    """
    layers = None if step.layers is None else list(step.layers)
    if step.kind == "prune":
        return _pruned(step, student, steps, layers)
    if step.kind == "cluster":
        from tfdistill.clustering import CentroidInitialization, cluster_weights

        return cluster_weights(
            student,
            step.number_of_clusters,
            CentroidInitialization[step.initialization.upper()],
            preserve_sparsity=step.preserve_sparsity,
            cluster_per_channel=step.per_channel,
            layers=layers,
        )
    from tfdistill.quantization import QuantizeScheme, quantize_model

    scheme = QuantizeScheme(weight_bits=step.weight_bits, ranges=step.ranges, delay_steps=round(step.delay * steps))
    return quantize_model(student, scheme=scheme, layers=layers)


def first_epoch(step, epochs):
    """The first epoch, from 0, at whose end the step has done all that it does: only from there one may be kept."""
    share = {"prune": getattr(step, "ramp", 0.0), "quantize_aware": getattr(step, "delay", 0.0)}.get(step.kind, 0.0)
    if getattr(step, "m_by_n", None) is not None:
        share = 0.0
    return min(max(math.ceil(share * epochs) - 1, 0), epochs - 1)


def _pruned(step, student, steps, layers):
    from tfdistill.sparsity import ConstantSparsity, PolynomialDecay, prune_low_magnitude

    if step.m_by_n is not None:
        schedule = ConstantSparsity(0.5, begin_step=0, frequency=step.frequency)
        return prune_low_magnitude(student, schedule, sparsity_m_by_n=step.m_by_n, layers=layers)
    # The last update of the masks, at `end`, is the one with the sparsity asked for.
    frequency = min(step.frequency, max(int(step.ramp * steps), 1))
    end = max(int(step.ramp * steps) // frequency, 1) * frequency
    schedule = PolynomialDecay(step.initial_sparsity, step.sparsity, begin_step=0, end_step=end, frequency=frequency)
    return prune_low_magnitude(
        student,
        schedule,
        block_size=step.block_size,
        block_pooling_type=step.block_pooling_type,
        layers=layers,
        scope=step.scope,
    )


def _rows_per_epoch(recipe, dataset, compression):
    rows = len(dataset.rows("train"))
    if compression.base == "distilled":
        return rows + round(recipe.distill.unrated_ratio * rows)
    return 2 * rows if compression.train.exposure_weight else rows
