import json

import numpy as np
import pandas
import pytest

from tfdistill.data import Dataset, FeatureSpec, Interactions, encode, split
from tfdistill.errors import UserError


@pytest.fixture
def dataset():
    random = np.random.default_rng(0)
    interactions = Interactions(
        user=random.integers(0, 20, 300),
        item=np.array(["é|1", "b", "ccc", "d"], object)[random.integers(0, 4, 300)],
        label=random.integers(0, 2, 300),
        users=pandas.DataFrame({"weight": random.normal(size=20)}, index=range(20)),
        items=pandas.DataFrame({"tags/1": [["x"], ["y", "x"], [], ["z"]]}, index=["é|1", "b", "ccc", "d"]),
        features=[FeatureSpec("weight", of="user", kind="numeric"), FeatureSpec("tags/1", of="item", kind="bag")],
    )
    return encode(interactions, split(interactions, seed=1))


def test_a_saved_data_set_comes_back_exactly(dataset, tmp_path):
    dataset.save(tmp_path / "data.npz")
    loaded = Dataset.load(tmp_path / "data.npz")
    for name in ("fields", "numeric", "unseen", "source"):
        assert getattr(loaded, name) == getattr(dataset, name)
    for name in ("user_row", "item_row", "label", "split", "user_ids", "item_ids", "example_id"):
        found, expected = getattr(loaded, name), getattr(dataset, name)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    for name in ("user_features", "item_features", "context", "vocabularies"):
        found, expected = getattr(loaded, name), getattr(dataset, name)
        assert list(found) == list(expected)
        for key in expected:
            assert found[key].dtype == expected[key].dtype
            np.testing.assert_array_equal(found[key], expected[key])
    for name, values in dataset.raw_inputs(np.arange(300)).items():
        np.testing.assert_array_equal(loaded.raw_inputs(np.arange(300))[name], values)


def test_equal_data_gives_equal_bytes_and_no_pickle(dataset, tmp_path):
    dataset.save(tmp_path / "one.npz")
    dataset.save(tmp_path / "two.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    with np.load(tmp_path / "one.npz", allow_pickle=False) as file:
        assert all(file[name].dtype.kind != "O" for name in file.files)


def test_a_file_cut_anywhere_is_refused_in_one_line(dataset, tmp_path):
    dataset.save(tmp_path / "whole.npz")
    whole = (tmp_path / "whole.npz").read_bytes()
    for share in (0, 0.001, 0.1, 0.5, 0.9, 0.99, 0.9999):
        (tmp_path / "cut.npz").write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(UserError, match="damaged or not a data set"):
            Dataset.load(tmp_path / "cut.npz")


def test_changed_bytes_are_refused_or_change_nothing(dataset, tmp_path):
    dataset.save(tmp_path / "whole.npz")
    whole = (tmp_path / "whole.npz").read_bytes()
    random = np.random.default_rng(1)
    for place in random.integers(0, len(whole), 60):
        changed = bytearray(whole)
        changed[place] ^= 0x5A
        (tmp_path / "changed.npz").write_bytes(changed)
        try:
            loaded = Dataset.load(tmp_path / "changed.npz")
        except UserError:
            continue
        np.testing.assert_array_equal(loaded.user_row, dataset.user_row)
        np.testing.assert_array_equal(loaded.label, dataset.label)


def test_a_missing_file_another_file_and_another_format_are_refused(dataset, tmp_path):
    with pytest.raises(UserError, match="There is no data set"):
        Dataset.load(tmp_path / "none.npz")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(UserError, match="damaged or not a data set"):
        Dataset.load(tmp_path / "other.npz")
    dataset.save(tmp_path / "data.npz")
    with np.load(tmp_path / "data.npz") as file:
        arrays = dict(file)
    structure = json.loads(arrays["structure"].tobytes()) | {"format": 99}
    arrays["structure"] = np.frombuffer(json.dumps(structure).encode(), np.uint8)
    np.savez(tmp_path / "newer.npz", **arrays)
    with pytest.raises(UserError, match="has format 99"):
        Dataset.load(tmp_path / "newer.npz")


def test_a_failed_save_leaves_the_old_file(dataset, tmp_path, monkeypatch):
    dataset.save(tmp_path / "data.npz")
    before = (tmp_path / "data.npz").read_bytes()

    def fail(path, **arrays):
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(OSError, match="No space left"):
        dataset.save(tmp_path / "data.npz")
    assert (tmp_path / "data.npz").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["data.npz"]


def test_the_name_must_end_in_npz(dataset, tmp_path):
    with pytest.raises(ValueError, match="ends in .npz"):
        dataset.save(tmp_path / "data.bin")


def test_rows_of_the_parts_are_disjoint_and_complete(dataset):
    rows = np.concatenate([dataset.rows(part) for part in ("train", "validation", "test")])
    assert sorted(rows) == list(range(300))
    with pytest.raises(ValueError, match="`part`"):
        dataset.rows("holdout")


def test_the_summary_counts_what_is_there(dataset):
    summary = json.loads(json.dumps(dataset.summary()))
    assert (summary["rows"], summary["train"], summary["validation"], summary["test"]) == (300, 240, 30, 30)
    assert (summary["users"], summary["items"]) == (20, 4)
    assert summary["positive_share"] == pytest.approx(dataset.label.sum() / 300)
    assert [field["name"] for field in summary["fields"]] == ["user", "item", "weight", "tags/1"]
