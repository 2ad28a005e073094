"""A teacher's answers to a data set, computed once, kept on disk by example and read back by tf.data."""

from tfdistill.soft_targets.augmentation import refuse_augmentation
from tfdistill.soft_targets.fingerprint import teacher_fingerprint
from tfdistill.soft_targets.store import SoftTargets
from tfdistill.soft_targets.writing import write_soft_targets

__all__ = ["SoftTargets", "refuse_augmentation", "teacher_fingerprint", "write_soft_targets"]
