"""manifest.json: what a run consists of, so that it can be checked, continued and trusted."""

import datetime
import json
from pathlib import Path

from tfdistill import files
from tfdistill.errors import UserError

FORMAT = 1
NAME = "manifest.json"


class Manifest:
    """The record of one run folder, written anew (atomically) after every change.

    Args:
        folder: the run folder.
        record: the manifest's content; see `saved_models/README.md`.
    """

    def __init__(self, folder, record):
        self.folder = Path(folder)
        self.record = record

    @classmethod
    def read(cls, folder):
        """Reads a run folder's manifest; raises `UserError` where there is none or it is damaged."""
        path = Path(folder) / NAME
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(
                f"{folder}: not a run folder, it has no {NAME}. Pass a folder below saved_models/."
            ) from None
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: not readable as JSON ({error}). Run the recipe again to write it anew.") from None
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            raise UserError(f"{path}: not a manifest of format {FORMAT}. Run the recipe again to write it anew.")
        return cls(folder, record)

    @classmethod
    def start(cls, folder, recipe, environment):
        """A new manifest, or the run's own one with its finished stages."""
        try:
            earlier = cls.read(folder).record
        except UserError:
            earlier = {"created": now(), "stages": []}
        return cls(
            folder,
            {
                "format": FORMAT,
                "recipe": recipe.name,
                "run": recipe.run_name,
                "status": "running",
                "created": earlier["created"],
                "finished": None,
                "seed": recipe.seed,
                "resolved_recipe": recipe.resolved(),
                "environment": environment,
                "stages": earlier["stages"],
                "files": [],
            },
        )

    def write(self):
        files.write_json(self.folder / NAME, self.record)

    def stage(self, name):
        """The record of a finished stage, or `None`."""
        return next((stage for stage in self.record["stages"] if stage["name"] == name), None)

    def add_stage(self, stage):
        """Puts a stage's record in, in place of an earlier one of that name."""
        self.record["stages"] = [other for other in self.record["stages"] if other["name"] != stage["name"]] + [stage]
        self.write()

    def is_intact(self, stage):
        """Whether every file of a stage is there with the bytes that were written."""
        for entry in stage["files"]:
            path = self.folder / entry["path"]
            if not path.is_file() or path.stat().st_size != entry["bytes"] or files.sha256(path) != entry["sha256"]:
                return False
        return True

    def finish(self, names):
        """Marks the run complete and lists the files at its top."""
        self.record["status"] = "complete"
        self.record["finished"] = now()
        self.record["files"] = [entry for name in names for entry in file_entries(self.folder, self.folder / name)]
        self.write()


def file_entries(root, path):
    """[{path, bytes, sha256}] of a file or of all files below a folder, with paths relative to `root`."""
    return [
        {"path": file.relative_to(root).as_posix(), "bytes": file.stat().st_size, "sha256": files.sha256(file)}
        for file in files.files_below(path)
    ]


def now():
    """The time in UTC, ISO 8601, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
