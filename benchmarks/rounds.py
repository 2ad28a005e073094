"""Timed rounds of several jobs by turns, and the ratios between them."""

import statistics
import time


def describe_run(settings):
    """One line: versions, machine, then what this run is."""
    import keras
    import tensorflow as tf

    from tfdistill.recipes.environment import describe_environment

    machine = describe_environment()
    versions = f"TensorFlow {tf.__version__}, Keras {keras.__version__}"
    return f"{versions}, {machine['processor']}, {machine['cores']} cores; {settings}"


def timed(jobs, rounds, clock=time.perf_counter):
    """{name: seconds of every round}, the jobs by turns after one run of each that traces.

    Args:
        jobs: {name: function without arguments}.
        clock: `time.perf_counter`, or `time.process_time` for CPU seconds of all threads.
    """
    for run in jobs.values():
        run()
    seconds = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, run in jobs.items():
            started = clock()
            run()
            seconds[name].append(clock() - started)
    return seconds


def compare(what, first, second):
    """Prints the median of the ratios of paired rounds, the lowest and the highest, and the ratio of the fastest."""
    ratios = sorted(a / b for a, b in zip(first, second, strict=True))
    fastest = min(first) / min(second)
    print(f"{what:50} {statistics.median(ratios):5.2f}  ({ratios[0]:.2f} to {ratios[-1]:.2f})  fastest {fastest:.2f}")
