"""A teacher's answers to a data set, computed once, kept on disk by example and read back by tf.data."""

from tfdistill.soft_targets.array_fingerprint import split_fingerprint, vectors_fingerprint
from tfdistill.soft_targets.augmentation import refuse_augmentation
from tfdistill.soft_targets.fingerprint import teacher_fingerprint
from tfdistill.soft_targets.rankings import Rankings, rank_items, rank_users, write_rankings
from tfdistill.soft_targets.store import SoftTargets
from tfdistill.soft_targets.writing import write_soft_targets

__all__ = [
    "Rankings",
    "SoftTargets",
    "rank_items",
    "rank_users",
    "refuse_augmentation",
    "split_fingerprint",
    "teacher_fingerprint",
    "vectors_fingerprint",
    "write_rankings",
    "write_soft_targets",
]
