"""Callbacks for training a pruned model: exact zeros in the variables, and summaries for TensorBoard."""

import os
import warnings

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from tfdistill._families import is_tf_keras, tfmot
from tfdistill.parametrize.model import parametrized_parts
from tfdistill.sparsity.prunable import pruned_weights


class UpdatePruningStep(keras.callbacks.Callback):
    """Writes exact zeros into the pruned variables at the end of every epoch, as TFMOT's callback does.

    A pruned model is pruned without it; between the steps, though, its variables hold what the optimizer has made of the
    zeros. Give this callback before those that save weights. When training ends without any mask ever updated, it warns.
    A tf_keras model gets TFMOT's callback of this name.

    Raises:
        ValueError: when training begins, for a model in which nothing is pruned.

    >>> from tfdistill.sparsity import ConstantSparsity, prune_low_magnitude
    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
    >>> pruned = prune_low_magnitude(model, ConstantSparsity(0.5, 0, frequency=1))
    >>> pruned.compile("sgd", "mse")
    >>> history = pruned.fit(ops.ones((4, 8)), ops.ones((4, 1)), callbacks=[UpdatePruningStep()], verbose=0)
    >>> int((model.layers[0].kernel.numpy() == 0).sum())
    4
    """

    def __init__(self):
        super().__init__()
        self._tfmot_callback = None

    def set_model(self, model):
        super().set_model(model)
        if is_tf_keras(model):
            self._tfmot_callback = tfmot("Pruning").sparsity.keras.UpdatePruningStep()
            self._tfmot_callback.set_model(model)

    def on_train_begin(self, logs=None):
        if self._tfmot_callback is not None:
            self._tfmot_callback.on_train_begin(logs)
        else:
            _check_pruned(self)

    def on_epoch_end(self, epoch, logs=None):
        if self._tfmot_callback is not None:
            self._tfmot_callback.on_epoch_end(epoch, logs)
            return
        _check_pruned(self)
        for weight, pruning in pruned_weights(self.model):
            weight.variable.assign(pruning(weight.variable.value))

    def on_train_end(self, logs=None):
        if self._tfmot_callback is not None:
            return
        self.on_epoch_end(None)  # an optimizer with use_ema writes its averages last of all
        idle = [
            (weight.path, pruning)
            for weight, pruning in pruned_weights(self.model)
            if ops.convert_to_numpy(pruning.updates) == 0
        ]
        if idle:
            steps = ops.convert_to_numpy(idle[0][1].step)
            warnings.warn(
                f"Nothing was pruned of {[path for path, _ in idle]}: their schedule "
                f"({idle[0][1].pruning_schedule.get_config()}) had no turn in {steps} steps of training.",
                stacklevel=2,
            )

    def _implements_train_batch_hooks(self):
        """For tf_keras, which asks this of its callbacks, and the same of testing and predicting."""
        return False

    _implements_test_batch_hooks = _implements_predict_batch_hooks = _implements_train_batch_hooks


class PruningSummaries(keras.callbacks.TensorBoard):
    """`keras.callbacks.TensorBoard` that also logs sparsity and threshold of every pruned weight after every epoch.

    They are in the folder "metrics" of the log directory, as `<path of the weight>/mask/sparsity` and
    `<path>/threshold`, by step of the optimizer.

    Args:
        log_dir: folder of the logs.
        update_freq: see `keras.callbacks.TensorBoard`.
        **kwargs: for `keras.callbacks.TensorBoard`.

    Raises:
        ImportError: where TensorBoard is not installed.
        ValueError: for an empty `log_dir`; when training begins, for a model in which nothing is pruned.
    """

    def __init__(self, log_dir, update_freq="epoch", **kwargs):
        if not isinstance(log_dir, (str, os.PathLike)) or not str(log_dir):
            raise ValueError(f"`log_dir` must be the path of a folder. Received: log_dir={log_dir!r}")
        try:
            import tensorboard  # noqa: F401
        except ImportError as error:
            raise ImportError(
                "PruningSummaries writes by means of TensorBoard, which is not installed: pip install tensorboard"
            ) from error
        super().__init__(log_dir=str(log_dir), update_freq=update_freq, **kwargs)
        self._pruning_writer = tf.summary.create_file_writer(os.path.join(str(log_dir), "metrics"))

    def set_model(self, model):
        if is_tf_keras(model):
            raise ValueError(
                "PruningSummaries is for Keras 3 models. Received a model of tf_keras: use "
                "tensorflow_model_optimization.sparsity.keras.PruningSummaries."
            )
        super().set_model(model)

    def on_train_begin(self, logs=None):
        _check_pruned(self)
        super().on_train_begin(logs)

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        step = int(self.model.optimizer.iterations)
        with self._pruning_writer.as_default(step=step):
            for weight, pruning in pruned_weights(self.model):
                tf.summary.scalar(f"{weight.path}/mask/sparsity", 1 - np.mean(ops.convert_to_numpy(pruning.mask)))
                tf.summary.scalar(f"{weight.path}/threshold", ops.convert_to_numpy(pruning.threshold))
        self._pruning_writer.flush()


def _check_pruned(callback):
    """Raises `ValueError` where nothing is pruned in the model trained, as far as it is built."""
    model = callback.model
    if not pruned_weights(model) and not any(part.is_waiting for part in parametrized_parts(model)):
        raise ValueError(
            f"{type(callback).__name__}: nothing is pruned in {model.name!r}. Train what `prune_low_magnitude` returned."
        )
