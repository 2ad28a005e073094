"""From a recipe file to a recipe, and what a user reads when the file is wrong: one line that names the place."""

import os
from pathlib import Path

import pytest

from tfdistill.errors import UserError
from tfdistill.recipes import catalogue
from tfdistill.recipes.loading import load_recipe
from tfdistill.recipes.loading_yaml import read_yaml, write_yaml

RECIPE = """\
description: a recipe for tests
seed: 1
data: {source: synthetic}
teacher:
  model: {kind: dcn_v2, cross_layers: 2}
student:
  model:
    kind: mlp
    embedding_width: 8
  train:
    learning_rate: 1e-3
distill: {student_loss_weight: 0.5, losses: [{kind: logits_distillation, temperature: 2}]}
"""
DISTILL = RECIPE.splitlines()[-1]


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes mine.yaml into the current folder."""
    monkeypatch.chdir(tmp_path)

    def to_file(text, name="mine.yaml"):
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return name

    return to_file


def refusal(path, overrides=()):
    with pytest.raises(UserError) as caught:
        load_recipe(path, overrides)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_recipe_is_named_after_its_file(write):
    assert load_recipe(write(RECIPE)).name == "mine"
    assert load_recipe(write("name: other\n" + RECIPE)).name == "other"


def test_a_file_name_that_makes_no_folder_name_is_refused(write):
    told = refusal(write(RECIPE, "my recipe.yaml"))
    assert told.startswith("my recipe.yaml: name (the file's, since the recipe gives none): expected a name")
    assert told.endswith("received 'my recipe'.")


@pytest.mark.parametrize(
    ("wrong", "right", "told"),
    [
        (
            "    learning_rat: 1e-3",
            "    learning_rate: 1e-3",
            "mine.yaml line 11: student.train.learning_rat: unknown key. Did you mean 'learning_rate'? Keys here: "
            "epochs, batch_size, learning_rate, learning_rate_schedule, optimizer, lazy, weight_decay, steps_per_execution, "
            "xla, dropout, embedding_l2, exposure_weight.",
        ),
        (
            "    embedding_width: wide",
            "    embedding_width: 8",
            "mine.yaml line 9: student.model.embedding_width: expected a whole number of at least 1, received 'wide'.",
        ),
        (
            "    kind: mpl",
            "    kind: mlp",
            "mine.yaml line 8: student.model.kind: expected one of 'mlp', 'dcn_v2', 'cnn', received 'mpl'. "
            "Did you mean 'mlp'?",
        ),
        (
            "    cross_layers: 8",
            "    embedding_width: 8",
            "mine.yaml line 9: student.model.cross_layers: only with kind 'dcn_v2', this kind is 'mlp'. Remove it.",
        ),
        (
            "distill: {train: {learning_rate: 0}}",
            DISTILL,
            "mine.yaml line 12: distill.train.learning_rate: expected a number above 0, received 0.",
        ),
        (
            "distill: {student_loss_weight: 2}",
            DISTILL,
            "mine.yaml line 12: distill.student_loss_weight: expected a number from 0 to 1, or a mapping with kind: one "
            "of 'constant', 'linear', 'cosine', 'step', 'annealing', 'warm_up', received 2.",
        ),
        (
            "distill: {student_loss_weight: {kind: liner, initial: 0, final: 1, steps: 2}}",
            DISTILL,
            "mine.yaml line 12: distill.student_loss_weight.kind: expected one of 'constant', 'linear', 'cosine', 'step', "
            "'annealing', 'warm_up', received 'liner'. Did you mean 'linear'?",
        ),
        (
            "distill: {student_loss_weight: {kind: linear, initial: 0, final: 1}}",
            DISTILL,
            "mine.yaml line 12: distill.student_loss_weight.steps: missing. Expected a number above 0 (epochs that it "
            "takes).",
        ),
        (
            "distill: {student_loss_weight: {kind: linear, initial: 0, final: 2, steps: 1}}",
            DISTILL,
            "mine.yaml line 12: distill.student_loss_weight: expected values from 0 to 1 at every step, received 'linear' "
            "from 0 to 2.",
        ),
        (
            "distill: {losses: [{kind: logits_distillation, temperature: {kind: warm_up, target: 4, steps: 1}}]}",
            DISTILL,
            "mine.yaml line 12: distill.losses[0].temperature.kind: expected one of 'constant', 'linear', 'cosine', "
            "'step', 'annealing', 'curriculum_temperature', 'focal_temperature', 'confidence_temperature', received "
            "'warm_up'.",
        ),
        (
            "distill: {losses: [{kind: logits_distillation, weight: {kind: fading_weight, warm_up_step: 1}}]}",
            DISTILL,
            "mine.yaml line 12: distill.losses[0].weight.warm_up_steps: missing. Expected a number above 0 (epochs over "
            "which the loss's level is measured, the weight being 1). (and 1 more: line 12 "
            "distill.losses[0].weight.warm_up_step)",
        ),
        (
            "distill: {losses: [{kind: similarity_preserving, dimension: 3}]}",
            DISTILL,
            "mine.yaml line 12: distill.losses[0].dimension: only with kind 'contrastive_distillation', this kind is "
            "'similarity_preserving'. Remove it.",
        ),
        (
            "distill: {losses: [{kind: hint_distillation, teacher_layer: hidden_1}]}",
            DISTILL,
            "mine.yaml line 12: distill.losses[0].teacher_layer: unknown key. Did you mean 'teacher_layer_name'? Keys "
            "here: kind, weight, teacher_layer_name, student_layer_name, projector.",
        ),
        (
            "distill:",
            DISTILL,
            "mine.yaml line 12: distill: expected a mapping with the keys losses, student_loss_weight, teacher_interval, "
            "unrated_ratio, train, received null.",
        ),
        (
            "description: 2024",
            "description: a recipe for tests",
            "mine.yaml line 1: description: expected text, received 2024. Put it in quotes.",
        ),
        (
            "data: {source: synthetic, path: x}",
            "data: {source: synthetic}",
            "mine.yaml line 3: data.path: only with source 'movielens_1m' or 'table' or 'mnist', this source is 'synthetic'. "
            "Remove it.",
        ),
        (
            "data: {sauce: synthetic}",
            "data: {source: synthetic}",
            "mine.yaml line 3: data.source: missing. Expected one of 'synthetic', 'movielens_1m', 'table', 'mnist'.",
        ),
        (
            "data: {source: synthetic, split: {train: 0.5}}",
            "data: {source: synthetic}",
            "mine.yaml line 3: data.split: expected shares that sum to 1, received train 0.5 + validation 0.1 + "
            "test 0.1 = 0.7.",
        ),
        (
            "student_seeds: [1, two]",
            "seed: 1",
            "mine.yaml line 2: student_seeds[1]: expected a whole number from 0 to 2147483647, received 'two'.",
        ),
        (
            "export: {formats: [tflite]}",
            DISTILL,
            "mine.yaml line 12: export.formats[0]: expected one of 'saved_model', 'tflite_float32', 'tflite_float16', "
            "'tflite_dynamic_int8', 'tflite_weight_only_int8', 'tflite_int8', 'tflite_int16', 'tflite_int4', received "
            "'tflite'. Did you mean 'tflite_int8'?",
        ),
        (
            "soft_targets: {unrated_ratio: 1}",
            DISTILL,
            "mine.yaml: distill.unrated_ratio: expected at most soft_targets.unrated_ratio (1), received 2.",
        ),
    ],
)
def test_a_mistake_is_told_with_its_line_key_expectation_and_nearest_name(write, wrong, right, told):
    assert right in RECIPE
    assert refusal(write(RECIPE.replace(right, wrong))) == told


def test_a_missing_section_is_told_without_a_line(write):
    told = refusal(write("data: {source: synthetic}"))
    assert told.startswith("mine.yaml: teacher: missing. Expected a mapping with the keys model, train, members, load")


def test_of_several_mistakes_the_first_is_told_in_full_and_the_others_by_place(write):
    text = RECIPE.replace("kind: mlp", "kind: mpl").replace("seed: 1", "seed: one").replace("ture: 2", "ture: x")
    assert refusal(write(text)) == (
        "mine.yaml line 2: seed: expected a whole number from 0 to 2147483645, received 'one'. "
        "(and 2 more: line 8 student.model.kind; line 12 distill.losses[0].temperature)"
    )


def test_many_mistakes_are_counted_beyond_the_fifth(write):
    wrong = "\n".join(f"wrong_{number}: 1" for number in range(9))
    assert "(and 8 more: " in refusal(write(f"{RECIPE}{wrong}\n"))
    assert refusal(write(f"{RECIPE}{wrong}\n")).endswith("; and 3 further)")


def test_a_mistake_in_training_is_told_once_although_distillation_inherits_it(write):
    told = refusal(write(RECIPE.replace("1e-3", "fast")))
    assert told == "mine.yaml line 11: student.train.learning_rate: expected a number above 0, received 'fast'."


def test_a_long_value_is_cut(write):
    assert len(refusal(write(RECIPE.replace("seed: 1", f"seed: {'x' * 5000}")))) < 200


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1e-3", 0.001),
        ("1E3", 1000.0),
        ("-1.5e+2", -150.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("1.0e3", 1000.0),
        ("150_000", 150000),
        ("010", 10),
        ("0x1F", 31),
        ("0o17", 15),
        ("'1e-3'", "1e-3"),
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("2024-01-01", "2024-01-01"),
        ("12:30", "12:30"),
        ("~", None),
        ("", None),
        ("e5", "e5"),
    ],
)
def test_scalars_are_read_as_yaml_1_2_reads_them(written, value):
    read, _ = read_yaml(f"key: {written}", "x.yaml")
    assert read["key"] == value and type(read["key"]) is type(value)


@pytest.mark.parametrize("value", ["1e-3", "no", "010", "true", "null", "~", "1_0", "2024-01-01", "a: b", "", 1e-5, 3])
def test_what_is_written_as_yaml_reads_back_the_same(value):
    assert read_yaml(write_yaml({"key": value}), "x.yaml")[0] == {"key": value}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "mine.yaml: the recipe is empty."),
        ("# only a comment\n", "mine.yaml: the recipe is empty."),
        ("- a\n- b\n", "mine.yaml: expected a mapping of keys to values, received"),
        ("just text", "mine.yaml: expected a mapping of keys to values, received 'just text'"),
        ("seed: [1, 2\n", "mine.yaml line 2, column 1: not valid YAML"),
        ("seed:\n\t1\n", "mine.yaml line 2, column 1: not valid YAML: found character '\\t'"),
        ("a: b: c\n", "mine.yaml line 1, column 5: not valid YAML: mapping values are not allowed"),
        ("a: *nowhere\n", "mine.yaml line 1, column 4: not valid YAML: found undefined alias"),
        ("a: 1\n---\nb: 2\n", "mine.yaml line 2, column 1: not valid YAML"),
        ("seed: 1\nname: x\nseed: 2\n", "mine.yaml line 3: the key 'seed' is there twice (first in line 1)."),
        ("data:\n  users: 1\n  users: 1\n", "mine.yaml line 3: the key 'users' is there twice (first in line 2)."),
        ("a: [{b: 1, b: 2}]\n", "mine.yaml line 1: the key 'b' is there twice"),
        ("seed: !!python/object/apply:os.system [ls]\n", "mine.yaml line 1: the tag !!python/object/apply:os.system"),
        ("seed: !!python/name:os.system x\n", "mine.yaml line 1: the tag !!python/name:os.system is not allowed"),
        ("seed: !mine 3\n", "mine.yaml line 1: the tag !mine is not allowed"),
        ("seed: !!set {a}\n", "mine.yaml line 1: the tag !!set is not allowed"),
        ("seed: !!int x\n", "mine.yaml line 1: cannot read 'x'"),
        ("1: x\n", "mine.yaml line 1: expected a key that is text, received 1. Put it in quotes."),
        ("[a]: x\n", "mine.yaml line 1: expected a key that is text, received a list or a mapping."),
        ("a: &a [*a]\n", "mine.yaml line 1: an anchor that holds itself."),
        ("a: \x01\n", "mine.yaml line 1: the character '\\x01' is not allowed in YAML."),
        ("[" * 5000, "mine.yaml: the YAML is nested too deeply."),
        (b"name: caf\xe9\n", "mine.yaml: not UTF-8 text (byte 9)."),
    ],
)
def test_a_file_that_is_no_recipe_is_told_apart(write, text, told):
    assert refusal(write(text)).startswith(told)


def test_aliases_that_multiply_without_end_are_stopped(write):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "more than 100000 values" in refusal(write("\n".join(lines)))


def test_anchors_and_merges_work_and_a_mistake_in_them_has_its_own_line(write):
    text = """\
