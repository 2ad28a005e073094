"""Training a small model, the student, to do what a large one, the teacher, does."""

import keras
import numpy as np
import tensorflow as tf

from tfdistill._features import PREDICTION, FeatureExtractor
from tfdistill._labels import LabeledRows
from tfdistill._replicas import over_replicas, replicas
from tfdistill._soft_losses import check_losses, check_weights, feature_keys, validate, weighted_sum
from tfdistill.data.transfer import mix_transfer_set
from tfdistill.distribution.fitting import fit_over_replicas, for_workers
from tfdistill.precision import policy_of, scaled, with_shared_overflow
from tfdistill.schedules import check_share, deserialize, serialize, share_of
from tfdistill.soft_targets.augmentation import refuse_augmentation
from tfdistill.teachers.forms import as_teacher


@keras.saving.register_keras_serializable(package="tfdistill")
class Distiller(keras.Model):
    """Trains a student on hard labels and on what a teacher says of the same examples.

    A superset of `keras.distillation.Distiller`: the same arguments, defaults, attributes and blend,

        total = a * hard + (1 - a) * Σ w_i soft_i + the student's regularisation losses

    with a = `student_loss_weight`, hard the loss given to `compile`, and soft_i, w_i the distillation losses and their
    weights. A step runs the student once, features included, and the teacher once, outside the gradient tape and with
    training=False. `evaluate` and `predict` do not run the teacher.

    The teacher is a guest: it is neither trained nor changed nor counted nor saved. A distiller from a file (import
    `tfdistill.Distiller` before `keras.saving.load_model`) evaluates and predicts; to train it further, give it its
    teacher back: `distiller.teacher = teacher`.

    Logs hold `loss` and `total_loss` (both the total), `student_loss` (hard), `distillation_loss` (Σ w_i soft_i) and
    the compiled metrics. `evaluate` judges the student alone: without `evaluate_distillation` its total is the hard
    loss plus the regularisation losses, and there is no `distillation_loss`.

    Sample and class weights count in the hard and the soft losses. With several outputs the structure of weights must
    be that of the outputs, and losses between hidden layers then go unweighted.

    Args:
        teacher: a model of Keras 3 or tf_keras, the path of a saved one, any callable on the inputs that returns what
            the student returns (it gets training=False and labels= if it takes them), or a list of these (see
            `tfdistill.teachers.as_teacher`). `tfdistill.teachers.CachedTeacher` reads soft targets that were computed
            before. `None` if it is to be set later.
        student: the `keras.Model` to train. Where the inputs are a dict, a Functional or Sequential model, student or
            teacher, gets the inputs that it declares; so the teacher may see features that the student does not.
        distillation_losses: a loss or a list of losses of `tfdistill.losses` or `keras.distillation`.
        distillation_loss_weights: a number, a schedule or an adaptive weight of `tfdistill.schedules` for each
            distillation loss; `None` for 1 each.
        student_loss_weight: the share a of the hard loss: a number from 0 to 1 or a schedule. At 1 the teacher does not
            run, at 0 no labels are needed.
        name: name of the distiller.
        evaluate_distillation: whether `evaluate` and validation run the teacher and report the same losses as training.
        unlabeled_value: rows whose labels all equal this number (for example -1, or NaN) have no label: they take part
            in the soft losses alone, not in the hard loss and the compiled metrics. The hard loss of a batch is the
            mean over its labelled rows, 0 without any.
        teacher_interval: the teacher is asked every so many steps, the first step included; in the steps between the
            hard loss has all the weight.
        **kwargs: for `keras.Model`. The dtype policy is the student's unless given.

    Raises:
        ValueError: for an argument of the wrong kind, weights that do not fit the losses, layers that do not exist, and
            teacher and student shapes that a loss cannot compare.

    Example:

    >>> import keras, numpy, tfdistill
    >>> teacher = keras.Sequential([keras.Input((4,)), keras.layers.Dense(64, "relu"), keras.layers.Dense(3)])
    >>> student = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    >>> distiller = tfdistill.Distiller(teacher, student, tfdistill.losses.LogitsDistillation(temperature=3.0))
    >>> distiller.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), ["accuracy"])
    >>> history = distiller.fit(numpy.ones((8, 4)), numpy.ones(8), verbose=0)
    >>> sorted(history.history)
    ['accuracy', 'distillation_loss', 'loss', 'student_loss', 'total_loss']

    Reference: Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015, arXiv 1503.02531.
    """

    def __init__(
        self,
        teacher,
        student,
        distillation_losses,
        distillation_loss_weights=None,
        student_loss_weight=0.5,
        name="distiller",
        evaluate_distillation=False,
        unlabeled_value=None,
        teacher_interval=1,
        **kwargs,
    ):
        if not isinstance(student, keras.Model):
            raise ValueError(f"`student` must be a keras.Model. Received: student={student!r}")
        # Loss scaling follows the policy; casting is the business of the student, which may read ids as floats.
        kwargs.setdefault("dtype", policy_of(student))
        super().__init__(name=name, autocast=False, **kwargs)
        self.student = student
        self.distillation_losses = check_losses(distillation_losses)
        self.distillation_loss_weights = check_weights(distillation_loss_weights, self.distillation_losses)
        self.student_loss_weight = check_share(student_loss_weight)
        self.evaluate_distillation = evaluate_distillation
        self.unlabeled_value = unlabeled_value
        if isinstance(teacher_interval, bool) or not isinstance(teacher_interval, int) or teacher_interval < 1:
            raise ValueError(
                f"`teacher_interval` must be a whole number of at least 1. Received: teacher_interval={teacher_interval!r}"
            )
        self.teacher_interval = teacher_interval
        self._student_feature_extractor = FeatureExtractor(
            student, feature_keys(self.distillation_losses, "student"), "student"
        )
        self.teacher = teacher
        self.student_loss_tracker = keras.metrics.Mean(name="student_loss")
        self.distillation_loss_tracker = keras.metrics.Mean(name="distillation_loss")
        self.total_loss_tracker = keras.metrics.Mean(name="total_loss")
        self.built = student.built

    @property
    def teacher(self):
        """The source of soft targets; `None` in a distiller that was loaded from a file."""
        return None if self._teacher_feature_extractor is None else self._teacher_feature_extractor.model

    @teacher.setter
    def teacher(self, teacher):
        teacher = as_teacher(teacher)
        extractor = None
        if teacher is not None:
            if getattr(teacher, "columns", ()):
                refuse_augmentation(self.student)
            extractor = FeatureExtractor(teacher, feature_keys(self.distillation_losses, "teacher"), "teacher")
            validate(self.distillation_losses, teacher, self.student, extractor, self._student_feature_extractor)
        self._teacher_feature_extractor = extractor
        self.train_function = self.test_function = None  # they were traced with the teacher before

    def __setattr__(self, name, value):
        # Keras tracks every model that becomes an attribute. The teacher must stay out of weights, counts and files.
        if name == "teacher":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def __dir__(self):
        # Keras saves what it finds by walking over dir(model).
        return [name for name in super().__dir__() if name != "teacher"]

    @property
    def output_names(self):
        """The names of the student's outputs, by which losses and metrics may be given."""
        return getattr(self.student, "output_names", None)

    def build(self, input_shape=None):
        """Builds nothing: the student builds itself when it is first called."""
        self.built = True

    def call(self, inputs, training=None, **kwargs):
        """Returns the student's prediction."""
        inputs = self._student_feature_extractor.select_inputs(inputs, self._cache_columns())
        return self.student(inputs, training=training, **kwargs)

    def compile(self, optimizer="adam", loss=None, metrics=None, **kwargs):
        """Prepares for training as `keras.Model.compile` does.

        Args:
            optimizer: optimizer of the student's weights.
            loss: the hard loss, in any form that Keras takes. May be `None` only where `student_loss_weight` is 0.
            metrics: metrics of the student's predictions, in any form that Keras takes.
            **kwargs: the other arguments of `keras.Model.compile`. jit_compile="auto" means False with a teacher that
                is no Keras model, with `unlabeled_value`, and under a distribution strategy of several replicas.

        Raises:
            ValueError: where the hard loss is missing, or sums over the batch although some rows may be unlabelled.
        """
        if loss is None and self.student_loss_weight != 0:
            raise ValueError(
                "`loss` cannot be None: it is the hard loss, which has a share of "
                f"student_loss_weight={self.student_loss_weight}. Pass a loss, or use student_loss_weight=0."
            )
        reductions = [getattr(one, "reduction", "mean") for one in keras.tree.flatten(loss)]
        if self.unlabeled_value is not None and not {"sum", "none", None}.isdisjoint(reductions):
            raise ValueError(
                f"`unlabeled_value` needs a `loss` that averages over the batch. Received: reductions {reductions}"
            )
        compiles = self.teacher is not None and self._teacher_feature_extractor.supports_jit
        compiles = compiles and self.unlabeled_value is None
        compiles = compiles and self.distribute_strategy.num_replicas_in_sync == 1
        if kwargs.get("jit_compile", "auto") == "auto" and not compiles:
            kwargs["jit_compile"] = False
        super().compile(optimizer=optimizer, loss=loss, metrics=metrics, **kwargs)

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)

    def fit(self, x=None, y=None, batch_size=None, *args, transfer_set=None, transfer_ratio=1.0, **kwargs):
        """Trains the student as `keras.Model.fit` does, on unlabelled examples too where there are any.

        Args:
            x, y, batch_size, *args, **kwargs: those of `keras.Model.fit`.
            transfer_set: inputs without labels for the teacher to label: arrays like x, or a `tf.data.Dataset` of
                batches of x. They are mixed into the batches, and the next epoch goes on where the last one stopped
                (see `tfdistill.data.mix_transfer_set`). The distiller needs an `unlabeled_value`.
            transfer_ratio: unlabelled examples per labelled one.

        Raises:
            ValueError: for a transfer set without `unlabeled_value`, together with `validation_split` or `class_weight`,
                or unlike the inputs.
        """
        fit_over_replicas(self)
        if transfer_set is None:
            return super().fit(*for_workers(self, x, y, batch_size), *args, **kwargs)
        if self.unlabeled_value is None:
            raise ValueError(
                "`transfer_set` holds examples without labels: construct the distiller with `unlabeled_value`, a number "
                "that is no label, such as -1. Received: unlabeled_value=None"
            )
        for name in ("validation_split", "class_weight"):
            if kwargs.get(name):
                raise ValueError(
                    f"`{name}` cannot go with `transfer_set`; pass validation_data or sample_weight. "
                    f"Received: {name}={kwargs[name]}"
                )
        sample_weight, shuffle = kwargs.pop("sample_weight", None), kwargs.pop("shuffle", True)
        batch_size = None if isinstance(x, tf.data.Dataset) else batch_size or 32
        labeled = x if isinstance(x, tf.data.Dataset) else (x, y) if sample_weight is None else (x, y, sample_weight)
        if not (shuffle or isinstance(x, tf.data.Dataset)):
            labeled = tf.data.Dataset.from_tensor_slices(labeled).batch(batch_size)
        seed = int(np.random.randint(2**31 - 1))  # so that keras.utils.set_random_seed fixes it
        batches = mix_transfer_set(labeled, transfer_set, transfer_ratio, self.unlabeled_value, batch_size, seed)
        return super().fit(*for_workers(self, batches), *args, shuffle=False, **kwargs)

    def evaluate(self, x=None, y=None, batch_size=None, *args, **kwargs):
        """Judges the student as `keras.Model.evaluate` does."""
        fit_over_replicas(self)
        return super().evaluate(x, y, batch_size, *args, **kwargs)

    def train_step(self, data):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        asks = self._distills(training=True) and self.teacher_interval == 1
        teacher_outputs = self._teacher_outputs(x, y) if asks else None
        with tf.GradientTape() as tape:
            student_outputs = self._student_outputs(x, training=True)
            prediction = student_outputs[PREDICTION]
            loss = self.compute_loss(
                x, y, prediction, sample_weight, True, teacher_outputs=teacher_outputs, student_outputs=student_outputs
            )
            variables = self.trainable_variables
            scaled_loss = scaled(loss, self.optimizer, variables)
        gradients = with_shared_overflow(self.optimizer, tape.gradient(scaled_loss, variables))
        self.optimizer.apply(gradients, variables)
        self._loss_tracker.update_state(over_replicas(loss), sample_weight=_batch_size(prediction))
        return self.compute_metrics(x, y, prediction, sample_weight)

    def test_step(self, data):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        student_outputs = self._student_outputs(x, training=False)
        prediction = student_outputs[PREDICTION]
        loss = self.compute_loss(x, y, prediction, sample_weight, False, student_outputs=student_outputs)
        self._loss_tracker.update_state(over_replicas(loss), sample_weight=_batch_size(prediction))
        logs = self.compute_metrics(x, y, prediction, sample_weight)
        if not self._distills(training=False):
            del logs[self.distillation_loss_tracker.name]
        return logs

    def compute_loss(
        self,
        x=None,
        y=None,
        y_pred=None,
        sample_weight=None,
        training=True,
        *,
        teacher_outputs=None,
        student_outputs=None,
    ):
        """Returns the total loss of a batch, a float32 scalar, and updates the loss metrics.

        Args:
            x: inputs; needed where one of the outputs below is not given.
            y: labels.
            y_pred: the student's prediction.
            sample_weight: weights of the examples.
            training: whether to compute what training or what evaluation needs.
            teacher_outputs, student_outputs: `{None: prediction, layer name: output}`; the steps pass what they have
                run.
        """
        if student_outputs is None:
            features_needed = y_pred is None or len(self._student_feature_extractor.outputs) > 1
            student_outputs = self._student_outputs(x, training) if features_needed else {PREDICTION: y_pred}
        prediction = student_outputs[PREDICTION]
        student_loss, labeled_rows = self._student_loss(y, prediction, sample_weight, training)
        total_loss = student_loss
        if self._distills(training):
            step = getattr(self.optimizer, "iterations", None)

            def soft_loss():
                return weighted_sum(
                    self.distillation_losses,
                    self.distillation_loss_weights,
                    self._teacher_outputs(x, y) if teacher_outputs is None else teacher_outputs,
                    student_outputs,
                    sample_weight=sample_weight,
                    labels=y,
                    step=step,
                    training=training,
                )

            share, rows = share_of(self.student_loss_weight, step), _batch_size(prediction)
            if training and self.teacher_interval > 1:
                is_due = keras.ops.equal(step % self.teacher_interval, 0)
                if replicas() == 1:
                    distillation_loss = tf.cond(is_due, soft_loss, lambda: tf.zeros(()))
                else:  # replicas cannot meet inside a condition
                    distillation_loss = tf.where(is_due, soft_loss(), 0.0)
                share, rows = keras.ops.where(is_due, share, 1.0), keras.ops.where(is_due, rows, 0)
            else:
                distillation_loss = soft_loss()
            self.distillation_loss_tracker.update_state(over_replicas(distillation_loss), sample_weight=rows)
            total_loss = share * student_loss + (1.0 - share) * distillation_loss
        for loss in self.losses:
            total_loss += keras.ops.cast(self._aggregate_additional_loss(loss), "float32")
        self.student_loss_tracker.update_state(over_replicas(student_loss), sample_weight=labeled_rows)
        self.total_loss_tracker.update_state(over_replicas(total_loss), sample_weight=_batch_size(prediction))
        return total_loss

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Updates the compiled metrics with the labelled rows, and returns the results of all metrics."""
        if self.unlabeled_value is not None and y is not None and self._compile_metrics is not None:
            rows = LabeledRows(y, y_pred, self.unlabeled_value)
            y, y_pred, sample_weight = rows.for_metrics(sample_weight)
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def get_config(self):
        return {
            **super().get_config(),
            "teacher": None,
            "student": keras.saving.serialize_keras_object(self.student),
            "distillation_losses": [keras.saving.serialize_keras_object(loss) for loss in self.distillation_losses],
            "distillation_loss_weights": [serialize(weight) for weight in self.distillation_loss_weights],
            "student_loss_weight": serialize(self.student_loss_weight),
            "evaluate_distillation": self.evaluate_distillation,
            "unlabeled_value": self.unlabeled_value,
            "teacher_interval": self.teacher_interval,
        }

    @classmethod
    def from_config(cls, config):
        read = keras.saving.deserialize_keras_object
        return cls(
            **{
                **config,
                "student": read(config["student"]),
                "distillation_losses": [read(loss) for loss in config["distillation_losses"]],
                "distillation_loss_weights": [deserialize(weight) for weight in config["distillation_loss_weights"]],
                "student_loss_weight": deserialize(config["student_loss_weight"]),
            }
        )

    def _distills(self, training):
        """Whether a step may need the teacher."""
        return self.student_loss_weight != 1 and (training or self.evaluate_distillation)

    def _cache_columns(self):
        """The columns of the inputs that hold cached soft targets, which the student must not see."""
        return getattr(self.teacher, "columns", ())

    def _teacher_outputs(self, x, y):
        if self._teacher_feature_extractor is None:
            raise ValueError(
                "This distiller has no teacher (files do not hold it). Set `distiller.teacher` before training."
            )
        return self._teacher_feature_extractor(x, training=False, labels=y)

    def _student_outputs(self, x, training):
        outputs = self._student_feature_extractor(x, training=training, hidden_columns=self._cache_columns())
        self.built = True
        return outputs

    def _student_loss(self, y, prediction, sample_weight, training):
        """Returns the hard loss and the number of rows that it is the mean of."""
        rows = _batch_size(prediction)
        if self._compile_loss is None or (training and self.student_loss_weight == 0):
            return keras.ops.zeros(()), rows
        if y is None and self.student_loss_weight == 0:
            return keras.ops.zeros(()), rows
        if y is None:
            raise ValueError("The hard loss needs labels. Pass `y`, or a distiller with student_loss_weight=0.")
        if self.unlabeled_value is not None:
            labeled = LabeledRows(y, prediction, self.unlabeled_value)
            y, sample_weight = labeled.for_loss(sample_weight)
            rows = labeled.count()
        return self._compile_loss(y, prediction, sample_weight), rows


def _batch_size(outputs):
    return keras.ops.shape(keras.tree.flatten(outputs)[0])[0]
