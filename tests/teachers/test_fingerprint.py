import hashlib

import pytest

from tfdistill import UserError
from tfdistill.teachers import fingerprint


def folder_of(path, files):
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(content)
    return path


def test_a_file_has_the_sha256_of_its_bytes(tmp_path):
    (tmp_path / "teacher.keras").write_bytes(b"abc")
    assert fingerprint(tmp_path / "teacher.keras") == hashlib.sha256(b"abc").hexdigest()


def test_a_folder_has_the_same_fingerprint_wherever_it_lies(tmp_path):
    files = {"saved_model.pb": "graph", "variables/data": "weights"}
    assert fingerprint(folder_of(tmp_path / "a", files)) == fingerprint(folder_of(tmp_path / "b" / "c", files))


@pytest.mark.parametrize(
    "other",
    [
        {"saved_model.pb": "graph", "variables/data": "other weights"},
        {"saved_model.pb": "graph", "variables/renamed": "weights"},
        {"saved_model.pb": "graph"},
        {"saved_model.pb": "weights", "variables/data": "graph"},
    ],
)
def test_any_change_in_names_or_contents_shows(tmp_path, other):
    files = {"saved_model.pb": "graph", "variables/data": "weights"}
    assert fingerprint(folder_of(tmp_path / "a", files)) != fingerprint(folder_of(tmp_path / "b", other))


def test_nothing_there_is_told(tmp_path):
    with pytest.raises(UserError, match="No teacher at"):
        fingerprint(tmp_path / "absent")
