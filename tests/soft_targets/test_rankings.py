import types

import numpy as np
import pytest

from tfdistill.data.implicit import ImplicitDataset
from tfdistill.errors import UserError
from tfdistill.evaluation import dot_scores
from tfdistill.soft_targets import (
    Rankings,
    rank_items,
    rank_users,
    split_fingerprint,
    vectors_fingerprint,
    write_rankings,
)


@pytest.fixture(scope="module")
def dataset():
    random = np.random.default_rng(1)
    pairs = [(user, item) for user in range(15) for item in random.choice(40, 5, replace=False)]
    return ImplicitDataset(15, 40, {"train": pairs[0::2], "validation": pairs[1::4], "test": pairs[3::4]})


@pytest.fixture(scope="module")
def vectors():
    random = np.random.default_rng(2)
    return random.normal(size=(15, 6)).astype("float32"), random.normal(size=(40, 6)).astype("float32")


def best(scores, left_out, k):
    """By plain sorting, the lower number first where scores are equal."""
    return [number for number in np.argsort(-scores, kind="stable") if number not in left_out][:k]


@pytest.mark.parametrize("exclude", [("train",), ("train", "validation"), ()])
@pytest.mark.parametrize("k", [1, 3, 20])
def test_the_best_items_of_every_user_without_those_left_out(dataset, vectors, exclude, k):
    scores = vectors[0] @ vectors[1].T
    rankings = rank_items(dot_scores(*vectors), dataset, k, exclude, batch_size=4)
    for user in range(15):
        left_out = {item for part in exclude for other, item in dataset.pairs[part].tolist() if other == user}
        expected = best(scores[user], left_out, k)
        assert rankings.items[user].tolist() == expected
        np.testing.assert_allclose(rankings.scores[user], scores[user, expected], rtol=1e-5, atol=1e-6)
    assert rankings.items.dtype == np.int32 and rankings.scores.dtype == np.float32


def test_of_equal_scores_the_lower_number_comes_first(dataset):
    scores = np.random.default_rng(3).integers(0, 3, (15, 40))
    rankings = rank_items(lambda users: scores[users], dataset, 12, exclude="train")
    for user in range(15):
        left_out = set(dataset.lists("train").of(user).tolist())
        assert rankings.items[user].tolist() == best(scores[user], left_out, 12)


def test_the_best_users_of_every_item(dataset, vectors):
    scores = vectors[1] @ vectors[0].T
    rankings = rank_users(dot_scores(*vectors).swapped(), dataset, 4)
    for item in range(40):
        left_out = {user for user, other in dataset.pairs["train"].tolist() if other == item}
        assert rankings.items[item].tolist() == best(scores[item], left_out, 4)
    assert (rankings.side, len(rankings), rankings.k) == ("item", 40, 4)


def test_a_saved_ranking_comes_back_as_it_was(dataset, vectors, tmp_path):
    rankings = rank_items(dot_scores(*vectors), dataset, 7, exclude=("train", "validation"))
    rankings.save(tmp_path / "rankings.npz")
    back = Rankings.load(tmp_path / "rankings.npz", dataset=dataset, teacher=dot_scores(*vectors))
    assert (back.items == rankings.items).all() and (back.scores == rankings.scores).all()
    described = ("side", "exclude", "split", "teacher", "k")
    assert all(getattr(back, name) == getattr(rankings, name) for name in described)
    assert [path.name for path in tmp_path.iterdir()] == ["rankings.npz"]


def test_the_same_vectors_are_the_same_teacher_in_whatever_form(dataset, vectors, tmp_path):
    rank_items(dot_scores(*vectors), dataset, 3).save(tmp_path / "rankings.npz")
    pair = types.SimpleNamespace(user=vectors[0], item=vectors[1])
    assert Rankings.load(tmp_path / "rankings.npz", teacher=pair).teacher == vectors_fingerprint(*vectors)


def test_rankings_of_another_split_or_teacher_are_refused(dataset, vectors, tmp_path):
    path = tmp_path / "rankings.npz"
    rank_items(dot_scores(*vectors), dataset, 3).save(path)
    train = dataset.pairs["train"].copy()
    train[0], test = dataset.pairs["test"][0], dataset.pairs["test"].copy()
    test[0] = dataset.pairs["train"][0]
    other = ImplicitDataset(15, 40, {**dataset.pairs, "train": train, "test": test}, source="clicks.csv")
    with pytest.raises(UserError, match="made for another split: .* that of clicks.csv"):
        Rankings.load(path, dataset=other)
    with pytest.raises(UserError, match="are those of another teacher"):
        Rankings.load(path, teacher=dot_scores(vectors[0] + 1, vectors[1]))
    with pytest.raises(UserError, match="that of this teacher 'ranker 2'"):
        Rankings.load(path, fingerprint="ranker 2")
    with pytest.raises(ValueError, match="`teacher` or `fingerprint`, not both"):
        Rankings.load(path, teacher=dot_scores(*vectors), fingerprint="a")


