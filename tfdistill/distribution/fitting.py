"""`fit` of Keras under strategies of several replicas, for what of it Keras 3 cannot do."""

import keras
import tensorflow as tf

from tfdistill.distribution.batches import distribute

MIRRORED = (tf.distribute.MirroredStrategy, tf.distribute.MultiWorkerMirroredStrategy)


def fit_over_replicas(model):
    """Makes `fit` and `evaluate` of a Keras model run under strategies of several replicas, and returns the model.

    Keras 3 averages the ids of workers to find out shapes, and the metrics of every step, which are scalars, along an axis
    that they do not have. Here shapes are those that the batches tell, replicas exchange metrics at the end of an epoch
    alone, and logs of a batch are those of this worker's first replica. `steps_per_execution` is 1: a loop past the last
    batch would train on none.

    `Distiller` and `RetrievalDistiller` do this by themselves. With one replica, and on TPUs, nothing changes.

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> fit_over_replicas(model) is model
    True
    """
    strategy = model.distribute_strategy
    if strategy.num_replicas_in_sync == 1 or not isinstance(strategy, MIRRORED):
        return model
    model.steps_per_execution = 1
    if "make_train_function" in vars(model):
        return model

    def function_of(step):
        def one(iterator):
            logs = strategy.run(step, args=(next(iterator),))
            return keras.tree.map_structure(lambda value: strategy.experimental_local_results(value)[0], logs)

        return one if model.run_eagerly else tf.function(one, reduce_retracing=True, autograph=False)

    def make_train_function(force=False):
        if force or model.train_function is None:
            model.train_function = function_of(model.train_step)
        return model.train_function

    def make_test_function(force=False):
        if force or model.test_function is None:
            model.test_function = function_of(model.test_step)
        return model.test_function

    def build(iterator=None, data_batch=None):
        batch = data_batch if iterator is None else _specs(iterator._distributed_dataset.element_spec)
        with strategy.scope():
            if model._compile_loss is not None:
                model._symbolic_build(data_batch=batch)
            if model.optimizer is not None and not model.optimizer.built:
                model.optimizer.build(model.trainable_variables)

    def logs_of_epoch(logs):
        whole = model.get_metrics_result()
        return {name: whole.get(name, value) for name, value in logs.items()}

    model._maybe_symbolic_build, model._get_metrics_result_or_logs = build, logs_of_epoch
    model.make_train_function, model.make_test_function = make_train_function, make_test_function
    return model


def for_workers(model, x, y=None, batch_size=None):
    """(x, y, batch_size) as `fit` of a model takes them: under several workers batches become those of `distribute`.

    Raises:
        ValueError: for what is not the same on all workers by itself.
    """
    is_alone = not isinstance(model.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy)
    if is_alone or isinstance(x, tf.distribute.DistributedDataset):
        return x, y, batch_size
    if not isinstance(x, tf.data.Dataset):
        raise ValueError(
            "Under MultiWorkerMirroredStrategy `x` must be a tf.data.Dataset of the batches of all workers together, in the "
            f"same order on each, such as tfdistill.data.train_batches makes. Received: x of type {type(x).__name__}"
        )
    return distribute(x, model.distribute_strategy), None, None


def _specs(element_spec):
    """Shapes and dtypes of what one replica gets."""
    return keras.tree.map_structure(
        lambda spec: spec._component_specs[0] if hasattr(spec, "_component_specs") else spec, element_spec
    )