data: {source: synthetic}
teacher:
  model: {kind: dcn_v2}
  train: &training
    epochs: 3
    batch_size: 64
student:
  train:
    <<: *training
    epochs: 5
"""
    loaded = load_recipe(write(text))
    assert (loaded.student.train.epochs, loaded.student.train.batch_size) == (5, 64)
    assert loaded.teacher.train.epochs == 3
    told = refusal(write(text.replace("batch_size: 64", "batch_size: 0")))
    assert told.startswith("mine.yaml line 6: teacher.train.batch_size: expected") and "line 6 student.train" in told
    told = refusal(write(text.replace("epochs: 5", "epochs: 0")))
    assert told.startswith("mine.yaml line 10: student.train.epochs: expected")


def test_a_byte_order_mark_and_windows_line_ends_are_accepted(write):
    text = b"\xef\xbb\xbf" + RECIPE.replace("\n", "\r\n").encode()
    assert load_recipe(write(text)).distill.losses[0].temperature == 2.0
    assert refusal(write(text.replace(b"seed: 1", b"seed: x"))).startswith("mine.yaml line 2: seed")


def test_overrides_set_keys_in_order_and_make_sections_on_the_way(write):
    loaded = load_recipe(
        write(RECIPE),
        ["seed=5", "evaluate.threads=4", "distill.train.epochs=2", "export.formats=[tflite_int8]", "seed=6"],
    )
    assert (loaded.seed, loaded.evaluate.threads, loaded.distill.train.epochs) == (6, 4, 2)
    assert loaded.export.formats == ("tflite_int8",)
    assert loaded.student_seeds == (6, 7, 8)
    assert loaded.distill.losses[0].temperature == 2.0


def test_an_override_reaches_into_a_list(write):
    loaded = load_recipe(write(RECIPE), ["distill.losses[0].temperature=4", "distill.losses[0].weight=2"])
    assert (loaded.distill.losses[0].temperature, loaded.distill.losses[0].weight) == (4.0, 2.0)
    loaded = load_recipe("mine.yaml", ["distill.losses[0]={kind: hint_distillation}"])
    assert [loss.kind for loss in loaded.distill.losses] == ["hint_distillation"]


def test_an_override_of_null_puts_a_key_back_to_its_default(write):
    assert load_recipe(write(RECIPE), ["distill.student_loss_weight=null"]).distill.student_loss_weight == 0.1
    assert load_recipe(write(RECIPE), ["distill.losses[0].temperature="]).distill.losses[0].temperature == 3.0
    assert load_recipe(write(RECIPE), ["distill="]).distill.losses[0].temperature == 1.0
    assert load_recipe(write(RECIPE), ["export.output=null"]) == load_recipe(write(RECIPE))


def test_an_override_may_hold_the_equals_sign(write):
    assert load_recipe(write(RECIPE), ["description=a=b"]).description == "a=b"


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("data.user=3", "--set data.user: unknown key. Did you mean 'users'? Keys here: source, users, items"),
        ("dta.users=3", "--set dta.users: dta: unknown key. Did you mean 'data'?"),
        ("data.splt.train=1", "--set data.splt.train: data.splt: unknown key. Did you mean 'split'?"),
        ("seed=x", "--set seed: expected a whole number from 0 to 2147483645, received 'x'."),
        ("seed.x=1", "--set seed.x: seed has no keys below it, it is 1."),
        (
            "student.model={kind: mlp, hidden_units: [0]}",
            "--set student.model: student.model.hidden_units[0]: expected",
        ),
        (
            "student.model.kind=dnc_v2",
            "--set student.model.kind: expected one of 'mlp', 'dcn_v2', 'cnn', received 'dnc_v2'.",
        ),
        ("seed", "--set seed: expected KEY=VALUE, such as --set distill.unrated_ratio=1."),
        ("seed[0]=1", "--set seed[0]: seed is no list, it is 1."),
        ("distill[0]=1", "--set distill[0]: distill is no list, it is {"),
        (
            "distill.losses[1].weight=1",
            "--set distill.losses[1].weight: distill.losses has 1 items in the recipe file, no [1]",
        ),
        ("student_seeds[0]=1", "--set student_seeds[0]: student_seeds has 0 items in the recipe file"),
        ("distill.losses.kind=a", "--set distill.losses.kind: distill.losses has no keys below it, it is [{"),
        (
            "distill.losses[0]=",
            "--set distill.losses[0]: an item of a list has no default. Set the whole of distill.losses",
        ),
        ("distill.losses[x]=1", "--set distill.losses[x]=1: expected KEY=VALUE"),
        ("distill.losses[0].kind=hint", "--set distill.losses[0].kind: expected one of"),
        (
            "distill.losses=[]",
            "--set distill.losses: expected a list of at least one, each item a mapping with kind: one",
        ),
        (
            "assistants=[{model: {kind: mlp}, distill: {losses: 3}}]",
            "--set assistants: assistants[0].distill.losses: expected",
        ),
        (
            "assistants=[{distill: {}}]",
            "--set assistants: assistants[0].model: missing. Expected a mapping with kind: one",
        ),
        (
            "assistants=[{model: {kind: mlp}, distill: {unrated_ratio: 9}}]",
            "--set assistants: assistants[0].distill.unrated_ratio: expected at most soft_targets.unrated_ratio (4)",
        ),
        ("=3", "--set =3: expected KEY=VALUE"),
        ("data..users=3", "--set data..users=3: expected KEY=VALUE"),
        ("seed=[1", "--set seed line 1, column 3: not valid YAML"),
        ("seed=!!python/name:os.system x", "--set seed line 1: the tag !!python/name:os.system is not allowed"),
        ("seed={a: 1, a: 2}", "--set seed line 1: the key 'a' is there twice"),
        ("name=../up", "--set name: expected a name of at most 100 characters"),
    ],
)
def test_a_wrong_override_is_told_as_such(write, override, told):
    assert refusal(write(RECIPE), [override]).startswith(told)


def test_an_override_mends_a_mistake_in_the_file(write):
    assert load_recipe(write(RECIPE.replace("seed: 1", "seed: x")), ["seed=2"]).seed == 2
    assert load_recipe(write(RECIPE.replace("seed: 1", "sed: 1")), ["sed=null"]).seed == 1


def test_an_override_can_turn_one_data_source_into_another(write):
    file = write("who,what,clicked\n1,2,1\n", "clicks.csv")
    columns = "data.columns={user: who, item: what, label: clicked}"
    loaded = load_recipe(write(RECIPE), ["data.source=table", f"data.path={file}", columns])
    assert loaded.data.path == os.path.abspath("clicks.csv")


TABLE = "data: {source: table, path: %s, columns: {user: a, item: b, label: c}}"


def test_a_table_that_is_not_there_is_told_before_any_work_with_the_nearest_file(write):
    write("a,b,c\n", "clicks.csv")
    told = refusal(write(RECIPE.replace("data: {source: synthetic}", TABLE % "click.csv")))
    assert told.startswith(f"mine.yaml line 3: data.path: no such file: {os.path.abspath('click.csv')}")
    assert told.endswith("Did you mean 'clicks.csv'?")
    told = refusal("mine.yaml", ["data.path=nowhere/clicks.csv"])
    assert told.startswith("--set data.path: no such file:")


def test_a_folder_in_place_of_a_table_is_refused(write, tmp_path):
    (tmp_path / "clicks").mkdir()
    told = refusal(write(RECIPE.replace("data: {source: synthetic}", TABLE % "clicks")))
    assert told.endswith("is a folder.")


def test_a_movielens_folder_without_its_ratings_is_refused(write, tmp_path):
    told = refusal(write(RECIPE), ["data={source: movielens_1m, path: .}"])
    assert told.startswith("--set data: data.path: expected a folder with ratings.dat, users.dat and movies.dat")
    (tmp_path / "ratings.dat").touch()
    assert load_recipe("mine.yaml", ["data={source: movielens_1m, path: .}"]).data.path == str(tmp_path)


@pytest.mark.parametrize(
    ("teacher", "told"),
    [
        ("{load: t.keras}", "--set teacher: teacher.load: no such file:"),
        ("{load: [there.keras, t.keras]}", "--set teacher: teacher.load[1]: no such file:"),
        ("{load: 3}", "--set teacher: teacher.load: expected a path or a list of paths or null, received 3."),
        ("{load: [there.keras, 3]}", "--set teacher: teacher.load[1]: expected a path, received 3."),
        (
            "{model: {kind: mlp}, members: 2, weights: [1, x]}",
            "--set teacher: teacher.weights[1]: expected a number of at",
        ),
        (
            "{model: {kind: mlp}, members: 2, weights: entorpy}",
            "--set teacher: teacher.weights: expected 'entropy', 'confidence' or a list of numbers of at least 0 or null",
        ),
        ("{load: .}", "--set teacher: teacher.load: expected a .keras file or a SavedModel folder, but"),
        ("{load: mine.yaml}", "--set teacher: teacher.load: expected a .keras file or a SavedModel folder, received"),
        ("{load: there.keras, signature: s}", "--set teacher: teacher.signature: only for a SavedModel folder"),
    ],
)
def test_a_teacher_that_cannot_be_loaded_is_told_before_any_work(write, teacher, told):
    write("", "there.keras")
    assert refusal(write(RECIPE), [f"teacher={teacher}"]).startswith(told)


def test_a_teacher_that_is_there_is_accepted(write, tmp_path):
    write("", "there.keras")
    (tmp_path / "saved").mkdir()
    write("", "saved/saved_model.pb")
    assert load_recipe(write(RECIPE), ["teacher={load: there.keras}"]).teacher.load == (str(tmp_path / "there.keras"),)
    assert load_recipe("mine.yaml", ["teacher={load: saved, signature: s}"]).teacher.signature == "s"


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A library of two recipes in place of the built-in one."""
    folder = tmp_path / "library"
    folder.mkdir()
    (folder / "quickstart.yaml").write_text("description: >\n  the first\n  one\nname: quickstart\n" + RECIPE[33:])
    (folder / "second.yaml").write_text(RECIPE)
    monkeypatch.setattr(catalogue, "library_folder", lambda: folder)
    return folder


