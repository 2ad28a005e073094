"""What a recipe may say, and every combination that it may not."""

import copy
import json

import pytest
from pydantic import ValidationError

from tfdistill.recipes.schema import Recipe
from tfdistill.recipes.schema_keys import every_key, expectation, find_place

SMALLEST = {"name": "small", "data": {"source": "synthetic"}, "teacher": {"model": {"kind": "dcn_v2"}}}
RATINGS = {
    "source": "table",
    "path": "clicks.csv",
    "columns": {"user": "who", "item": "what", "rating": "stars", "time": "at"},
    "positive_above": 3,
}
CLICKS = {"source": "table", "path": "clicks.csv", "columns": {"user": "who", "item": "what", "label": "clicked"}}
KD = {"kind": "logits_distillation"}


def recipe(changes=()):
    """The smallest recipe with dotted keys set, validated."""
    values = copy.deepcopy(SMALLEST)
    for key, value in dict(changes).items():
        *path, last = key.split(".")
        section = values
        for part in path:
            section = section.setdefault(part, {})
        section[last] = copy.deepcopy(value)
    return Recipe.model_validate(values)


def refusals(changes):
    """{key: message} of what is refused."""
    with pytest.raises(ValidationError) as caught:
        recipe(changes)
    found = {}
    for error in caught.value.errors():
        context = error.get("ctx", {})
        path = find_place(tuple(error["loc"])).path
        path = (*path, context["key"]) if error["type"] == "impossible" and context["key"] else path
        found[".".join(map(str, path))] = context.get("message", error["msg"])
    return found


def test_data_and_teacher_are_all_that_a_recipe_must_say():
    small = recipe()
    assert small.data.users == 3000
    assert small.teacher.train.learning_rate == 0.001
    assert (small.student.model.kind, small.student.model.hidden_units) == ("mlp", (64, 32))
    assert small.distill.student_loss_weight == 0.1
    assert len(small.export.formats) == 5


def test_student_seeds_follow_the_seed():
    assert recipe().student_seeds == (1, 2, 3)
    assert recipe({"seed": 40}).student_seeds == (40, 41, 42)
    assert recipe({"seed": 40, "student_seeds": [7]}).student_seeds == (7,)


def test_the_highest_seed_leaves_room_for_the_students_that_follow_it():
    highest = 2**31 - 3
    assert recipe({"seed": highest}).student_seeds == (highest, highest + 1, highest + 2)
    assert set(refusals({"seed": highest + 1})) >= {"seed"}


def test_distillation_trains_like_the_student_alone_in_every_key_it_does_not_say():
    both = recipe({"student.train": {"epochs": 7, "dropout": 0.3}, "distill.train": {"epochs": 9}})
    assert both.distill.train.epochs == 9
    assert both.distill.train.dropout == 0.3
    assert recipe({"student.train": {"epochs": 7}}).distill.train.epochs == 7


def test_distillation_does_not_inherit_the_second_task_of_training_on_labels():
    both = recipe({"student.train": {"exposure_weight": 0.5, "dropout": 0.3}})
    assert both.student.train.exposure_weight == 0.5
    assert both.distill.train.dropout == 0.3
    assert not hasattr(both.distill.train, "exposure_weight")


def test_sections_that_are_ready_made_pass_their_training_on_too():
    from tfdistill.recipes.schema import LabelTraining, Student

    values = {**SMALLEST, "student": Student(train=LabelTraining(epochs=7))}
    assert Recipe.model_validate(values).distill.train.epochs == 7


def test_an_assistant_is_distilled_like_the_student_in_every_key_that_it_does_not_say():
    both = recipe(
        {
            "student.train": {"dropout": 0.3, "epochs": 7},
            "distill": {"losses": [KD | {"temperature": 4}], "train": {"epochs": 9, "batch_size": 64}},
            "assistants": [
                {"model": {"kind": "mlp"}},
                {"model": {"kind": "mlp"}, "distill": {"unrated_ratio": 1, "train": {"epochs": 3}}},
            ],
        }
    )
    first, second = (assistant.distill for assistant in both.assistants)
    assert first == both.distill
    assert second.losses == both.distill.losses and second.unrated_ratio == 1
    assert (second.train.epochs, second.train.batch_size, second.train.dropout) == (3, 64, 0.3)


