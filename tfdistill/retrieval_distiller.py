"""Training a small retrieval model on who chose what, and on what a large one makes of users and items."""

import keras
import tensorflow as tf

from tfdistill import _base_ranking_loss as base_ranking_loss
from tfdistill._batch_vectors import BatchVectors
from tfdistill._replicas import over_replicas, replicas
from tfdistill._retrieval_batches import EpochBatches, RetrievalBatches
from tfdistill._retrieval_dataset import DatasetBatches
from tfdistill._retrieval_epochs import BeginEpochs, StudentScores
from tfdistill._retrieval_rows import TowerInputs
from tfdistill._retrieval_windows import check_teacher, windows_of
from tfdistill._soft_losses import check_weights
from tfdistill._teacher_vectors import TeacherVectors
from tfdistill.data.negatives import log_sampling_probability
from tfdistill.distribution.batches import distribute
from tfdistill.distribution.fitting import fit_over_replicas, for_workers
from tfdistill.distribution.tpu import needs_static_shapes
from tfdistill.losses.ranking_loss import REDUCTIONS, RankingLoss, check_choice, check_number
from tfdistill.losses.representation_loss import ENTITIES, RepresentationLoss
from tfdistill.models.retrieval import histories, item_vectors, towers, user_vectors
from tfdistill.optimizers.row_sparse import RowSparse
from tfdistill.parametrize import parametrized_parts
from tfdistill.precision import policy_of, scaled, with_shared_overflow
from tfdistill.schedules import deserialize, serialize, weigh


