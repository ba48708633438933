"""A file or folder, digested by DVC itself: its ignore rules and its list of a folder's files."""

import os
from pathlib import Path


def md5(path: Path) -> str | None:
    """Return the digest that dvc.lock has of a file or folder as it is now, or None if there is neither."""
    from dvc.fs import localfs
    from dvc.ignore import DvcIgnoreFilter
    from dvc_data.hashfile.build import build
    from dvc_data.hashfile.db import HashFileDB

    if not path.exists():
        return None
    root, absolute = os.getcwd(), os.path.abspath(path)
    ignore = DvcIgnoreFilter(localfs, root) if absolute.startswith(root + os.sep) else None
    _, _, content = build(HashFileDB(localfs, root), absolute, localfs, "md5", dry_run=True, ignore=ignore)
    return str(content.hash_info.value)
