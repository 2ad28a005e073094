"""Attention maps of transformers: which position looks at which."""

import keras
from keras import ops

from tfdistill._layers import ATTENTION_SCORES
from tfdistill.losses.output_loss import OutputLoss
from tfdistill.losses.probabilities import CATEGORICAL_FLOOR

LOSSES = ("mse", "kl_divergence")


@keras.saving.register_keras_serializable(package="tfdistill")
class AttentionMapTransfer(OutputLoss):
    """The student's attention learns to look where the teacher's looks.

    With the attention distributions A of a query over the keys, `"mse"` is `mean over keys (A_t - A_s)²` and
    `"kl_divergence"` is `Σ_keys A_t log(A_t / A_s)`; both averaged over heads, queries and the batch, and with
    `sample_weight` `Σ w_i v_i / n`. Equal numbers of heads are compared head by head, else the means over the heads.
    Queries that the student's Keras mask leaves out do not count.

    Worked by hand, one head, one query, two keys: teacher (.75, .25), student (.5, .5). Squares:
    (.25² + .25²) / 2 = .0625. Divergence: .75 log 1.5 + .25 log .5 = .1308.

    When to use it: between transformers over the same tokens, usually from the teacher's last layer
    (`"kl_divergence"`, MiniLM) or from layers at even distances (`"mse"`, TinyBERT), with weight 1. TinyBERT compares
    scores before the softmax; a Keras layer gives its scores after it, and those are compared here. The squares shrink
    as sequences get longer, the divergence does not. A layer that is read computes its scores in full, which costs
    memory where it would have used flash attention.

    Args:
        loss: `"mse"` or `"kl_divergence"`.
        teacher_layer_name: a layer of the teacher whose `call` has the argument return_attention_scores, such as
            `keras.layers.MultiHeadAttention`, or one whose output is attention distributions `[batch, heads, query,
            key]`: its name, its path in nested models, or the layer; `None` for the model's output. Scores of a layer
            are read by `tfdistill.Distiller`; `keras.distillation.Distiller` reads outputs only.
        student_layer_name: the same for the student.

    Raises:
        ValueError: for an unknown loss, an unknown layer (names the nearest), and outputs that are no attention maps of
            the same queries and keys.

    Example:

    >>> import keras
    >>> teacher_map, student_map = keras.ops.array([[[[0.75, 0.25]]]]), keras.ops.array([[[[0.5, 0.5]]]])
    >>> float(AttentionMapTransfer().compute_loss(teacher_map, student_map))
    0.0625

    Reference: Jiao et al., "TinyBERT: Distilling BERT for Natural Language Understanding", 2020, arXiv 1909.10351;
    Wang et al., "MiniLM: Deep Self-Attention Distillation for Task-Agnostic Compression of Pre-Trained Transformers",
    2020, arXiv 2002.10957.
    """

    reading = ATTENTION_SCORES

    def __init__(self, loss="mse", teacher_layer_name=None, student_layer_name=None, **kwargs):
        super().__init__(teacher_layer_name=teacher_layer_name, student_layer_name=student_layer_name, **kwargs)
        self.loss = _check_loss(loss)

    def validate_shapes(self, teacher, student):
        for one, other in zip(keras.tree.flatten(teacher), keras.tree.flatten(student), strict=True):
            _check_attention_maps(one, other)

    def values(self, teacher, student, labels=None, step=None):
        return attention_map_transfer(teacher, student, self.loss)

    def get_config(self):
        return {**super().get_config(), "loss": self.loss}


def attention_map_transfer(teacher_maps, student_maps, loss="mse"):
    """The difference between attention distributions, averaged over the heads.

    Args:
        teacher_maps: probabilities `[batch, heads, query, key]` of any float dtype. No gradient flows into it.
        student_maps: the same, possibly of another number of heads.
        loss: `"mse"`, the mean over the keys of the squared difference, or `"kl_divergence"`, in which probabilities of
            the student below 1e-30 count as that.

    Returns:
        float32 `[batch, query]`.

    Raises:
        ValueError: for an unknown loss and tensors that are no attention maps of the same examples, queries and keys.

    >>> import keras
    >>> teacher_map, student_map = keras.ops.array([[[[0.75, 0.25]]]]), keras.ops.array([[[[0.5, 0.5]]]])
    >>> round(float(attention_map_transfer(teacher_map, student_map, "kl_divergence")[0, 0]), 4)
    0.1308
    """
    _check_loss(loss)
    _check_attention_maps(teacher_maps, student_maps)
    teacher, student = ops.stop_gradient(ops.cast(teacher_maps, "float32")), ops.cast(student_maps, "float32")
    if teacher.shape[1] is None or teacher.shape[1] != student.shape[1]:
        teacher, student = (ops.mean(maps, axis=1, keepdims=True) for maps in (teacher, student))
    if loss == "mse":
        values = ops.mean(ops.square(teacher - student), axis=-1)
    else:
        log_ratio = ops.log(ops.maximum(teacher, CATEGORICAL_FLOOR)) - ops.log(ops.maximum(student, CATEGORICAL_FLOOR))
        values = ops.sum(teacher * log_ratio, axis=-1)
    return ops.mean(values, axis=1)


def _check_loss(loss):
    if loss not in LOSSES:
        raise ValueError(f"`loss` must be {' or '.join(map(repr, LOSSES))}. Received: loss={loss!r}")
    return loss


def _check_attention_maps(teacher, student):
    shapes = [tuple(maps.shape) for maps in (teacher, student)]
    compared = zip(*(shape[:1] + shape[2:] for shape in shapes), strict=False)  # all but the heads
    sizes_agree = all(None in pair or pair[0] == pair[1] for pair in compared)
    if any(len(shape) != 4 for shape in shapes) or not sizes_agree:
        raise ValueError(
            "Attention maps must be [batch, heads, query, key], of the same examples, queries and keys. Name layers such "
            f"as keras.layers.MultiHeadAttention. Received: teacher {shapes[0]}, student {shapes[1]}"
        )
