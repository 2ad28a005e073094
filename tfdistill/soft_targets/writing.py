"""Labelling a data set once and for all, in shards."""

from pathlib import Path

import numpy as np

from tfdistill.errors import UserError
from tfdistill.losses.probabilities import check_task
from tfdistill.soft_targets.fingerprint import teacher_fingerprint
from tfdistill.soft_targets.input_sketches import named_inputs, sketch
from tfdistill.soft_targets.labelling import Labeller
from tfdistill.soft_targets.resuming import begin_or_resume, unlabelled
from tfdistill.soft_targets.seen import SeenIds
from tfdistill.soft_targets.shards import EXAMPLE_ID, INPUT_SKETCH, LOGITS, Shards, write_shard
from tfdistill.soft_targets.sources import open_source
from tfdistill.soft_targets.store import SoftTargets
from tfdistill.teachers import Ensemble, as_teacher

DTYPES = ("float32", "float16")


def write_soft_targets(
    path,
    teacher,
    inputs,
    example_id=None,
    *,
    fingerprint=None,
    top_k=None,
    dtype="float32",
    features=(),
    task="auto",
    from_logits=True,
    batch_size=8192,
    shard_rows=2**18,
    on_progress=None,
):
    """Has a teacher label a data set, and keeps the answers in a folder, by example.

    The call can be repeated. Where it was killed it goes on behind the last shard that was done, and ends with the same
    files; where all is done the teacher labels nothing. Either way it goes through the data, refuses ids and inputs
    other than those that were labelled, and asks the teacher whether it still says the same of the first few. A damaged
    shard, and those behind it, are labelled again.

    With `top_k` an example keeps its k largest logits, their classes, and log Σ e^z over all others; read back, the
    others share that mass evenly. The probabilities of the top k are exact at temperature 1. At a higher temperature
    the spread matters: an even one has at least the mass of the one that was, so the top k get a little less than
    the teacher gave.

    Args:
        path: the folder, new or written by this function.
        teacher: a teacher in any form that `tfdistill.teachers.as_teacher` takes: a model, a path, a list of teachers, or a
            callable on the inputs that returns logits `[batch, k]` (or `[batch]` for k = 1). It runs once a batch, with
            training=False and without labels.
        inputs: what the teacher reads, as arrays `[n, ...]` or a dict or tuple of arrays; or a function
            `slice -> inputs`, for what is too large to be made at once; or a finite tf.data.Dataset of batches, that
            gives the same batches in the same order every time: x, (x, y) or (x, y, sample_weight) with the ids in the
            dict x, or with `example_id=None` pairs (example_id, inputs).
        example_id: integers `[n]`, no two alike, or the name of their column in `inputs`.
        fingerprint: a text that stands for the teacher; `None` for `teacher_fingerprint(teacher)`. Needed for a plain
            callable.
        top_k: how many of the largest logits to keep; `None` for all.
        dtype: `"float32"`, or `"float16"`: 3 digits, up to 65504, half the size.
        features: names of layers of the teacher whose outputs to keep too, for feature losses.
        task: `"binary"`, `"categorical"` or `"auto"`, see `tfdistill.losses.LogitsDistillation`.
        from_logits: whether the teacher returns logits; `False` for probabilities.
        batch_size: examples that the teacher gets at a time; a tf.data.Dataset has its own batches.
        shard_rows: a shard ends with the batch in which it has so many examples. What a kill can cost.
        on_progress: called as (examples done, examples in all or `None` where tf.data does not tell).

    Returns:
        `SoftTargets`, opened.

    Raises:
        UserError: for ids that repeat; for logits or features that are NaN, infinite or too large for float16; for a
            folder with other contents, or a cache of another teacher, of other settings or of other data.
        ValueError: for arguments out of range.

    Example:

    >>> x = {"age": numpy.array([[31.0], [52.0]], "float32")}
    >>> targets = write_soft_targets("soft", lambda x: 2 * x["age"], x, example_id=[7, 3], fingerprint="twice the age")
    >>> targets.lookup([3])["logits"]
    array([[104.]], dtype=float32)

    Reference: top-K distillation in Tan et al., "Multilingual Neural Machine Translation with Knowledge Distillation", 2019,
    arXiv 1902.10461.
    """
    path, features = Path(path), list(features)
    _check_settings(fingerprint, top_k, dtype, features, shard_rows)
    teacher = as_teacher(teacher)
    _check_repeatable(teacher)
    settings = {
        "teacher": teacher_fingerprint(teacher) if fingerprint is None else fingerprint,
        "top_k": None if top_k is None else int(top_k),
        "dtype": dtype,
        "features": features,
        "task": check_task(task),
        "from_logits": bool(from_logits),
        "shard_rows": int(shard_rows),
    }
    source = open_source(inputs, example_id, batch_size)
    seen = SeenIds(path)
    if source.example_id is not None:
        seen.add(source.example_id)  # all of them, before the teacher starts
    manifest = begin_or_resume(path, settings)
    if source.example_id is None and manifest.shards:
        seen.add(Shards(path, manifest.shards).all(EXAMPLE_ID))
    labeller = Labeller(teacher, settings, source.input_spec)
    shard = []

    def end_shard():
        columns = {name: np.concatenate([batch[name] for batch in shard]) for name in shard[0]}
        if source.example_id is None:
            seen.add(columns[EXAMPLE_ID])
        manifest.shards.append(write_shard(path, len(manifest.shards), columns))
        manifest.shapes = labeller.shapes
        manifest.write(path)
        shard.clear()

    for columns in _labelled(unlabelled(path, manifest, source, labeller), labeller, manifest):
        shard.append(columns)
        rows = sum(len(batch[EXAMPLE_ID]) for batch in shard)
        if on_progress is not None:
            on_progress(manifest.examples + rows, source.rows)
        if rows >= shard_rows:
            end_shard()
    if shard:
        end_shard()
    if not manifest.examples:
        raise UserError("inputs: expected at least one example to label, received none.")
    if not manifest.complete:
        manifest.complete = True
        manifest.write(path)
    return SoftTargets.open(path, fingerprint=settings["teacher"], verify=False)


