"""Where soft targets come from: models in memory and on disk, several of them, and targets computed before."""

from tfdistill._lazy import lazy_names
from tfdistill.teachers.fingerprint import fingerprint  # not lazily: its module has the same name

_HOMES = {
    "CachedTeacher": "tfdistill.teachers.cached",
    "Ensemble": "tfdistill.teachers.ensemble",
    "LoadedTeacher": "tfdistill.teachers.loaded",
    "as_teacher": "tfdistill.teachers.forms",
    "call_teacher": "tfdistill.teachers.calling",
    "check_teacher_outputs": "tfdistill.teachers.check",
    "confidence_weights": "tfdistill.teachers.weighting",
    "entropy_weights": "tfdistill.teachers.weighting",
    "load_teacher": "tfdistill.teachers.loading",
    "mean_logits": "tfdistill.teachers.mixing",
    "mean_probabilities": "tfdistill.teachers.mixing",
}

__getattr__, __dir__, __all__ = lazy_names(__name__, _HOMES)
__all__ += ["fingerprint"]
