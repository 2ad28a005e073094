"""What every distillation loss is: a Keras layer, so that whatever it learns is trained and saved with the distiller."""

import keras

from tfdistill._layers import OUTPUT, find_layer, is_functional, output_specs


class DistillationLoss(keras.layers.Layer, keras.distillation.DistillationLoss):
    """Compares what a teacher and a student computed. The base of all losses here, and of your own.

    A subclass defines `compute_loss`. A loss that learns something itself (a projector, a temperature) makes its weights
    in `build(teacher_shape, student_shape)` and sets `needs_build = True`. Since a loss is a layer, its weights belong to
    the distiller, `tfdistill.Distiller` or `keras.distillation.Distiller`, and never to the student.

    Args:
        teacher_layer_name: the layer of the teacher to read: a name, a path in nested models ("encoder/attention"), or
            the layer itself; `None` for the model's output. Under `keras.distillation.Distiller` names only.
        student_layer_name: the same for the student.

    Attributes:
        needs_build: whether the loss makes weights that depend on the shapes of what it compares.
        reading: what it reads of its layers: "output" or "attention_scores".
        compares_examples: whether an example's value depends on the others of the batch. Under a distribution strategy
            such a loss sees the batches of all replicas as one.

    Example:

    >>> import keras
    >>> class LogitDifference(DistillationLoss):
    ...     def compute_loss(self, teacher_outputs, student_outputs, sample_weight=None, labels=None, step=None):
    ...         return keras.ops.mean(keras.ops.abs(teacher_outputs - student_outputs))
    >>> float(LogitDifference().compute_loss(keras.ops.array([[1.0]]), keras.ops.array([[3.0]])))
    2.0
    """

    needs_build = False
    reading = OUTPUT
    compares_examples = False

    def __init__(self, teacher_layer_name=None, student_layer_name=None, **kwargs):
        super().__init__(**{"dtype": "float32", "autocast": False, **kwargs})
        self.__dict__["_layer_names"] = {"teacher": teacher_layer_name, "student": student_layer_name}
        self.built = not self.needs_build

    def __dir__(self):
        # Keras saves what it finds by walking over dir(loss); layers of the models are not the loss's own.
        hidden = ("_layer_names", "teacher_layer_name", "student_layer_name")
        return [name for name in super().__dir__() if name not in hidden]

    @property
    def teacher_layer_name(self):
        """The layer of the teacher that is read; `None` for its output."""
        return self._layer_names["teacher"]  # in a dict of its own: a Layer as an attribute would become a part of this

    @property
    def student_layer_name(self):
        """The layer of the student that is read; `None` for its output."""
        return self._layer_names["student"]

    def compute_loss(self, teacher_outputs, student_outputs, sample_weight=None, labels=None, step=None):
        """Returns the loss of a batch, a float32 scalar.

        Args:
            teacher_outputs, student_outputs: what the layers, or the models, computed.
            sample_weight: weights of the examples `[batch]`, or `None`.
            labels: the hard labels of the batch; `None` where there are none.
            step: number of the training step, for schedules; `None` outside `tfdistill.Distiller`.
        """
        raise NotImplementedError

    def validate_model_compatibility(self, teacher, student):
        """Raises `ValueError` where it can be known, before data flow, that this loss cannot compare these models."""
        self.validate_specs(*(self._spec(model, role) for model, role in ((teacher, "teacher"), (student, "student"))))

    def validate_specs(self, teacher, student):
        """The same for symbolic outputs (`None` where unknown); builds the loss where both are known."""
        if teacher is None or student is None:
            return
        self.validate_outputs(teacher, student)
        self.validate_shapes(teacher, student)
        if not self.built:
            self.build(*(tuple(output.shape) for output in (teacher, student)))

    def validate_shapes(self, teacher, student):
        """Raises `ValueError` for symbolic outputs whose shapes this loss cannot compare."""

    def get_config(self):
        names = {f"{role}_layer_name": reference for role, reference in self._layer_names.items()}
        return {key: getattr(reference, "name", reference) for key, reference in names.items() if reference is not None}

    @classmethod
    def from_config(cls, config):
        return cls(**{key: keras.saving.deserialize_keras_object(value) for key, value in config.items()})

    def _spec(self, model, role):
        reference = self._layer_names[role]
        if reference is None or not is_functional(model):
            specs = output_specs(model, {})
        else:
            specs = output_specs(model, {reference: (find_layer(model, reference, role), self.reading)})
        return None if specs is None else specs[reference]
