"""Teachers and students: functional Keras models that take a dict of inputs and return float32 logits.

Every ranker's builder takes the fields of a data set first (`tfdistill.data.Dataset.fields`) and returns a plain
`keras.Model` with inputs named by field and logits [batch, 1]. `cnn` is for images.
"""

from tfdistill.models.cnn import cnn
from tfdistill.models.dcn_v2 import dcn_v2
from tfdistill.models.mlp import mlp

BUILDERS = {"dcn_v2": dcn_v2, "mlp": mlp}


def build(kind, fields, **settings):
    """Builds the ranker called `kind` ("dcn_v2" or "mlp"); `settings` are that builder's own arguments.

    >>> from tfdistill.data import Field
    >>> fields = [Field("user", "categorical", "user", 100), Field("item", "categorical", "item", 50)]
    >>> build("mlp", fields, embedding_width=4, hidden_units=(8,)).output_shape
    (None, 1)
    """
    if kind not in BUILDERS:
        raise ValueError(f"kind: expected one of {sorted(BUILDERS)}, received {kind!r}.")
    return BUILDERS[kind](fields, **settings)


__all__ = ["BUILDERS", "build", "cnn", "dcn_v2", "mlp"]