def test_the_layers_that_a_teacher_is_asked_for_are_those_of_the_losses_each_once():
    layers = [("hidden_1", "a"), ("cross_1", "b"), (None, "c"), ("hidden_1", "d")]
    losses = [{"kind": "hint_distillation", "teacher_layer_name": t, "student_layer_name": s} for t, s in layers]
    assert recipe({"distill.losses": [KD, *losses]}).distill.teacher_layers == ["hidden_1", "cross_1"]
    assert recipe().distill.teacher_layers == []


def test_whole_numbers_are_accepted_where_numbers_are_expected():
    changed = recipe({"distill.losses": [KD | {"temperature": 2}], "data": RATINGS | {"drop_ratings": [3]}})
    assert isinstance(changed.distill.losses[0].temperature, float)
    assert changed.data.drop_ratings == (3.0,)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", 1.0),
        ("seed", "1"),
        ("seed", True),
        ("seed", -1),
        ("student_seeds", []),
        ("student_seeds", 1),
        ("student.train.epochs", 0),
        ("student.train.batch_size", 0),
        ("student.train.learning_rate", 0),
        ("student.train.learning_rate", float("nan")),
        ("student.train.learning_rate", float("inf")),
        ("student.train.learning_rate", "fast"),
        ("student.train.learning_rate", True),
        ("student.train.dropout", 1),
        ("student.train.dropout", -0.1),
        ("student.train.embedding_l2", -1),
        ("student.train.weight_decay", -1),
        ("student.train.exposure_weight", -1),
        ("student.train.learning_rate_schedule", "linear"),
        ("distill.losses", []),
        ("distill.losses", {}),
        ("distill.losses", ["logits_distillation"]),
        ("distill.losses", [KD | {"temperature": 0}]),
        ("distill.losses", [KD | {"temperature": True}]),
        ("distill.losses", [KD | {"temperature": {"kind": "linear", "initial": 4, "final": 0, "steps": 2}}]),
        ("distill.losses", [KD | {"weight": -1}]),
        ("distill.losses", [KD | {"weight": {"kind": "cosine", "initial": 1, "final": -1, "steps": 2}}]),
        ("distill.losses", [KD | {"task": "regression"}]),
        ("distill.losses", [KD | {"loss": "kl"}]),
        ("distill.losses", [{"kind": "hint_distillation", "teacher_layer_name": ""}]),
        ("distill.losses", [{"kind": "blended_distillation", "alpha": 2}]),
        ("distill.losses", [{"kind": "multi_level_distillation", "other_temperatures": [2, 0]}]),
        ("distill.teacher_interval", 0),
        ("distill.teacher_interval", 1.5),
        ("distill.student_loss_weight", 1.1),
        ("distill.student_loss_weight", -0.1),
        ("distill.unrated_ratio", -1),
        ("soft_targets.unrated_ratio", -1),
        ("soft_targets.batch_size", 0),
        ("soft_targets.draw", "random"),
        ("soft_targets.candidates", 0),
        ("soft_targets.dtype", "float64"),
        ("assistants", {}),
        ("assistants", [{}]),
        ("data.users", 1),
        ("data.items", 1),
        ("data.unseen", "ignore"),
        ("data.split.method", "leave_one_out"),
        ("data.split.test", 0),
        ("export.formats", []),
        ("export.formats", ["onnx"]),
        ("export.output", "class"),
        ("export.calibration_examples", 0),
        ("evaluate.threads", 0),
        ("evaluate.latency_runs", 0),
        ("evaluate.ndcg_k", 0),
        ("description", None),
        ("name", ""),
        ("name", ".."),
        ("name", ".hidden"),
        ("name", "-rf"),
        ("name", "a/b"),
        ("name", "two words"),
        ("name", "ends with newline\n"),
        ("name", "a" * 101),
        ("name", 3),
    ],
)
def test_a_value_out_of_bounds_or_of_another_type_is_refused(key, value):
    assert any(refused.startswith(key) for refused in refusals({key: value}))


@pytest.mark.parametrize("section", ["", "data.", "data.split.", "teacher.", "teacher.model.", "teacher.train."])
def test_an_unknown_key_is_refused_in_every_section(section):
    assert list(refusals({f"{section}colour": 1})) == [f"{section}colour"]