def _check_repeatable(teacher):
    if isinstance(teacher, Ensemble) and (teacher.combine == "random" or teacher.weights == "confidence"):
        raise ValueError(
            "`teacher`: what this ensemble answers depends on more than the example: on a draw with combine='random', on the "
            f"hard label with weights='confidence'. Keep it live, or store its teachers one by one. Received: {teacher!r}"
        )


def _check_settings(fingerprint, top_k, dtype, features, shard_rows):
    if not (fingerprint is None or (isinstance(fingerprint, str) and fingerprint)):
        raise ValueError(f"`fingerprint` must be a text or None. Received: fingerprint={fingerprint!r}")
    if dtype not in DTYPES:
        raise ValueError(f"`dtype` must be one of {', '.join(map(repr, DTYPES))}. Received: dtype={dtype!r}")
    for name, value, optional in (("top_k", top_k, True), ("shard_rows", shard_rows, False)):
        if value is None and optional:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise ValueError(f"`{name}` must be a positive integer{' or None' * optional}. Received: {name}={value!r}")
    if not all(isinstance(name, str) for name in features) or len(set(features)) != len(features) or LOGITS in features:
        raise ValueError(
            f"`features` must be names of layers, each once and none {LOGITS!r}, which is what the teacher's output is stored "
            f"as. Received: features={features!r}"
        )


def _labelled(batches, labeller, manifest):
    """Yields {column: array} for each batch, and tells the manifest what the inputs are called.

    An answer is read back when the next batch is on its way, so that an accelerator does not wait.
    """
    before = None
    for example_id, inputs in batches:
        answer = labeller(inputs)
        columns = named_inputs(inputs)
        manifest.inputs = list(columns)
        if before is not None:
            yield _on_host(*before)
        before = example_id, sketch(columns), *answer
    if before is not None:
        yield _on_host(*before)


def _on_host(example_id, sketches, answer, unsound):
    unsound = unsound.numpy()
    if unsound.any():
        raise UserError(
            f"The teacher's answers to {unsound.sum():,} of {len(unsound):,} examples, such as id {example_id[unsound][0]}, "
            "are NaN, infinite or too large for the dtype. Mend the teacher, or check what its inputs mean; float16 ends at "
            "65504."
        )
    return {EXAMPLE_ID: example_id, INPUT_SKETCH: sketches, **{name: value.numpy() for name, value in answer.items()}}
