"""Full ranking: every item that a user may get, ranked, and what the user chose looked up in the list."""

import dataclasses

import numpy as np

from tfdistill._scores import ScoreBatches, check_lengths, check_parts, entries
from tfdistill.data.implicit import PARTS
from tfdistill.data.popularity import popularity_groups, self_information
from tfdistill.errors import UserError
from tfdistill.evaluation.list_metrics import LIST_METRICS, list_metrics, reciprocal_rank, tie_groups


@dataclasses.dataclass(frozen=True, eq=False)
class RankingEvaluation:
    """What `evaluate_ranking` found. `evaluation["recall@50"]` is `evaluation.metrics["recall@50"]`.

    Attributes:
        metrics: {"recall@k", "precision@k", "hit_rate@k", "ndcg@k", "map@k", "novelty@k", "coverage@k" for every k, "mrr"}
            -> float; all but coverage are means of `per_user`.
        per_user: {metric: float64 [n]}, of all but coverage.
        users: int32 [n], the users that were evaluated.
        popularity_groups: a dict a group, the most popular first, the last that of items without a training pair where there
            are any: "items", "training_share", "relevant" (pairs of the part), "users" (who have such a pair), and for every k
            "recall@k" (mean over these users; `None` without any) and "share@k" (of the places in all lists).
        counts: {"users", "users_left_out", "items", "items_unseen_in_training", "relevant", "relevant_unseen_in_training"}.
        part, exclude, k: as evaluated.
    """

    metrics: dict
    per_user: dict
    users: np.ndarray
    popularity_groups: list
    counts: dict
    part: str
    exclude: tuple
    k: tuple

    def __getitem__(self, metric):
        return self.metrics[metric]

    def to_dict(self):
        """All but the values by user, for a JSON file."""
        values = {"part": self.part, "exclude": list(self.exclude), "k": list(self.k), "counts": self.counts}
        return values | {"metrics": self.metrics, "popularity_groups": self.popularity_groups}


def evaluate_ranking(
    score,
    dataset,
    part="test",
    exclude=("train", "validation"),
    k=(5, 10, 20, 50),
    batch_size=None,
    groups=4,
    progress=None,
):
    """Ranks all items for every user and measures where those stand that the user chose.

    An item is relevant to a user who has the pair in `part`. The list holds all items of the catalogue but the user's own in
    the parts of `exclude`. Users without a relevant item are left out, of every metric, and counted.

    | metric | of a user's first k places |
    |---|---|
    | recall@k | relevant items in the list / relevant items |
    | precision@k | relevant items in the list / k |
    | hit_rate@k | 1 where there is one |
    | ndcg@k | Σ rel(i) / log2(1 + i), over that of the best order: gains 0 and 1 |
    | map@k | Σ rel(i) precision@i / min(relevant items, k) |
    | mrr | 1 / place of the first relevant item, however far down |
    | novelty@k | mean of -log2(training users of the item / users): bits of surprise |
    | coverage@k | share of the catalogue that is in any list |

    Ties: every value is the expected one where equally scored items are put in random order, users independently of each
    other. A model that scores all items alike gets what chance gives, and neither the order of the items nor luck counts.

    A user with fewer than k items left has a shorter list; precision still divides by k.

    Sources: ndcg "Cumulated gain-based evaluation of IR techniques", Järvelin and Kekäläinen, TOIS 2002; ties "Computing
    information retrieval performance measures efficiently in the presence of tied scores", McSherry and Najork, ECIR 2008;
    full ranking "On Sampled Metrics for Item Recommendation", Krichene and Rendle, KDD 2020.

    Args:
        score: users int32 [b] -> numbers [b, items], higher is better; `dot_scores` and `pair_scores` make one. Scores in
            float64 are compared as such.
        dataset: `ImplicitDataset`.
        part: the part whose pairs are relevant.
        exclude: parts whose items are left out of a user's list. For validation ("train",). Some published code leaves
            validation items in when it tests: there, ("train",) too.
        k: lengths of the list, one or several.
        batch_size: users at a time; `None` for about eight million scores.
        groups: how many groups of equal training mass the items are sorted into, see `popularity_groups`.
        progress: called as (users done, users in all) after every batch.

    Returns: `RankingEvaluation`.

    Raises:
        ValueError: for a k below 1 or above the number of items, for parts that are none, for scores of another shape.
        UserError: for scores that are NaN or infinite, and where no user has a relevant item.

    >>> data = ImplicitDataset(2, 4, {"train": [[0, 0], [1, 1]], "validation": [], "test": [[0, 2], [1, 3]]})
    >>> score = lambda users: numpy.array([[9.0, 1.0, 3.0, 2.0], [4.0, 9.0, 3.0, 3.0]])[users]
    >>> evaluation = evaluate_ranking(score, data, k=(1, 2))
    >>> evaluation["recall@1"], evaluation["recall@2"]  # the first user's is first, the second's shares places 2 and 3
    (0.5, 0.75)
    """
    lengths = check_lengths(k, dataset.items, "number of items")
    (part,) = check_parts("part", part, PARTS)
    exclude = check_parts("exclude", exclude, PARTS)
    if part in exclude:
        raise ValueError(f"`exclude` must not hold the evaluated part {part!r}. Received: exclude={exclude}")
    relevant = dataset.lists(part)
    users = np.flatnonzero(relevant.lengths).astype(np.int32)
    if not len(users):
        raise UserError(f"{dataset.source}: no user has an item in the {part} part, there is nothing to evaluate.")
    tally = _Tally(dataset, relevant, lengths, groups)
    excluded = dataset.lists(*exclude) if exclude else None
    for batch in ScoreBatches(score, users, dataset.items, lengths[-1], excluded, batch_size, progress):
        tally.add(batch)
    return tally.result(users, part, exclude)


