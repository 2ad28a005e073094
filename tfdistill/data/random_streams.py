"""Seeded random numbers, one independent stream per purpose."""

import zlib

import numpy as np


def generator(purpose, *seeds):
    """Returns a PCG64 generator that depends only on the purpose and the seeds.

    Streams of different purposes are independent, so that a split and a sample drawn with the same seed share nothing.

    Args:
        purpose: a word, such as "split".
        *seeds: non-negative integers, such as a seed and an epoch.

    >>> generator("split", 1).integers(10) == generator("split", 1).integers(10)
    True
    """
    for seed in seeds:
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
            raise ValueError(f"Received an invalid seed, expected an integer of 0 or more. Received: {seed!r}")
    return np.random.Generator(np.random.PCG64([zlib.crc32(purpose.encode()), *(int(seed) for seed in seeds)]))
