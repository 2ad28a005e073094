"""TPUs: the strategy, within a time, and what a step may not have in it to run there."""

import re
import threading

from tfdistill.distribution.cluster import answers, ended_after
from tfdistill.errors import UserError

TIMEOUT = 120.0  # seconds
TPU_NAME = "TPU_NAME"
# What XLA writes where a program leaves it or waits for the host: none of these is in a step that a TPU runs by itself.
HOST = re.compile(r"\b(infeed|outfeed|send|recv|custom-call)\(")
DYNAMIC = re.compile(r"\[[^\]]*<=\d+[^\]]*\]")
OPERATION = re.compile(r'op_type="(\w+)"')
NOT_THERE = re.compile(r": (\w+) \(No registered '")


def make_tpu_strategy(address=None, timeout_seconds=TIMEOUT):
    """Returns a `tf.distribute.TPUStrategy` over all cores of a TPU, found, connected and initialised.

    Call it before TensorFlow has run anything. What is on the TPU is lost.

    Args:
        address: "local" for the TPU of this machine, a TPU VM; the name of a TPU; or "grpc://host:port". Default: the
            environment variable TPU_NAME.
        timeout_seconds: for finding the TPU, and again for starting it, which takes half a minute for a few cores. A TPU
            that does not answer leaves TensorFlow waiting for ever: then the process ends with one line and exit code 2.

    Raises:
        ValueError: for a time that is not positive.
        UserError: where there is no TPU.

    >>> make_tpu_strategy("grpc://localhost:1", timeout_seconds=5)
    Traceback (most recent call last):
    ...
    tfdistill.errors.UserError: strategy: tpu: nothing answers at grpc://localhost:1. Check that the TPU runs, ...
    """
    import os

    import tensorflow as tf

    if not timeout_seconds > 0:
        raise ValueError(f"`timeout_seconds` must be above 0. Received: timeout_seconds={timeout_seconds!r}")
    named = address or os.environ.get(TPU_NAME)
    if named and named.startswith("grpc://") and not answers(named.removeprefix("grpc://")):
        raise UserError(
            f"strategy: tpu: nothing answers at {named}. Check that the TPU runs, its address ({TPU_NAME}) and the firewall."
        )
    resolver = _found(named, timeout_seconds)
    late = f"strategy: tpu: {named} did not start within {timeout_seconds:g} seconds. End what uses the TPU, or restart it."
    with ended_after(timeout_seconds, late):
        try:
            tf.config.experimental_connect_to_cluster(resolver)
            tf.tpu.experimental.initialize_tpu_system(resolver)
        except (tf.errors.OpError, RuntimeError) as error:
            raise UserError(
                f"strategy: tpu: there is no TPU at {named} ({_first_line(error)}). Choose one_device, or see docs/tpu.md."
            ) from error
    return tf.distribute.TPUStrategy(resolver)


def needs_static_shapes(strategy):
    """Whether batches must all be of one known size, the last, smaller one left out: on TPUs.

    >>> import tensorflow as tf
    >>> needs_static_shapes(tf.distribute.get_strategy())
    False
    """
    import tensorflow as tf

    return isinstance(strategy, tf.distribute.TPUStrategy)


def refused_by_tpu(function, *arguments):
    """Says in one line why a TPU would not run a function by itself, `None` if it would.

    The function is lowered to XLA's program, here, without a TPU and without being run. A TPU wants all of it compiled,
    with shapes that are known beforehand, and no operation left to the host. Whether it fits the TPU's memory is not
    looked at.

    Args:
        function: such as `distiller.train_step`.
        *arguments: tensors of the shapes that come, in any structure, such as a batch without its remainder.

    >>> import tensorflow as tf
    >>> refused_by_tpu(lambda x: 2 * x, tf.ones(3))
    >>> refused_by_tpu(lambda x: tf.strings.as_string(x), tf.ones(3))
    'XLA has no AsString'
    >>> refused_by_tpu(lambda x: tf.boolean_mask(x, x > 0), tf.ones(3))
    'the shape of Where depends on values: [<=3,1]'
    """
    import tensorflow as tf

    # Shapes alone are passed, one by one: of a tensor XLA would look at the values, and structures it does not take.
    shapes = [tf.TensorSpec.from_tensor(tf.convert_to_tensor(one)) for one in tf.nest.flatten(arguments)]

    @tf.autograph.experimental.do_not_convert  # as Keras does with steps
    def step(*ones):
        return function(*tf.nest.pack_sequence_as(arguments, ones))

    compiled = tf.function(step, jit_compile=True)
    try:
        program = compiled.experimental_get_compiler_ir(*shapes)(stage="hlo")
    except (ValueError, tf.errors.OpError) as error:
        if isinstance(error, ValueError) and not str(error).startswith("Failed getting HLO text"):
            raise
        return _why_refused(str(error))
    for line in program.splitlines():
        operation = OPERATION.search(line)
        operation = operation.group(1) if operation else line.strip()[:100]
        if HOST.search(line):
            return f"{operation} calls what is not XLA's"
        if (shape := DYNAMIC.search(line)) and "op_type" in line:
            return f"the shape of {operation} depends on values: {shape.group()}"
    return None


def _found(named, seconds):
    """The resolver of a TPU. Its lookups wait without end for a metadata server that does not answer."""
    import tensorflow as tf

    results = []

    def find():
        try:
            results.append(tf.distribute.cluster_resolver.TPUClusterResolver(named))
        except Exception as error:  # of the network, or of Google's client
            results.append(error)

    thread = threading.Thread(target=find, daemon=True)
    thread.start()
    thread.join(seconds)
    if not results:
        raise UserError(f"strategy: tpu: {named} was not found within {seconds:g} seconds. See docs/tpu.md.")
    if isinstance(results[0], Exception):
        what = f"{named} is not found" if named else f"no TPU is named, by {TPU_NAME} or otherwise"
        raise UserError(
            f"strategy: tpu: {what} ({_first_line(results[0])}). On a TPU VM set {TPU_NAME}=local; elsewhere "
            f"{f'unset {TPU_NAME} and ' if named else ''}choose auto."
        ) from results[0]
    return results[0]


def _why_refused(text):
    if found := NOT_THERE.search(text):
        return f"XLA has no {found.group(1)}"
    if "variable.var()" in text:
        return "XLA has no resource but variables, no lookup tables"
    text = re.sub(r"^Failed getting HLO text: '?", "", text)
    return f"XLA refuses: {_first_line(text)}"


def _first_line(error):
    return str(error).strip().splitlines()[0][:200].rstrip(". ") if str(error).strip() else type(error).__name__
