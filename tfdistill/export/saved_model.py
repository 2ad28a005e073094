"""A Keras ranker as a SavedModel."""

from pathlib import Path

import tensorflow as tf

from tfdistill import files
from tfdistill.export.serving import serving_module
from tfdistill.parametrize import parametrized_parts, strip


def export_saved_model(model, folder, *, output="probability"):
    """Writes `model` as a SavedModel that runs without Keras and without tfdistill.

    Signatures, both {field name: tensor} -> {output: float32 [batch, k]}:
        serving_default: any batch size; categorical int32 [None], bag int32 [None, length], numeric float32 [None].
        serve_one: the same at batch size 1, for one request at a time.

    Args:
        model: functional `keras.Model` that returns logits float32 [batch, k]; k is 1 for a ranker. A pruned or clustered
            one is stripped (`tfdistill.parametrize.strip`). One of tf_keras is taken as it is: strip it yourself.
        folder: where to write; a folder that is there already is replaced once the new one is complete.
        output: "probability" (sigmoid of one logit, softmax of several classes), "probabilities" (sigmoid of each of several
            labels that do not exclude each other, as of `multi_label_tagger`) or "logit"; also the name of the output.

    Returns: the folder, a `Path`.

    Raises:
        ValueError: the model is not functional, has several outputs, or `output` is neither of the two.
        UserError: a field's name cannot be the name of a signature's input.

    >>> export_saved_model(model, "export/student")
    PosixPath('export/student')
    >>> serve = tf.saved_model.load("export/student").signatures["serving_default"]
    >>> serve(user=tf.constant([3, 5]), item=tf.constant([17, 17]))["probability"].shape
    TensorShape([2, 1])
    """
    if parametrized_parts(model):
        model = strip(model)
    module, signatures = serving_module(model, output)
    with files.atomic_folder(folder) as temporary:
        write_saved_model(module, signatures, temporary)
    return Path(folder)


def write_saved_model(module, signatures, folder):
    """Writes what `serving_module` returned into `folder`, without the traces of Python code that made the graph."""
    options = tf.saved_model.SaveOptions(experimental_debug_stripper=True)
    tf.saved_model.save(module, str(folder), signatures=signatures, options=options)
