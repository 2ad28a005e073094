"""UCI Adult: is a person's income above 50,000? Boosted trees and a wide network teach a network of a few hundred weights."""

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import cross_val_predict

from methods_tasks.adult_methods import METHODS
from methods_tasks.fitting import UNLABELED, fit
from tfdistill.data import Field
from tfdistill.evaluation import auc, log_loss
from tfdistill.models import build

__all__ = ["METHODS", "open_task"]

# fnlwgt is a weight of the survey, and education says in words what education_num says as a number.
NAMES = (
    "age workclass fnlwgt education education_num marital_status occupation relationship race sex capital_gain "
    "capital_loss hours_per_week native_country income"
).split()
NUMBERS = ["age", "education_num", "hours_per_week", "capital_gain", "capital_loss"]
LOGARITHMS = {
    "log_capital_gain": "capital_gain",
    "log_capital_loss": "capital_loss",
}  # beside the numbers, for networks
MOST = 20_000  # the few numbers beyond it stand for it, or they would be all that the standardised column shows
CATEGORIES = ["workclass", "marital_status", "occupation", "relationship", "race", "sex", "native_country"]
VALIDATION = 5_000  # the last rows of adult.data
EPOCHS, BATCH_SIZE = 15, 256
POOL_RATIO, UNLABELED_RATIO = 8, 2  # recombined rows a labelled one: made once, and taken in an epoch
SWAPS = (0.1, 0.3)
FOLDS = 5


class Adult:
    """The rows, what the teachers say of them, and how a student is trained and judged.

    Args:
        data: folder with adult/adult.data and adult/adult.test.
        work: folder for what the teachers say; made where it is missing.
    """

    metric = "auc"

    def __init__(self, data, work):
        known, test = (read(data / "adult" / name) for name in ("adult.data", "adult.test"))
        parts = {"train": known[:-VALIDATION], "validation": known[-VALIDATION:], "test": test}
        self.encoder = Encoder(parts["train"])
        self.x = {part: self.encoder.inputs(rows) for part, rows in parts.items()}
        self.y = {part: rows["income"].str.startswith(">").to_numpy(np.float32) for part, rows in parts.items()}
        self.count = len(self.y["train"])
        self.pools = {
            swap: self.encoder.inputs(recombined(parts["train"], POOL_RATIO * self.count, swap)) for swap in SWAPS
        }
        work.mkdir(parents=True, exist_ok=True)
        said = self._answers(work / "adult_answers.npz")
        columns = {name.removeprefix("train_"): said[name] for name in said if name.startswith("train_")}
        labelled, labels = {**self.x["train"], **columns}, self.y["train"][:, None]
        unlabelled = np.full((POOL_RATIO * self.count, 1), UNLABELED, labels.dtype)
        self.columns = {None: (to_tensors(labelled), labels)}
        for swap, pool in self.pools.items():
            pool["teacher_logits"] = said[f"pool_{swap}"]
            x = {name: np.concatenate([labelled[name], more]) for name, more in pool.items()}
            self.columns[swap] = to_tensors(x), np.concatenate([labels, unlabelled])
        trees, network = (sigmoid(said[f"test_{name}"][:, 0]) for name in ("trees", "network"))
        both = sigmoid((said["test_trees"] + said["test_network"])[:, 0] / 2)
        named = {"boosted trees": trees, "wide network": network, "mean of both": both}
        self.references = {f"teacher: {name}": self._metrics(one, "test") for name, one in named.items()}
        self.setting = {
            "title": "Adult, income above 50,000",
            "notes": [
                f"Student: embeddings of width 2 and 8 hidden units, {self._small().count_params()} parameters;",
                f"{EPOCHS} epochs, batch {BATCH_SIZE}, Adam with a cosine to 0, the weights of the last epoch.",
                f"{self.count:,} training rows; validation: the last {VALIDATION:,} rows of adult.data; test: adult.test.",
                "Teachers: scikit-learn's HistGradientBoostingClassifier (where nothing else is said), and a network of",
                "embeddings of width 8 and 128 and 64 hidden units, whose last hidden layer the feature losses read.",
                "Recombined rows: training rows with each value exchanged for another row's with the chance `swap`,",
                f"labelled by the trees, {UNLABELED_RATIO} a labelled row, others every epoch.",
            ],
        }

    def train(self, method, settings, seed, part):
        training = method.training(settings, self.count // BATCH_SIZE)
        student, (x, y) = self._small(), self.columns[settings.get("swap")]
        fit(
            student,
            training,
            keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=training.label_smoothing),
            ({name: x[name] for name in (*self.x["train"], *training.columns)}, y),
            self._epoch_rows if "swap" in settings else lambda epoch: np.arange(self.count, dtype=np.int32),
            epochs=EPOCHS,
            batch_size=BATCH_SIZE,
            learning_rate=settings["learning_rate"],
            seed=seed,
        )
        return self._metrics(sigmoid(np.asarray(student(self.x[part], training=False))[:, 0]), part)

    def _epoch_rows(self, epoch):
        """The labelled rows, and the next of the pool that follows them."""
        drawn = (epoch * UNLABELED_RATIO * self.count + np.arange(UNLABELED_RATIO * self.count)) % (
            POOL_RATIO * self.count
        )
        return np.concatenate([np.arange(self.count), self.count + drawn]).astype(np.int32)

    def _answers(self, file):
        """What the teachers say: train_ and the name of a column, pool_ and its swap, test_trees, test_network."""
        if not file.exists():
            trees, network = boosted_trees(), self._network()
            table = {part: self.encoder.table(x) for part, x in self.x.items()}
            held_out = cross_val_predict(trees, table["train"], self.y["train"], cv=FOLDS, method="decision_function")
            trees.fit(table["train"], self.y["train"])
            hidden = keras.Model(network.input, network.get_layer("hidden_2").output)
            answers = {
                "train_teacher_logits": trees.decision_function(table["train"]),
                "train_held_out_logits": held_out,
                "train_network_logits": ask(network, self.x["train"])[:, 0],
                "test_trees": trees.decision_function(table["test"]),
                "test_network": ask(network, self.x["test"])[:, 0],
            }
            for swap, pool in self.pools.items():
                answers[f"pool_{swap}"] = trees.decision_function(self.encoder.table(pool))
            answers = {name: logits.astype(np.float32)[:, None] for name, logits in answers.items()}
            np.savez(file, **answers, train_teacher_hidden_2=ask(hidden, self.x["train"]))
        with np.load(file) as arrays:
            return dict(arrays)

    def _network(self):
        keras.utils.set_random_seed(1)
        network = build(
            "mlp", self.encoder.fields, embedding_width=8, hidden_units=(128, 64), dropout=0.3, name="teacher"
        )
        steps = EPOCHS * self.count // BATCH_SIZE
        schedule = keras.optimizers.schedules.CosineDecay(0.003, steps)
        network.compile(keras.optimizers.Adam(schedule), keras.losses.BinaryCrossentropy(from_logits=True))
        network.fit(self.x["train"], self.y["train"], batch_size=BATCH_SIZE, epochs=EPOCHS, verbose=0)
        return network

    def _small(self):
        return build("mlp", self.encoder.fields, embedding_width=2, hidden_units=(8,), name="student")

    def _metrics(self, probability, part):
        return {"auc": auc(self.y[part], probability), "log_loss": log_loss(self.y[part], probability)}


