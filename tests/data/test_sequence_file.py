import json

import numpy as np
import pytest

from tfdistill.data import implicit, read_sequences
from tfdistill.errors import UserError


@pytest.fixture
def write(tmp_path):
    def write(text, name="sequences.txt"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_each_line_is_a_user_and_its_items_in_order(write):
    read = read_sequences(write("7 30 10 20\n\n9 10\n8\n"))
    assert read.user.tolist() == [7, 7, 7, 9] and read.item.tolist() == [30, 10, 20, 10]
    assert read.time.tolist() == [0, 1, 2, 0] and read.time_scope == "user"
    assert read.label.tolist() == [1, 1, 1, 1] and read.item.dtype == np.int64


def test_ids_may_be_words_and_a_separator_may_be_named(write):
    read = read_sequences(write("anna, b 1, b2 ,\nbob,b2\n"), separator=",")
    assert read.user.tolist() == ["anna", "anna", "bob"] and read.item.tolist() == ["b 1", "b2", "b2"]


def test_attributes_become_a_bag_and_items_without_have_none(write):
    attributes = write(json.dumps({"1": [5, 6], "3": [6], "9": [7]}), "attributes.json")
    read = read_sequences(write("1 1 2 3\n"), attributes=attributes)
    data = implicit(read, "leave_one_out")
    assert data.item_fields[0].kind == "bag"
    assert data.vocabularies["attributes"].tolist() == [5, 6]
    assert data.item_features["attributes"].tolist() == [[1, 2], [0, 0], [2, 0]]


@pytest.mark.parametrize(
    "text, match",
    [
        ("", "no line holds a user and an item"),
        ("1\n2\n", "no line holds a user and an item"),
        ("1 5\n2 6\n\n1 7\n", "user '1' has the lines 1 and 4; join them.* read by `read_edges`"),
        (b"1 \xff\n", "not UTF-8"),
    ],
)
def test_what_is_no_sequence_file_is_refused(write, text, match):
    with pytest.raises(UserError, match=match):
        read_sequences(write(text))


def test_missing_files_and_attributes_that_are_none_are_named(write, tmp_path):
    with pytest.raises(UserError, match="no file .*none.txt"):
        read_sequences(tmp_path / "none.txt")
    sequences = write("1 2 3\n")
    with pytest.raises(UserError, match="attributes.json: not JSON"):
        read_sequences(sequences, attributes=write("{", "attributes.json"))
    with pytest.raises(UserError, match=r"expected an object \{item: \[attribute, ...\]\}"):
        read_sequences(sequences, attributes=write('{"2": 1}', "attributes.json"))


def test_beauty_has_the_rows_that_its_readme_counts(shared_data):
    folder = shared_data("beauty")
    read = read_sequences(folder / "Beauty.txt", attributes=folder / "Beauty_item2attributes.json")
    assert len(read) == 198_502
    assert len(np.unique(read.user)) == 22_363 and len(np.unique(read.item)) == 12_101
    attributes = json.loads((folder / "Beauty_item2attributes.json").read_text())
    assert read.items["attributes"][4] == attributes["4"] == [1, 2, 3]
