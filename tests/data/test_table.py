import gzip

import numpy as np
import pandas
import pytest

from tfdistill.data import FeatureSpec, read_table
from tfdistill.errors import UserError

CLICKS = """user_id,item_id,clicked,age,tags,price,note
7,b1,1,young,new|red,2.5,x
7,b2,0,young,old,1.0,y
9,b1,0,old,new|red,2.5,z
"""
FEATURES = (
    FeatureSpec("age", of="user", kind="categorical"),
    FeatureSpec("tags", of="item", kind="bag"),
    FeatureSpec("cost", of="item", kind="numeric", column="price"),
    FeatureSpec("note", of="context", kind="categorical"),
)


@pytest.fixture
def write(tmp_path):
    def write(text, name="clicks.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def read(path, **options):
    return read_table(path, **({"user": "user_id", "item": "item_id", "label": "clicked"} | options))


def message(path, **options):
    with pytest.raises(UserError) as caught:
        read(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_ids_labels_and_features_are_read_as_they_are_written(write):
    interactions = read(write(CLICKS), features=FEATURES)
    assert interactions.user.tolist() == [7, 7, 9] and interactions.user.dtype == np.int64
    assert interactions.item.tolist() == ["b1", "b2", "b1"]
    assert interactions.label.tolist() == [1, 0, 0] and interactions.label.dtype == np.float32
    assert interactions.users["age"].to_dict() == {7: "young", 9: "old"}
    assert interactions.items["tags"].to_dict() == {"b1": ["new", "red"], "b2": ["old"]}
    assert interactions.items["cost"].to_dict() == {"b1": 2.5, "b2": 1.0}
    assert interactions.context["note"].tolist() == ["x", "y", "z"]
    assert interactions.example_id.tolist() == [0, 1, 2]


@pytest.mark.parametrize("name", ["clicks.tsv", "clicks.csv.gz", "clicks.tsv.gz", "clicks.parquet", "CLICKS.CSV"])
def test_every_format_gives_the_same_interactions(write, tmp_path, name):
    expected = read(write(CLICKS, "reference.csv"), features=FEATURES)
    if name.endswith(".parquet"):
        path = tmp_path / name
        frame = pandas.read_csv(tmp_path / "reference.csv")
        frame["tags"] = frame["tags"].str.split("|")
        frame.to_parquet(path)
    else:
        text = CLICKS.replace(",", "\t") if ".tsv" in name else CLICKS
        path = write(gzip.compress(text.encode()) if name.endswith(".gz") else text, name)
    found = read(path, features=FEATURES)
    for attribute in ("user", "item", "label"):
        assert getattr(found, attribute).tolist() == getattr(expected, attribute).tolist()
    for of in ("user", "item", "context"):
        assert found.frame(of).to_dict() == expected.frame(of).to_dict()


def test_a_rating_becomes_a_label_and_neutral_ratings_are_dropped_with_their_row_numbers_kept(write):
    path = write("user_id,item_id,stars\n1,1,5\n1,2,3\n2,1,4\n2,2,1\n")
    interactions = read(path, label=None, rating="stars", positive_above=3, drop_ratings=[3])
    assert interactions.label.tolist() == [1, 1, 0]
    assert interactions.example_id.tolist() == [0, 2, 3]


def test_a_label_may_be_written_true_and_false(write):
    assert read(write("user_id,item_id,clicked\n1,1,True\n1,2,false\n")).label.tolist() == [1, 0]
    text = message(write("user_id,item_id,clicked\n1,1,True\n1,2,maybe\n"))
    assert "'maybe' in column 'clicked' is not a number, at line 3" in text


def test_a_file_with_another_separator_than_its_name_says_is_told_which_one_it_needs(write):
    text = message(write("user_id;item_id;clicked\n1;1;1\n"))
    assert "no column 'user_id'" in text and "commas in .csv" in text


def test_ids_with_leading_zeros_stay_text_so_that_007_and_7_are_two_users(write):
    interactions = read(write("user_id,item_id,clicked\n007,1,1\n7,1,0\n"))
    assert interactions.user.tolist() == ["007", "7"]


def test_text_that_other_readers_take_for_missing_is_a_value(write):
    path = write("user_id,item_id,clicked,country\nNA,1,1,NA\nNone,1,0,None\n")
    interactions = read(path, features=[FeatureSpec("country", of="user", kind="categorical")])
    assert interactions.users["country"].tolist() == ["NA", "None"]


def test_times_may_be_numbers_or_dates(write):
    numbers = read(write("user_id,item_id,clicked,t\n1,1,1,30\n1,2,0,20\n"), time="t").time
    assert numbers.tolist() == [30, 20]
    dates = read(write("user_id,item_id,clicked,t\n1,1,1,2024-05-01 10:00:00\n1,2,0,2024-05-01\n"), time="t").time
    assert (dates[0] - dates[1]) == 10 * 3600 * 10**9


def test_an_empty_cell_that_a_feature_allows_is_kept_as_missing(write):
    path = write("user_id,item_id,clicked,age,tags\n1,1,1,20,a|b\n2,1,0,,a|b\n2,2,1,,\n")
    features = [
        FeatureSpec("age", of="user", kind="categorical", missing="unknown"),
        FeatureSpec("tags", of="item", kind="bag", missing="unknown"),
    ]
    interactions = read(path, features=features)
    assert interactions.users["age"].tolist() == [20, None]
    assert interactions.items["tags"].tolist() == [["a", "b"], None]


def test_a_missing_file_is_named_with_the_nearest_names(write):
    path = write(CLICKS)
    text = message(path.with_name("click.csv"))
    assert "no file" in text and "click.csv" in text and "nearest: clicks.csv" in text
    assert "no folder" in message(path.parent / "nowhere" / "clicks.csv")


def test_an_unknown_kind_of_file_is_refused_with_the_known_ones(write):
    assert ".csv.gz" in message(write(CLICKS, "clicks.xlsx"))


def test_empty_files_are_refused(write):
    assert "is empty" in message(write(""))
    assert "no rows" in message(write("user_id,item_id,clicked\n"))


def test_a_ragged_line_is_named_by_its_number_in_the_file(write):
    text = message(write("user_id,item_id,clicked\n1,1,1\n\n1,2\n"))
    assert "line 4 has 2 cells, the header has 3" in text
    assert "line 3 has 4 cells" in message(write("user_id,item_id,clicked\n1,1,1\n1,2,0,9\n"))


def test_lines_are_counted_through_quoted_line_breaks(write):
    text = message(write('user_id,item_id,clicked\n1,"a\nb",1\n1,2,maybe\n'))
    assert "'maybe' in column 'clicked' is not a number, at line 4" in text


def test_a_missing_column_is_named_with_the_nearest_and_all_names(write):
    text = message(write(CLICKS), user="userid")
    assert "no column 'userid'" in text and "Nearest: user_id" in text and "item_id, clicked" in text


def test_a_column_that_is_there_twice_is_refused(write):
    assert "'clicked' is there 2 times" in message(write("user_id,item_id,clicked,clicked\n1,1,1,0\n"))


def test_a_rating_that_is_no_number_is_named_with_line_and_value(write):
    path = write("user_id,item_id,stars\n1,1,5\n1,2,four\n2,1,N/A\n")
    text = message(path, label=None, rating="stars", positive_above=3)
    assert "'four' in column 'stars' is not a number, at line 3 (2 such values)" in text


def test_a_label_that_is_neither_0_nor_1_is_refused(write):
    text = message(write("user_id,item_id,clicked\n1,1,1\n1,2,5\n"))
    assert "must be 0 or 1, first 5 at line 3" in text and "rating" in text


def test_labels_of_one_class_are_refused(write):
    assert "all 2 labels from column 'clicked' are 1" in message(write("user_id,item_id,clicked\n1,1,1\n1,2,1\n"))
    path = write("user_id,item_id,stars\n1,1,5\n1,2,4\n")
    assert "change `positive_above` (3)" in message(path, label=None, rating="stars", positive_above=3)


def test_dropping_every_row_is_refused(write):
    path = write("user_id,item_id,stars\n1,1,3\n")
    assert "leaves no row" in message(path, label=None, rating="stars", positive_above=3, drop_ratings=[3])


def test_missing_labels_and_ids_are_named_with_line_and_count(write):
    text = message(write("user_id,item_id,clicked\n1,1,1\n1,2,\n1,3,0\n"))
    assert "1 value is missing in column 'clicked', first at line 3" in text
    text = message(write("user_id,item_id,clicked\n1,1,1\n,2,0\nNaN,3,0\n"))
    assert "2 ids are missing in column 'user_id', first at line 3" in text


def test_a_missing_feature_names_column_line_count_and_the_way_out(write):
    path = write("user_id,item_id,clicked,age\n1,1,1,20\n2,1,0,\n3,1,0,\n")
    text = message(path, features=[FeatureSpec("years", of="user", kind="numeric", column="age")])
    assert "2 values are missing in column 'age', first at line 3" in text
    assert "`missing: unknown` for the feature 'years'" in text


def test_a_numeric_feature_that_is_no_finite_number_is_named_with_its_line(write):
    path = write("user_id,item_id,clicked,price\n1,a,1,1.5\n1,a,0,1.5\n1,b,0,1e999\n")
    text = message(path, features=[FeatureSpec("price", of="item", kind="numeric")])
    assert "'1e999' in column 'price' is not a finite number, at line 4" in text


@pytest.mark.parametrize("kind, one, other", [("categorical", "20", "30"), ("bag", "a|b", "a"), ("numeric", "1", "2")])
def test_a_user_feature_that_changes_within_a_user_is_refused(write, kind, one, other):
    path = write(f"user_id,item_id,clicked,f\n1,1,1,{one}\n5,1,1,{one}\n5,2,0,{other}\n")
    text = message(path, features=[FeatureSpec("f", of="user", kind=kind)])
    assert f"user 5 has '{one}' at line 3 and '{other}' at line 4 (1 user differs)" in text
    assert "`of: context`" in text


def test_times_that_are_neither_numbers_nor_dates_are_named_with_their_line(write):
    path = write("user_id,item_id,clicked,t\n1,1,1,2024-05-01\n1,2,0,yesterday\n")
    assert "'yesterday' in column 't' is neither a number nor an ISO date, at line 3" in message(path, time="t")


def test_text_in_another_encoding_is_refused(write):
    assert "not UTF-8" in message(write("user_id,item_id,clicked\n1,caf\xe9,1\n".encode("latin-1")))


def test_a_damaged_archive_or_parquet_file_is_refused(write):
    whole = gzip.compress(CLICKS.encode() * 500)
    assert "cannot be read" in message(write(whole[: len(whole) // 2], "clicks.csv.gz"))
    assert "cannot be read" in message(write(b"PAR1 no parquet at all", "clicks.parquet"))


def test_parquet_rows_are_named_by_number_and_its_types_are_kept(tmp_path):
    path = tmp_path / "clicks.parquet"
    pandas.DataFrame({"user_id": ["1", "2"], "item_id": [3, 4], "clicked": [True, False]}).to_parquet(path)
    interactions = read(path)
    assert interactions.user.tolist() == ["1", "2"] and interactions.item.tolist() == [3, 4]
    assert interactions.label.tolist() == [1, 0]
    pandas.DataFrame({"user_id": [1, 2], "item_id": [3, 4], "clicked": [1, 7]}).to_parquet(path)
    assert "first 7 at row 2" in message(path)


def test_label_and_rating_exclude_each_other(write):
    path = write(CLICKS)
    assert "exactly one of label and rating" in message(path, rating="price", positive_above=2)
    assert "exactly one of label and rating" in message(path, label=None)
    assert "positive_above" in message(path, label=None, rating="price")
    assert "go with a rating column" in message(path, drop_ratings=[3])


def test_a_feature_with_a_reserved_or_repeated_name_is_refused(write):
    path = write(CLICKS)
    for name in ("user", "item", "context_row"):
        assert "rename that feature" in message(
            path, features=[FeatureSpec(name, of="context", kind="categorical", column="note")]
        )


def test_implicit_feedback_needs_no_label_and_takes_labels_of_one_class(write):
    rows = read(write(CLICKS), label=None, feedback="implicit")
    assert rows.label.tolist() == [1, 1, 1] and rows.user.tolist() == [7, 7, 9]
    assert read(write(CLICKS), label=None, rating="price", positive_above=9, feedback="implicit").label.tolist() == [
        0,
        0,
        0,
    ]
    with pytest.raises(UserError, match="exactly one of label and rating"):
        read(write(CLICKS), label=None)
    with pytest.raises(UserError, match="exactly one of label and rating"):
        read(write(CLICKS), rating="price", feedback="implicit")
    with pytest.raises(ValueError, match="`feedback`"):
        read(write(CLICKS), feedback="both")
