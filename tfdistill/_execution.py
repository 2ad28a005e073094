"""How the steps of a recipe's training run: how many in one call, and whether XLA compiles them."""

from tfdistill._replicas import replicas
from tfdistill.errors import UserError


def execution(settings, steps, auto):
    """Arguments of `keras.Model.compile` that say how steps run.

    Args:
        settings: has steps_per_execution and xla ("auto", True or False).
        steps: number of updates of an epoch.
        auto: what "auto" means for this model on one device: True, False, or "auto" for Keras to say, which compiles on
            GPUs. Under several replicas it means False: Keras cannot.

    Raises:
        UserError: for xla: true under a strategy of several replicas.
    """
    if settings.xla is True and replicas() > 1:
        raise UserError(
            f"xla: true cannot be had with {replicas()} replicas. Set `train.xla` to auto (a TPU compiles every step by "
            "itself), or strategy: one_device."
        )
    if settings.xla != "auto":
        auto = settings.xla
    elif replicas() > 1:
        auto = False
    return {"steps_per_execution": min(settings.steps_per_execution, steps), "jit_compile": auto}
