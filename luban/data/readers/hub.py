"""Public data sets of the Hugging Face hub, fetched once into a folder that is read like any other."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from luban.data.extras import load_extra
from luban.errors import DataError
from luban.places import home_folder

_PREFIX = "hub:"
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?(@[\w./-]+)?(:[\w.-]+)?")


def local_inputs(values: Sequence[str], *, offline: bool = False) -> list[Path]:
    """Return inputs as paths; hub:OWNER/NAME is fetched, unless it has been before."""
    return [
        fetch(value[len(_PREFIX) :], offline=offline) if value.startswith(_PREFIX) else Path(value)
        for value in values
    ]


def fetch(name: str, *, offline: bool = False) -> Path:
    """Return the folder of a hub data set. OWNER/NAME, or OWNER/NAME@REVISION:CONFIGURATION.

    It is kept below LUBAN_HOME. With `offline`, or HF_HUB_OFFLINE=1, nothing is fetched.
    """
    if not _NAME.fullmatch(name):
        raise DataError(f"{_PREFIX}{name} is not the name of a data set", fix="write hub:OWNER/NAME")
    folder = home_folder() / "hub" / re.sub(r"[/@:]", "--", name)
    if folder.is_dir():
        return folder
    if offline or os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise DataError(
            f"{_PREFIX}{name} is not on this machine, and fetching is switched off",
            fix="leave out --offline and HF_HUB_OFFLINE, or name a folder that holds the data set",
        )
    whole, _, configuration = name.partition(":")
    dataset, _, revision = whole.partition("@")
    _save(_load(dataset, configuration or None, revision or None), folder)
    return folder


def _load(dataset: str, configuration: str | None, revision: str | None) -> Any:
    datasets = load_extra("datasets", "hub")
    try:
        return datasets.load_dataset(dataset, configuration, revision=revision)
    except Exception as e:  # the library raises whatever its own parts raise
        reason = str(e).split("\n", 1)[0]
        raise DataError(
            f"{_PREFIX}{dataset} cannot be fetched: {type(e).__name__}: {reason}",
            fix="check the name and the network, or download it and name the folder",
        ) from e


def _save(loaded: Any, folder: Path) -> None:
    partial = folder.with_name(f"{folder.name}.partial-{os.getpid()}")
    partial.parent.mkdir(parents=True, exist_ok=True)
    try:
        loaded.save_to_disk(str(partial))
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
