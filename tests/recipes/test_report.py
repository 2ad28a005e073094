"""The report of a run: what it shows, that it stands alone, that hostile names and missing numbers do no harm."""

import copy
import io
import json
import re
import xml.etree.ElementTree as ElementTree

import pytest
from rich.console import Console

from tfdistill.errors import UserError
from tfdistill.recipes.report import summary_table, write_report
from tfdistill.recipes.report.charts import Line, Point, line_chart, scatter
from tfdistill.recipes.report.formatting import difference, metric, seconds, significant, size, times
from tfdistill.recipes.report.labels import Box, place_labels
from tfdistill.recipes.report.scales import LinearScale, LogScale
from tfdistill.recipes.report.tables import quality_table

SEED_AUC = {"teacher": [0.9033], "alone": [0.8876, 0.8883, 0.8881], "distilled": [0.8997, 0.9004, 0.9001]}
LABELS = {"teacher": "teacher", "alone": "student alone", "distilled": "distilled student"}


def test_metrics(auc):
    return {"auc": auc, "log_loss": 1.2 - auc, "accuracy": auc - 0.04, "precision": 0.88, "recall": 0.94, "f1": 0.91}


test_metrics.__test__ = False


def model(role):
    aucs = SEED_AUC[role]
    mean = sum(aucs) / len(aucs)
    epochs = [{"epoch": n, "loss": 0.5 / n, "validation_auc": 0.8 + 0.01 * n, "seconds": 2.0} for n in (1, 2, 3)]
    return {
        "role": role,
        "label": LABELS[role],
        "parameters": 2_000_000 if role == "teacher" else 84_473,
        "layers": [{"name": "embed_user", "kind": "Embedding", "parameters": 84_473, "bytes": 337_892}],
        "seeds": [
            {"seed": n, "seconds": 61.0, "examples_per_second": 6e4, "epochs": epochs, "test": test_metrics(auc)}
            for n, auc in enumerate(aucs, 1)
        ],
        "test": {
            name: {"mean": value, "std": 0.00036 if len(aucs) > 1 else None, "count": len(aucs)}
            for name, value in test_metrics(mean).items()
        },
    }


def artifact(role, name, format_name, auc, size_in_bytes, p50):
    return {
        "label": f"{LABELS[role]}, {name}",
        "role": role,
        "format": format_name,
        "path": f"export/{role}.{name}.tflite",
        "seed": 1,
        "bytes": size_in_bytes,
        "gzip_bytes": size_in_bytes // 2,
        "parameters": 84_473,
        "flops": 11_700,
        "test": {**test_metrics(auc), "ndcg@10": 0.91},
        "parity": {"max": 1.2e-7, "mean": 2e-8},
        "latency_ms": {"p50": p50, "p95": p50 * 1.1, "p99": p50 * 1.4, "batch": 1, "threads": 1, "runs": 1000},
        "throughput": {"examples_per_second": 300_000.0, "batch": 256, "threads": 1},
        "peak_memory_bytes": 9_000_000,
        "layers": [{"name": "ranker/embed_user", "dtype": "int8", "shape": [84, 8], "bytes": 672}],
        "operators": {"FULLY_CONNECTED": 3},
    }


