"""One global batch, a part of it for every replica."""

from tfdistill.errors import UserError


def distribute(batches, strategy=None):
    """Returns the batches in the form that `fit` and `strategy.run` take them, each replica with its part of every batch.

    Replicas have consecutive rows of every batch, so that all together see the batches that one device sees;
    TensorFlow's own sharding would give every worker batches of its own. The dataset must be the same on every worker, in
    order too. With one replica it is returned as it is.

    Args:
        batches: `tf.data.Dataset` of global batches, tensors `[b, ...]` in any structure.
        strategy: `tf.distribute.Strategy`; default: the one in whose scope this is called.

    Raises:
        UserError: for batches of known size that do not divide by the number of replicas.

    >>> [batch.tolist() for batch in distribute(tf.data.Dataset.range(4).batch(2)).as_numpy_iterator()]
    [[0, 1], [2, 3]]
    """
    import tensorflow as tf

    strategy = strategy or tf.distribute.get_strategy()
    count = strategy.num_replicas_in_sync
    if count == 1:
        return batches
    sizes = {spec.shape[0] for spec in tf.nest.flatten(batches.element_spec)} - {None}
    if len(sizes) == 1:
        check_divides(*sizes, count)

    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return strategy.experimental_distribute_dataset(batches)

    def part(batch, replica):
        def rows(column):
            size = column.shape[0] if column.shape[0] is not None else tf.shape(column)[0]
            return column[size * replica // count : size * (replica + 1) // count]

        return tf.nest.map_structure(rows, batch)

    def of_worker(context):
        local = count // context.num_input_pipelines
        first = context.input_pipeline_id * local

        def parts(*batch):
            batch = batch if len(batch) > 1 else batch[0]
            ones = [tf.data.Dataset.from_tensors(part(batch, first + number)) for number in range(local)]
            joined = ones[0]
            for one in ones[1:]:
                joined = joined.concatenate(one)
            return joined

        if local == 1:
            mine = batches.map(lambda *batch: part(batch if len(batch) > 1 else batch[0], first))
        else:
            mine = batches.flat_map(parts)
        return mine.prefetch(2 * local)

    return strategy.distribute_datasets_from_function(of_worker)


def check_divides(batch_size, replicas):
    """Raises `UserError` unless every replica can have as many rows of a batch.

    >>> check_divides(6, replicas=2)
    """
    if batch_size % replicas:
        nearest = max(batch_size // replicas, 1) * replicas
        raise UserError(
            f"batch_size: expected a multiple of the {replicas} replicas that share a batch, received {batch_size}. Set "
            f"{nearest}, or another strategy."
        )
