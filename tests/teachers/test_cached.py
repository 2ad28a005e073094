import numpy as np
import pytest
import tensorflow as tf

from tfdistill.teachers import CachedTeacher


def test_the_column_is_returned_as_float32_logits():
    targets = tf.constant([[0.5, 1.0]], tf.float16)
    logits = CachedTeacher("soft")({"soft": targets, "age": tf.constant([3])})
    assert logits.dtype == tf.float32
    np.testing.assert_array_equal(logits, [[0.5, 1.0]])


def test_a_flat_column_is_one_logit_an_example():
    np.testing.assert_array_equal(CachedTeacher()({"teacher_logits": np.array([1.0, 2.0])}), [[1.0], [2.0]])


@pytest.mark.parametrize("inputs, received", [({"age": 1}, r"\['age'\]"), (np.zeros(3), "ndarray")])
def test_a_missing_column_is_named(inputs, received):
    with pytest.raises(ValueError, match=f"'teacher_logits'. Received: {received}"):
        CachedTeacher()(inputs)
