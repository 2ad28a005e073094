import hashlib
import http.client
import io
import sys
import urllib.error
import zipfile

import numpy as np
import pytest

from tfdistill.data import encode, movielens_1m, split
from tfdistill.errors import UserError

# `tfdistill.data.movielens` and `.download` as modules, whatever names the package exports.
MOVIELENS = sys.modules["tfdistill.data.movielens"]
DOWNLOAD = sys.modules["tfdistill.data.download"]

RATINGS = "1::10::5::978300019\n1::20::3::978300055\n2::10::1::978300999\n1::30::4::978300001\n2::30::2::978300998\n"
USERS = "1::F::1::10::48067\n2::M::56::16::70072\n"
MOVIES = "10::Toy Story (1995)::Animation|Comedy\n20::M (1931)::Crime\n30::Alien: Part 2 (1986)::Horror\n".encode(
    "latin-1"
)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "ml-1m"
    folder.mkdir()
    (folder / "ratings.dat").write_text(RATINGS)
    (folder / "users.dat").write_text(USERS)
    (folder / "movies.dat").write_bytes(MOVIES)
    return folder


def archive_of(folder):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for path in sorted(folder.iterdir()):
            file.write(path, f"ml-1m/{path.name}")
    return buffer.getvalue()


class Response(io.BytesIO):
    def __init__(self, content, fail_after=None):
        super().__init__(content)
        self.headers = {"Content-Length": str(len(content))}
        self.fail_after = fail_after

    def read(self, size=-1):
        if self.fail_after is not None and self.tell() >= self.fail_after:
            raise http.client.IncompleteRead(b"")
        return super().read(size)


@pytest.fixture
def serve(monkeypatch):
    """Makes urlopen answer with bytes or raise an error; returns the list of addresses asked for."""

    def serve(answer, **options):
        asked = []

        def urlopen(url, timeout):
            assert timeout > 0
            asked.append(url)
            if isinstance(answer, Exception):
                raise answer
            return Response(answer, **options)

        monkeypatch.setattr(DOWNLOAD.urllib.request, "urlopen", urlopen)
        return asked

    return serve


def test_real_movielens_has_739012_rows_and_the_seven_fields(shared_data):
    interactions = movielens_1m(shared_data("ml-1m"))
    assert len(interactions) == 739_012
    assert interactions.label.sum() == 575_281  # the ratings 4 and 5 counted in ratings.dat
    dataset = encode(interactions, split(interactions, seed=1))
    assert [field.name for field in dataset.fields] == [
        "user",
        "movie",
        "gender",
        "age",
        "occupation",
        "release_year",
        "genres",
    ]
    sizes = {field.name: field.size for field in dataset.fields}
    assert (sizes["gender"], sizes["age"], sizes["occupation"], sizes["genres"]) == (3, 8, 22, 19)
    assert sizes["user"] == 6041
    assert dataset.item_features["genres"].shape[1] == 6


def test_rating_3_is_left_out_above_is_positive_and_rows_follow_the_users_time(folder):
    interactions = movielens_1m(folder)
    assert interactions.user.tolist() == [1, 1, 2, 2]
    assert interactions.item.tolist() == [30, 10, 30, 10]
    assert interactions.label.tolist() == [1, 1, 0, 0]
    assert interactions.time.tolist() == [0, 1, 0, 1]
    assert interactions.example_id.tolist() == [3, 0, 4, 2]
    assert interactions.time_scope == "user"


def test_every_rating_or_those_from_a_number_on_may_be_choices(folder):
    every = movielens_1m(folder, labels="all")
    assert every.user.tolist() == [1, 1, 1, 2, 2] and every.item.tolist() == [30, 10, 20, 30, 10]
    assert every.label.tolist() == [1] * 5 and every.time.tolist() == [0, 1, 2, 0, 1]
    assert movielens_1m(folder, labels=3).label.tolist() == [1, 1, 1, 0, 0]


def test_year_comes_from_the_title_and_genres_are_a_bag(folder):
    items = movielens_1m(folder).items
    assert items["release_year"].to_dict() == {10: 1995, 20: 1931, 30: 1986}
    assert items["genres"][10] == ["Animation", "Comedy"]


def test_user_features_are_those_of_users_dat(folder):
    users = movielens_1m(folder).users
    assert users.loc[1].to_dict() == {"gender": "F", "age": 1, "occupation": 10}


@pytest.mark.parametrize("name", ["ratings.dat", "users.dat", "movies.dat"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(UserError, match=f"no {name} in"):
        movielens_1m(folder)


@pytest.mark.parametrize(
    "name, line, number",
    [
        ("ratings.dat", "1::x::5::9", 6),
        ("ratings.dat", "1::20::5", 6),
        ("users.dat", "3::M", 3),
        ("movies.dat", "4::Up::Comedy", 4),
    ],
)
def test_a_damaged_line_is_named(folder, name, line, number):
    with open(folder / name, "a") as file:
        file.write(line + "\n")
    with pytest.raises(UserError, match=f"{name}: line {number} is not of the form"):
        movielens_1m(folder)


def test_a_download_is_checked_unpacked_and_not_repeated(folder, tmp_path, serve, monkeypatch):
    content = archive_of(folder)
    monkeypatch.setattr(MOVIELENS, "MD5", hashlib.md5(content).hexdigest())
    asked, seen = serve(content), []
    cache = tmp_path / "cache"
    first = movielens_1m(cache=cache, progress=lambda done, total: seen.append((done, total)))
    again = movielens_1m(cache=cache)
    assert asked == ["https://files.grouplens.org/datasets/movielens/ml-1m.zip"]
    assert seen[-1] == (len(content), len(content))
    np.testing.assert_array_equal(first.user, again.user)
    assert sorted(path.name for path in (cache / "ml-1m").iterdir()) == ["movies.dat", "ratings.dat", "users.dat"]


def test_without_a_network_one_line_says_so_and_names_the_way_out(tmp_path, serve):
    serve(urllib.error.URLError("Name or service not known"))
    with pytest.raises(UserError) as caught:
        movielens_1m(cache=tmp_path)
    text = str(caught.value)
    assert "Name or service not known" in text and "--set data.path=FOLDER" in text and "\n" not in text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error", [TimeoutError("timed out"), urllib.error.HTTPError("u", 404, "Not Found", None, None)]
)
def test_timeouts_and_refusals_read_like_a_missing_network(tmp_path, serve, error):
    serve(error)
    with pytest.raises(UserError, match="cannot be downloaded"):
        movielens_1m(cache=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_changed_archive_is_refused_by_its_checksum_and_leaves_nothing(folder, tmp_path, serve):
    serve(archive_of(folder))
    cache = tmp_path / "cache"
    with pytest.raises(UserError, match="checksum .* expected c4d9eecfca2ab87c1945afe126590906"):
        movielens_1m(cache=cache)
    assert list(cache.iterdir()) == []


def test_a_connection_lost_half_way_leaves_nothing(tmp_path, serve):
    serve(bytes(200_000), fail_after=100_000)
    with pytest.raises(UserError, match="cannot be downloaded"):
        movielens_1m(cache=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_archive_without_the_files_is_refused(tmp_path, serve, monkeypatch):
    for content in (b"no archive", archive_of(tmp_path)):
        monkeypatch.setattr(MOVIELENS, "MD5", hashlib.md5(content).hexdigest())
        serve(content)
        with pytest.raises(UserError, match="cannot be unpacked"):
            movielens_1m(cache=tmp_path / "cache")
        assert list((tmp_path / "cache").iterdir()) == []
