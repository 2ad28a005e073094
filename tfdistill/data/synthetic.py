"""The embedded data set: generated interactions with the traits that make real ones hard."""

import numpy as np

from tfdistill.data.interactions import FeatureSpec, Interactions
from tfdistill.data.random_streams import generator

GENRES = ("action", "animation", "comedy", "crime", "documentary", "drama")
GENRES += ("family", "fantasy", "horror", "music", "romance", "thriller")
REGIONS = ("central", "coast", "east", "islands", "north", "south", "valley", "west")
AGES = (18, 25, 35, 45, 55, 65)
AGE_SHARES = (0.15, 0.30, 0.25, 0.15, 0.10, 0.05)
FIRST_YEAR, LAST_YEAR = 1960, 2020
TASTE_RANK = 12
TASTE_DECAY = 0.78
GENRE_TASTE_SHARE = 0.4375  # of an item's taste variance
FEWEST_PER_USER = 5
SECONDS = 365 * 86400
CHUNK_PAIRS = 1 << 22
FEATURES = (
    FeatureSpec("age", of="user", kind="categorical"),
    FeatureSpec("region", of="user", kind="categorical"),
    FeatureSpec("year", of="item", kind="categorical"),
    FeatureSpec("genres", of="item", kind="bag"),
)


def synthetic(seed=0, users=3000, items=1500, interactions=200_000):
    """Generates interactions in which a larger ranker is truly better than a small one.

    Every draw comes from one PCG64 generator, so a seed gives the same data on any machine (with the same
    release of numpy). N is the standard normal, k = 12.

    - Items: 1 to 3 of 12 genres (genre g with weight 1/sqrt(g)), a year 1960 + 60 Beta(4, 1.3), a quality N, a trend N, and a
      taste vector q in R^k: .66 times the mean of its genres' vectors (of deviation 1) plus .75 N.
    - Users: an age band and a region, a mood N, a liking per genre N, and a taste vector p in R^k: .87 N plus
      .35 times the vectors of the user's age band and region (each N). Dimension d of p is scaled by .78^d, to a length of
      1 in the mean.
    - Log-odds of a like: 4.8 p·q + 1.6 (mean liking of the item's genres, deviation 1) + 1.4 quality + 1.2 mood
      - 4 (year position - (.95 - .1 age band))² (centred) + .6 trend (t - 1/2), t in [0, 1] the time in the year.
    - Who meets what: users have log-normal activity (deviation 1, at least 5 interactions); a user meets items without
      repetition with weight rank^-.8 exp(.3 quality + (4.8 p·q + 1.6 liking) / 6), rank a random order of popularity.
    - Users join at a random time in the first eight tenths of the year, their interactions follow uniformly to its end.

    Labels are drawn from the log-odds: a Bernoulli label says little, a good teacher's soft target says more, and it can say
    it for pairs that nobody rated.

    Args:
        seed: non-negative integer.
        users, items, interactions: sizes; interactions lie between the number of users and users times items.

    Returns:
        `Interactions` in the order of time, with the fields user, item, age, region, year, genres.

    >>> len(synthetic(seed=1, users=100, items=50, interactions=1000))
    1000
    """
    _check_sizes(users, items, interactions)
    import pandas

    random = generator("synthetic", seed)
    genres, membership = _genres(random, items)
    year = np.minimum((60 * random.beta(4.0, 1.3, items)).astype(np.int64), LAST_YEAR - FIRST_YEAR)
    quality, trend = random.normal(size=(2, items))
    age = random.choice(len(AGES), users, p=AGE_SHARES)
    region = random.choice(len(REGIONS), users)
    mood = random.normal(size=users)
    p, q = _tastes(random, membership, age, region)
    liking = random.normal(size=(users, len(GENRES)))
    liking /= _deviation(liking @ membership.T)
    popularity = -0.8 * np.log(1.0 + random.permutation(items)) + 0.3 * quality

    def pair_logits(chosen):
        """(taste and genre log-odds [len(chosen), items], all log-odds without drift) of some users."""
        taste = 4.8 * p[chosen] @ q.T + 1.6 * liking[chosen] @ membership.T
        ideal = 0.95 - 0.1 * age[chosen]
        era = -4 * (year[None, :] / 60 - ideal[:, None]) ** 2 + 0.5
        return taste, taste + era + 1.4 * quality + 1.2 * mood[chosen, None]

    count = _activity(random, users, items, interactions)
    user, item, logit = [], [], []
    chunk = max(1, CHUNK_PAIRS // items)
    for start in range(0, users, chunk):
        chosen = np.arange(start, min(users, start + chunk))
        taste, logits = pair_logits(chosen)
        # The largest Gumbel keys are a weighted draw without replacement.
        keys = popularity + taste / 6 + random.gumbel(size=taste.shape)
        met = np.argsort(-keys, axis=1, kind="stable")
        rows = np.repeat(np.arange(len(chosen)), count[chosen])
        place = np.arange(len(rows)) - np.repeat(np.cumsum(count[chosen]) - count[chosen], count[chosen])
        user.append(chosen[rows])
        item.append(met[rows, place])
        logit.append(logits[rows, item[-1]])
    user, item, logit = (np.concatenate(parts) for parts in (user, item, logit))

    joined = 0.8 * random.random(users)
    moment = joined[user] + (1 - joined[user]) * random.random(len(user))
    logit += 0.6 * trend[item] * (moment - 0.5)
    label = (random.random(len(user)) < 1 / (1 + np.exp(-logit))).astype(np.float32)
    order = np.argsort(moment, kind="stable")
    return Interactions(
        user=user[order] + 1,
        item=item[order] + 1,
        label=label[order],
        time=(moment[order] * SECONDS).astype(np.int64),
        users=pandas.DataFrame(
            {"age": np.array(AGES)[age], "region": np.array(REGIONS, object)[region]}, index=np.arange(1, users + 1)
        ),
        items=pandas.DataFrame({"year": FIRST_YEAR + year, "genres": genres}, index=np.arange(1, items + 1)),
        features=FEATURES,
        source=f"synthetic (seed {seed})",
    )


def _check_sizes(users, items, interactions):
    for name, value, least in (("users", users, 2), ("items", items, 2), ("interactions", interactions, users)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            raise ValueError(
                f"Received an invalid value for `{name}`, expected an integer of {least} or more. Received: {value!r}"
            )
    if interactions > users * items:
        raise ValueError(
            f"Received an invalid value for `interactions`, expected at most users * items = {users * items}. "
            f"Received: {interactions}"
        )


def _genres(random, items):
    """(a list of names per item, membership [items, genres] with rows that sum to 1)."""
    number = random.integers(1, 4, items)
    keys = random.gumbel(size=(items, len(GENRES))) - 0.5 * np.log(np.arange(1, len(GENRES) + 1))
    best = np.argsort(-keys, axis=1, kind="stable")[:, :3]
    membership = np.zeros((items, len(GENRES)))
    np.put_along_axis(membership, best, (np.arange(3) < number[:, None]).astype(float), axis=1)
    names = [[GENRES[genre] for genre in row[:length]] for row, length in zip(best, number, strict=True)]
    return names, membership / membership.sum(axis=1, keepdims=True)


def _tastes(random, membership, age, region):
    """(user vectors, item vectors), [users, k] and [items, k]."""
    scale = TASTE_DECAY ** np.arange(TASTE_RANK)
    scale /= np.sqrt((scale**2).sum())
    by_age = random.normal(size=(len(AGES), TASTE_RANK))
    by_region = random.normal(size=(len(REGIONS), TASTE_RANK))
    own = random.normal(size=(len(age), TASTE_RANK))
    p = np.sqrt(0.75) * own + 0.5 * (by_age[age] + by_region[region]) / np.sqrt(2)
    of_genres = membership @ random.normal(size=(len(GENRES), TASTE_RANK))
    q = np.sqrt(GENRE_TASTE_SHARE) * of_genres / _deviation(of_genres)
    q += np.sqrt(1 - GENRE_TASTE_SHARE) * random.normal(size=of_genres.shape)
    return p * scale, q


def _activity(random, users, items, interactions):
    """Interactions per user, int64 [users], at least a few, at most half of the items where that suffices."""
    activity = np.exp(random.normal(size=users))
    fewest = min(FEWEST_PER_USER, interactions // users, items)
    most = min(items, max(items // 2, 2 * -(-interactions // users)))
    low, high = 0.0, float(items) / activity.min()
    for _ in range(100):
        scale = (low + high) / 2
        too_few = np.clip(scale * activity, fewest, most).sum() < interactions
        low, high = (scale, high) if too_few else (low, scale)
    # Rounding the running total keeps the sum exact and every share within 1 of its value.
    total = np.rint(np.cumsum(np.clip(high * activity, fewest, most)))
    total[-1] = interactions
    return np.diff(total, prepend=0).astype(np.int64)


def _deviation(values):
    return max(float(values.std()), 1e-9)
