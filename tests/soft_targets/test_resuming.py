"""A cache whose writing was stopped goes on and ends as if it had not been; for anything else it refuses."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.soft_targets import SoftTargets, write_soft_targets

SETTINGS = {"fingerprint": "x3", "batch_size": 2, "shard_rows": 4}


def inputs_of(count=13):
    return {"a": np.arange(2.0 * count, dtype="float32").reshape(count, 2)}, np.arange(count)[::-1] * 5


def thrice(x):
    return 3.0 * x["a"]


class Stop(Exception):
    pass


def stop_after(examples):
    def on_progress(done, _):
        if done >= examples:
            raise Stop

    return on_progress


@pytest.mark.parametrize("examples", [2, 4, 9, 13])
@pytest.mark.parametrize("kind", ["arrays", "dataset"])
def test_a_stopped_writing_goes_on_to_the_same_bytes(tmp_path, folder_bytes, examples, kind):
    data, example_id = inputs_of()
    if kind == "dataset":
        data, example_id = tf.data.Dataset.from_tensor_slices((example_id, data)).batch(2), None
    write_soft_targets(tmp_path / "whole", thrice, data, example_id, **SETTINGS)
    with pytest.raises(Stop):
        write_soft_targets(tmp_path / "soft", thrice, data, example_id, **SETTINGS, on_progress=stop_after(examples))
    with pytest.raises(ValueError, match="is unfinished"):
        SoftTargets.open(tmp_path / "soft")
    labelled = []
    write_soft_targets(
        tmp_path / "soft", thrice, data, example_id, **SETTINGS, on_progress=lambda done, _: labelled.append(done)
    )
    assert folder_bytes(tmp_path / "soft") == folder_bytes(tmp_path / "whole")
    assert len(labelled) == 7 - 2 * ((examples - 1) // 4)  # a shard is two batches, and is done when its last batch is


def test_an_error_in_the_teacher_leaves_what_is_done(tmp_path, folder_bytes):
    data, example_id = inputs_of()
    calls = tf.Variable(0)

    def failing(x):
        tf.debugging.assert_less(calls.assign_add(1), 5)
        return thrice(x)

    with pytest.raises(tf.errors.InvalidArgumentError):
        write_soft_targets(tmp_path / "soft", failing, data, example_id, **SETTINGS)
    write_soft_targets(tmp_path / "soft", thrice, data, example_id, **SETTINGS)
    write_soft_targets(tmp_path / "whole", thrice, data, example_id, **SETTINGS)
    assert folder_bytes(tmp_path / "soft") == folder_bytes(tmp_path / "whole")


KILLED = """
import os, signal, sys
import numpy as np
from tfdistill.soft_targets import write_soft_targets

def kill(done, _):
    if done >= 9:
        os.kill(os.getpid(), signal.SIGKILL)

