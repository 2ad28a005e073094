"""The parts of the report that show what a run did: its layers, stages, files, data and environment."""

from tfdistill.recipes.report import formatting
from tfdistill.recipes.report.formatting import number
from tfdistill.recipes.report.reading import dig, objects
from tfdistill.recipes.roles import role_label


def training_speed(metrics):
    """Returns (label, role, seconds, examples per second, mixed precision) of every model, means over its seeds."""
    rows = []
    for model in objects(metrics.get("models")):
        seeds = objects(model.get("seeds"))
        rows.append(
            {
                "label": model.get("label") or model.get("role"),
                "role": model.get("role"),
                "seeds": len(seeds),
                "seconds": formatting.seconds(_mean(seeds, "seconds")),
                "speed": formatting.short_count(_mean(seeds, "examples_per_second")),
                "mixed": model.get("precision") if "mixed" in str(model.get("precision")) else None,
            }
        )
    return [row for row in rows if row["seconds"] != formatting.MISSING]


def _mean(seeds, key):
    known = [value for value in (number(seed.get(key)) for seed in seeds) if value is not None]
    return sum(known) / len(known) if known else None


def model_layers(metrics):
    """Returns a table of layers per model, models of the same layers together."""
    tables = []
    for model in objects(metrics.get("models")):
        layers = objects(model.get("layers"))
        label = str(model.get("label") or model.get("role"))
        same = next((table for table in tables if layers and table["layers"] == layers), None)
        if same:
            same["title"] += f"; {label}"
            same["roles"].append(model.get("role"))
        elif layers:
            tables.append({"title": label, "roles": [model.get("role")], "layers": layers})
    for table in tables:
        table["parameters"] = formatting.count(_total(table["layers"], "parameters"))
        table["bytes"] = formatting.size(_total(table["layers"], "bytes"))
        table["rows"] = [
            {
                "name": layer.get("name"),
                "kind": layer.get("kind") or formatting.MISSING,
                "parameters": formatting.count(layer.get("parameters")),
                "bytes": formatting.size(layer.get("bytes")),
                "share": share,
            }
            for layer, share in zip(table["layers"], _shares(table["layers"], "bytes"), strict=True)
        ]
    return tables


def artifact_tensors(metrics):
    """Returns a table of tensors per artifact that lists them, with its operators."""
    tables = []
    for artifact in objects(metrics.get("artifacts")):
        tensors = objects(artifact.get("layers"))
        operators = artifact.get("operators")
        operators = operators if isinstance(operators, dict) else {}
        if not tensors and not operators:
            continue
        tables.append(
            {
                "title": artifact.get("label") or artifact.get("path"),
                "path": artifact.get("path"),
                "role": artifact.get("role"),
                "format": str(artifact.get("format")),
                "bytes": formatting.size(artifact.get("bytes")),
                "operators": list(operators.items()),
                "rows": [
                    {
                        "name": tensor.get("name"),
                        "dtype": tensor.get("dtype") or formatting.MISSING,
                        "shape": _shape(tensor.get("shape")),
                        "bytes": formatting.size(tensor.get("bytes")),
                        "share": share,
                    }
                    for tensor, share in zip(tensors, _shares(tensors, "bytes"), strict=True)
                ],
            }
        )
    return tables


def _shape(shape):
    return " × ".join(map(str, shape)) if isinstance(shape, list) and shape else formatting.MISSING


def _total(rows, key):
    known = [value for value in (number(row.get(key)) for row in rows) if value is not None]
    return sum(known) if known else None


def _shares(rows, key):
    """Returns each row's share of the largest row, 0 to 1, for bars."""
    values = [max(number(row.get(key)) or 0.0, 0.0) for row in rows]
    most = max(values, default=0.0) or 1.0
    return [value / most for value in values]


def stages(manifest):
    """Returns the stages with their time and memory, and whether they were reused."""
    known = objects(manifest.get("stages"))
    return [
        {
            "name": stage.get("name"),
            "seconds": formatting.seconds(stage.get("seconds")),
            "share": share,
            "memory": formatting.size(stage.get("peak_memory_bytes")),
            "reused": stage.get("reused") is True,
            "files": len(objects(stage.get("files"))),
            "bytes": formatting.size(_total(objects(stage.get("files")), "bytes")),
        }
        for stage, share in zip(known, _shares(known, "seconds"), strict=True)
    ]


