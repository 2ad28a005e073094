"""The results as Markdown."""

import numpy as np

from methods_tasks.study import ALONE

HEADER = """# The student alone against every method

Written by `benchmarks/methods.py` from `methods_*.json`, where every single training is listed. Each method, the student alone
included, was tuned with the same number of trials on the validation part, with a seed of its own; then it was trained with
five other seeds and measured on the test part. "±" after a metric is the standard deviation over the seeds. The difference
to the student alone is paired by seed (the same initial weights and order of the rows) and has its standard error beside
it; "better" and "worse" mean more than two standard errors, which chance alone gives one method in nine (t with 4 degrees of
freedom), so mind the size too. Methods that train for more steps stand beside the best student alone with as many as well,
in the column after. Seconds are those of one training, with tracing and evaluation, on a shared machine.
"""


def document(contents, methods):
    """All tasks: contents are those of their files, methods {task: its methods, in the order of the table}."""
    return "\n".join([HEADER, *(section(content, methods[content["task"]]) for content in contents)])


def section(content, methods):
    """One task: its setting and its table."""
    machine, setting = content["environment"], content["setting"]
    versions = f"tfdistill {machine['tfdistill']}, TensorFlow {machine['tensorflow']}, Keras {machine['keras']}"
    lines = [
        f"## {setting['title']}",
        "",
        *setting["notes"],
        "",
        f"{machine['processor']}, {machine['cores']} cores, Python {machine['python']}, {versions}.",
        "",
    ]
    return "\n".join([*lines, *table(content, methods)]) + "\n"


def table(content, methods):
    """A row a reference and a row a method that has been tested."""
    metric, references = content["metric"], content["references"]
    others = [name for name in next(iter(references.values())) if name != metric]
    tested = {name: one for name, one in content["methods"].items() if len(one["tests"]) > 1}
    values = {name: {test["seed"]: test["test"][metric] for test in one["tests"]} for name, one in tested.items()}
    longer = any(method.baseline for method in methods)
    titles = ["method", "trials", "tuned to", metric, "minus alone", "verdict"]
    titles += (["minus alone, as many steps"] if longer else []) + [*others, "seconds"]
    rows = []
    for name, one in references.items():
        numbers = {metric: f"{one[metric]:.4f}"} | {other: f"{one[other]:.4f}" for other in others}
        rows.append({"method": name} | numbers)
    for method in methods:
        if method.name not in tested:
            continue
        rows.append(describe(method, tested[method.name], [metric, *others]))
        difference, verdict = compare(values[method.name], values.get(ALONE, {}))
        if method.name != ALONE:
            rows[-1] |= {"minus alone": difference, "verdict": verdict}
        if method.baseline in values:
            difference, verdict = compare(values[method.name], values[method.baseline])
            rows[-1]["minus alone, as many steps"] = f"{difference}, {verdict}"
        if verdict == "better":
            rows[-1]["method"] = f"**{method.name}**"
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    return lines + [f"| {' | '.join(row.get(title, '') for title in titles)} |" for row in rows]


def describe(method, record, metrics):
    """The cells of a method that need no other one."""
    tests = record["tests"]
    settings = tests[0]["settings"]
    return {
        "method": method.name,
        "trials": str(len(record["trials"])),
        "tuned to": ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in settings.items()),
        "seconds": f"{np.median([test['seconds'] for test in tests]):.0f}",
    } | {metric: spread([test["test"][metric] for test in tests]) for metric in metrics}


def compare(values, baseline):
    """The paired difference to a baseline with its standard error, and a verdict at two of them."""
    seeds = sorted(values.keys() & baseline.keys())
    if len(seeds) < 2:
        return "", ""
    differences = np.array([values[seed] - baseline[seed] for seed in seeds])
    mean, error = differences.mean(), differences.std(ddof=1) / np.sqrt(len(seeds))
    verdict = "no difference" if abs(mean) <= 2 * error else "better" if mean > 0 else "worse"
    return f"{mean:+.4f} ± {error:.4f}", verdict


def spread(values):
    return f"{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}"