def test_rankings_of_an_unknown_teacher_do_not_pass_for_a_known_one(dataset, vectors, tmp_path):
    scores = vectors[0] @ vectors[1].T
    rank_items(lambda users: scores[users], dataset, 3).save(tmp_path / "rankings.npz")
    assert Rankings.load(tmp_path / "rankings.npz", dataset=dataset).teacher is None
    with pytest.raises(UserError, match="its fingerprint is unknown"):
        Rankings.load(tmp_path / "rankings.npz", teacher=dot_scores(*vectors))


@pytest.mark.parametrize("damage", ["cut", "changed", "text", "other", "absent"])
def test_damaged_files_are_refused(dataset, vectors, tmp_path, damage):
    path = tmp_path / "rankings.npz"
    rank_items(dot_scores(*vectors), dataset, 20).save(path)
    content = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "changed":
        content[len(content) // 3] ^= 255
        path.write_bytes(content)
    elif damage == "text":
        path.write_text("no rankings")
    elif damage == "other":
        np.savez(path, items=np.zeros((2, 2)), scores=np.zeros((2, 2)))
    else:
        path.unlink()
    with pytest.raises(UserError, match="damaged|no file of rankings|No rankings at|checksum"):
        Rankings.load(path)


def test_arrays_exchanged_for_others_are_refused(dataset, vectors, tmp_path):
    path = tmp_path / "rankings.npz"
    rankings = rank_items(dot_scores(*vectors), dataset, 3)
    rankings.save(path)
    with np.load(path) as file:
        manifest = file["manifest"]
    np.savez(path, items=rankings.items[:, ::-1], scores=rankings.scores, manifest=manifest)
    with pytest.raises(UserError, match="its checksum is wrong"):
        Rankings.load(path)


def test_a_teacher_ranks_a_split_once(dataset, vectors, tmp_path):
    calls, score = [], dot_scores(*vectors)

    def counted(users):
        calls.append(len(users))
        return score(users)

    path = tmp_path / "rankings.npz"
    first = write_rankings(path, counted, dataset, 6, teacher=score)
    assert sum(calls) == 15
    again = write_rankings(path, counted, dataset, 4, teacher=score)
    assert sum(calls) == 15 and (again.items == first.items[:, :4]).all()
    with pytest.raises(UserError, match="hold 6 places by user without .*, asked for are 7 by user"):
        write_rankings(path, counted, dataset, 7, teacher=score)
    with pytest.raises(UserError, match="asked for are 3 by item"):
        write_rankings(path, counted, dataset, 3, teacher=score, side="item")
    with pytest.raises(UserError, match="another teacher"):
        write_rankings(path, counted, dataset, 3, fingerprint="another")
    with pytest.raises(ValueError, match="`fingerprint` is needed for a teacher that is a plain callable"):
        write_rankings(tmp_path / "other.npz", counted, dataset, 3)


def test_a_k_that_would_leave_places_empty_is_refused(dataset, vectors):
    score = dot_scores(*vectors)
    with pytest.raises(ValueError, match="from 1 to the number of items, 40. Received: k=41"):
        rank_items(score, dataset, 41)
    with pytest.raises(ValueError, match="from 1 to the number of users, 15. Received: k=0"):
        rank_users(score.swapped(), dataset, 0)
    most = dataset.lists("train").lengths.max()
    assert rank_items(score, dataset, 40 - most).k == 40 - most
    with pytest.raises(
        UserError, match=f"has {40 - most} items left once those of train are out, fewer than k={41 - most}"
    ):
        rank_items(score, dataset, 41 - most)
    with pytest.raises(UserError, match="nan for item 0 and user 0"):
        rank_users(lambda items: np.full((len(items), 15), np.nan), dataset, 2)


def test_fewer_than_k_can_be_had_of_what_is_stored(dataset, vectors):
    rankings = rank_items(dot_scores(*vectors), dataset, 9)
    assert (rankings.top(4).items == rankings.items[:, :4]).all()
    with pytest.raises(ValueError, match="`k` must be from 1 to what is stored, 9. Received: k=10"):
        rankings.top(10)


def test_wrong_rankings_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"one shape \[rows, k\]"):
        Rankings(np.zeros((3, 2)), np.zeros((3, 4)))
    with pytest.raises(ValueError, match="`side` must be one of"):
        Rankings(np.zeros((3, 2)), np.zeros((3, 2)), side="users")
    with pytest.raises(ValueError, match="`path` must end with .npz"):
        Rankings(np.zeros((3, 2)), np.zeros((3, 2))).save(tmp_path / "rankings")


def test_a_split_is_known_by_its_pairs_and_by_the_order_of_time_where_there_is_one():
    pairs = {"train": [[0, 1], [0, 2], [1, 0]], "validation": [], "test": [[0, 0]]}
    turned = {**pairs, "train": [[1, 0], [0, 2], [0, 1]]}

    def fingerprint(pairs, items=3, **options):
        return split_fingerprint(ImplicitDataset(2, items, pairs, **options))

    assert fingerprint(pairs) == fingerprint(turned) != fingerprint(pairs, items=4)
    assert fingerprint(pairs, is_ordered=True) != fingerprint(turned, is_ordered=True)
    moved = {"train": [[0, 1], [1, 0]], "validation": [[0, 2]], "test": [[0, 0]]}
    assert fingerprint(moved) != fingerprint(pairs)
