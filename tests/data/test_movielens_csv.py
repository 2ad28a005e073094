import pytest

from tfdistill.data import implicit, movielens_csv
from tfdistill.errors import UserError

RATINGS = "userId,movieId,rating,timestamp\n1,20,4.5,1000\n1,10,3.0,900\n2,10,0.5,800\n2,20,3.5,700\n"
MOVIES = (
    'movieId,title,genres\n10,"American President, The (1995)",Comedy|Drama|Romance\n20,Cosmos,(no genres listed)\n'
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "ratings.csv").write_text(RATINGS)
    (tmp_path / "movies.csv").write_text(MOVIES)
    return tmp_path


def test_ratings_in_halves_above_3_are_positive_and_rating_3_is_left_out(folder):
    read = movielens_csv(folder)
    assert read.user.tolist() == [1, 2, 2] and read.item.tolist() == [20, 10, 20]
    assert read.label.tolist() == [1, 0, 1] and read.time.tolist() == [1000, 800, 700]
    assert read.example_id.tolist() == [0, 2, 3] and read.time_scope == "global"


def test_every_rating_or_those_from_a_number_on_may_be_choices(folder):
    assert movielens_csv(folder, labels="all").label.tolist() == [1, 1, 1, 1]
    assert movielens_csv(folder, labels=3.5).label.tolist() == [1, 0, 0, 1]


def test_year_and_genres_come_from_movies_csv_where_they_are(folder):
    items = movielens_csv(folder).items
    assert items["release_year"][10] == 1995 and items["release_year"].isna().tolist() == [False, True]
    assert items["genres"].tolist() == [["Comedy", "Drama", "Romance"], []]
    data = implicit(movielens_csv(folder, labels="all"), "given", given=[0, 0, 0, 2])
    assert data.item_features["genres"].tolist() == [[1, 2, 3], [0, 0, 0]]
    assert data.item_features["release_year"].tolist() == [1, 0]


@pytest.mark.parametrize("line", ["3,x,5,9", "3,4,5", "3,4,,9", "3,4,5,9,9", "3,4,nan,9"])
def test_a_damaged_line_of_ratings_is_named(folder, line):
    (folder / "ratings.csv").write_text(RATINGS + line + "\n")
    with pytest.raises(UserError, match="ratings.csv: line 6 is not of the form userId,movieId,rating,timestamp"):
        movielens_csv(folder)


def test_a_file_without_its_header_or_a_missing_one_is_named(folder):
    (folder / "movies.csv").write_text("id,title,genres\n1,Up,Drama\n")
    with pytest.raises(UserError, match="movies.csv: no column 'movieId'"):
        movielens_csv(folder)
    (folder / "ratings.csv").write_text("1,20,4.5,1000\n")
    with pytest.raises(UserError, match="ratings.csv"):
        movielens_csv(folder)
    (folder / "movies.csv").unlink()
    with pytest.raises(UserError, match="no movies.csv in .*pass the folder of MovieLens"):
        movielens_csv(folder)


def test_a_release_that_cannot_be_downloaded_is_refused(folder):
    with pytest.raises(ValueError, match="`release`.*ml-25m.*Received: 'latest'"):
        movielens_csv(folder, release="latest")