@pytest.mark.parametrize("bounds", [{"student_loss_weight": 0}, {"student_loss_weight": 1}, {"unrated_ratio": 0}])
def test_the_ends_of_a_range_are_allowed(bounds):
    assert recipe({f"distill.{key}": value for key, value in bounds.items()})


@pytest.mark.parametrize(
    ("changes", "key", "told"),
    [
        ({"data": {"source": "table"}}, "data.path", "required"),
        ({"data": {"source": "table"}}, "data.columns", "required"),
        ({"data": CLICKS | {"columns": {"user": "a", "item": "b"}}}, "data.columns", "received neither"),
        (
            {"data": CLICKS | {"columns": {"user": "a", "item": "b", "label": "c", "rating": "d"}}},
            "data.columns.rating",
            "received both",
        ),
        ({"data": RATINGS | {"positive_above": None}}, "data.positive_above", "the number above which"),
        ({"data": CLICKS | {"positive_above": 3}}, "data.positive_above", "only with columns.rating"),
        ({"data": CLICKS | {"drop_ratings": [3]}}, "data.drop_ratings", "only with columns.rating"),
        ({"data": RATINGS | {"drop_ratings": [3, 3]}}, "data.drop_ratings", "received 3.0 twice"),
        ({"data": CLICKS | {"users": 5}}, "data.users", "not permitted"),
        ({"data.columns": RATINGS["columns"]}, "data.columns", "not permitted"),
        ({"data.positive_above": 3}, "data.positive_above", "not permitted"),
        ({"data": {"source": "movielens_1m", "items": 5}}, "data.items", "not permitted"),
        (
            {"data": CLICKS | {"columns": {"user": "a", "item": "a", "label": "c"}}},
            "data.columns.item",
            "column 'a' is already the user column",
        ),
        ({"data": CLICKS | {"split": {"method": "temporal"}}}, "data.split.method", "needs data.columns.time"),
        ({"data.split": {"train": 0.5}}, "data.split", "train 0.5 + validation 0.1 + test 0.1 = 0.7"),
        ({"data.interactions": 2_000}, "data.interactions", "at least one row a user (3000), received 2000"),
        ({"distill.train": {"exposure_weight": 1}}, "distill.train.exposure_weight", "not permitted"),
        ({"data.interactions": 5_000_000}, "data.interactions", "3000 users x 1500 items = 4500000 pairs"),
        ({"teacher": {}}, "teacher", "received neither"),
        ({"teacher.load": "t.keras"}, "teacher.load", "received both"),
        ({"teacher": {"load": "t.keras", "train": {}}}, "teacher.train", "only with model"),
        ({"teacher": {"load": "t.keras", "members": 2}}, "teacher.members", "only with model"),
        ({"teacher.combine": "logits"}, "teacher.combine", "only with several teachers"),
        ({"teacher.weights": "entropy"}, "teacher.weights", "only with several teachers"),
        ({"teacher": {"load": "t.keras", "weights": [1]}}, "teacher.weights", "only with several teachers"),
        ({"teacher": {"load": ["t.keras", "t.keras"]}}, "teacher.load", "twice"),
        ({"teacher": {"load": ["a", "b"], "weights": [1]}}, "teacher.weights", "each of the 2 teachers, received 1"),
        ({"teacher.members": 2, "teacher.weights": [0, 0]}, "teacher.weights", "at least one number above 0"),
        ({"teacher.members": 2, "teacher.weights": [1, -1]}, "teacher.weights.1", "greater"),
        ({"teacher.members": 2, "teacher.weights": "best"}, "teacher.weights", "'entropy'"),
        ({"teacher.signature": "serve"}, "teacher.signature", "only with load"),
        ({"teacher.reads": "raw"}, "teacher.reads", "only with load"),
        ({"teacher.inputs": {"a": "user"}}, "teacher.inputs", "only with load"),
        ({"teacher.outputs": "logits"}, "teacher.outputs", "only with load"),
        ({"student.model": {"kind": "mlp", "cross_layers": 3}}, "student.model.cross_layers", "not permitted"),
        ({"student.model": {"kind": "mpl"}}, "student.model", "'mpl'"),
        ({"student.model": {"embedding_width": 3}}, "student.model", "discriminator"),
        ({"student.model": {"kind": "mlp", "embedding_width": 0}}, "student.model.embedding_width", "greater"),
        ({"student.model": {"kind": "mlp", "hidden_units": [8, 0]}}, "student.model.hidden_units.1", "greater"),
        ({"distill.unrated_ratio": 5}, "distill.unrated_ratio", "at most soft_targets.unrated_ratio (4), received 5"),
        (
            {"soft_targets": {"candidates": 4}},
            "soft_targets.candidates",
            "only with draw 'teacher', this draw is 'uniform'",
        ),
        (
            {"assistants": [{"model": {"kind": "mlp"}, "distill": {"unrated_ratio": 5}}]},
            "assistants.0.distill.unrated_ratio",
            "at most soft_targets.unrated_ratio (4), received 5",
        ),
        ({"student_seeds": [1, 2, 1]}, "student_seeds", "received 1 twice"),
        ({"export.formats": ["tflite_int8", "tflite_int8"]}, "export.formats", "received 'tflite_int8' twice"),
    ],
)
def test_an_impossible_combination_is_refused_by_its_key(changes, key, told):
    refused = refusals(changes)
    assert told in refused[key]