METRICS = {
    "format": 1,
    "task": "click-through",
    "data": {
        "rows": 739012,
        "positive_share": 0.778,
        "fields": [{"name": "movie", "kind": "categorical", "of": "item", "size": 3664}],
        "unseen": {"movie": 31},
    },
    "models": [model(role) for role in LABELS],
    "artifacts": [
        artifact("teacher", "float32", "tflite_float32", 0.9033, 8_000_000, 0.132),
        artifact("alone", "float32", "tflite_float32", 0.8876, 347_000, 0.012),
        artifact("distilled", "float32", "tflite_float32", 0.8997, 347_000, 0.012),
        artifact("distilled", "int8", "tflite_int8", 0.8988, 100_000, 0.009),
    ],
    "summary": {
        "gap_closed": 0.79,
        "gap_closed_by_seed": [0.77, 0.82, 0.79],
        "size_ratio": 23.05,
        "size_ratio_smallest": 80.0,
        "speedup": 11.0,
        "auc": {"teacher": 0.9033, "alone": 0.888, "distilled": 0.90007},
    },
}
MANIFEST = {
    "format": 1,
    "recipe": "movielens",
    "run": "3fa94c01d2",
    "status": "complete",
    "created": "2025-11-21T10:14:02+00:00",
    "finished": "2025-11-21T10:31:07+00:00",
    "seed": 1,
    "resolved_recipe": {"name": "movielens", "description": "A small ranker", "distill": {"temperature": 2.5}},
    "environment": {
        "python": "3.11.7",
        "processor": "A fine processor",
        "cores": 2,
        "memory_bytes": 25_000_000_000,
        "versions": {"keras": "3.15.1"},
        "git_commit": "a1b2c3",
    },
    "stages": [
        {
            "name": "teacher",
            "seconds": 183.2,
            "peak_memory_bytes": 1.3e9,
            "reused": True,
            "files": [{"path": "teacher/model.keras", "bytes": 123_456, "sha256": "0123456789abcdef" * 4}],
        }
    ],
}


@pytest.fixture
def report(tmp_path):
    """Returns a function: the report's text for a manifest and metrics."""

    def write(manifest=MANIFEST, metrics=METRICS):
        (tmp_path / "manifest.json").write_text(json.dumps(manifest))
        (tmp_path / "metrics.json").write_text(json.dumps(metrics))
        return write_report(tmp_path).read_text(encoding="utf-8")

    return write


def rendered(metrics, width=100):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(summary_table(metrics))
    return console.file.getvalue()


def leaves(value, path=()):
    """Yields the path of every value in nested dictionaries and of the first in every list."""
    items = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for key, child in items:
        yield (*path, key)
        yield from leaves(child, (*path, key))


def replaced(value, path, new):
    value = copy.deepcopy(value)
    target = value
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = new
    return value


def test_the_report_stands_in_the_run_folder_and_nothing_else_is_left(report, tmp_path):
    report()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["manifest.json", "metrics.json", "report.html"]


def test_the_sentence_says_gap_size_and_speed(report):
    assert (
        "Distillation closed 79% of the gap in test AUC between the student trained alone (0.8880) and its teacher "
        "(0.9033). The distilled student&#39;s smallest file (int8, 100 KB, AUC 0.8988) is 80 times smaller than the "
        "teacher&#39;s, and the student answers 11 times faster."
    ) in report()


def test_every_model_and_artifact_appears_with_its_auc(report):
    page = report()
    for label, auc in [
        ("teacher", "0.9033"),
        ("student alone", "0.8880"),
        ("distilled student", "0.9001"),
        ("teacher, float32", "0.9033"),
        ("student alone, float32", "0.8876"),
        ("distilled student, float32", "0.8997"),
        ("distilled student, int8", "0.8988"),
    ]:
        row = re.search(rf'<th scope="row" title="{label}">.*?</tr>', page, re.DOTALL).group()
        assert auc in row


def test_the_report_asks_for_nothing_outside_itself(report):
    page = report()
    assert "http://" not in page and "https://" not in page and "@import" not in page and "url(" not in page
    assert not re.search(r"<(link|img|iframe|script|source)\b[^>]*\b(src|href)=", page)
    assert set(re.findall(r'href="([^"]*)"', page)) == set(
        f"#{name}" for name in re.findall(r'<section id="(\w+)"', page)
    )


def test_stages_files_recipe_and_environment_are_told(report):
    page = report()
    for fact in ("3 min 03 s", "1.30 GB", "reused", "teacher/model.keras", "0123456789ab", "temperature: 2.5"):
        assert fact in page
    for fact in ("A fine processor", "3.15.1", "a1b2c3", "tfdistill run movielens.yaml", "1 thread, 1,000 runs"):
        assert fact in page


