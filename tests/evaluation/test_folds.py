import numpy as np
import pytest

from tfdistill.data import Interactions, implicit
from tfdistill.data.implicit import PARTS, ImplicitDataset
from tfdistill.evaluation import k_folds


def make_dataset():
    random = np.random.default_rng(2)
    pairs = [(user, item) for user in range(20) for item in random.choice(40, 4 + user % 5, replace=False)]
    pairs = np.array(pairs)[random.permutation(len(pairs))]
    return ImplicitDataset(
        20, 40, {"train": pairs[:60], "validation": pairs[60:80], "test": pairs[80:]}, is_ordered=True
    )


def as_set(pairs):
    return {tuple(pair) for pair in pairs.tolist()}


@pytest.mark.parametrize("folds", [3, 5])
def test_every_pair_is_tested_once_and_validates_once_and_no_pair_is_in_two_parts(folds):
    data = make_dataset()
    everything = set().union(*(as_set(data.pairs[part]) for part in PARTS))
    made = k_folds(data, folds, seed=1)
    assert len(made) == folds
    for part in ("validation", "test"):
        dealt = [as_set(fold.pairs[part]) for fold in made]
        assert set().union(*dealt) == everything and sum(map(len, dealt)) == len(everything)
        assert max(map(len, dealt)) - min(map(len, dealt)) <= 1
    for fold in made:
        parts = [as_set(fold.pairs[part]) for part in PARTS]
        assert sum(map(len, parts)) == len(everything) == len(set().union(*parts))
        assert not fold.is_ordered


def test_the_pairs_of_every_user_are_dealt_evenly():
    for fold in k_folds(make_dataset(), 4):
        tested = fold.lists("test").lengths
        everything = fold.lists(*PARTS).lengths
        assert (tested >= everything // 4).all() and (tested <= -(-everything // 4)).all()


def test_folds_depend_on_the_seed_alone():
    data = make_dataset()
    one, same, other = (k_folds(data, 3, seed)[0].pairs["test"].tolist() for seed in (1, 1, 2))
    assert one == same != other


def test_folds_of_interactions_are_parts_for_a_given_split():
    random = np.random.default_rng(0)
    user, item = np.divmod(random.choice(400, 120, replace=False), 20)
    interactions = Interactions(user=user, item=item, label=np.ones(120))
    folds = k_folds(interactions, 4)
    assert (np.sum([parts == 2 for parts in folds], axis=0) == 1).all()
    data = implicit(interactions, split="given", given=folds[1])
    assert len(data.pairs["test"]) == (folds[1] == 2).sum()


def test_rows_of_the_same_pair_stay_together():
    interactions = Interactions(
        user=np.array(["a", "a", "b", "a", "b", "c"]), item=np.array([7, 8, 7, 7, 9, 7]), label=np.ones(6)
    )
    for parts in k_folds(interactions, 4):
        assert parts[0] == parts[3]


def test_wrong_arguments_are_refused():
    for folds in (2, 2.5, True, 10_000):
        with pytest.raises(ValueError, match="`folds` must be a whole number from 3 to the number of pairs"):
            k_folds(make_dataset(), folds)
    with pytest.raises(ValueError, match="`data` must be Interactions or an ImplicitDataset. Received: list"):
        k_folds([1, 2], 3)
