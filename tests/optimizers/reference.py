"""The optimizers in numpy, float64: what the row-sparse ones must compute."""

import numpy as np

ROWS, WIDTH, STEPS = 9, 3, 5
RATES = [0.1 / (1 + step) for step in range(STEPS)]


def batches(seed=0):
    """[(ids [n], values [n, WIDTH], dense gradient [WIDTH])], with ids that repeat and rows that rest."""
    random = np.random.default_rng(seed)
    ids = [[1, 4, 1, 1], [0, 4, 4, 6], [1, 1, 1, 1], [6, 0, 2, 2], [1, 4, 2, 0]]
    return [(np.array(one, "int32"), random.normal(size=(4, WIDTH)), random.normal(size=WIDTH)) for one in ids]


def start(seed=1):
    random = np.random.default_rng(seed)
    return [random.normal(size=(ROWS, WIDTH)), random.normal(size=WIDTH)]


def train(kind, steps, lazy, weight_decay=0.0, **clipping):
    """The table and the vector after the steps, of "Adam", "Adagrad" or "RowWiseAdagrad"."""
    weights = start()
    slots = [[np.zeros_like(one), np.zeros_like(one)] for one in weights]
    if kind != "Adam":
        slots = [[np.full_like(one, 0.1)] for one in weights]
    if kind == "RowWiseAdagrad":
        slots[0] = [np.full((ROWS, 1), 0.1)]
    for step, (ids, values, vector) in enumerate(steps):
        table = np.zeros((ROWS, WIDTH))
        np.add.at(table, ids, values)
        gradients = clipped([table, vector], **clipping)
        touched = [np.isin(np.arange(ROWS), ids) if lazy else np.ones(ROWS, bool), slice(None)]
        for place, (gradient, rows) in enumerate(zip(gradients, touched, strict=True)):
            w, g, state = weights[place][rows], gradient[rows], [slot[rows] for slot in slots[place]]
            w = w - RATES[step] * weight_decay * w
            w, state = updated(kind, w, g, state, RATES[step], step + 1)
            weights[place][rows] = w
            for slot, value in zip(slots[place], state, strict=True):
                slot[rows] = value
    return weights


def clipped(gradients, clipvalue=None, clipnorm=None, global_clipnorm=None):
    if clipvalue:
        return [np.clip(one, -clipvalue, clipvalue) for one in gradients]
    norms = [np.sqrt((one**2).sum()) for one in gradients]
    if clipnorm:
        return [one * min(1, clipnorm / norm) for one, norm in zip(gradients, norms, strict=True)]
    if global_clipnorm:
        return [one * min(1, global_clipnorm / np.hypot(*norms)) for one in gradients]
    return gradients


def updated(kind, w, g, state, rate, step):
    if kind == "Adam":
        m, v = 0.9 * state[0] + 0.1 * g, 0.999 * state[1] + 0.001 * g**2
        return w - rate * np.sqrt(1 - 0.999**step) / (1 - 0.9**step) * m / (np.sqrt(v) + 1e-7), [m, v]
    if state[0].shape == w.shape:
        total = state[0] + g**2
        return w - rate * g / np.sqrt(total + 1e-7), [total]
    total = state[0] + (g**2).mean(axis=1, keepdims=True)
    return w - rate * g / (np.sqrt(total) + 1e-7), [total]
