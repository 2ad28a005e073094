import numpy as np
import pytest

from tfdistill.errors import UserError
from tfdistill.export.grid import to_integers
from tfdistill.export.stored import pack_int4, unpack_int4


def test_eight_bits_take_the_largest_value_as_127_steps():
    integers, scales = to_integers(np.array([0.3, -1.27, 0.0, 0.004]), bits=8)
    np.testing.assert_allclose(scales, [0.01], rtol=1e-6)
    assert integers.tolist() == [30, -127, 0, 0] and integers.dtype == np.int8


def test_each_channel_has_a_scale_of_its_own_and_one_of_zeros_has_one():
    integers, scales = to_integers(np.array([[1.27, -0.637], [0.0, 0.0], [127.0, 1.0]]), bits=8, axis=0)
    np.testing.assert_allclose(scales, [0.01, 1.0, 1.0], rtol=1e-6)
    assert integers.tolist() == [[127, -64], [0, 0], [127, 1]]
    integers, scales = to_integers(np.array([[1.27, 0.0], [0.0, 254.0]]), bits=8, axis=1)
    np.testing.assert_allclose(scales, [0.01, 2.0], rtol=1e-6)
    assert integers.tolist() == [[127, 0], [0, 127]]


@pytest.mark.parametrize("largest", range(1, 8))
def test_values_on_a_grid_of_at_most_seven_steps_are_kept_exactly(largest):
    steps = np.arange(-largest, largest + 1)
    integers, scales = to_integers(np.float32(0.0371) * steps.astype(np.float32), bits=4)
    np.testing.assert_allclose(integers * scales[0], 0.0371 * steps, rtol=1e-6)


def test_four_bits_cut_off_tails_where_that_loses_less():
    values = np.random.default_rng(0).normal(size=4000).astype(np.float32)
    integers, (scale,) = to_integers(values, bits=4)
    assert integers.min() == -7 and integers.max() == 7  # -8 is left out
    ours = np.square(integers * scale - values).mean()
    errors = []
    for share in np.linspace(0.2, 1.1, 1000):
        step = np.abs(values).max() / 7 * share
        errors.append(np.square(np.clip(np.round(values / step), -7, 7) * step - values).mean())
    assert ours < 1.001 * min(errors)
    assert ours < 0.8 * errors[np.argmin(np.abs(np.linspace(0.2, 1.1, 1000) - 1))]


def test_zeros_stay_zeros_and_equal_values_equal():
    values = np.random.default_rng(1).choice(np.float32([0, 0, 0, -0.31, 0.07, 0.9, 1.3]), (64, 32))
    for bits in (4, 8):
        for axis in (None, 0, 1):
            integers, _ = to_integers(values, bits, axis)
            assert (integers[values == 0] == 0).all()
            for channel in range(32):
                assert len(np.unique(integers[:, channel])) <= len(np.unique(values[:, channel]))


def test_numbers_that_are_not_finite_are_refused():
    with pytest.raises(UserError, match="not finite"):
        to_integers(np.array([1.0, np.nan]), bits=8)


def test_four_bit_numbers_are_packed_lower_half_first():
    assert pack_int4([1, -1, 3]).tolist() == [0xF1, 0x03]
    assert pack_int4([-8, 7]).tolist() == [0x78]
    assert unpack_int4(np.array([0x78, 0xF1], np.uint8), 4).tolist() == [-8, 7, 1, -1]
    every = np.arange(-8, 8)
    assert unpack_int4(pack_int4(every), 16).tolist() == every.tolist()
