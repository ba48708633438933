"""A file or folder, digested by DVC itself: its ignore rules and its list of a folder's files."""

import os
from pathlib import Path
from typing import Any


def md5(path: Path) -> str | None:
    """Return the digest that dvc.lock has of a file or folder as it is now, or None if there is neither."""
    return str(_object(path).hash_info.value) if path.exists() else None


def is_cached(folder: Path) -> bool:
    """Return whether DVC's cache holds a folder and all its files as they are now. Raises what DVC raises."""
    from dvc.repo import Repo

    tree = _object(folder)
    digests = [tree.hash_info.value, *(digest.value for _, _, digest in tree)]
    with Repo() as repo:
        return all(repo.cache.local.exists(digest) for digest in digests)


def _object(path: Path) -> Any:
    from dvc.fs import localfs
    from dvc.ignore import DvcIgnoreFilter
    from dvc_data.hashfile.build import build
    from dvc_data.hashfile.db import HashFileDB

    root, absolute = os.getcwd(), os.path.abspath(path)
    ignore = DvcIgnoreFilter(localfs, root) if absolute.startswith(root + os.sep) else None
    _, _, content = build(HashFileDB(localfs, root), absolute, localfs, "md5", dry_run=True, ignore=ignore)
    return content