class _Tally:
    """Adds up what the batches give."""

    def __init__(self, dataset, relevant, k, groups):
        self._items, self._relevant, self._k = dataset.items, relevant, k
        self._training = dataset.item_counts()
        self._group = popularity_groups(self._training, groups)
        self._groups = int(max(self._group.max() + 1, groups))
        self._users_in_all = dataset.users
        self._information = self_information(self._training, dataset.users)
        self._parts = []
        self._in_no_list = {k: np.ones(self._items) for k in k}
        self._places = {k: np.zeros(self._groups) for k in k}
        self._group_recall = {k: np.zeros(self._groups) for k in k}
        self._group_users = np.zeros(self._groups, np.int64)

    def add(self, batch):
        count = len(batch.users)
        row, item = entries(self._relevant, batch.users)
        mask = np.zeros((count, self._items), bool)
        mask[row, item] = True
        places = batch.places()
        is_relevant = mask[places.row, places.column]
        groups, totals = tie_groups(places, is_relevant), np.bincount(row, minlength=count)
        values = {"mrr": _reciprocal_rank(batch, row, item)}

        cell = row * self._groups + self._group[item]
        wanted = np.bincount(cell, minlength=count * self._groups)
        self._group_users += np.count_nonzero(wanted.reshape(count, -1), axis=0)
        found_cell = places.row[is_relevant] * self._groups + self._group[places.column[is_relevant]]
        for k in self._k:
            measured = list_metrics(groups, totals, k)
            values |= {f"{name}@{k}": measured[name] for name in LIST_METRICS}
            chance = places.chance(k)
            surprise = np.bincount(places.row, chance * self._information[places.column], count)
            values[f"novelty@{k}"] = surprise / np.bincount(places.row, chance, count)
            np.multiply.at(self._in_no_list[k], places.column, 1 - chance)
            self._places[k] += np.bincount(self._group[places.column], chance, self._groups)
            found = np.bincount(found_cell, chance[is_relevant], count * self._groups)
            self._group_recall[k] += (found / np.maximum(wanted, 1)).reshape(count, -1).sum(0)
        self._parts.append(values)

    def result(self, users, part, exclude):
        per_user = {name: np.concatenate([values[name] for values in self._parts]) for name in self._parts[0]}
        metrics = {name: float(values.mean()) for name, values in per_user.items()}
        metrics |= {f"coverage@{k}": float(1 - self._in_no_list[k].mean()) for k in self._k}
        unseen = self._training == 0
        counts = {
            "users": len(users),
            "users_left_out": self._users_in_all - len(users),
            "items": self._items,
            "items_unseen_in_training": int(unseen.sum()),
            "relevant": len(self._relevant.items),
            "relevant_unseen_in_training": int(unseen[self._relevant.items].sum()),
        }
        groups = [self._group_result(number) for number in range(self._groups)]
        return RankingEvaluation(metrics, per_user, users, groups, counts, part, exclude, self._k)

    def _group_result(self, number):
        users, member = int(self._group_users[number]), self._group == number
        result = {
            "items": int(member.sum()),
            "training_share": float(self._training[member].sum() / self._training.sum()),
            "relevant": int(member[self._relevant.items].sum()),
            "users": users,
        }
        for k in self._k:
            result[f"recall@{k}"] = float(self._group_recall[k][number] / users) if users else None
            result[f"share@{k}"] = float(self._places[k][number] / self._places[k].sum())
        return result


def _reciprocal_rank(batch, row, item):
    value = batch.scores[row, item]
    best = np.maximum.reduceat(value, np.flatnonzero(np.diff(row, prepend=-1)))
    higher, tied = batch.above(best)
    return reciprocal_rank(higher, tied, np.bincount(row, value == best[row]).astype(np.int64))