@keras.saving.register_keras_serializable(package="tfdistill")
class RetrievalDistiller(keras.Model):
    """Trains a retrieval model with a base loss on pairs, and with losses between its vectors or scores and a teacher's.

        total = base + Σ w_i loss_i + the student's regularisation losses

    Scores are inner products of the towers' vectors. Losses between vectors (`RepresentationLoss`) see the batch's
    users, and its positive and negative items; losses between scores (`RankingLoss`) see the candidates that they draw
    before every epoch. Who comes more than once in a batch counts once in either, and every time in the base loss.

    Base losses: `"bpr"`, -log σ(s_ui - s_uj) over negatives j; `"pointwise"`, binary cross-entropy of the item against
    the negatives; `"in_batch_softmax"`, cross-entropy among the items of the batch, corrected for their popularity;
    `"full_softmax"`, cross-entropy among all items.

    The base loss is a sum over the batch by default, as in the code of the papers whose weights `tfdistill.losses`
    gives as defaults: weights of losses that are sums fit no mean.

    With `l2` every step adds l2 * w to every gradient, of all rows of all tables and of the losses' own weights, before
    the optimizer sees it: the `weight_decay` of PyTorch's Adam, with which the papers' numbers were made. It is not the
    same as a penalty on the rows of a batch, nor as decoupled weight decay (AdamW): under Adam rows that get no other
    gradient shrink by a whole learning rate a step. PyTorch's epsilon is 1e-8.

    A model that reads histories (`sas_rec`) is trained on windows: at every place of a history the item that came next is
    predicted, the places of a batch are its pairs, and losses between vectors compare the student's at each place with
    those that the teacher, such a model too, has there.

    Logs hold `loss`, the total, `base_loss` and `distillation_loss`, Σ w_i loss_i.

    Args:
        teacher: `TeacherVectors`; a retrieval model of Keras 3, whose vectors are computed when `fit_retrieval` begins;
            or `None` for the student alone, and for losses that need only rankings.
        student: a retrieval model with a user and an item tower (see `tfdistill.models.towers`).
        losses: a loss or a list of losses of `tfdistill.losses`, `RankingLoss`es and `RepresentationLoss`es.
        loss_weights: a number, a schedule or an adaptive weight of `tfdistill.schedules` for each; `None` for 1 each.
        base_loss: which base loss, or `None` for none.
        base_loss_weight: what it counts.
        reduction: `"sum"` or `"mean"` of the base loss over the batch.
        temperature: scores are divided by it in the two softmax losses.
        l2: see above.
        name: name of the distiller.

    Raises:
        ValueError: for an argument of the wrong kind, a student without towers, losses between vectors without a
            teacher.

    Example:

    >>> from tfdistill.data.implicit import ImplicitDataset
    >>> from tfdistill.losses import FullTopologyDistillation
    >>> from tfdistill.models import bpr_mf
    >>> data = ImplicitDataset(2, 3, {"train": [[0, 1], [1, 2]], "validation": [], "test": [[0, 2]]})
    >>> teacher = TeacherVectors(keras.ops.eye(2, 8), keras.ops.eye(3, 8))
    >>> distiller = RetrievalDistiller(teacher, bpr_mf(2, 3, 4), FullTopologyDistillation(), 1e-3, l2=1e-3)
    >>> distiller.compile(keras.optimizers.Adam(1e-3, epsilon=1e-8))
    >>> history = distiller.fit_retrieval(data, epochs=2, batch_size=2, verbose=0)
    >>> sorted(history.history)
    ['base_loss', 'distillation_loss', 'loss']

    Reference: Rendle et al., "BPR: Bayesian Personalized Ranking from Implicit Feedback", UAI 2009, arXiv 1205.2618.
    """

    def __init__(
        self,
        teacher,
        student,
        losses=(),
        loss_weights=None,
        base_loss="bpr",
        base_loss_weight=1.0,
        reduction="sum",
        temperature=1.0,
        l2=0.0,
        name="retrieval_distiller",
        **kwargs,
    ):
        if not isinstance(student, keras.Model):
            raise ValueError(f"`student` must be a keras.Model. Received: student={student!r}")
        if parametrized_parts(student):
            raise ValueError(
                "`student` is pruned, clustered or quantised in training, and its towers, which are trained here, are without. "
                "Train a plain model; export_retrieval stores its tables as int8 and int4."
            )
        student_towers = towers(student)
        kwargs.setdefault("dtype", policy_of(student))
        super().__init__(name=name, autocast=False, **kwargs)
        self.student = student
        self._student_towers = _Untracked(dict(zip(ENTITIES, student_towers, strict=True)))
        self.distillation_losses = _check_losses(losses)
        self.distillation_loss_weights = (
            check_weights(loss_weights, self.distillation_losses) if self.distillation_losses else []
        )
        if base_loss is not None:
            check_choice("base_loss", base_loss, base_ranking_loss.KINDS)
        elif not self.distillation_losses:
            raise ValueError(
                "`base_loss` may be None only where there are `losses`. Received: base_loss=None, losses=()"
            )
        self.base_loss = base_loss
        self.base_loss_weight = check_number("base_loss_weight", base_loss_weight, at_least=0)
        self.reduction = check_choice("reduction", reduction, REDUCTIONS)
        self.temperature = check_number("temperature", temperature, above=0)
        self.l2 = check_number("l2", l2, at_least=0)
        self._inputs = _Untracked({entity: TowerInputs(tower, entity) for entity, tower in self._towers.items()})
        self._items, self._log_probabilities = _Untracked(None), _Untracked(None)
        self._teacher_vectors, self._teacher_inputs = _Untracked(None), _Untracked({})
        self.teacher = teacher
        self.base_loss_tracker = keras.metrics.Mean(name="base_loss")
        self.distillation_loss_tracker = keras.metrics.Mean(name="distillation_loss")
        self.built = True

    @property
    def _towers(self):
        return self._student_towers.value

    @property
    def teacher(self):
        """`TeacherVectors` or a retrieval model; `None` without, and in a distiller that was loaded from a file."""
        return self._teacher.value

    @teacher.setter
    def teacher(self, teacher):
        width, self._teacher_towers = None, _Untracked(None)
        if isinstance(teacher, TeacherVectors):
            width = teacher.width
            self._teacher_vectors = _Untracked({name: tf.constant(getattr(teacher, name)) for name in ENTITIES})
        elif isinstance(teacher, keras.Model):
            self._teacher_towers = _Untracked(dict(zip(ENTITIES, towers(teacher), strict=True)))
            width = self._teacher_towers.value["user"].output.shape[-1]
        elif teacher is not None:
            raise ValueError(
                f"`teacher` must be TeacherVectors, a retrieval model or None. Received: teacher={teacher!r}"
            )
        self._teacher = _Untracked(teacher)
        if width is not None:
            student = {entity: (None, tower.output.shape[-1]) for entity, tower in self._towers.items()}
            for loss in self._representation_losses():
                if not loss.built:
                    loss.build(dict.fromkeys(ENTITIES, (None, width)), student)
        self.train_function = self.test_function = None

    def __setattr__(self, name, value):
        # Keras tracks every model that becomes an attribute. The teacher must stay out of weights, decay, counts and files.
        if name == "teacher":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def __dir__(self):
        # Keras saves what it finds by walking over dir(model).
        return [name for name in super().__dir__() if name not in ("teacher", "_towers")]

    def build(self, input_shape=None):
        """Builds nothing: the student is built."""
        self.built = True

    def call(self, inputs, training=None):
        """Returns the student's scores [batch, 1]."""
        return self.student(inputs, training=training)

    def set_dataset(self, dataset, history_parts=("train",)):
        """Takes from a data set what batches of ids leave out: features, histories, popularities, a teacher's vectors.

        Args:
            dataset: `ImplicitDataset`.
            history_parts: the parts that a "history" input of the user tower is filled from.

        Raises:
            UserError: where a feature does not fit its input.
            ValueError: where the teacher has vectors of other users or items.
        """
        self._inputs = _Untracked(_tower_inputs(self._towers, dataset, history_parts))
        self._items = _Untracked(dataset.items)
        self._log_probabilities = _Untracked(tf.constant(log_sampling_probability(dataset)))
        if self._teacher_towers.value is not None and self._representation_losses():
            self._teacher_inputs = _Untracked(_tower_inputs(self._teacher_towers.value, dataset, history_parts))
            vectors = {"user": user_vectors(self.teacher, dataset), "item": item_vectors(self.teacher, dataset)}
            self._teacher_vectors = _Untracked({name: tf.constant(value) for name, value in vectors.items()})
        if self._teacher_vectors.value is not None:
            for entity, count in (("user", dataset.users), ("item", dataset.items)):
                if (found := len(self._teacher_vectors.value[entity])) != count:
                    raise ValueError(
                        f"`teacher` must have a vector for each of the {count} {entity}s. Received: {found}"
                    )
        self.train_function = self.test_function = None

    def fit(self, x=None, *, batch_size=None, **kwargs):
        """Trains as `keras.Model.fit` does.

        Args:
            x: batches of {"user": ids [b], "item": ids [b], "negative": ids [b] or [b, n]} as a
                `keras.utils.PyDataset`, a `tf.data.Dataset`, or arrays; or a function (epoch) -> such arrays, called
                before every epoch. In place of ids a dict of the tower's inputs may stand (that of the negatives with
                [b * n] rows), with the ids by the name "user" or "item" among them where users and items that come
                again are to count once. "candidates" holds what ranking losses drew, {"place of the loss": {"item": [b,
                n], ...}}. Windows are {"user": {"history": int32 [b, L]}, "item": int32 [b, L], "negative": int32 [b, L]
                or [b, L, n]} of item numbers + 1, 0 where there is none.
            batch_size: for arrays and functions.
            **kwargs: those of `keras.Model.fit`.
        """
        if callable(x) and not isinstance(x, keras.utils.PyDataset):
            x, batch_size = EpochBatches(x, batch_size or 32, first_epoch=kwargs.get("initial_epoch", 0)), None
        callbacks = kwargs.pop("callbacks", None) or []
        if not isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks = callbacks if isinstance(callbacks, (list, tuple)) else [callbacks]
            callbacks = [BeginEpochs(self._representation_losses()), *callbacks]
        x, _, batch_size = for_workers(fit_over_replicas(self), x, None, batch_size)
        return super().fit(x, batch_size=batch_size, callbacks=callbacks, **kwargs)

    def fit_retrieval(
        self,
        dataset,
        epochs=1,
        batch_size=1024,
        negatives=1,
        negatives_from=None,
        rankings=None,
        item_rankings=None,
        seed=0,
        initial_epoch=0,
        drop_remainder=False,
        **kwargs,
    ):
        """Trains on the training pairs of a data set, with negatives and candidates drawn anew before every epoch.

        A model whose user tower takes "history" is trained on `tfdistill.data.next_item_windows` in place of pairs.

        Args:
            dataset: `ImplicitDataset`.
            epochs: how many epochs in all.
            batch_size: pairs a batch; of a model that reads histories, windows.
            negatives: how many a pair.
            negatives_from: what draws them, such as `tfdistill.data.PopularityNegatives(dataset)`, or
                `ListedNegatives(dataset, rankings.items)` for those that the teacher ranks high; default: what the user has
                not chosen, all alike.
            rankings: the teacher's best items of every user, for ranking losses (`tfdistill.soft_targets.rank_items`).
            item_rankings: the teacher's best users of every item, for those with side="item".
            seed: whole number of at least 0; the order of pairs, negatives and candidates depend on it and the epoch.
            initial_epoch: number of the first epoch, where training goes on.
            drop_remainder: whether to leave out the last batch where it is smaller, so that all have one shape, as they must
                on a TPU.
            **kwargs: those of `keras.Model.fit`.

        Returns: the `keras.callbacks.History`.

        Raises:
            UserError: for a model that reads histories, where the pairs have no order.
            ValueError: for a user tower with "history" that is no sequence model, and for losses between vectors beside a
                teacher that is none.
        """
        drop_remainder = drop_remainder or needs_static_shapes(self.distribute_strategy)
        windows = windows_of(self.student, dataset)
        if self._representation_losses():
            check_teacher(self.student, self.teacher)
        self.set_dataset(dataset)
        needs_negatives = self.base_loss in base_ranking_loss.NEEDS_NEGATIVES or self._representation_losses()
        scores, several = StudentScores(self.student, dataset), self.distribute_strategy.num_replicas_in_sync > 1
        batches = RetrievalBatches(
            dataset,
            batch_size,
            negatives if needs_negatives else 0,
            negatives_from,
            self.distillation_losses,
            rankings,
            item_rankings,
            scores.of_users,
            scores.of_items,
            epochs,
            seed,
            drop_remainder,
            initial_epoch,
            windows,
            takes_all_places=several,
        )
        scores.batches = batches
        of_epochs = DatasetBatches(batches, drop_remainder)
        kwargs["callbacks"] = [of_epochs, *keras.tree.flatten(kwargs.get("callbacks") or [])]
        batches = distribute(of_epochs.dataset, self.distribute_strategy)
        return self.fit(batches, epochs=epochs, initial_epoch=initial_epoch, shuffle=False, **kwargs)

    def train_step(self, data):
        data = _batch(data)
        with tf.GradientTape() as tape:
            loss = self._losses_of(data, training=True)
            variables = self.trainable_variables
            scaled_loss = scaled(loss, self.optimizer, variables)
        self._apply(with_shared_overflow(self.optimizer, tape.gradient(scaled_loss, variables)), variables)
        return {metric.name: metric.result() for metric in self.metrics}

    def test_step(self, data):
        self._losses_of(_batch(data), training=False)
        return {metric.name: metric.result() for metric in self.metrics}

    def get_config(self):
        return {
            **super().get_config(),
            "teacher": None,
            "student": keras.saving.serialize_keras_object(self.student),
            "losses": [keras.saving.serialize_keras_object(loss) for loss in self.distillation_losses],
            "loss_weights": [serialize(weight) for weight in self.distillation_loss_weights],
            "base_loss": self.base_loss,
            "base_loss_weight": self.base_loss_weight,
            "reduction": self.reduction,
            "temperature": self.temperature,
            "l2": self.l2,
        }

    @classmethod
    def from_config(cls, config):
        read = keras.saving.deserialize_keras_object
        return cls(
            **{
                **config,
                "student": read(config["student"]),
                "losses": [read(loss) for loss in config["losses"]],
                "loss_weights": [deserialize(weight) for weight in config["loss_weights"]] or None,
            }
        )

    def _representation_losses(self):
        return [loss for loss in self.distillation_losses if isinstance(loss, RepresentationLoss)]

    def _vectors(self, entity, ids, training):
        vectors = self._towers[entity](self._inputs.value[entity](ids), training=training)
        return tf.cast(vectors, "float32")

    def _losses_of(self, data, training):
        """The total loss of a batch; updates the loss metrics."""
        batch = BatchVectors(self, data, training)
        step = self.optimizer.iterations
        base = tf.zeros(()) if self.base_loss is None else self._base_loss(batch)
        distillation = tf.zeros(())
        for place, (loss, weight) in enumerate(
            zip(self.distillation_losses, self.distillation_loss_weights, strict=True)
        ):
            if isinstance(loss, RepresentationLoss):
                value = loss.compute_loss(*self._outputs(batch, getattr(loss, "items", "batch") == "all"), step=step)
            else:
                value = loss.compute_loss(*batch.candidates(loss, str(place)), step=step)
            distillation += weigh(weight, value, step, training)
        distillation /= replicas()  # each of them has it of the whole batch
        total = self.base_loss_weight * base + distillation
        for loss in self.losses:
            total += keras.ops.cast(self._aggregate_additional_loss(loss), "float32")
        self._loss_tracker.update_state(over_replicas(total))
        self.base_loss_tracker.update_state(over_replicas(base))
        self.distillation_loss_tracker.update_state(over_replicas(distillation))
        return total

    def _base_loss(self, batch):
        """The base loss of this replica's pairs: a sum over them, or of a loss that needs the whole batch its share."""
        if self.reduction == "mean" or self.base_loss == "in_batch_softmax":
            return self._loss_of_pairs(batch, batch.all_pairs) / replicas()
        return self._loss_of_pairs(batch, batch.pairs)

    def _loss_of_pairs(self, batch, pairs):
        user, positive, negative, items, weights = pairs
        if self.base_loss in base_ranking_loss.NEEDS_NEGATIVES:
            if negative is None:
                raise ValueError(f'The base loss "{self.base_loss}" needs "negative" in the batches. Received: none')
            return getattr(base_ranking_loss, self.base_loss)(user, positive, negative, self.reduction, weights)
        if self.base_loss == "in_batch_softmax":
            probabilities = self._log_probabilities.value
            if probabilities is not None and items is not None:
                probabilities = tf.gather(probabilities, items)
            return base_ranking_loss.in_batch_softmax(
                user, positive, items, probabilities, self.temperature, self.reduction, weights
            )
        if items is None:
            raise ValueError('The base loss "full_softmax" needs the ids of items: "item" in the dict of their inputs.')
        return base_ranking_loss.full_softmax(user, items, batch.all_items, self.temperature, self.reduction, weights)

    def _outputs(self, batch, all_items):
        """(teacher's vectors, student's vectors, weights) for a loss between vectors, with all items or those of the batch."""
        teacher = {"user": self._teacher_vectors_of("user", batch), "item": None}
        if not all_items:
            return {**teacher, "item": self._teacher_vectors_of("item", batch)}, batch.vectors, batch.weights
        teacher["item"] = self._teacher_table()["item"]
        student = {**batch.vectors, "item": batch.all_items}
        return teacher, student, {**batch.weights, "item": None}

    def _teacher_table(self):
        if self._teacher_vectors.value is None:
            raise ValueError(
                "Losses between vectors need a teacher. Set `distiller.teacher` to TeacherVectors, or to a retrieval model and "
                "call `set_dataset` or `fit_retrieval`."
            )
        return self._teacher_vectors.value

    def _teacher_vectors_of(self, entity, batch):
        if entity == "user" and batch.places is not None:
            check_teacher(self.student, self.teacher)
            self._teacher_table()  # which is asked for items, and says what is missing
            vectors = batch.places.vectors(self.teacher, batch.given["user"], training=False)
            return batch.whole(entity, tf.stop_gradient(vectors))
        ids = batch.ids[entity]
        if isinstance(batch.given[entity], dict) and self._teacher_towers.value is not None:
            # What stands in the batch, such as a history, may be other than what is known of the user.
            tower = self._teacher_towers.value[entity]
            inputs = self._teacher_inputs.value.get(entity) or TowerInputs(tower, entity)
            vectors = tf.cast(tower(inputs(batch.given[entity]), training=False), "float32")
            return batch.whole(entity, tf.stop_gradient(vectors))
        if ids is None:
            raise ValueError(
                f'Losses between vectors need the ids of {entity}s, "{entity}" in the dict of their inputs, or a '
                "retrieval model for a teacher."
            )
        return tf.gather(self._teacher_table()[entity], ids)

    def _apply(self, gradients, variables):
        """Applies gradients, each row of a table once: Keras's own optimizers count ids that come again in a batch wrongly."""
        optimizer = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        if isinstance(optimizer, RowSparse) and not self.l2:
            self.optimizer.apply(gradients, variables)
            return
        gradients = [None if one is None else tf.convert_to_tensor(one) for one in gradients]
        if self.l2:
            scale = self.optimizer.scale_loss(tf.constant(self.l2 / replicas()))
            gradients = [
                scale * tf.cast(variable, scale.dtype)
                if gradient is None
                else gradient + tf.cast(scale, gradient.dtype) * tf.cast(variable, gradient.dtype)
                for gradient, variable in zip(gradients, variables, strict=True)
            ]
        if tf.executing_eagerly() or tf.distribute.has_strategy():
            self.optimizer.apply(gradients, variables)
            return
        # One fused pass over the tables in place of ten: with all rows of all tables in it, the update is most of a
        # step.
        fused = tf.function(lambda *ones: self.optimizer.apply(list(ones), variables), jit_compile=True)
        fused(*gradients)