def stages_total(manifest):
    """Returns the time of all stages together."""
    return formatting.seconds(_total(objects(manifest.get("stages")), "seconds"))


def files(manifest):
    """Returns every file that a stage wrote."""
    return [
        {
            "path": file.get("path"),
            "bytes": formatting.size(file.get("bytes")),
            "exact": formatting.count(file.get("bytes")),
            "sha256": str(file.get("sha256") or formatting.MISSING),
        }
        for stage in objects(manifest.get("stages"))
        for file in objects(stage.get("files"))
    ]


def environment(manifest):
    """Returns (name, value) pairs of the machine and the software."""
    found = manifest.get("environment") if isinstance(manifest.get("environment"), dict) else {}
    versions = found.get("versions") if isinstance(found.get("versions"), dict) else {}
    rows = [
        ("processor", found.get("processor")),
        ("cores", found.get("cores")),
        ("memory", formatting.size(found.get("memory_bytes"))),
        ("platform", found.get("platform")),
        ("Python", found.get("python")),
        *versions.items(),
        ("git commit", found.get("git_commit")),
        ("seed", manifest.get("seed")),
        ("run", manifest.get("run")),
        ("started", formatting.date(manifest.get("created"))),
        ("finished", formatting.date(manifest.get("finished"))),
    ]
    return [(name, formatting.MISSING if value is None or value == "" else str(value)) for name, value in rows]


def data_facts(metrics):
    """Returns the data set as (name, value) pairs, and its fields."""
    data = metrics.get("data") if isinstance(metrics.get("data"), dict) else {}
    rows = [
        (name, formatting.count(data.get(name)))
        for name in ("rows", "train", "validation", "test", "unlabelled", "users", "items", "classes")
    ]
    rows.append(("positive", formatting.percent(data.get("positive_share"), 1)))
    rows.append(("image", _shape(data.get("image"))))
    unseen = data.get("unseen") if isinstance(data.get("unseen"), dict) else {}
    fields = [
        {
            "name": field.get("name"),
            "kind": field.get("kind"),
            "of": field.get("of"),
            "size": formatting.count(field.get("size")) if field.get("kind") != "numeric" else formatting.MISSING,
            "unseen": formatting.count(unseen.get(str(field.get("name")), 0)),
        }
        for field in objects(data.get("fields"))
    ]
    return [(name, value) for name, value in rows if value != formatting.MISSING], fields


def conditions(metrics):
    """Returns how latency and throughput were measured, in one line, from what the artifacts say of it."""
    artifacts = objects(metrics.get("artifacts"))

    def told(*keys):
        values = {value for value in (number(dig(artifact, *keys)) for artifact in artifacts) if value is not None}
        return " or ".join(formatting.count(value) for value in sorted(values)) or None

    def threads(key):
        value = told(key, "threads")
        return value and f"{value} thread{'' if value == '1' else 's'}"

    latency = [("batch of {}", told("latency_ms", "batch")), ("{}", threads("latency_ms"))]
    latency.append(("{} runs", told("latency_ms", "runs")))
    throughput = [("batches of {}", told("throughput", "batch")), ("{}", threads("throughput"))]
    lines = []
    for name, facts in (("Latency", latency), ("Throughput", throughput)):
        known = [text.format(value) for text, value in facts if value]
        if known:
            lines.append(f"{name}: {', '.join(known)}.")
    return " ".join(lines)


def artifact_seeds(metrics):
    """Returns which seed's model the artifacts of each role were made from, in words, or nothing where none says."""
    seeds = {}
    for artifact in objects(metrics.get("artifacts")):
        if number(artifact.get("seed")) is not None:
            seeds.setdefault(str(artifact.get("role")), set()).add(int(artifact["seed"]))
    return ", ".join(
        f"{role_label(role)} seed {' and '.join(map(str, sorted(known)))}" for role, known in seeds.items()
    )
