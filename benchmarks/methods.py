"""The student alone against every distillation method: equal tuning budget, then five seeds on the test part.

Every method, the student alone included, is tuned with the same number of trials on the validation part with a seed of
its own, then trained with the settings that won and each of the test seeds, and measured on the test part. Every
training is written to benchmarks/results/methods_TASK.json as soon as it is done and is not made again; the tables of
all tasks are written to benchmarks/results/methods.md.

    python benchmarks/methods.py mnist --data ../shared/data
    python benchmarks/methods.py adult --data ../shared/data --only alone KD
    python benchmarks/methods.py movielens --run saved_models/movielens_1m_ranking/RUN
    python benchmarks/methods.py mnist --table
"""

import argparse
import importlib
import tempfile
from pathlib import Path

from tfdistill._tensorflow import import_quietly

TASKS = ("mnist", "adult", "movielens")
RESULTS = Path(__file__).parent / "results"
WORK = Path(tempfile.gettempdir()) / "tfdistill_methods"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--only", nargs="+", metavar="METHOD", help="default: all methods of the task")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with mnist/ and adult/")
    parser.add_argument("--run", type=Path, help="for movielens: a finished run folder of the recipe")
    parser.add_argument("--work", type=Path, default=WORK, help="folder for trained teachers; default: a temporary one")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start no training after so many")
    parser.add_argument("--list", action="store_true", help="list the methods of the task")
    parser.add_argument("--table", action="store_true", help="write the tables from what is there and train nothing")
    arguments = parser.parse_args()
    import_quietly()
    from methods_tasks.study import Results, Study
    from methods_tasks.table import document

    module = importlib.import_module(f"methods_tasks.{arguments.task}")
    names = [method.name for method in module.METHODS]
    if arguments.list:
        print("\n".join(names))
        return
    unknown = sorted(set(arguments.only or ()) - set(names))
    if unknown:
        parser.error(f"--only: no method {unknown} in {arguments.task}. Its methods: {', '.join(names)}")
    if not arguments.table:
        results = Results(RESULTS / f"methods_{arguments.task}.json", arguments.task)
        study = Study(module.open_task(arguments), results, arguments.minutes)
        study.measure([method for method in module.METHODS if method.name in (arguments.only or names)])
    contents = [Results(RESULTS / f"methods_{task}.json", task).content for task in TASKS]
    methods = {task: importlib.import_module(f"methods_tasks.{task}").METHODS for task in TASKS}
    text = document([content for content in contents if content["methods"]], methods)
    (RESULTS / "methods.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
