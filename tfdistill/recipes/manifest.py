"""manifest.json: what a run consists of, so that it can be checked, continued and trusted."""

import datetime
from pathlib import Path

from tfdistill import files
from tfdistill.errors import UserError
from tfdistill.recipes.run_files import FORMAT, MANIFEST, fault, read_run_file


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
        return cls(folder, read_run_file(folder, MANIFEST))

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
        files.write_json(self.folder / MANIFEST, self.record)

    def stage(self, name):
        """The record of a finished stage, or `None`."""
        return next((stage for stage in self.record["stages"] if stage["name"] == name), None)

    def add_stage(self, stage):
        """Puts a stage's record in, in place of an earlier one of that name."""
        self.record["stages"] = [other for other in self.record["stages"] if other["name"] != stage["name"]] + [stage]
        self.write()

    def is_intact(self, stage):
        """Whether every file of a stage is there with the bytes that were written."""
        return not any(fault(self.folder, entry) for entry in stage["files"])

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
