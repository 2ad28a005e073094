"""MNIST: a tiny convolutional network on 10,000 labelled images, larger ones as teachers."""

import keras
import numpy as np
import tensorflow as tf

from methods_tasks.fitting import UNLABELED, fit
from methods_tasks.mnist_methods import METHODS

__all__ = ["METHODS", "open_task"]

LABELLED, VALIDATION = 10_000, 50_000  # images before the first are labelled, before the second the teachers' training
IMAGES = 70_000
EPOCHS, BATCH_SIZE = 20, 200
TEACHERS, TEACHER_EPOCHS = 3, 6
POOL = 40_000
PARTS = {"validation": slice(50_000, 60_000), "test": slice(60_000, 70_000)}


class Mnist:
    """The images, the teachers' answers, and how a student is trained and judged.

    Args:
        data: folder with mnist/mnist.npz.
        work: folder for the teachers and what they say of the images; made where it is missing.
    """

    metric = "accuracy"

    def __init__(self, data, work):
        with np.load(data / "mnist" / "mnist.npz") as arrays:
            self.x = scaled(np.concatenate([arrays["x_train"], arrays["x_test"]]))
            self.y = np.concatenate([arrays["y_train"], arrays["y_test"]]).astype(np.int32)
        work.mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng(0)
        copies = np.arange(POOL) % LABELLED
        shifted = shift(self.x[copies], random)
        others = shift(self.x[random.permutation(POOL) % LABELLED], random)
        share = random.uniform(size=(POOL, 1, 1, 1)).astype(np.float32)
        images = {"all": self.x, "mixed": share * shifted + (1 - share) * others}
        answers = self._answers(work, images)
        names = ["teacher_logits", *(f"teacher_logits_{number}" for number in range(2, TEACHERS + 1))]
        columns = {name: logits[:LABELLED] for name, logits in zip(names, answers["all"], strict=True)}
        columns |= {"image": self.x[:LABELLED], "teacher_maps": answers["maps"], "teacher_hidden": answers["hidden"]}
        labels, unlabelled = self.y[:LABELLED], np.full(POOL, UNLABELED, np.int32)
        others = {
            "unlabelled": (
                {"image": self.x[LABELLED:VALIDATION], "teacher_logits": answers["all"][0, LABELLED:VALIDATION]},
                unlabelled,
            ),
            "mixed": ({"image": images["mixed"], "teacher_logits": answers["mixed"][0]}, unlabelled),
            "shifted": ({"image": shifted}, self.y[copies]),
        }
        self.columns = {"labelled": (to_tensors(columns), labels)}
        for kind, (x, y) in others.items():
            x = {name: np.concatenate([columns[name], more]) for name, more in x.items()}
            self.columns[kind] = to_tensors(x), np.concatenate([labels, y])
        self.references = {
            "teacher": self._metrics(answers["all"][0, PARTS["test"]], "test"),
            f"mean of {TEACHERS} teachers": self._metrics(answers["all"][:, PARTS["test"]].mean(0), "test"),
        }
        self.setting = {
            "title": "MNIST, 10,000 labelled images",
            "notes": [
                f"Student: 8 filters of 4x4 pixels with stride 4 and 16 hidden units, {small().count_params():,} parameters;",
                f"{EPOCHS} epochs of the first 10,000 training images, batch {BATCH_SIZE}, Adam with a cosine to 0, the",
                f"weights of the last epoch. Teachers: convolutional networks of {large().count_params():,} parameters,",
                "trained with random shifts on the first 50,000 training images. Validation: the last 10,000.",
                "Feature losses read the last convolution (maps) or the hidden units before the logits.",
                '"Unlabelled" are the 40,000 images that the student has no labels of; "mixed" are blends of two shifted',
                "images of the 10,000. Label smoothing, which only the student alone has, is worth .007 to it on validation;",
                "feature losses stand beside hard labels without it. The weights of MLD were .1 and 1 at first, too large by",
                "far for this batch: .9321 on validation.",
            ],
        }

    def train(self, method, settings, seed, part):
        training = method.training(settings, LABELLED // BATCH_SIZE)
        student, (x, y) = small(), self.columns[training.rows]
        fit(
            student,
            training,
            hard_loss(training.label_smoothing),
            (
                {name: x[name] for name in ("image", *training.columns)},
                np.eye(10, dtype=np.float32)[y] if training.label_smoothing else y,
            ),
            epoch_rows if len(y) > LABELLED else lambda epoch: np.arange(LABELLED, dtype=np.int32),
            epochs=EPOCHS,
            batch_size=BATCH_SIZE,
            learning_rate=settings["learning_rate"],
            seed=seed,
        )
        return self._metrics(np.asarray(student({"image": self.x[PARTS[part]]}, training=False)), part)

    def _answers(self, work, images):
        """{kind of images: logits [teachers, images, 10]}, and maps and hidden units of the first teacher."""
        file = work / "mnist_answers.npz"
        if not file.exists():
            teachers = [self._teacher(work / f"mnist_teacher_{seed}.keras", seed) for seed in range(1, TEACHERS + 1)]
            features = [teachers[0].get_layer(name).output for name in ("maps", "hidden")]
            maps, hidden = ask(keras.Model(teachers[0].input, features), self.x[:LABELLED])
            every = np.stack([ask(teacher, images["all"]) for teacher in teachers])
            np.savez(file, all=every, mixed=ask(teachers[0], images["mixed"])[None], maps=maps, hidden=hidden)
        with np.load(file) as arrays:
            return dict(arrays)

    def _teacher(self, path, seed):
        if not path.exists():
            keras.utils.set_random_seed(seed)
            teacher = large()
            steps = TEACHER_EPOCHS * VALIDATION // 128
            schedule = keras.optimizers.schedules.CosineDecay(0.0, steps, warmup_target=0.004, warmup_steps=300)
            teacher.compile(keras.optimizers.Adam(schedule), hard_loss(0.0))
            images, labels = self.x[:VALIDATION], self.y[:VALIDATION]
            teacher.fit(images, labels, batch_size=128, epochs=TEACHER_EPOCHS, verbose=2)
            teacher.save(path)
        return keras.saving.load_model(path, compile=False)

    def _metrics(self, logits, part):
        """Accuracy and log loss, from the logits of the images of a part."""
        logits, labels = logits.astype(np.float64), self.y[PARTS[part]]
        logits -= logits.max(1, keepdims=True)
        losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(len(labels)), labels]
        return {"accuracy": float((logits.argmax(1) == labels).mean()), "log_loss": float(losses.mean())}


