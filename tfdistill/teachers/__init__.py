"""Where soft targets come from: models on disk, and targets computed before."""

from tfdistill.teachers.cached import CachedTeacher
from tfdistill.teachers.check import check_teacher_outputs
from tfdistill.teachers.fingerprint import fingerprint
from tfdistill.teachers.loaded import LoadedTeacher
from tfdistill.teachers.loading import load_teacher

__all__ = ["CachedTeacher", "LoadedTeacher", "check_teacher_outputs", "fingerprint", "load_teacher"]
