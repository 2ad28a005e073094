"""One small model of each kind with inputs for it, for the tests of this folder."""

import numpy as np

from tfdistill.data import Field
from tfdistill.data.implicit import ImplicitDataset
from tfdistill.models import bpr_mf, deep_fm, light_gcn, multi_label_tagger, neu_mf, sas_rec, two_tower

USERS, ITEMS, LENGTH, ROWS = 30, 50, 6, 200
USER_FIELDS = (
    Field("user", "categorical", "user", USERS),
    Field("history", "bag", "user", ITEMS + 1, LENGTH),
    Field("age", "numeric", "user", 0),
)
ITEM_FIELDS = (
    Field("item", "categorical", "item", ITEMS),
    Field("genres", "bag", "item", 7, 3),
    Field("price", "numeric", "item", 0),
)


def random_inputs(rows=ROWS, seed=0):
    random = np.random.default_rng(seed)
    history = random.integers(1, ITEMS + 1, (rows, LENGTH))
    history[np.arange(LENGTH) < random.integers(0, LENGTH + 1, (rows, 1))] = 0
    return {
        "user": random.integers(0, USERS, rows).astype(np.int32),
        "item": random.integers(0, ITEMS, rows).astype(np.int32),
        "history": history.astype(np.int32),
        "genres": random.integers(0, 7, (rows, 3)).astype(np.int32),
        "age": random.normal(size=rows).astype(np.float32),
        "price": random.normal(size=rows).astype(np.float32),
    }


def small_dataset():
    random = np.random.default_rng(1)
    of_users, of_items = random_inputs(USERS, seed=2), random_inputs(ITEMS, seed=3)
    pairs = random.permutation(np.unique(random.integers(0, (USERS - 1, ITEMS - 1), (240, 2)), axis=0))
    return ImplicitDataset(  # the last user and the last item are in no pair
        USERS,
        ITEMS,
        {"train": pairs[:150], "validation": pairs[150:160], "test": pairs[160:]},
        user_fields=USER_FIELDS,
        item_fields=ITEM_FIELDS,
        user_features={"age": of_users["age"]},
        item_features={name: of_items[name] for name in ("genres", "price")},
    )


RETRIEVAL = {
    "bpr_mf": lambda: bpr_mf(USERS, ITEMS, 8),
    "bpr_mf_with_bias": lambda: bpr_mf(USERS, ITEMS, 8, item_bias=True),
    "two_tower": lambda: two_tower(USER_FIELDS, ITEM_FIELDS, embedding_width=4, hidden_units=(16,), width=8),
    "two_tower_of_directions": lambda: two_tower(
        USER_FIELDS, ITEM_FIELDS, embedding_width=4, hidden_units=(16,), width=8, normalize=True, temperature=0.2
    ),
    "light_gcn": lambda: light_gcn(small_dataset(), 8, layers=2),
    "sas_rec": lambda: sas_rec(ITEMS, LENGTH, 8, blocks=1, heads=2),
}
RANKERS = {
    "neu_mf": lambda: neu_mf(USERS, ITEMS, embedding_width=4, mlp_embedding_width=8, hidden_units=(16, 8)),
    "deep_fm": lambda: deep_fm(USER_FIELDS + ITEM_FIELDS, embedding_width=4, hidden_units=(16,)),
    "multi_label_tagger": lambda: multi_label_tagger(USER_FIELDS + ITEM_FIELDS, "genres", tags=5, hidden_units=(16,)),
}
MODELS = RETRIEVAL | RANKERS


def inputs_of(model, rows=ROWS):
    given = random_inputs(rows)
    return {name: given[name] for name in model.input}


def shuffled(model, deviation=0.4):
    """The model with weights as large as after training, biases included."""
    random = np.random.default_rng(4)
    for variable in model.trainable_variables:
        variable.assign(random.normal(scale=deviation, size=variable.shape))
    return model
