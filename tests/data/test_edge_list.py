import numpy as np
import pytest

from tfdistill.data import movielens_100k, read_edges
from tfdistill.errors import UserError


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "edges.txt"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_two_columns_of_numbers_are_pairs_with_label_1(write):
    read = read_edges(write("1 10\n2\t11\n\n1  12\n"))
    assert read.user.tolist() == [1, 2, 1] and read.item.tolist() == [10, 11, 12]
    assert read.user.dtype == np.int64 and read.label.tolist() == [1, 1, 1] and read.time is None


@pytest.mark.parametrize("separator", [",", "::", ";", "\t", "|"])
def test_any_separator_parts_the_columns(write, separator):
    text = "".join(separator.join(row) + "\n" for row in (("1", "a", "5"), ("2", "b", "3")))
    read = read_edges(write(text), columns=("user", "item", "weight"), separator=separator, positive_above=3)
    assert (read.user.tolist(), read.item.tolist(), read.label.tolist()) == ([1, 2], ["a", "b"], [1, 0])


def test_columns_stand_in_any_order_may_be_passed_over_and_further_ones_are_ignored(write):
    path = write("9.5 x 7 3 more\n8 y 5 4 more\n")
    read = read_edges(path, columns=("time", None, "item", "user"))
    assert read.user.tolist() == [3, 4] and read.item.tolist() == [7, 5] and read.time.tolist() == [9.5, 8]


def test_lines_of_different_lengths_are_read_where_the_named_columns_are_there(write):
    read = read_edges(write("1 2\n1 3 extra words\n"))
    assert read.item.tolist() == [2, 3]


def test_whole_times_stay_integers(write):
    assert read_edges(write("1 2 881250949\n"), columns=("user", "item", "time")).time.dtype == np.int64


def test_ids_with_leading_zeros_stay_text(write):
    read = read_edges(write("1,007\n2,7\n"), separator=",")
    assert read.item.tolist() == ["007", "7"] and read.user.tolist() == [1, 2]


def test_quotes_are_letters_like_others(write):
    assert read_edges(write('1,"a\n2,b"\n'), separator=",").item.tolist() == ['"a', 'b"']


def test_lines_may_stand_in_the_order_of_time_and_a_header_may_be_passed_over(write):
    read = read_edges(write("user item\n5 2\n5 1\n"), is_ordered=True, skip_lines=1)
    assert read.time.tolist() == [0, 1] and read.time_scope == "global" and read.item.tolist() == [2, 1]


@pytest.mark.parametrize(
    "text, options, match",
    [
        ("1,2\n\n3\n", {"separator": ","}, r"line 3 is not of the form user item \('3'\)"),
        ("1,2\n3,\n", {"separator": ","}, "line 2 is not of the form"),
        ("1,2\n", {}, "line 1 is not of the form user item .*name `separator`"),
        ("1 2 3\n1 2 x\n", {"columns": ("user", "item", "weight")}, "'x' in the column of the weight .* at line 2"),
        ("1 2 3\n1 2 inf\n", {"columns": ("user", "item", "time")}, "'inf' in the column of the time .* at line 2"),
        ("", {}, "is empty"),
        ("\n\n", {}, "holds no pair"),
        ("a b\n", {"skip_lines": 1}, "holds no pair"),
        (b"1 \xff\n", {}, "not UTF-8"),
    ],
)
def test_what_is_no_edge_list_is_refused_with_its_line(write, text, options, match):
    with pytest.raises(UserError, match=match):
        read_edges(write(text), **options)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="no file .*none.txt"):
        read_edges(tmp_path / "none.txt")


@pytest.mark.parametrize(
    "options, match",
    [
        ({"columns": ("user", "weight")}, "expected 'user' and 'item' among them"),
        ({"columns": ("user", "item", "stars")}, "expected some of"),
        ({"columns": ("user", "item", "item")}, "each once"),
        ({"columns": "user item"}, "expected some of"),
        ({"positive_above": 3}, "`positive_above` without a weight"),
        ({"columns": ("user", "item", "time"), "is_ordered": True}, "expected one of them"),
    ],
)
def test_wrong_arguments_are_refused(write, options, match):
    with pytest.raises(ValueError, match=match):
        read_edges(write("1 2\n"), **options)


def test_movielens_100k_reads_as_an_edge_list_too(shared_data):
    folder = shared_data("ml-100k")
    edges = read_edges(folder / "u.data", columns=("user", "item", "weight", "time"), positive_above=3)
    expected = movielens_100k(folder, labels=4)
    for name in ("user", "item", "label", "time"):
        np.testing.assert_array_equal(getattr(edges, name), getattr(expected, name))
