"""The sampled-negative protocol: what a user chose, ranked among a few items drawn at random."""

import dataclasses

import numpy as np

from tfdistill._scores import SCORED_AT_A_TIME, ScoreBatches, check_lengths, check_parts
from tfdistill.data.implicit import PARTS
from tfdistill.errors import UserError
from tfdistill.evaluation.list_metrics import TieGroups, list_metrics, reciprocal_rank

PAIRS_AT_A_TIME = 1 << 18
NAMES = ("pair", "candidate")


@dataclasses.dataclass(frozen=True, eq=False)
class SampledEvaluation:
    """What `evaluate_sampled` found. Every name says how it was measured: "hit_rate@5 (1 + 499 sampled)".

    Attributes:
        metrics: {"hit_rate@k ...", "ndcg@k ..." for every k, "mrr ..."} -> float, means of `per_pair`.
        per_pair: {metric: float64 [n]}, for each pair of the part.
        users: int32 [n], whose pair it is.
        protocol: "1 + 499 sampled".
    """

    metrics: dict
    per_pair: dict
    users: np.ndarray
    protocol: str

    def __getitem__(self, metric):
        """A metric by its name, with or without the protocol behind it."""
        return self.metrics[metric if metric in self.metrics else f"{metric} ({self.protocol})"]


def evaluate_sampled(
    score, dataset, candidates, k=(5, 10), part="test", of_pairs=False, batch_size=None, progress=None
):
    """Ranks every pair of a part among sampled items alone, as many papers report it.

    The numbers lie far above those of full ranking, depend on how many items were sampled and how, and can put models in
    another order ("On Sampled Metrics for Item Recommendation", Krichene and Rendle, KDD 2020): compare with them what was
    published so, and choose models by `evaluate_ranking`.

    Each pair counts alike, and its own item is the one that is relevant:

        hit_rate@k  1 where it is among the first k       ndcg@k  1 / log2(1 + place) there       mrr  1 / place

    Ties: the expected value where equally scored candidates are put in random order. A sampled item that comes twice counts
    twice.

    Args:
        score: users int32 [b] -> numbers [b, items], as for `evaluate_ranking`; with `of_pairs`, (users int32 [n], items
            int32 [n]) -> numbers [n] or [n, 1].
        dataset: `ImplicitDataset`.
        candidates: int [pairs of the part, 1 + n], a row for each pair in the order of `dataset.pairs[part]`: its own item,
            then the sampled ones; `tfdistill.data.sampled_candidates` draws them.
        k: lengths of the list, one or several.
        part: the part whose pairs are ranked.
        of_pairs: what `score` takes.
        batch_size: pairs of the part at a time; `None` for about eight million scores.
        progress: called as (pairs done, pairs in all) after every batch.

    Returns: `SampledEvaluation`.

    Raises:
        ValueError: for candidates of another shape or other pairs, and for a k below 1 or above 1 + n.
        UserError: for a sampled item that the user chose, in any part; for scores that are NaN or infinite; and for a part
            without pairs.

    >>> data = ImplicitDataset(1, 5, {"train": [[0, 0]], "validation": [], "test": [[0, 1]]})
    >>> score = lambda users: numpy.array([[0.0, 3.0, 5.0, 1.0, 9.0]])[users]
    >>> evaluate_sampled(score, data, [[1, 2, 3]], k=2).metrics["hit_rate@2 (1 + 2 sampled)"]
    1.0
    """
    (part,) = check_parts("part", part, PARTS)
    pairs = dataset.pairs[part]
    if not len(pairs):
        raise UserError(f"{dataset.source}: the {part} part has no pairs, there is nothing to evaluate.")
    candidates = _checked(np.asarray(candidates), dataset, part)
    lengths = check_lengths(k, candidates.shape[1], "number of candidates")
    users, width = pairs[:, 0], candidates.shape[1]

    def score_rows(rows):
        if of_pairs:
            return _scores_of_pairs(score, users[rows], candidates[rows])
        everything = np.asarray(score(users[rows]))
        if everything.shape != (len(rows), dataset.items):
            raise ValueError(
                f"`score` must return one row for each of {len(rows)} users and one column for each of {dataset.items} items."
                f" Received shape: {everything.shape}"
            )
        return np.take_along_axis(everything, candidates[rows], axis=1)

    if batch_size is None and not of_pairs:
        batch_size = max(1, SCORED_AT_A_TIME // dataset.items)
    values = []
    for batch in ScoreBatches(score_rows, np.arange(len(users)), width, lengths[-1], None, batch_size, progress, NAMES):
        higher, tied = batch.above(batch.scores[:, 0])
        one = np.ones(len(higher), np.int64)
        near = higher < lengths[-1]
        groups = TieGroups(np.flatnonzero(near), higher[near], tied[near], one[near], 0 * one[near])
        found = {"mrr": reciprocal_rank(higher, tied, one)}
        for length in lengths:
            measured = list_metrics(groups, one, length)
            found |= {f"{name}@{length}": measured[name] for name in ("hit_rate", "ndcg")}
        values.append(found)
    protocol = f"1 + {width - 1} sampled"
    per_pair = {f"{name} ({protocol})": np.concatenate([one[name] for one in values]) for name in values[0]}
    metrics = {name: float(value.mean()) for name, value in per_pair.items()}
    return SampledEvaluation(metrics, per_pair, users.copy(), protocol)


def _scores_of_pairs(score, users, candidates):
    user, item = np.repeat(users, candidates.shape[1]), candidates.reshape(-1).astype(np.int32)
    parts = [
        np.asarray(score(user[start : start + PAIRS_AT_A_TIME], item[start : start + PAIRS_AT_A_TIME])).reshape(-1)
        for start in range(0, len(user), PAIRS_AT_A_TIME)
    ]
    scores = np.concatenate(parts)
    if len(scores) != len(user):
        raise ValueError(f"`score` must return one number a pair, {len(user)}. Received: {len(scores)}")
    return scores.reshape(candidates.shape)


def _checked(candidates, dataset, part):
    pairs = dataset.pairs[part]
    if (
        candidates.ndim != 2
        or candidates.shape[1] < 2
        or len(candidates) != len(pairs)
        or candidates.dtype.kind not in "iu"
    ):
        raise ValueError(
            f"`candidates` must be whole numbers [{len(pairs)}, 1 + n], a row for each pair of the {part} part. Received:"
            f" {candidates.dtype} {candidates.shape}"
        )
    if candidates.min() < 0 or candidates.max() >= dataset.items:
        raise ValueError(
            f"`candidates` must hold items from 0 to {dataset.items - 1}. Received: {candidates.min()} to {candidates.max()}"
        )
    other = np.flatnonzero(candidates[:, 0] != pairs[:, 1])
    if len(other):
        raise ValueError(
            f"`candidates` must begin with the item of the pair, in the order of dataset.pairs[{part!r}]. Received: item"
            f" {candidates[other[0], 0]} for the pair {tuple(pairs[other[0]].tolist())}"
        )
    everything = np.concatenate([dataset.pairs[name] for name in PARTS]).astype(np.int64)
    chosen = np.isin(
        pairs[:, :1].astype(np.int64) * dataset.items + candidates[:, 1:],
        everything[:, 0] * dataset.items + everything[:, 1],
    )
    if chosen.any():
        row, column = np.argwhere(chosen)[0]
        raise UserError(
            f"{dataset.source}: {np.count_nonzero(chosen):,} of the sampled items are items that their user chose, such as item"
            f" {candidates[row, 1 + column]} of user {pairs[row, 0]}. Sample items that the user has in no part."
        )
    return candidates
