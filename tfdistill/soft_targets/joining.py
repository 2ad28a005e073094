"""Caches of soft targets that several workers wrote, each of its share of the examples, as one."""

import dataclasses
import os
import shutil
from pathlib import Path

from tfdistill import files
from tfdistill.soft_targets.manifest import Manifest
from tfdistill.soft_targets.shards import shard_folder


def join_soft_targets(path, shares):
    """Makes one cache of several of one teacher and one set of settings, which share no example; they are used up.

    Args:
        path: the folder of the new cache.
        shares: folders that `write_soft_targets` has finished, in the order in which their examples are to be.
    """
    with files.atomic_folder(path) as folder:
        manifests = [Manifest.read(share) for share in shares]
        shards = [shard for manifest in manifests for shard in manifest.shards]
        number = 0
        for share, manifest in zip(shares, manifests, strict=True):
            for place in range(len(manifest.shards)):
                _link(shard_folder(share, place), shard_folder(folder, number))
                number += 1
        dataclasses.replace(manifests[0], shards=shards).write(folder)
    for share in shares:
        files.remove(share)


def _link(shard, target):
    """A shard under another name; the old one stays, for a next try, until all are joined."""
    target.mkdir()
    for file in Path(shard).iterdir():
        try:
            os.link(file, target / file.name)
        except OSError:  # a file system without links
            shutil.copy2(file, target / file.name)
