"""Refusing students that change their inputs at random, which makes cached soft targets wrong."""

import keras

from tfdistill._layers import layer_paths
from tfdistill.errors import UserError

# The base of Keras's layers that transform data (not features): it has no public name of its own.
DATA_LAYER = keras.layers.Rescaling.__bases__[0]


def refuse_augmentation(student):
    """Raises unless a student sees its inputs as they are, so that soft targets computed before belong to them.

    A layer counts as random augmentation if it transforms data and owns a random generator: keras.layers.RandomFlip,
    RandomCrop, RandAugment, MixUp and their kin, wherever they are nested. Dropout and GaussianNoise do not count: they
    regularise the student and leave open what the example is. Augmentation inside tf.data is refused by
    `SoftTargets.attach`, which compares the inputs with those that the teacher saw.

    Args:
        student: a keras.Model.

    Raises:
        UserError: names the layers.

    >>> student = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.RandomFlip(name="flip"), keras.layers.Flatten()])
    >>> refuse_augmentation(student)
    Traceback (most recent call last):
    ...
    tfdistill.errors.UserError: The student 'sequential' changes its inputs at random in the layers ['flip'], but cached
    soft targets were computed from the unchanged inputs. Use a live teacher on the augmented inputs, or take the layers
    out.
    """
    random = [path for path, layer in layer_paths(student).items() if _is_random_augmentation(layer)]
    # An augmentation policy owns its single steps: naming the outermost layer is enough.
    outermost = [path for path in random if not any(path.startswith(f"{other}/") for other in random)]
    if outermost:
        raise UserError(
            f"The student '{student.name}' changes its inputs at random in the layers {outermost}, but cached soft targets "
            "were computed from the unchanged inputs. Use a live teacher on the augmented inputs, or take the layers out."
        )


def _is_random_augmentation(layer):
    generators = (value for value in vars(layer).values() if isinstance(value, keras.random.SeedGenerator))
    return isinstance(layer, DATA_LAYER) and any(True for _ in generators)
