import pytest

from tfdistill.data import movielens_100k
from tfdistill.errors import UserError

GENRES = 19


def movie(number, title, date, *flags):
    return f"{number}|{title}|{date}||http://x|" + "|".join("1" if n in flags else "0" for n in range(GENRES)) + "\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "u.data").write_text("1\t20\t5\t881250949\n2\t10\t3\t891717742\n1\t10\t1\t878887116\n")
    (tmp_path / "u.user").write_text("1|24|M|technician|85711\n2|53|F|other|T8H1N\n")
    movies = movie(10, "Caf\xe9 (1995)", "01-Jan-1995", 3, 5) + movie(20, "unknown", "", 0)
    (tmp_path / "u.item").write_bytes(movies.encode("latin-1"))
    return tmp_path


def test_ratings_above_3_are_positive_and_rating_3_is_left_out(folder):
    read = movielens_100k(folder)
    assert read.user.tolist() == [1, 1] and read.item.tolist() == [20, 10] and read.label.tolist() == [1, 0]
    assert read.time.tolist() == [881250949, 878887116] and read.time_scope == "global"
    assert read.example_id.tolist() == [0, 2]


def test_every_rating_or_those_from_a_number_on_may_be_choices(folder):
    assert movielens_100k(folder, labels="all").label.tolist() == [1, 1, 1]
    assert movielens_100k(folder, labels=3).label.tolist() == [1, 1, 0]
    for wrong in ("some", True, None):
        with pytest.raises(ValueError, match="`labels`, expected 'clicks', 'all' or a number"):
            movielens_100k(folder, labels=wrong)


def test_features_come_from_their_columns(folder):
    read = movielens_100k(folder)
    assert read.users.loc[1].to_dict() == {"gender": "M", "age": 24, "occupation": "technician"}
    assert read.items["release_year"][10] == 1995 and read.items["release_year"].isna().tolist() == [False, True]
    # Columns of u.item from the sixth on: unknown, Action, Adventure, Animation, Children's, Comedy, ...
    assert read.items["genres"].tolist() == [["Animation", "Comedy"], ["unknown"]]


@pytest.mark.parametrize(
    "name, line, number",
    [("u.data", "1\tx\t3\t4", 4), ("u.data", "1\t2\t3", 4), ("u.user", "3|M|5", 3), ("u.item", "30|Up|1|0", 3)],
)
def test_a_damaged_line_is_named(folder, name, line, number):
    with open(folder / name, "a") as file:
        file.write(line + "\n")
    with pytest.raises(UserError, match=f"{name}: line {number} is not of the form"):
        movielens_100k(folder)


def test_a_missing_file_is_named(folder):
    (folder / "u.user").unlink()
    with pytest.raises(UserError, match="no u.user in .*pass the folder of ml-100k"):
        movielens_100k(folder)


def test_real_movielens_100k_has_the_counts_of_its_readme(shared_data):
    read = movielens_100k(shared_data("ml-100k"), labels="all")
    assert len(read) == 100_000 and len(read.users) == 943 and len(read.items) == 1_682
    # 27,145 ratings are 3; 34,174 are 4 and 21,201 are 5.
    clicks = movielens_100k(shared_data("ml-100k"))
    assert len(clicks) == 100_000 - 27_145 and clicks.label.sum() == 34_174 + 21_201
    assert read.items["genres"][1] == ["Animation", "Children's", "Comedy"]  # Toy Story