def features(**features):
    return {"data": RATINGS | {"features": features}}


AGE = {"of": "user", "kind": "categorical"}


@pytest.mark.parametrize(
    ("changes", "key", "told"),
    [
        (features(rating=AGE), "data.features.rating", "already the rating column"),
        (features(stars=AGE), "data.features.stars", "already the rating column"),
        (features(who=AGE), "data.features.who", "already the user column"),
        (features(age=AGE | {"column": "stars"}), "data.features.age.column", "already the rating column"),
        (features(teacher_logits=AGE), "data.features.teacher_logits", "kept for the models"),
        (features(**{"age group": AGE}), "data.features.age group", "letters, digits and underscores"),
        (features(age=AGE | {"of": "movie"}), "data.features.age.of", "'user'"),
        (features(age=AGE | {"kind": "text"}), "data.features.age.kind", "'categorical'"),
        (features(age={"of": "user"}), "data.features.age.kind", "required"),
        (features(age=AGE | {"separator": ""}), "data.features.age.separator", "at least 1"),
    ],
)
def test_a_feature_that_is_already_something_else_is_refused(changes, key, told):
    assert told in refusals(changes)[key]


def test_the_time_column_may_be_a_feature_too():
    assert recipe(features(hour={"of": "context", "kind": "numeric", "column": "at"}))


def test_a_loaded_teacher_gets_the_defaults_of_a_loaded_teacher_and_no_training():
    teacher = recipe({"teacher": {"load": "t.keras"}}).teacher
    assert (teacher.reads, teacher.outputs, teacher.model, teacher.train) == ("encoded", "logits", None, None)
    assert (teacher.members, teacher.combine, teacher.count) == (None, None, 1)


def test_several_teachers_get_the_default_of_their_combination():
    for several in ({"load": ["a.keras", "b.keras"]}, {"model": {"kind": "mlp"}, "members": 3}):
        assert recipe({"teacher": several}).teacher.combine == "logits"
    weighted = recipe({"teacher": {"load": ["a.keras", "b.keras"], "weights": [1, 2]}}).teacher
    assert (weighted.weights, weighted.count, weighted.is_one_of_ours) == ((1.0, 2.0), 2, False)
    assert recipe({"teacher.members": 3, "teacher.weights": "confidence"}).teacher.count == 3


def test_a_trained_teacher_has_nothing_of_a_loaded_one():
    teacher = recipe().teacher
    assert (teacher.reads, teacher.outputs, teacher.signature, teacher.inputs) == (None, None, None, None)


def test_shares_that_miss_one_by_rounding_are_allowed():
    assert recipe({"data.split": {"train": 0.7, "validation": 0.2, "test": 0.1}})


def test_paths_become_absolute_from_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert recipe({"data": CLICKS}).data.path == str(tmp_path / "clicks.csv")
    assert recipe({"teacher": {"load": "t.keras"}}).teacher.load == (str(tmp_path / "t.keras"),)


