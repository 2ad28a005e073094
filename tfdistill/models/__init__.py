"""Teachers and students: functional Keras models that take a dict of inputs and return float32.

A ranker's builder takes the fields of a data set first (`tfdistill.data.Dataset.fields`) and returns a plain
`keras.Model` with inputs named by field and logits [batch, 1]. Retrieval models (`bpr_mf`, `two_tower`, `light_gcn`,
`sas_rec`) have towers, whose vectors' inner product is the score. `cnn` is for images. See docs/models.md.
"""

from tfdistill.models.bpr_mf import bpr_mf, frozen
from tfdistill.models.cnn import cnn
from tfdistill.models.dcn_v2 import dcn_v2
from tfdistill.models.deep_fm import deep_fm
from tfdistill.models.light_gcn import light_gcn
from tfdistill.models.low_rank import start_from_teacher, truncated_svd
from tfdistill.models.mlp import mlp
from tfdistill.models.multi_label_tagger import multi_label_tagger, tag_targets
from tfdistill.models.neu_mf import neu_mf
from tfdistill.models.retrieval import histories, item_vectors, retrieval_model, towers, user_vectors
from tfdistill.models.sas_rec import sas_rec, sequence_tower
from tfdistill.models.two_tower import two_tower

BUILDERS = {"dcn_v2": dcn_v2, "deep_fm": deep_fm, "mlp": mlp}


def build(kind, fields, **settings):
    """Builds the ranker called `kind` ("dcn_v2", "deep_fm" or "mlp"); `settings` are that builder's own arguments.

    >>> from tfdistill.data import Field
    >>> fields = [Field("user", "categorical", "user", 100), Field("item", "categorical", "item", 50)]
    >>> build("mlp", fields, embedding_width=4, hidden_units=(8,)).output_shape
    (None, 1)
    """
    if kind not in BUILDERS:
        raise ValueError(f"kind: expected one of {sorted(BUILDERS)}, received {kind!r}.")
    return BUILDERS[kind](fields, **settings)


__all__ = [
    "BUILDERS",
    "bpr_mf",
    "build",
    "cnn",
    "dcn_v2",
    "deep_fm",
    "frozen",
    "histories",
    "item_vectors",
    "light_gcn",
    "mlp",
    "multi_label_tagger",
    "neu_mf",
    "retrieval_model",
    "sas_rec",
    "sequence_tower",
    "start_from_teacher",
    "tag_targets",
    "towers",
    "truncated_svd",
    "two_tower",
    "user_vectors",
]