class _Untracked:
    """Holds what must not become a part of the model: Keras and TensorFlow track attributes by themselves."""

    def __init__(self, value):
        self.value = value


def _tower_inputs(both, dataset, history_parts):
    tables = {"user": dict(dataset.user_features), "item": dict(dataset.item_features)}
    user_inputs = both["user"].input
    if isinstance(user_inputs, dict) and "history" in user_inputs:
        tables["user"]["history"] = histories(dataset.lists(*history_parts), user_inputs["history"].shape[1])
    return {entity: TowerInputs(tower, entity, tables[entity]) for entity, tower in both.items()}


def _batch(data):
    batch, labels, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    if labels is not None or sample_weight is not None:
        raise ValueError(
            "Batches of a RetrievalDistiller have no labels and no sample weights. Received: a tuple with them"
        )
    if not isinstance(batch, dict) or not {"user", "item"} <= set(batch):
        raise ValueError(
            f'Batches must be dicts of "user", "item" and "negative". Received: {type(batch).__name__} {batch!r:.100}'
        )
    return batch


def _check_losses(losses):
    losses = list(losses) if isinstance(losses, (list, tuple)) else [losses]
    if not all(isinstance(loss, (RankingLoss, RepresentationLoss)) for loss in losses):
        raise ValueError(
            "`losses` must be ranking and representation losses, such as tfdistill.losses.FullTopologyDistillation(). "
            f"Received: {losses}"
        )
    return losses