def test_markup_in_names_comes_out_inert(report):
    attack = "<script>alert(1)</script>\" onload='x"
    manifest, metrics = copy.deepcopy(MANIFEST), copy.deepcopy(METRICS)
    manifest["recipe"] = manifest["resolved_recipe"]["description"] = manifest["environment"]["processor"] = attack
    manifest["stages"][0]["name"] = manifest["stages"][0]["files"][0]["path"] = attack
    for entry in metrics["models"] + metrics["artifacts"]:
        entry["label"] = entry["layers"][0]["name"] = attack
    metrics["artifacts"][0]["role"] = metrics["artifacts"][0]["format"] = attack
    metrics["data"]["fields"][0]["name"] = attack
    page = report(manifest, metrics)
    assert page.count("<script>") == 1 and "<script>alert" not in page and "&lt;script&gt;alert(1)" in page
    assert not re.search(r"<[^<>]*\sonload=", re.sub(r'"[^"]*"', '""', page))


def test_a_report_needs_no_optional_number(report):
    metrics = {"format": 1, "models": [{"role": "distilled", "test": {"auc": {"mean": 0.9, "std": None, "count": 1}}}]}
    page = report({"format": 1}, metrics)
    assert "The distilled student reaches a test AUC of 0.9000." in page and "–" in page
    assert "run" in report({"format": 1}, {"format": 1})


def test_any_single_value_may_be_null(report):
    small = {**METRICS, "models": METRICS["models"][2:], "artifacts": METRICS["artifacts"][-1:]}
    for path in leaves(small):
        if path != ("format",):
            assert "</html>" in report(MANIFEST, replaced(small, path, None)), path
            rendered(replaced(small, path, None))
    for path in leaves(MANIFEST):
        if path != ("format",):
            assert "</html>" in report(replaced(MANIFEST, path, None), {"format": 1}), path


def test_a_loaded_teacher_without_epochs_latency_or_parity_is_shown(report):
    metrics = copy.deepcopy(METRICS)
    metrics["models"][0]["seeds"][0]["epochs"] = []
    metrics["models"][0]["layers"] = []
    metrics["artifacts"][0] |= {
        "label": "teacher, as loaded",
        "format": "saved_model",
        "seed": None,
        "latency_ms": None,
        "parity": None,
        "throughput": None,
        "flops": None,
        "peak_memory_bytes": None,
    }
    metrics["summary"]["speedup"] = None
    page = report(metrics=metrics)
    assert "teacher, as loaded" in page and "not measured" in page and "times faster" not in page
    assert "as loaded" in rendered(metrics)


def test_a_student_no_better_for_distillation_is_not_praised(report):
    metrics = copy.deepcopy(METRICS)
    metrics["models"][2]["test"]["auc"]["mean"] = 0.887
    metrics["summary"]["gap_closed"] = -0.065
    assert "Distillation did not help here" in report(metrics=metrics)


def test_a_gap_smaller_than_the_spread_over_seeds_is_not_put_in_percent(report):
    metrics = copy.deepcopy(METRICS)
    metrics["models"][0]["test"]["auc"]["mean"] = 0.8882  # the students alone: 0.8880 ± 0.0004
    metrics["summary"]["gap_closed"] = 60.5
    page = report(metrics=metrics)
    assert "no gap to close" in page and "6050" not in page


def with_assistants():
    metrics = copy.deepcopy(METRICS)
    for number in (2, 1):  # whatever their order in the file, they stand between teacher and students
        assistant = copy.deepcopy(METRICS["models"][0]) | {"role": f"assistant {number}"}
        metrics["models"].append(assistant | {"label": f"teacher assistant {number}", "parameters": 500_000})
    metrics["models"][-2:] = metrics["models"][:-3:-1]
    return metrics


