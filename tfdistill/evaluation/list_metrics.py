"""Metrics of ranked lists, as expected values over all ways to break the ties."""

import dataclasses

import numpy as np

LIST_METRICS = ("recall", "precision", "hit_rate", "ndcg", "map")


@dataclasses.dataclass(frozen=True, eq=False)
class TieGroups:
    """Groups of equally scored items with at least one relevant among them; all arrays are [n], by row, best first.

    Attributes:
        row: whose list.
        start: how many items score higher than the group.
        size: how many items are in it, relevant or not.
        relevant: how many of them are relevant, at least 1.
        above: how many relevant items score higher.
    """

    row: np.ndarray
    start: np.ndarray
    size: np.ndarray
    relevant: np.ndarray
    above: np.ndarray


def tie_groups(places, relevant):
    """The `TieGroups` of `tfdistill._scores.Places`, of which `relevant` [n] says which are relevant."""
    row, start, size = places.row[relevant], places.start[relevant], places.tied[relevant]
    new = (np.diff(row, prepend=-1) != 0) | (np.diff(start, prepend=-1) != 0)
    count = np.bincount(np.cumsum(new) - 1, minlength=0)
    row, start, size = row[new], start[new], size[new]
    before = np.cumsum(count) - count
    new_row = np.diff(row, prepend=-1) != 0
    above = before - before[new_row][np.cumsum(new_row) - 1]
    return TieGroups(row, start, size, count, above)


def list_metrics(groups, relevant, k):
    """{metric: float64 [rows]} of the first k places, for each of `LIST_METRICS`.

    With h(i) relevant items among the first i places, R relevant items in all and discount d(i) = 1 / log2(1 + i):

        recall     h(k) / R                     precision  h(k) / k                    hit_rate  1 where h(k) > 0, else 0
        ndcg       Σ_{i<=k} rel(i) d(i) / Σ_{i<=min(R,k)} d(i)
        map        Σ_{i<=k} rel(i) h(i) / i / min(R, k)

    Args:
        groups: `TieGroups`, all that begin before place k.
        relevant: [rows], R, at least 1.
        k: length of the list.
    """
    rows = len(relevant)
    discount = np.concatenate([[0], np.cumsum(1 / np.log2(np.arange(k) + 2))])
    harmonic = np.concatenate([[0], np.cumsum(1 / np.arange(1, k + 1))])
    start = np.minimum(groups.start, k)
    places = np.minimum(groups.size, k - start)  # of the group's, within the first k
    share = groups.relevant / groups.size  # the chance that one of the group's places is taken by a relevant item

    hits = np.bincount(groups.row, share * places, rows)
    gain = np.bincount(groups.row, share * (discount[start + places] - discount[start]), rows)
    # At the group's j-th place, i = start + j: P(rel) (above + 1 + (j - 1) (relevant - 1) / (size - 1)) / i, summed over j.
    inverse = harmonic[start + places] - harmonic[start]
    others = (groups.relevant - 1) / np.maximum(groups.size - 1, 1)
    precisions = share * ((groups.above + 1) * inverse + others * (places - (start + 1) * inverse))
    best = np.minimum(relevant, k)
    return {
        "recall": hits / relevant,
        "precision": hits / k,
        "hit_rate": 1 - _miss(groups, places, rows),
        "ndcg": gain / discount[best],
        "map": np.bincount(groups.row, precisions, rows) / best,
    }


def _miss(groups, places, rows):
    """The chance that no relevant item is within the first k: Π_{i<relevant} (size - places - i) / (size - i)."""
    left, chance = groups.size - places, np.ones(len(groups.row))
    for taken in range(int(groups.relevant.max(initial=0))):
        more = taken < groups.relevant
        chance[more] *= np.maximum(left[more] - taken, 0) / (groups.size[more] - taken)
    miss = np.ones(rows)
    np.multiply.at(miss, groups.row, chance)
    return miss


def reciprocal_rank(start, size, relevant):
    """1 / the place of the first relevant item, [rows], of the group of the best scored relevant items.

    Args:
        start, size, relevant: int [rows], as of `TieGroups`.
    """
    start, size, relevant = (np.asarray(values) for values in (start, size, relevant))
    value = 1 / (start + 1.0)
    for row in np.flatnonzero(size > relevant):
        # P(the first relevant is the group's j-th) falls from r/n by (n - j - r + 1) / (n - j) with each j.
        count, wanted = int(size[row]), int(relevant[row])
        place = np.arange(1, count - wanted + 1)
        falls = (count - place - wanted + 1) / (count - place)
        chance = wanted / count * np.concatenate([[1.0], np.cumprod(falls)])
        value[row] = (chance / (start[row] + np.arange(1, len(chance) + 1))).sum()
    return value