class Encoder:
    """Rows as inputs of a network: standardised numbers and numbers of categories, 0 for one that training lacks.

    Args:
        rows: the training rows, from which it learns.
    """

    def __init__(self, rows):
        numbers = self._numbers(rows)
        self.mean, self.deviation = numbers.mean(), numbers.std()
        self.categories = {name: sorted(rows[name].unique()) for name in CATEGORIES}
        self.fields = [Field(name, "numeric", "context", 0) for name in numbers]
        self.fields += [Field(name, "categorical", "context", len(self.categories[name]) + 1) for name in CATEGORIES]

    def inputs(self, rows):
        """{name: float32 or int32 [n]}."""
        numbers = ((self._numbers(rows) - self.mean) / self.deviation).astype(np.float32)
        inputs = {name: numbers[name].to_numpy() for name in numbers}
        for name, known in self.categories.items():
            inputs[name] = (pd.Categorical(rows[name], categories=known).codes + 1).astype(np.int32)
        return inputs

    def table(self, inputs):
        """The inputs side by side, for scikit-learn."""
        return np.stack([inputs[name] for name in (*NUMBERS, *CATEGORIES)], axis=1)

    def _numbers(self, rows):
        numbers = rows[NUMBERS].astype(np.float64).clip(upper=MOST)
        return numbers.assign(**{name: np.log1p(numbers[source]) for name, source in LOGARITHMS.items()})


def open_task(arguments):
    return Adult(arguments.data, arguments.work)


def read(path):
    return pd.read_csv(path, names=NAMES, skipinitialspace=True, comment="|")


def boosted_trees():
    categorical = [False] * len(NUMBERS) + [True] * len(CATEGORIES)
    return HistGradientBoostingClassifier(
        categorical_features=categorical, learning_rate=0.08, max_iter=250, early_stopping=True, random_state=1
    )


def recombined(rows, count, swap):
    """Copies of rows, every value of which is exchanged for that of another row with the chance `swap`."""
    random = np.random.default_rng(0)
    source = random.integers(0, len(rows), count)
    columns = {
        name: rows[name].to_numpy()[
            np.where(random.uniform(size=count) < swap, random.integers(0, len(rows), count), source)
        ]
        for name in (*NUMBERS, *CATEGORIES)
    }
    return pd.DataFrame(columns)


def to_tensors(columns):
    return {name: tf.constant(column) for name, column in columns.items()}


def ask(model, inputs):
    return model.predict(inputs, batch_size=4096, verbose=0)


def sigmoid(logits):
    return 0.5 * (1 + np.tanh(0.5 * logits.astype(np.float64)))
