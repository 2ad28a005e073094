"""How popular an item is in training: groups of equal mass, and how surprising it is to see it."""

import numpy as np


def popularity_groups(counts, groups=4):
    """Sorts items into groups that have the same share of the training pairs each, the most popular items first.

    Items stand in the order of falling counts, equal ones by number; an item belongs to the group in which the middle of
    its pairs lies. An item with more pairs than a group's share can leave the next group empty.

    Source: groups of equal popularity mass as in "Unbiased Knowledge Distillation for Recommendation", Chen et al., WSDM 2023,
    arXiv 2211.14729.

    Args:
        counts: int [items], training pairs of each item.
        groups: how many.

    Returns: int64 [items] from 0, most popular, to groups - 1; `groups` for items without a training pair.

    >>> popularity_groups([1, 4, 2, 1, 0], groups=2)
    array([1, 0, 1, 1, 2])
    """
    counts = np.asarray(counts, np.int64)
    if groups < 1:
        raise ValueError(f"`groups` must be at least 1. Received: groups={groups}")
    order = np.argsort(-counts, kind="stable")
    last = np.cumsum(counts[order])
    group = np.empty(len(counts), np.int64)
    group[order] = (2 * last - counts[order]) * groups // max(2 * int(last[-1]), 1)
    group[counts == 0] = groups
    return group


def self_information(counts, users):
    """How surprising it is that a user chose an item, in bits: -log2(counts / users), float64 [items].

    Items without a training pair count as if they had one.

    Source: "Solving the apparent diversity-accuracy dilemma of recommender systems", Zhou et al., PNAS 2010,
    arXiv 0808.2670.

    >>> self_information([8, 2, 0], users=8)
    array([0., 2., 3.])
    """
    return np.log2(users) - np.log2(np.maximum(counts, 1))
