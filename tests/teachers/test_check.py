import numpy as np
import pytest
import tensorflow as tf

from tfdistill import UserError
from tfdistill.teachers import check_teacher_outputs

SAMPLE = {"age": np.array([0.5, 1.5, 2.5], "float32")}


def test_logits_that_fit_pass():
    check_teacher_outputs(lambda inputs: tf.stack([inputs["age"]] * 2, axis=1), SAMPLE, units=2)


def test_another_number_of_logits_is_told_with_both_shapes():
    with pytest.raises(UserError, match=r"teacher returns shape \[batch, 3\] .* the student shape \[batch, 1\]"):
        check_teacher_outputs(lambda inputs: tf.stack([inputs["age"]] * 3, axis=1), SAMPLE, units=1)
    with pytest.raises(UserError, match=r"teacher returns shape \[batch\] .* the student shape \[batch, 1\]"):
        check_teacher_outputs(lambda inputs: inputs["age"], SAMPLE, units=1)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_not_finite_are_counted_and_shown(value):
    def teacher(inputs):
        return tf.where(inputs["age"] > 1, value, 0.0)[:, None]

    with pytest.raises(UserError, match=rf"for 2 of 3 examples, the first of them row 1: \[{value}\]"):
        check_teacher_outputs(teacher, SAMPLE, units=1)
