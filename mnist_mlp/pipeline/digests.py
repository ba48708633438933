"""A file or folder, digested by DVC itself: its ignore rules and its list of a folder's files."""

import os
from pathlib import Path
from typing import Any


def md5(path: Path) -> str | None:
    """Return the digest that dvc.lock has of a file or folder as it is now, or None if there is neither."""
    return str(_object(path).hash_info.value) if path.exists() else None


def is_cached(folder: Path) -> bool:
    """Return whether DVC's cache holds a folder and all its files, each whole. Raises what DVC raises.

    DVC itself reads no file of its cache that is write-protected: a damaged one counts as whole."""
    from dvc.repo import Repo
    from dvc_data.hashfile.hash import file_md5

    tree = _object(folder)
    digests = [tree.hash_info.value, *(digest.value for _, _, digest in tree)]
    with Repo() as repo:
        files = {digest: repo.cache.local.oid_to_path(digest) for digest in digests}
    return all(os.path.exists(file) and file_md5(file) == digest[:32] for digest, file in files.items())


def _object(path: Path) -> Any:
    from dvc.fs import localfs
    from dvc.ignore import DvcIgnoreFilter
    from dvc_data.hashfile.build import build
    from dvc_data.hashfile.db import HashFileDB

    root, absolute = os.getcwd(), os.path.abspath(path)
    ignore = DvcIgnoreFilter(localfs, root) if absolute.startswith(root + os.sep) else None
    _, _, content = build(HashFileDB(localfs, root), absolute, localfs, "md5", dry_run=True, ignore=ignore)
    return content
