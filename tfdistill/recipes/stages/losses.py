"""From the losses of a recipe to those of a distiller, with epochs made steps."""

from tfdistill.recipes.schema_losses import Loss
from tfdistill.recipes.schema_types import Section


def build_loss(settings, steps_per_epoch):
    """Returns the `tfdistill.losses` object that an item of a recipe's `losses` describes.

    Raises:
        ValueError: for what only the loss itself can tell, such as durations that come to the same step.
    """
    from tfdistill import losses

    class_name = settings.kind.title().replace("_", "")
    arguments = {
        name: build_loss(value, steps_per_epoch) if isinstance(value, Loss) else number(value, steps_per_epoch)
        for name, value in settings
        if name not in ("kind", "weight")
    }
    return getattr(losses, class_name)(**arguments)


def number(value, steps_per_epoch):
    """Returns a number (or any other plain value) as it is, and for a section of `schema_schedules` the schedule."""
    from tfdistill import schedules

    return schedules.get(value.model_dump() if isinstance(value, Section) else value, steps_per_epoch)
