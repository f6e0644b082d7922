"""Whether a file can be written, asked before the work whose result it is to hold."""

from __future__ import annotations

from pathlib import Path

OTHER_OUT = "choose an --out that you may write to"


def refuse_unwritable(path: Path, fix: str = OTHER_OUT) -> None:
    """Make the folder of a file that will be written, or refuse it with the reason that the disk gives."""
    import tempfile

    from luban.errors import DiskError

    if path.is_dir():
        raise DiskError(f"cannot write {path}: it is a folder", fix=fix)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as e:
        raise DiskError(f"cannot write {path}: {e.strerror}", fix=fix) from e
