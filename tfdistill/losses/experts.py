"""Experts that turn a student's vectors into its teacher's, and the selector that says which of them does."""

import keras
from keras import ops

from tfdistill.losses.representation_loss import TorchUniform
from tfdistill.losses.tiles import Tiles, take_rows

# Above the first temperature all experts of a row run, between the two the best few, below the second only the best. Of 30
# experts' shares that leaves out less than a thousandth on the average, and above a hundredth in one row of a hundred.
TEMPERATURES = (0.1, 1e-3)
FEW = 4
SMALLEST_PROBABILITY = 1e-10


class Experts(keras.layers.Layer):
    """A mixture of small networks, each row by the experts that are drawn for it.

    `Σ_m z_m E_m(s)` with `E_m(s) = relu(s W + b) W' + b'` of (d_s + d_t) / 2 hidden units, z the Gumbel softmax of the
    selector: `softmax((log softmax(t V + c) + g) / T)`, g standard Gumbel noise.

    At low temperatures z is almost or exactly one-hot. Only the four best experts of a row are run then, and at last
    only the best, which takes a fifth of the time.

    Args:
        experts: how many, M.
        teacher_width, student_width: d_t and d_s.
        name: name of the layer.
    """

    def __init__(self, experts, teacher_width, student_width, name):
        super().__init__(name=name, dtype="float32", autocast=False)
        self.experts = experts
        # For a student as wide as its teacher the authors' hidden layer has half the width.
        hidden = student_width // 2 if student_width == teacher_width else (teacher_width + student_width) // 2
        self.widths = (student_width, max(hidden, 1), teacher_width)

    def build(self, input_shape=None):
        before, hidden, after = self.widths
        count = self.experts
        self.kernel = self._add("kernel", (count, before, hidden), before)
        self.bias = self._add("bias", (count, hidden), before)
        self.output_kernel = self._add("output_kernel", (count, hidden, after), hidden)
        self.output_bias = self._add("output_bias", (count, after), hidden)
        self.selector_kernel = self._add("selector_kernel", (after, count), after)
        self.selector_bias = self._add("selector_bias", (count,), after)
        self.built = True

    def _add(self, name, shape, fan_in):
        return self.add_weight(shape=shape, initializer=TorchUniform(fan_in), name=name)

    def selector_logits(self, teacher):
        """Logits [n, M] of the selector for teacher vectors [n, d_t]."""
        return ops.matmul(teacher, self.selector_kernel) + self.selector_bias

    def call(self, student, teacher, temperature, seed_generator):
        """Mixture [n, d_t] for student vectors [n, d_s] and teacher vectors [n, d_t].

        Args:
            temperature: float32 scalar tensor.
            seed_generator: `keras.random.SeedGenerator` of the noise.
        """
        if self.experts == 1:
            return self._all(student, ops.ones_like(student[:, :1]))
        probabilities = ops.softmax(self.selector_logits(teacher), axis=-1) + SMALLEST_PROBABILITY
        # A draw of exactly 0 or 1 would be infinite noise.
        uniform = keras.random.uniform(ops.shape(probabilities), seed=seed_generator)
        noise = -ops.log(-ops.log(ops.clip(uniform, 1e-20, 1.0 - 1e-7)))
        shares = ops.softmax((ops.log(probabilities) + noise) / temperature, axis=-1)
        return self.mix(student, shares, temperature)

    def mix(self, student, shares, temperature):
        """`Σ_m z_m E_m(s)` for given shares z [n, M]."""
        if self.experts <= FEW:
            return self._all(student, shares)
        some, one = TEMPERATURES
        return ops.cond(
            temperature > some,
            lambda: self._all(student, shares),
            lambda: ops.cond(
                temperature > one, lambda: self._best(student, shares, FEW), lambda: self._best(student, shares, 1)
            ),
        )

    def _all(self, student, shares):
        before, hidden, after = self.widths
        kernel = ops.reshape(ops.transpose(self.kernel, (1, 0, 2)), (before, -1))
        inside = ops.relu(ops.matmul(student, kernel) + ops.reshape(self.bias, (-1,)))
        inside = ops.reshape(inside, (-1, self.experts, hidden)) * ops.expand_dims(shares, 2)
        inside = ops.reshape(inside, (-1, self.experts * hidden))
        return ops.matmul(inside, ops.reshape(self.output_kernel, (-1, after))) + ops.matmul(shares, self.output_bias)

    def _best(self, student, shares, count):
        """The same with the best `count` experts of each row alone, each of which sees its own rows only."""
        best, chosen = ops.top_k(shares, count)
        rows = ops.arange(ops.shape(student)[0] * count) // count
        tiles = Tiles(ops.reshape(chosen, (-1,)), self.experts)
        inputs = tiles.gather(student, rows)
        kernel, bias, output_kernel, output_bias = (
            take_rows(ops.convert_to_tensor(weights), tiles.group)
            for weights in (self.kernel, self.bias, self.output_kernel, self.output_bias)
        )
        inside = ops.relu(ops.matmul(inputs, kernel) + ops.expand_dims(bias, 1))
        outputs = ops.matmul(inside, output_kernel) + ops.expand_dims(output_bias, 1)
        outputs = ops.reshape(tiles.scatter_back(outputs), (-1, count, self.widths[-1]))
        return ops.sum(outputs * ops.expand_dims(best, 2), axis=1)