def test_assistants_stand_between_teacher_and_students_in_a_colour_of_their_own(report):
    from tfdistill.recipes.report.entries import read_entries

    metrics = with_assistants()
    roles = list(dict.fromkeys(entry.role for entry in read_entries(metrics)))
    assert roles == ["teacher", "assistant 1", "assistant 2", "alone", "distilled"]
    page = report(metrics=metrics)
    assert '<th scope="row" title="teacher assistant 2">' in page
    assert 'class="line assistant 1"' in page and ".assistant { --role" in page
    assert '<span class="assistant 1"><i class="swatch"></i><span class="role">assistant 1</span></span>' in page
    rows = [line.split() for line in rendered(metrics).splitlines()]
    assert ["teacher", "assistant", "1", "0.9033", "0.2967"] in [row[:5] for row in rows]


def test_a_larger_and_slower_student_is_called_so(report):
    metrics = copy.deepcopy(METRICS)
    metrics["summary"] |= {"size_ratio_smallest": 0.5, "speedup": 0.25}
    assert "is 2.0 times larger than the teacher&#39;s, and the student answers 4.0 times slower." in report(
        metrics=metrics
    )


@pytest.mark.parametrize("name", ["manifest.json", "metrics.json"])
@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"format": 2}', b"\xff\xfe"])
def test_a_missing_or_damaged_file_is_named(report, tmp_path, name, text):
    report()
    (tmp_path / "report.html").unlink()
    if text is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=name):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_a_missing_run_folder_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere"):
        write_report(tmp_path / "nowhere")


def points(*places):
    return [Point(x, y, "distilled", "tflite_int8", f"point {x:g}", f"point {x:g}") for x, y in places]


def drawn(chart, kind):
    root = ElementTree.fromstring(str(chart))
    return [element for element in root.iter() if element.get("class", "").split(" ")[0] == kind]


def position(element):
    return tuple(map(float, re.fullmatch(r"translate\((.+),(.+)\)", element.get("transform")).groups()))


def options(**changes):
    return {"x_title": "size", "x_tick": size, "y_title": "AUC", "width": 600, "height": 400} | changes


def test_points_of_a_scatter_stand_in_the_order_of_their_sizes():
    chart = scatter(points((4e6, 0.90), (1e5, 0.89), (3e5, 0.91)), **options())
    group = drawn(chart, "point")
    assert [float(element.get("data-x")) for element in group] == [1e5, 3e5, 4e6]
    across = [position(element)[0] for element in group]
    assert across == sorted(across) and len(set(across)) == 3


def test_equal_factors_are_equal_distances_on_the_log_axis():
    chart = scatter(points((1e5, 0.90), (1e6, 0.90), (1e7, 0.91)), **options())
    first, second, third = (position(element)[0] for element in drawn(chart, "point"))
    assert second - first == pytest.approx(third - second, abs=0.11)


def test_a_higher_auc_stands_higher():
    low, high = (position(element)[1] for element in drawn(scatter(points((1, 0.8), (2, 0.9)), **options()), "point"))
    assert high < low


def test_the_reference_line_lies_at_the_height_of_a_point_of_its_value():
    chart = scatter(points((1, 0.8), (2, 0.9)), **options(reference=("teacher", 0.9)))
    (line,) = drawn(chart, "reference")
    assert float(line.get("y1")) == pytest.approx(position(drawn(chart, "point")[1])[1], abs=0.11)


def test_points_without_a_place_on_a_log_axis_are_left_out():
    assert scatter(points((0, 0.9)), **options()) is None
    assert len(drawn(scatter(points((0, 0.9), (5, 0.9)), **options()), "point")) == 1


def test_every_seed_has_a_line_and_every_role_one_label():
    lines = [
        Line(role, role, f"{role} {n}", [(1, 0.5), (2, 0.5 - n / 100)])
        for role in ("alone", "distilled")
        for n in (1, 2)
    ]
    chart = line_chart(lines, y_title="loss", width=600, height=400)
    assert len(drawn(chart, "line")) == 4
    heights = {element.text: float(element.get("y")) for element in drawn(chart, "label")}
    assert set(heights) == {"alone", "distilled"} and abs(heights["alone"] - heights["distilled"]) >= 15.9