def open_task(arguments):
    return Mnist(arguments.data, arguments.work)


def epoch_rows(epoch):
    """The labelled images, and as many of the next of the pool that follows them."""
    start = LABELLED + epoch * LABELLED % POOL
    return np.concatenate([np.arange(LABELLED), np.arange(start, start + LABELLED)]).astype(np.int32)


def to_tensors(columns):
    return {name: tf.constant(column) for name, column in columns.items()}


def ask(model, images):
    return model.predict(images, batch_size=1000, verbose=0)


def scaled(images):
    return images[..., None] / np.float32(255)


def shift(images, random, most=2):
    """Every image moved by up to so many pixels each way, each by its own."""
    padded = np.pad(images, ((0, 0), (most, most), (most, most), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, images.shape[1:3], axis=(1, 2))
    rows, columns = random.integers(0, 2 * most + 1, (2, len(images)))
    return np.moveaxis(windows[np.arange(len(images)), rows, columns], 1, -1)


def hard_loss(label_smoothing):
    if label_smoothing:
        return keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=label_smoothing)
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def small():
    """The student: 7x7 maps of 8 channels, 16 hidden units."""
    image = keras.Input((28, 28, 1), name="image")
    x = keras.layers.Conv2D(8, 4, strides=4, activation="relu", name="maps")(image)
    x = keras.layers.Dense(16, activation="relu", name="hidden")(keras.layers.Flatten()(x))
    return keras.Model({"image": image}, keras.layers.Dense(10, name="logits")(x), name="student")


def large():
    """The teacher: 7x7 maps of 64 channels, 128 hidden units."""
    image = keras.Input((28, 28, 1), name="image")
    x = keras.layers.RandomTranslation(0.07, 0.07, fill_mode="constant")(image)
    for number, channels in enumerate((16, 32, 64)):
        if number:
            x = keras.layers.MaxPooling2D()(x)
        x = keras.layers.Conv2D(channels, 3, padding="same", use_bias=False)(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.ReLU(name="maps" if channels == 64 else None)(x)
    x = keras.layers.Flatten()(keras.layers.MaxPooling2D()(x))
    x = keras.layers.Dense(128, activation="relu", name="hidden")(x)
    x = keras.layers.Dropout(0.3)(x)
    return keras.Model(image, keras.layers.Dense(10, name="logits")(x), name="teacher")
