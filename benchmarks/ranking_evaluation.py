"""Full ranking: user-item scores a second of `evaluate_ranking`, beside other ways to the same numbers, in one run.

    python benchmarks/ranking_evaluation.py [--width 200] [--relevant 1]

As many users and items as CiteULike (5,219 x 25,181: 131 million scores), random vectors. Peers:
the matrix products alone; a full argsort in NumPy; implicit's ranking_metrics_at_k (pip install implicit), which is given the
same vectors and one k; keras-rs and scikit-learn metrics on the scores of a few users. Each printed speed counts all scores of
the users that the job took; the fast jobs run by turns. ndcg@50 of each is printed too: all must agree on the users that they
share.
"""

import argparse
import statistics
import time

import numpy as np
from rounds import compare, describe_run, timed

from tfdistill._tensorflow import import_quietly

USERS, ITEMS, TRAINING, SEED, ROUNDS, K = 5219, 25181, 22, 1, 5, 50
FEW, BATCH = 256, 333


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=200, help="of the vectors, default 200")
    parser.add_argument("--relevant", type=int, default=1, help="test items a user, default 1")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"rounds of the fast jobs, default {ROUNDS}")
    arguments = parser.parse_args()
    import_quietly()

    random = np.random.default_rng(SEED)
    dataset = make_dataset(random, arguments.relevant)
    items = random.normal(size=(ITEMS, arguments.width)).astype("float32")
    users = random.normal(size=(USERS, arguments.width)).astype("float32")
    test = dataset.lists("test")
    for user in range(USERS):  # somewhat like what they choose, so that there is something to find
        users[user] += 0.3 * items[test.of(user)].sum(0)
    print(
        describe_run(
            f"d={arguments.width}, {arguments.relevant} test items a user, {arguments.rounds} rounds, seed {SEED}"
        )
    )
    fast, slow = jobs(dataset, users, items)
    seconds = timed({name: run for name, (run, _) in fast.items()}, arguments.rounds)
    print(f"{'':44}  million scores/s  seconds      users  ndcg@{K}")
    for name, (run, count) in (fast | slow).items():
        started = time.perf_counter()
        value = run()
        taken = statistics.median(seconds[name]) if name in seconds else time.perf_counter() - started
        shown = "" if value is None else f"{value:.6f}"
        print(f"{name:44}  {count * ITEMS / taken / 1e6:16.2f}  {taken:7.2f}  {count:9,}  {shown}")
    for name in list(fast)[1:3]:
        compare(f"speed of tfdistill / {name}", seconds[name], seconds[next(iter(fast))])


def make_dataset(random, relevant):
    from tfdistill.data import ImplicitDataset

    chosen = np.stack([random.choice(ITEMS, TRAINING + relevant, replace=False) for _ in range(USERS)])
    user = np.arange(USERS)[:, None].repeat(TRAINING + relevant, 1)
    pairs = np.stack([user, chosen], -1)
    train, test = pairs[:, :TRAINING].reshape(-1, 2), pairs[:, TRAINING:].reshape(-1, 2)
    return ImplicitDataset(USERS, ITEMS, {"train": train, "validation": [], "test": test})


def jobs(dataset, users, items):
    """Two of {name: (function that returns ndcg@50 or None, users that it scores)}: fast jobs and slow ones."""
    import keras_rs
    from sklearn.metrics import ndcg_score

    from tfdistill.evaluation import dot_scores, evaluate_ranking

    score = dot_scores(users, items)
    relevant = np.zeros((FEW, ITEMS), "float32")
    few = dataset.pairs["test"][dataset.pairs["test"][:, 0] < FEW]
    relevant[few[:, 0], few[:, 1]] = 1

    def few_scores():
        scores = score(np.arange(FEW))
        known = dataset.pairs["train"][dataset.pairs["train"][:, 0] < FEW]
        scores[known[:, 0], known[:, 1]] = -1e9
        return scores

    def products():
        for start in range(0, USERS, BATCH):
            score(np.arange(start, min(start + BATCH, USERS)))

    def by_scikit_learn():
        return ndcg_score(relevant, few_scores(), k=K)

    def by_keras_rs():
        kinds = (keras_rs.metrics.NDCG, keras_rs.metrics.RecallAtK, keras_rs.metrics.PrecisionAtK)
        metrics = [kind(k=k) for kind in kinds for k in (5, 10, 20, 50)] + [keras_rs.metrics.MeanReciprocalRank()]
        scores = few_scores()
        for metric in metrics:
            metric.update_state(relevant, scores)
        return float(metrics[3].result())

    fast = {
        "tfdistill, 29 metrics, k = 5, 10, 20, 50": (lambda: evaluate_ranking(score, dataset)[f"ndcg@{K}"], USERS),
        "matrix products alone": (products, USERS),
        "implicit, 4 metrics, k = 50": (by_implicit(dataset, users, items), USERS),
        f"tfdistill, the first {FEW} users": (lambda: first_users(dataset, score), FEW),
    }
    slow = {
        "NumPy, full argsort, ndcg and recall": (lambda: by_argsort(dataset, score), USERS),
        "keras-rs, 13 metrics": (by_keras_rs, FEW),
        "scikit-learn, ndcg_score alone": (by_scikit_learn, FEW),
    }
    return fast, slow


def first_users(dataset, score):
    from tfdistill.data import ImplicitDataset
    from tfdistill.evaluation import evaluate_ranking

    pairs = {part: values[values[:, 0] < FEW] for part, values in dataset.pairs.items()}
    return evaluate_ranking(score, ImplicitDataset(FEW, ITEMS, pairs))[f"ndcg@{K}"]


def by_argsort(dataset, score):
    training, test = dataset.lists("train"), dataset.lists("test")
    discount, ndcg, recall = 1 / np.log2(np.arange(K) + 2), [], []
    for start in range(0, USERS, 256):
        batch = np.arange(start, min(start + 256, USERS))
        scores = score(batch)
        for row, user in enumerate(batch):
            scores[row, training.of(user)] = -np.inf
        for row, user in zip(np.argsort(-scores, axis=1), batch, strict=True):
            hits = np.isin(row[:K], test.of(user))
            recall.append(hits.sum() / len(test.of(user)))
            ndcg.append(hits @ discount / discount[: min(K, len(test.of(user)))].sum())
    return float(np.mean(ndcg))


def by_implicit(dataset, users, items):
    from implicit.cpu.als import AlternatingLeastSquares
    from implicit.evaluation import ranking_metrics_at_k
    from scipy.sparse import csr_matrix
    from threadpoolctl import threadpool_limits

    model = AlternatingLeastSquares(factors=users.shape[1])
    model.user_factors, model.item_factors = users, items

    def matrix(part):
        pairs = dataset.pairs[part]
        return csr_matrix((np.ones(len(pairs), "float32"), (pairs[:, 0], pairs[:, 1])), shape=(USERS, ITEMS))

    train, test = matrix("train"), matrix("test")

    def run():
        with threadpool_limits(1, "blas"):  # as implicit asks: it has threads of its own
            return ranking_metrics_at_k(model, train, test, K=K, show_progress=False, num_threads=0)["ndcg"]

    return run


if __name__ == "__main__":
    main()
