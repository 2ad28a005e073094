"""Which layers change the example, so that soft targets computed before do not belong to it."""

import keras
import pytest
from keras import layers

from tfdistill.soft_targets import refuse_augmentation


def student(*inner):
    return keras.Sequential([keras.Input((8, 8, 3)), *inner, layers.Flatten(), layers.Dense(2)])


RANDOM = [
    layers.RandomFlip(),
    layers.RandomCrop(4, 4),
    layers.RandomTranslation(0.1, 0.1),
    layers.RandomRotation(0.1),
    layers.RandomZoom(0.1),
    layers.RandomContrast(0.1),
    layers.RandomBrightness(0.1),
    layers.RandomErasing(),
    layers.RandAugment(),
    layers.AugMix(),
]


@pytest.mark.parametrize("layer", RANDOM, ids=lambda layer: type(layer).__name__)
def test_random_augmentation_is_refused_by_name(layer):
    with pytest.raises(ValueError, match=rf"at random in the layers \['{layer.name}'\].* Use a live teacher"):
        refuse_augmentation(student(layer))


@pytest.mark.parametrize(
    "layer",
    [
        layers.Dropout(0.5),
        layers.GaussianNoise(0.1),
        layers.SpatialDropout2D(0.1),
        layers.Rescaling(1 / 255),
        layers.Resizing(4, 4),
        layers.CenterCrop(4, 4),
        layers.Conv2D(2, 3),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_what_leaves_the_example_as_it_is_may_stay(layer):
    refuse_augmentation(student(layer))


def test_augmentation_is_found_in_nested_and_in_subclassed_models():
    inner = keras.Sequential([keras.Input((8, 8, 3)), layers.RandomFlip(name="flip")], name="prepare")
    with pytest.raises(ValueError, match=r"\['prepare/flip'\]"):
        refuse_augmentation(student(inner))

    class Tower(keras.Model):
        def __init__(self):
            super().__init__()
            self.flip = layers.RandomFlip(name="flip")

        def call(self, inputs):
            return self.flip(inputs)

    with pytest.raises(ValueError, match=r"\['flip'\]"):
        refuse_augmentation(Tower())