def test_the_resolved_recipe_is_plain_json_and_reads_back_as_the_same_recipe():
    schedule = {"kind": "warm_up", "target": {"kind": "cosine", "initial": 2, "final": 1, "steps": 3}, "steps": 1}
    several = {"model": {"kind": "mlp"}, "members": 2, "weights": [1, 2]}
    losses = [KD | {"weight": schedule}, {"kind": "standardized_logits", "loss": KD}]
    for changes in (
        {},
        {"data": RATINGS},
        {"data": {"source": "movielens_1m"}},
        {"teacher": {"load": "t.keras"}, "distill.losses": losses},
        {"teacher": several, "assistants": [{"model": {"kind": "mlp"}}]},
    ):
        original = recipe(changes)
        resolved = json.loads(json.dumps(original.resolved()))
        again = Recipe.model_validate(resolved)
        assert again == original
        assert again.run_name == original.run_name


def test_the_run_name_is_ten_hexadecimal_digits_of_the_resolved_recipe_without_description_and_strategy():
    import hashlib

    small = recipe()
    content = {key: value for key, value in small.resolved().items() if key not in ("description", "strategy")}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    assert small.run_name == hashlib.sha256(text.encode()).hexdigest()[:10]


def test_the_run_name_changes_with_a_value_and_not_with_the_way_it_is_written():
    def with_temperature(temperature):
        return recipe({"distill.losses": [KD | {"temperature": temperature}]}).run_name

    assert with_temperature(2) == with_temperature(2.0)
    assert recipe({"seed": 1}).run_name == recipe().run_name == with_temperature(1)
    assert with_temperature(3) != with_temperature(2)


def test_a_recipe_cannot_be_changed_once_it_is_read():
    with pytest.raises(ValidationError):
        recipe().seed = 2


def test_a_description_becomes_one_line():
    assert recipe({"description": "two\n  lines"}).description == "two lines"


def test_every_key_has_a_description_and_a_type():
    keys = list(every_key())
    assert len(keys) > 60
    assert all(kind and description for _, kind, _, description in keys)
    by_key = {key: (kind, default) for key, kind, default, _ in keys}
    assert by_key["distill.losses"] == ("a list of mappings", "[{kind: logits_distillation, temperature: 1}]")
    assert by_key["distill.losses[].kind"][0].startswith("one of 'logits_distillation', 'decoupled_distillation', ")
    assert by_key["distill.losses[].weight"][0].startswith("a number of at least 0, or a mapping with kind: one of ")
    assert by_key["distill.student_loss_weight"][1] == "0.1"
    assert by_key["assistants[].distill"] == ("a mapping with the keys of distill", "")
    assert by_key["SCHEDULE.momentum"] == ("a number of at least 0 and below 1", "0.99")
    assert by_key["data.source"] == ("one of 'synthetic', 'movielens_1m', 'table', 'mnist'", "required")
    assert by_key["data.features.NAME.missing"] == ("one of 'error', 'unknown'", "error")
    assert by_key["teacher.model.cross_layers"] == ("a whole number of at least 1", "3")


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        (("student", "model", "mlp", "embedding_width"), "a whole number of at least 1"),
        (("student", "model", "mlp", "hidden_units"), "a list, each item a whole number of at least 1"),
        (
            ("distill", "student_loss_weight", "number"),
            "a number from 0 to 1, or a mapping with kind: one of 'constant', 'linear', 'cosine', 'step', 'annealing', "
            "'warm_up'",
        ),
        (("distill", "student_loss_weight", "linear", "steps"), "a number above 0"),
        (("distill", "losses", 0, "decoupled_distillation", "alpha"), "a number of at least 0"),
        (
            ("distill", "losses", 2, "standardized_logits", "loss", "blended_distillation", "alpha"),
            "a number from 0 to 1",
        ),
        (("assistants", 1, "distill", "train", "epochs"), "a whole number of at least 1"),
        (("student", "train", "dropout"), "a number of at least 0 and below 1"),
        (("data", "synthetic", "split", "train"), "a number above 0 and below 1"),
        (("data", "movielens_1m", "path"), "a path or null"),
        (("teacher", "inputs"), "a mapping of names to text or null"),
        (("teacher", "inputs", "user_id"), "text"),
        (("data", "synthetic", "split"), "a mapping with the keys method, train, validation, test, folds, fold"),
        (("student", "model"), "a mapping with kind: one of 'mlp', 'dcn_v2', 'cnn'"),
    ],
)
def test_what_is_expected_of_a_key_is_said_in_words(location, expected):
    assert find_place(location).expected == expected


def test_an_expectation_names_null_where_null_is_allowed():
    assert expectation(float | None) == "a number or null"
