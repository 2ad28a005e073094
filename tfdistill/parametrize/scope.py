"""A scope in which chosen variables read as other values, and everything else is as it is outside."""

import contextlib
import threading

import keras

_STATE = threading.local()


@contextlib.contextmanager
def final_weights():
    """While it lasts, variables hold the values that transforms made of them already: models inside apply none."""
    before, _STATE.are_final = weights_are_final(), True
    try:
        yield
    finally:
        _STATE.are_final = before


def weights_are_final():
    """Whether `final_weights` is in force in this thread."""
    return getattr(_STATE, "are_final", False)


class WeightScope(keras.StatelessScope):
    """While it lasts, variables read as the values given; assignments and losses go where they would go without it.

    `keras.StatelessScope` keeps assignments to itself and drops losses. Here BatchNormalization's statistics, the seeds
    of Dropout and the losses of regularisers work as always, inside loops and conditions too, and a scope outside
    (Keras works out shapes in one, export reads constants in one) stays in force for all other variables.

    Args:
        values: pairs (`keras.Variable`, tensor of its shape).
        layers: the layers that run inside; their losses are kept.
    """

    def __init__(self, values, layers=()):
        super().__init__(collect_losses=True, initialize_variables=False)
        self._values = {id(variable): value for variable, value in values}
        self._layers = layers

    @property
    def _outer(self):
        return self.original_scope  # the scope that Keras found when this one was entered, or None

    def get_current_value(self, variable):
        value = self._values.get(id(variable))
        if value is None and self._outer is not None:
            value = self._outer.get_current_value(variable)
        return value

    def add_update(self, update):
        variable, value = update
        if self._outer is None:
            variable._direct_assign(value)
        else:
            self._outer.add_update(update)

    def __exit__(self, *error):
        super().__exit__(*error)
        if self._outer is not None:
            if self._outer.collect_losses:
                self._outer.losses.extend(self.losses)
            return
        for layer in self._layers:
            layer._losses.extend(loss for loss in self.losses if id(loss) in layer._loss_ids)