x = {"a": np.arange(26.0, dtype="float32").reshape(13, 2)}
write_soft_targets(
    sys.argv[1], lambda x: 3.0 * x["a"], x, np.arange(13)[::-1] * 5, fingerprint="x3", batch_size=2, shard_rows=4,
    on_progress=kill,
)
"""


def test_a_killed_process_can_be_followed_by_another(tmp_path, folder_bytes):
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "soft")], capture_output=True)
    assert killed.returncode == -9
    # What a kill inside of writing a shard or the manifest leaves behind.
    (tmp_path / "soft" / ".partial-0a1b2c3d-shard-00002").mkdir()
    (tmp_path / "soft" / "shard-00002").mkdir()
    (tmp_path / "soft" / ".partial-0a1b2c3d-manifest.json").write_text("{")
    for name in ("soft", "whole"):
        write_soft_targets(tmp_path / name, thrice, *inputs_of(), **SETTINGS)
    assert folder_bytes(tmp_path / "soft") == folder_bytes(tmp_path / "whole")


def test_a_finished_cache_is_not_labelled_again(tmp_path):
    write_soft_targets(tmp_path / "soft", thrice, *inputs_of(), **SETTINGS)
    asked = []

    def counting(x):
        asked.append(len(x["a"]))
        return thrice(x)

    found = write_soft_targets(tmp_path / "soft", counting, *inputs_of(), **SETTINGS).lookup([60])["logits"]
    np.testing.assert_array_equal(found, [[0.0, 3.0]])
    assert asked == [2]  # whether it still says the same


def test_a_damaged_shard_is_labelled_again(tmp_path, folder_bytes):
    write_soft_targets(tmp_path / "soft", thrice, *inputs_of(), **SETTINGS)
    whole = folder_bytes(tmp_path / "soft")
    (tmp_path / "soft" / "shard-00001" / "logits.npy").write_bytes(b"\x93NUMPY")
    write_soft_targets(tmp_path / "soft", thrice, *inputs_of(), **SETTINGS)
    assert folder_bytes(tmp_path / "soft") == whole


def changed(**columns):
    data, example_id = inputs_of()
    return {**data, **columns}, example_id


@pytest.mark.parametrize("stopped", [False, True])
@pytest.mark.parametrize(
    "data, settings, message",
    [
        (inputs_of(), {"fingerprint": "x4"}, "of another teacher: its fingerprint is 'x3', that of this teacher 'x4'"),
        (inputs_of(), {"top_k": 1}, "written with top_k=None, this call has top_k=1"),
        (inputs_of(), {"dtype": "float16"}, "written with dtype='float32', this call has dtype='float16'"),
        (inputs_of(), {"shard_rows": 6}, "written with shard_rows=4, this call has shard_rows=6"),
        ((inputs_of()[0], np.arange(13)), {}, "other data: its examples 0 to 2 have other ids or inputs"),
        (changed(a=inputs_of()[0]["a"] + 0.1), {}, "other data: its examples 0 to 2 have other ids or inputs"),
        (changed(b=np.zeros(13)), {}, "other data: its examples 0 to 2 have other ids or inputs"),
    ],
)
def test_anything_else_is_refused(tmp_path, stopped, data, settings, message):
    if stopped:
        with pytest.raises(Stop):
            write_soft_targets(tmp_path / "soft", thrice, *inputs_of(), **SETTINGS, on_progress=stop_after(9))
    else:
        write_soft_targets(tmp_path / "soft", thrice, *inputs_of(), **SETTINGS)
    with pytest.raises(ValueError, match=message):
        write_soft_targets(tmp_path / "soft", thrice, *data, **{**SETTINGS, **settings})


@pytest.mark.parametrize(
    "count, message", [(14, "has 13 examples, the data have more"), (12, "13 examples, the data have 12")]
)
def test_more_and_fewer_examples_are_refused(tmp_path, count, message):
    data, example_id = {"a": np.arange(28.0, dtype="float32").reshape(14, 2)}, np.arange(14)
    write_soft_targets(tmp_path / "soft", thrice, {"a": data["a"][:13]}, example_id[:13], **SETTINGS)
    with pytest.raises(ValueError, match=message):
        write_soft_targets(tmp_path / "soft", thrice, {"a": data["a"][:count]}, example_id[:count], **SETTINGS)


@pytest.mark.parametrize("top_k", [None, 1])
def test_a_teacher_that_changed_under_its_fingerprint_is_refused(tmp_path, top_k):
    write_soft_targets(tmp_path / "soft", thrice, *inputs_of(), **SETTINGS, top_k=top_k)
    with pytest.raises(ValueError, match="answers the first examples .* otherwise"):
        write_soft_targets(tmp_path / "soft", lambda x: 4.0 * x["a"], *inputs_of(), **SETTINGS, top_k=top_k)


def test_a_cache_that_never_got_a_shard_may_begin_otherwise(tmp_path):
    with pytest.raises(Stop):
        write_soft_targets(tmp_path / "soft", thrice, *inputs_of(), **SETTINGS, on_progress=stop_after(1))
    soft_targets = write_soft_targets(
        tmp_path / "soft", lambda x: x["a"], *inputs_of(), fingerprint="x1", dtype="float16"
    )
    np.testing.assert_array_equal(soft_targets.lookup([60])["logits"], [[0.0, 1.0]])
