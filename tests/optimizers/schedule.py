"""The schedule of learning rates that `reference` works out by itself."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("tests")
class Falling(keras.optimizers.schedules.LearningRateSchedule):
    """0.1 / (1 + step)."""

    def __call__(self, step):
        return 0.1 / (1.0 + tf.cast(step, "float32"))

    def get_config(self):
        return {}