def test_a_built_in_recipe_is_found_by_name_from_anywhere(library, write):
    assert catalogue.find_recipe("quickstart") == library / "quickstart.yaml"
    assert catalogue.find_recipe("quickstart.yaml") == library / "quickstart.yaml"


def test_a_file_wins_over_a_built_in_recipe_and_a_folder_does_not(library, write, tmp_path):
    (tmp_path / "second").mkdir()
    assert catalogue.find_recipe("second") == library / "second.yaml"
    write(RECIPE, "quickstart.yaml")
    assert str(catalogue.find_recipe("quickstart.yaml")) == "quickstart.yaml"


def test_recipes_are_listed_with_their_descriptions_in_one_line(library):
    assert catalogue.list_recipes() == [("quickstart", "the first one"), ("second", "a recipe for tests")]


def test_a_recipe_that_is_not_there_is_told_with_the_nearest_name(library, write, tmp_path):
    assert refusal("quikstart") == (
        "quikstart: no such recipe file, and no built-in recipe. Did you mean 'quickstart'? "
        "Built in: quickstart, second."
    )
    write(RECIPE)
    assert "Did you mean 'mine.yaml'?" in refusal("mien.yaml")
    assert refusal(str(tmp_path)).startswith(f"{tmp_path}: is a folder. Pass a recipe file")


@pytest.mark.parametrize("name", [name for name, _ in catalogue.list_recipes()])
def test_every_recipe_of_the_repository_is_valid_and_says_what_it_shows(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert 20 < len(recipe.description) < 160


RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_every_recipe_of_the_repository_is_valid_and_named_like_its_file(file):
    recipe = load_recipe(file)
    assert recipe.name == file.stem and recipe.description
