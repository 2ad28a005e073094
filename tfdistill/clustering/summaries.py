"""Histograms of centroids and clustered weights for TensorBoard."""

import keras
import numpy as np
import tensorflow as tf

from tfdistill.clustering.counting import cluster_transforms, has_clusters
from tfdistill.parametrize import parametrized_parts


class ClusteringSummaries(keras.callbacks.TensorBoard):
    """`keras.callbacks.TensorBoard` that also writes histograms of the centroids and of the weights under them.

    Tags are "clustering/<path>/centroids" and "clustering/<path>", steps are batches since the training began.

    Args:
        log_dir: folder of the log files.
        cluster_update_freq: "epoch", "batch", or every how many batches.
        **kwargs: for `keras.callbacks.TensorBoard`.

    Raises:
        ValueError: for wrong arguments, and when the training of a model without clusters begins.
    """

    def __init__(self, log_dir="logs", cluster_update_freq="epoch", **kwargs):
        if not isinstance(log_dir, str) or not log_dir:
            raise ValueError(f"`log_dir` must be a folder's name. Received: log_dir={log_dir!r}")
        is_count = isinstance(cluster_update_freq, int) and cluster_update_freq >= 1
        if cluster_update_freq not in ("epoch", "batch") and not is_count:
            raise ValueError(
                "`cluster_update_freq` must be 'epoch', 'batch' or a positive whole number. "
                f"Received: cluster_update_freq={cluster_update_freq!r}"
            )
        super().__init__(log_dir=log_dir, **kwargs)
        self.cluster_update_freq = 1 if cluster_update_freq == "batch" else cluster_update_freq
        self._clusters_writer = tf.summary.create_file_writer(log_dir)
        self._batches = 0

    def on_train_begin(self, logs=None):
        if not any(has_clusters(part) for part in parametrized_parts(self.model)):
            raise ValueError(
                f"ClusteringSummaries: {self.model.name!r} has no clustered weights; see `cluster_weights`."
            )
        super().on_train_begin(logs)

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, logs)
        self._batches += 1
        if self.cluster_update_freq != "epoch" and self._batches % self.cluster_update_freq == 0:
            self._write_histograms()

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        if self.cluster_update_freq == "epoch":
            self._write_histograms()

    def on_train_end(self, logs=None):
        super().on_train_end(logs)
        self._clusters_writer.flush()

    def _write_histograms(self):
        with self._clusters_writer.as_default(self._batches):
            for part in parametrized_parts(self.model):
                for weight, transform in cluster_transforms(part):
                    tf.summary.histogram(f"clustering/{weight.path}/centroids", np.asarray(transform.centroids))
                    tf.summary.histogram(f"clustering/{weight.path}", np.asarray(weight.variable))
