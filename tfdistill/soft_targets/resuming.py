"""Going on with a cache where its writing stopped, and refusing to do so for another teacher or other data."""

import itertools

import numpy as np
import tensorflow as tf

from tfdistill import files
from tfdistill.errors import UserError
from tfdistill.soft_targets import manifest as manifests
from tfdistill.soft_targets.input_sketches import differs, named_inputs
from tfdistill.soft_targets.manifest import Manifest, check_teacher
from tfdistill.soft_targets.shards import EXAMPLE_ID, INPUT_SKETCH, SHARD, Shards, damaged_file, shard_folder
from tfdistill.soft_targets.top_k import TOP_CLASSES

TEMPORARY = ".partial-"  # as tfdistill.files names what it has not finished
SAMPLE = 8


def begin_or_resume(path, settings):
    """The manifest of a new cache, or of one that is there, up to its first damaged shard."""
    if path.exists() and not path.is_dir():
        raise UserError(f"'{path}' is a file. Choose a folder for the soft targets.")
    path.mkdir(parents=True, exist_ok=True)
    begun = (path / manifests.NAME).exists()
    foreign = [entry.name for entry in path.iterdir() if not entry.name.startswith(TEMPORARY)]
    if foreign and not begun:
        raise UserError(f"The folder '{path}' holds other things, such as '{min(foreign)}'. Choose a new folder.")
    manifest = Manifest.read(path) if begun else None
    if manifest is None or not manifest.shards:
        manifest = Manifest(settings, inputs=[], shapes={}, shards=[], complete=False)
    _check_same_settings(path, manifest.settings, settings)
    intact = list(itertools.takewhile(lambda entry: damaged_file(path, *entry) is None, enumerate(manifest.shards)))
    manifest.complete = manifest.complete and len(intact) == len(manifest.shards)
    manifest.shards = [entry for _, entry in intact]
    kept = {shard_folder(path, number).name for number, _ in intact}
    for entry in path.iterdir():  # what a kill left behind
        if entry.name.startswith((TEMPORARY, SHARD)) and entry.name not in kept:
            files.remove(entry)
    if not manifest.complete:
        manifest.write(path)
    return manifest


def _check_same_settings(path, before, now):
    check_teacher(path, before["teacher"], now["teacher"])
    for name, value in now.items():
        if before[name] != value:
            raise UserError(
                f"The soft-target cache '{path}' was written with {name}={before[name]!r}, this call has {name}={value!r}. "
                "Choose another folder, or delete this one."
            )


def unlabelled(path, manifest, source, labeller):
    """Yields what of the batches has no answer yet, having compared the rest with what was labelled.

    Raises:
        UserError: for other data, and for a teacher that answers the first examples otherwise than before.
    """
    done, complete = manifest.examples, manifest.complete
    shards = Shards(path, manifest.shards) if done else None
    start = 0
    for example_id, inputs in source:
        known = min(len(example_id), max(done - start, 0))
        if known:
            rows = np.arange(start, start + known)
            first = tf.nest.map_structure(lambda column, known=known: column[:known], inputs)
            if not _same_data(shards, manifest.inputs, rows, example_id[:known], first):
                raise UserError(
                    f"The soft-target cache '{path}' was written for other data: its examples {start:,} to "
                    f"{start + known:,} have other ids or inputs. Give the same data in the same order (no shuffling, no "
                    "random augmentation), choose another folder, or delete this one."
                )
            if start == 0 and not _same_answers(shards, labeller, first):
                raise UserError(
                    f"The teacher answers the first examples of the soft-target cache '{path}' otherwise than when they were "
                    "labelled, although its fingerprint is the same. Give what has changed another `fingerprint`, and "
                    "choose another folder or delete this one."
                )
        if known < len(example_id):
            if complete:
                raise UserError(
                    f"The soft-target cache '{path}' has {done:,} examples, the data have more. Choose another folder, or "
                    "delete this one."
                )
            if known:
                inputs = tf.nest.map_structure(lambda column, known=known: column[known:], inputs)
            yield example_id[known:], inputs
        start += len(example_id)
    if start < done:
        raise UserError(
            f"The soft-target cache '{path}' has {done:,} examples, the data have {start:,}. Choose another folder, or "
            "delete this one."
        )


def _same_data(shards, names, rows, example_id, inputs):
    columns = named_inputs(inputs)
    if list(columns) != names or not np.array_equal(shards.take(EXAMPLE_ID, rows), example_id):
        return False
    sketches = shards.take(INPUT_SKETCH, rows)
    return not any(differs(sketches[:, number], column).any() for number, column in enumerate(columns.values()))


def _same_answers(shards, labeller, inputs):
    """Whether the teacher still says what it said, as far as a few examples tell: a fingerprint may be the user's word."""
    few = tf.nest.map_structure(lambda column: column[:SAMPLE], inputs)
    for name, now in labeller.sample(few).items():
        before = shards.range(name, 0, len(now)).astype(np.float32)
        now = now.astype(np.float32)
        if before.shape != now.shape:
            return False
        # Classes of equal logits may change places.
        if name != TOP_CLASSES and not np.allclose(now, before, rtol=0, atol=_tolerance(before)):
            return False
    return True


def _tolerance(values):
    """Far more than another machine or another batch size moves an answer by."""
    finite = np.abs(values[np.isfinite(values)])
    return 0.02 * max(1.0, finite.max(initial=0.0))
