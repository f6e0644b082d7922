from pathlib import Path

import pytest

from luban.data.readers import hub
from luban.errors import DataError
from luban.places import find_input
from tests.data.readers.reading import read

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUBAN_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


@pytest.mark.parametrize("offline", [True, False])
def test_nothing_is_fetched_offline(offline: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not offline:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(
        DataError, match="hub:owner/name is not on this machine, and fetching is switched off"
    ):
        hub.local_inputs(["hub:owner/name"], offline=offline)


def test_a_data_set_is_fetched_once_and_read_as_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def load(name: str, configuration: str | None, revision: str | None) -> object:
        asked.append((name, configuration, revision))
        rows = datasets.Dataset.from_dict(
            {"text": ["一", "two"]}, info=datasets.DatasetInfo(license="cc-by-4.0")
        )
        return datasets.DatasetDict({"train": rows, "test": rows})

    monkeypatch.setattr(hub, "_load", load)
    (folder, other) = hub.local_inputs(["hub:owner/name@v1:zh", str(tmp_path)])
    assert other == tmp_path
    assert hub.local_inputs(["hub:owner/name@v1:zh"], offline=True) == [folder]
    assert find_input("hub:owner/name@v1:zh") == folder
    assert asked == [("owner/name", "zh", "v1")]
    documents, rejects = read(folder)
    assert rejects == []
    assert [(d.source.split("/")[0], d.text, d.licence) for d in documents] == [
        ("test", "一", "cc-by-4.0"),
        ("test", "two", "cc-by-4.0"),
        ("train", "一", "cc-by-4.0"),
        ("train", "two", "cc-by-4.0"),
    ]


def test_a_failed_fetch_leaves_nothing_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ConnectionError("no route\nto the hub")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(DataError, match="hub:owner/name cannot be fetched: ConnectionError: no route"):
        hub.fetch("owner/name")
    assert not list((tmp_path / "home").rglob("*"))
    with pytest.raises(DataError, match="is not the name of a data set"):
        hub.fetch("../etc")
