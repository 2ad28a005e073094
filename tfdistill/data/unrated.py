"""Pairs of users and items that nobody rated, for a teacher to label."""

import numpy as np

from tfdistill.data.fields import check_choice
from tfdistill.data.random_streams import generator
from tfdistill.errors import UserError

DRAWS = ("uniform", "popularity", "uniform_users", "teacher")
ROUNDS = 100  # of drawing rated items again, before the few that are left are drawn from a list of what is unrated
SCORED_AT_A_TIME = 1 << 16


def sample_unrated(dataset, count, seed, draw="uniform", *, score=None, candidates=8):
    """Draws pairs of training users and training items that are no rated training pair, with replacement.

    | draw | user | item |
    |---|---|---|
    | "uniform" | as often as the user has training rows | every unrated item alike |
    | "popularity" | as often as the user has training rows | as often as the item has training rows |
    | "uniform_users" | every user alike | every unrated item alike |
    | "teacher" | as often as the user has training rows | one of `candidates` uniform ones, p ∝ exp(teacher's logit) |

    On MovieLens-1M (benchmarks/transfer_sets.py, 2 unrated pairs per rated one) no draw was better than "uniform", nor were
    new pairs every epoch better than the same ones: test AUC .9036 ("teacher") to .9040, with seeds .0002 apart. For lists of
    20 out of all items "popularity" was the worst, ndcg .037 against .040.

    Users who rated every item are left out. The context is that of a training row of the user's.

    Pairs of the validation and the test part are *not* avoided: they turn up as often as chance has it. To avoid them
    would tell the student which pairs those parts hold. No label of theirs is used.

    Args:
        dataset: `Dataset`.
        count: number of pairs.
        seed: non-negative integer.
        draw: how pairs are drawn, see the table.
        score: for "teacher": (user, item, context_rows), each [n] -> logits [n] or [n, 1].
        candidates: for "teacher": items that each pair is chosen from; 1 is "uniform".

    Returns:
        (user int32 [count], item int32 [count], context_rows int64 [count]); users and items are vocabulary indices,
        which are also table rows, so that `dataset.pair_inputs` takes all three.

    Raises:
        UserError: where every user rated every item.
        ValueError: an unknown draw, "teacher" without `score`, `score` with another draw, or `candidates` below 1.

    >>> user, item, context_rows = sample_unrated(dataset, 1000, seed=1)
    >>> teacher_inputs = dataset.pair_inputs(user, item, context_rows)
    """
    check_choice("draw", draw, DRAWS)
    _check_teacher(draw, score, candidates)
    random, unrated = generator("unrated", seed), _Unrated(dataset, draw)
    rows = unrated.rows(random, count)
    user = dataset.user_row[rows]
    if draw != "teacher":
        return user, unrated.items_of(random, user), rows
    item = np.empty(count, np.int32)
    for start in range(0, count, SCORED_AT_A_TIME):
        part = slice(start, start + SCORED_AT_A_TIME)
        item[part] = _likely(random, unrated, user[part], rows[part], score, candidates)
    return user, item, rows


def pair_keys(user, item, items):
    """One int64 number a pair; `items` is the size of the item vocabulary."""
    return user.astype(np.int64) * items + item


def contains(sorted_keys, keys):
    """Which of `keys` are among `sorted_keys`; bool [len(keys)]."""
    place = np.searchsorted(sorted_keys, keys)
    place[place == len(sorted_keys)] = 0
    return sorted_keys[place] == keys


class _Unrated:
    """The unrated pairs of a data set and the chances with which they are drawn."""

    def __init__(self, dataset, draw):
        training = dataset.rows("train")
        self.items, self.by_popularity = dataset.fields[1].size, draw == "popularity"
        self.training_items = dataset.item_row[training]
        self.rated = np.unique(pair_keys(dataset.user_row[training], self.training_items, self.items))
        full = np.bincount(self.rated // self.items, minlength=dataset.fields[0].size) >= self.items - 1
        self.usable = training[~full[dataset.user_row[training]]]
        if not len(self.usable):
            raise UserError(f"{dataset.source}: every user rated every item, there is no unrated pair to sample.")
        if draw == "uniform_users":
            owner = dataset.user_row[self.usable]
            self.usable = self.usable[np.argsort(owner, kind="stable")]
            self.rows_of_user = np.bincount(owner)[np.unique(owner)]
        else:
            self.rows_of_user = None

    def rows(self, random, count):
        """Training rows, which give the users and the contexts; int64 [count]."""
        if self.rows_of_user is None:
            return self.usable[random.integers(0, len(self.usable), count)]
        user = random.integers(0, len(self.rows_of_user), count)
        first = np.cumsum(self.rows_of_user) - self.rows_of_user
        return self.usable[first[user] + random.integers(0, self.rows_of_user[user])]

    def items_of(self, random, user):
        """An item for each user that the user did not rate; int32 [n]."""
        item = self._any_items(random, len(user))
        again = self._rated_ones(np.arange(len(user)), user, item)
        # Only the item is drawn again: drawing the user again too would favour users with few ratings.
        for _ in range(ROUNDS):
            if not len(again):
                return item
            item[again] = self._any_items(random, len(again))
            again = self._rated_ones(again, user, item)
        for place in again:
            item[place] = self._listed_item(random, user[place])
        return item

    def _any_items(self, random, count):
        if self.by_popularity:
            return self.training_items[random.integers(0, len(self.training_items), count)]
        return random.integers(1, self.items, count, dtype=np.int32)

    def _rated_ones(self, places, user, item):
        return places[contains(self.rated, pair_keys(user[places], item[places], self.items))]

    def _listed_item(self, random, user):
        """The same chances as drawing until an unrated item comes, for a user who rated nearly everything there is."""
        unrated = np.arange(1, self.items, dtype=np.int32)
        unrated = unrated[~contains(self.rated, pair_keys(np.full(len(unrated), user), unrated, self.items))]
        if not self.by_popularity:
            return random.choice(unrated)
        rows = np.bincount(self.training_items, minlength=self.items)[unrated]
        return random.choice(unrated, p=rows / rows.sum())


def _likely(random, unrated, user, rows, score, candidates):
    """One of `candidates` unrated items for each user, with the chances softmax(logits): the largest logit + Gumbel noise."""
    users, contexts = np.repeat(user, candidates), np.repeat(rows, candidates)
    items = unrated.items_of(random, users)
    logits = np.asarray(score(users, items, contexts), np.float64).reshape(len(user), candidates)
    chosen = (logits + random.gumbel(size=logits.shape)).argmax(1)
    return items.reshape(logits.shape)[np.arange(len(user)), chosen]


def _check_teacher(draw, score, candidates):
    if draw == "teacher" and not callable(score):
        raise ValueError(
            '`score` must be a function (user, item, context_rows) -> logits where draw="teacher". '
            f"Received: score={score!r}"
        )
    if draw != "teacher" and score is not None:
        raise ValueError(f'`score` is for draw="teacher" alone. Received: draw={draw!r}, score={score!r}')
    if isinstance(candidates, bool) or not isinstance(candidates, (int, np.integer)) or candidates < 1:
        raise ValueError(f"`candidates` must be an integer of 1 or more. Received: candidates={candidates!r}")
