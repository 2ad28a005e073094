"""What a cache holds and of whom: manifest.json, written anew after every shard."""

import dataclasses
import hashlib
import json
from pathlib import Path

from tfdistill import files
from tfdistill.errors import UserError

NAME = "manifest.json"
FORMAT, VERSION = "tfdistill soft targets", 1


@dataclasses.dataclass
class Manifest:
    """The contents of manifest.json.

    Attributes:
        settings: what the writer was told: teacher (its fingerprint), top_k, dtype, features, task, from_logits,
            shard_rows.
        inputs: names of the arrays that the teacher was given.
        shapes: {"logits": the shape of an example's logits, feature: the shape of an example's}.
        shards: {"rows": examples, "sha256": {file: checksum}} for each shard that is done.
        complete: whether all examples are there.
    """

    settings: dict
    inputs: list
    shapes: dict
    shards: list
    complete: bool

    @property
    def examples(self):
        """How many examples are labelled."""
        return sum(shard["rows"] for shard in self.shards)

    def write(self, folder):
        """Writes manifest.json, with a checksum of its own."""
        contents = {"format": FORMAT, "version": VERSION, **dataclasses.asdict(self)}
        files.write_json(Path(folder) / NAME, {**contents, "checksum": _checksum(contents)})

    @classmethod
    def read(cls, folder):
        """Reads manifest.json.

        Raises:
            UserError: where there is none, where it is damaged, and for another format.
        """
        path = Path(folder) / NAME
        if not path.is_file():
            raise UserError(
                f"No soft-target cache at '{folder}': it has no {NAME}. Write one with "
                "tfdistill.soft_targets.write_soft_targets."
            )
        try:
            contents = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(f"'{path}' is damaged: {error}. Delete the folder and write it again.") from error
        if not isinstance(contents, dict) or contents.get("format") != FORMAT:
            raise UserError(f"'{path}' is no manifest of a soft-target cache. Choose another folder.")
        version, checksum = contents.get("version"), contents.pop("checksum", None)
        if version != VERSION:
            raise UserError(
                f"The soft-target cache '{folder}' has format version {version!r}, this tfdistill reads {VERSION}. Write "
                "it again with this version, or read it with the one that wrote it."
            )
        if checksum != _checksum(contents):
            raise UserError(f"'{path}' was changed: its checksum is wrong. Delete the folder and write it again.")
        return cls(**{field.name: contents[field.name] for field in dataclasses.fields(cls)})


def check_teacher(folder, cached, asked):
    """Raises `UserError` unless two fingerprints are the same."""
    if cached != asked:
        raise UserError(
            f"The soft targets in '{folder}' are those of another teacher: its fingerprint is {_short(cached)}, that of "
            f"this teacher {_short(asked)}. Write them again with this teacher, in another folder or after deleting this one."
        )


def _short(fingerprint):
    return repr(fingerprint if len(fingerprint) <= 40 else f"{fingerprint[:12]}...")


def _checksum(contents):
    return hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()
