"""Opening a cache and asking it: what is refused, and in which words."""

import json

import keras
import numpy as np
import pytest

from tfdistill.soft_targets import SoftTargets, write_soft_targets
from tfdistill.soft_targets.manifest import _checksum


@pytest.fixture
def folder(tmp_path, teacher, data):
    write_soft_targets(tmp_path / "soft", teacher, *data, batch_size=32, shard_rows=32)
    return tmp_path / "soft"


def rewrite(folder, valid=True, **changes):
    path = folder / "manifest.json"
    contents = json.loads(path.read_text()) | changes
    if valid:
        contents.pop("checksum")
        contents["checksum"] = _checksum(contents)
    path.write_text(json.dumps(contents))


def test_the_teacher_that_wrote_it_opens_it(folder, teacher):
    fingerprint = SoftTargets.open(folder, teacher=teacher).teacher_fingerprint
    assert len(fingerprint) == 64
    assert len(SoftTargets.open(folder, fingerprint=fingerprint)) == len(SoftTargets.open(folder)) == 100


def test_another_teacher_is_refused_with_both_fingerprints(folder, teacher):
    written = SoftTargets.open(folder).teacher_fingerprint
    other = keras.models.clone_model(teacher)
    with pytest.raises(ValueError, match=f"of another teacher: its fingerprint is '{written[:12]}...', that of this"):
        SoftTargets.open(folder, teacher=other)
    with pytest.raises(ValueError, match="that of this teacher 'mine'"):
        SoftTargets.open(folder, fingerprint="mine")
    with pytest.raises(ValueError, match="not both"):
        SoftTargets.open(folder, teacher=teacher, fingerprint=written)


def test_no_cache_is_told(tmp_path):
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(ValueError, match="No soft-target cache .* it has no manifest.json. Write one with"):
            SoftTargets.open(path)


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("damage", ["cut off", "gone", "emptied"])
def test_a_damaged_file_is_told(folder, damage, verify):
    path = folder / "shard-00002" / "logits.npy"
    whole = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes(whole[: -7 if damage == "cut off" else 0])
    with pytest.raises(ValueError, match="shard-00002/logits.npy' is not the file that was written"):
        SoftTargets.open(folder, verify=verify)


def test_a_changed_number_is_found(folder):
    path = folder / "shard-00001" / "logits.npy"
    contents = bytearray(path.read_bytes())
    contents[-1] ^= 1
    path.write_bytes(contents)
    with pytest.raises(ValueError, match="shard-00001/logits.npy' is not the file that was written"):
        SoftTargets.open(folder)


def test_a_manifest_that_is_changed_cut_off_or_foreign_is_told(folder):
    path = folder / "manifest.json"
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="manifest.json' is damaged"):
        SoftTargets.open(folder)
    for foreign in ("[]", '{"name": "quickstart"}'):
        path.write_text(foreign)
        with pytest.raises(ValueError, match="is no manifest of a soft-target cache"):
            SoftTargets.open(folder)
    path.write_text(whole)
    rewrite(folder, valid=False, complete=False)
    with pytest.raises(ValueError, match="its checksum is wrong"):
        SoftTargets.open(folder)


def test_another_format_is_told(folder):
    rewrite(folder, version=2)
    with pytest.raises(ValueError, match="has format version 2, this tfdistill reads 1"):
        SoftTargets.open(folder)


def test_an_unfinished_cache_is_told(folder):
    rewrite(folder, complete=False)
    with pytest.raises(ValueError, match="is unfinished: it has 100 examples so far. Call write_soft_targets again"):
        SoftTargets.open(folder)


def test_every_message_is_one_line(folder):
    rewrite(folder, version=2)
    with pytest.raises(ValueError) as error:
        SoftTargets.open(folder)
    assert "\n" not in str(error.value)


def test_unknown_ids_are_refused_by_number_and_name(folder, data):
    unknown = sorted(set(range(1000)) - set(data[1].tolist()))[:5]
    with pytest.raises(ValueError, match=f"no answer for 5 of the ids, such as \\{unknown[:3]}".replace("]", "\\]")):
        SoftTargets.open(folder).lookup([*data[1][:7], *unknown, unknown[0]])


def test_inputs_are_compared_by_id(folder, data):
    soft_targets, (inputs, example_id) = SoftTargets.open(folder), data
    order = np.random.default_rng(1).permutation(100)[:40]
    shuffled = {name: column[order] for name, column in inputs.items()}
    soft_targets.check_inputs(example_id[order], shuffled)
    soft_targets.check_inputs(example_id[order], {"price": shuffled["price"], "age": np.zeros(40)})
    with pytest.raises(ValueError, match="The input 'price' of 40 of 40 examples, such as id .* ask a live teacher"):
        soft_targets.check_inputs(example_id[order], {**shuffled, "price": shuffled["price"][:, ::-1]})
    one_shop_else = shuffled["shop"].copy()
    one_shop_else[7] += 1
    with pytest.raises(ValueError, match=f"The input 'shop' of 1 of 40 examples, such as id {example_id[order][7]},"):
        soft_targets.check_inputs(example_id[order], {**shuffled, "shop": one_shop_else})
    with pytest.raises(ValueError, match=r"the names \['age'\], those of the teacher were \['price', 'shop'\]"):
        soft_targets.check_inputs(example_id[order], {"age": np.zeros(40)})