def test_lines_without_epochs_make_no_chart():
    assert line_chart([Line("teacher", "teacher", "teacher", [])], y_title="loss", width=600, height=400) is None


def test_labels_cover_neither_each_other_nor_a_point_nor_the_edge():
    anchors = [(100, 100), (104, 103), (112, 96), (130, 100), (131, 112), (290, 20), (12, 180), (290, 24)]
    bounds = Box(0, 0, 300, 200)
    obstacles = [Box(x - 6, y - 6, x + 6, y + 6) for x, y in anchors]
    boxes = [placed.box for placed in place_labels([f"label {n}" for n in range(8)], anchors, bounds, obstacles)]
    assert all(one.overlap(other) == 0 for n, one in enumerate(boxes) for other in boxes[n + 1 :])
    assert all(box.overlap(obstacle) == 0 for box in boxes for obstacle in obstacles)
    assert all(box.left >= 0 and box.top >= 0 and box.right <= 300 and box.bottom <= 200 for box in boxes)


def test_ticks_are_round():
    assert LinearScale([0.8872, 0.9033], 0, 1, margin=0).ticks(5) == [0.89, 0.895, 0.9]
    assert LogScale([1e5, 1e7], 0, 1, margin=0).ticks(8) == [1e5, 2e5, 5e5, 1e6, 2e6, 5e6, 1e7]
    assert LogScale([1e5, 1e7], 0, 1, margin=0).ticks(4) == [1e5, 1e6, 1e7]


def test_a_single_value_has_an_axis():
    assert [LinearScale([0.9], 0, 100)(0.9), LogScale([7.0], 0, 100)(7.0)] == pytest.approx([50, 50])


def test_numbers_are_written_for_people():
    assert [size(n) for n in (0, 999, 999_600, 98_430, 8_071_000)] == ["0 B", "999 B", "1.00 MB", "98.4 KB", "8.07 MB"]
    assert [significant(x) for x in (0.025119, 9.996, 8071.4)] == ["0.0251", "10.0", "8,070"]
    assert [difference(x) for x in (1.23e-7, 0.0142, 0)] == ["1.2e-07", "0.014", "0"]
    assert [seconds(x) for x in (9.04, 59.99, 183.2, 3720)] == ["9.0 s", "1 min 00 s", "3 min 03 s", "1 h 02 min"]
    assert [times(x) for x in (4.23, 9.97, 82.3)] == ["4.2", "10", "82"]
    assert {write(None) for write in (size, significant, difference, seconds, times, metric)} == {"–"}
    assert metric(float("nan")) == "–"


def test_the_best_value_of_a_column_is_marked_low_for_losses_high_for_the_rest():
    from tfdistill.recipes.report.entries import read_entries

    table = quality_table(read_entries(METRICS))
    best = {
        title: [entry.label for _, entry, cells in table.rows if cells[column].best]
        for column, title in enumerate(table.titles)
    }
    assert best["AUC"] == best["log loss"] == ["teacher", "teacher, float32"]
    assert best["precision"] == []


def test_the_terminal_table_fits_a_hundred_columns_and_names_every_row_with_its_numbers():
    text = rendered(METRICS)
    assert max(map(len, text.splitlines())) <= 100
    rows = [line.split() for line in text.splitlines()]
    assert ["student", "alone", "0.8880±.0004", "0.3120", "–", "338", "KB", "–", "24×", "–", "–"] in rows
    assert ["int8", "0.8988", "0.3012", "0.9100", "100", "KB", "50.0", "KB", "80×", "0.0090", "1e-07"] in rows


def test_the_terminal_table_keeps_its_numbers_in_eighty_columns():
    assert "0.8880±.0004 0.3120" in rendered(METRICS, width=80)


def test_markup_of_the_terminal_in_a_label_is_text():
    assert "[red]x" in rendered(replaced(METRICS, ("models", 0, "label"), "[red]x"))
