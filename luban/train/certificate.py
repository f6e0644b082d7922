"""Certificates: what `luban certify` has proven of a run, and the gate that a run passes because of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from luban.errors import GateError
from luban.files import disk_errors, hash_json, read_json, write_json
from luban.log import Log
from luban.places import home_folder
from luban.runner import UNFINISHED
from luban.stages import WITHOUT_EFFECT
from luban.train.proofs.subject import Result

CERTIFICATE = "certificate.json"

Json = dict[str, Any]


def certificate_key(what: Mapping[str, Any]) -> str:
    """Return what a run and its certificate have in common: stage, code, settings and inputs."""
    settings = {k: v for k, v in what["settings"].items() if k not in WITHOUT_EFFECT}
    return hash_json({**{k: what[k] for k in ("stage", "code", "inputs")}, "settings": settings})


def keep_certificate(certificate: Json) -> Path:
    """Remember a certificate between runs; return where."""
    path = _place(certificate["key"])
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, certificate)
    return path


def certificates_folder() -> Path:
    """Return where certificates are remembered."""
    return home_folder() / "certificates"


def pass_gate(out: Path, unproven: tuple[str, ...], log: Log) -> None:
    """Refuse the run that fills `out` if a property was refuted that `unproven` does not name.

    A run without a certificate passes. A certificate is copied into the run's folder.
    """
    if not (out / UNFINISHED).is_file():  # a function that is called without the runner
        return
    what = read_json(out / UNFINISHED)
    path = _place(certificate_key(what))
    if not path.is_file():
        return
    certificate = read_json(path)
    if refused := _refusal(what, certificate, unproven):
        raise refused
    failed = _failed(certificate)
    held = [p["name"] for p in certificate["properties"] if p["verdict"] == "holds"]
    without = f"; going on though not {', '.join(p['name'] for p in failed)}" if failed else ""
    log.say(f"{what['name']}: certified: {', '.join(held)}{without}", certified=held)
    write_json(out / CERTIFICATE, certificate)


def would_refuse(what: Mapping[str, Any], unproven: tuple[str, ...]) -> GateError | None:
    """Return what the gate would say to a run: its name, stage, code, settings and inputs."""
    path = _place(certificate_key(what))
    return _refusal(what, read_json(path), unproven) if path.is_file() else None


def _refusal(what: Mapping[str, Any], certificate: Json, unproven: tuple[str, ...]) -> GateError | None:
    failed = _failed(certificate)
    needed = [p for p in failed if p["name"] not in unproven]
    if not needed:
        return None
    first, names = needed[0], ", ".join(p["name"] for p in failed)
    return GateError(
        f"{what['name']} is not {first['name']}, as `luban certify` found: {first['words']} "
        f"({difference_in_words(first)})",
        fix=f"mend it and certify again, or train all the same: --set {what['name']}.unproven=[{names}]",
    )


def _failed(certificate: Json) -> list[Json]:
    return [p for p in certificate["properties"] if p["verdict"] == "fails"]


def difference_in_words(found: Mapping[str, Any]) -> str:
    """Return the largest difference of a property and what was allowed."""
    if found["difference"] is None:
        return "nothing to compare with"
    allowed = f"at most {found['tolerance']:.0e}" if found["tolerance"] else "none allowed"
    return f"difference {found['difference']:.2e}, {allowed}"


def row_in_words(found: Result) -> str:
    """Return a property, what was found of it, and in how many seconds."""
    return f"{found.name}: {found.verdict}, {found.seconds:.1f} s: {found.words}"


def _place(key: str) -> Path:
    return certificates_folder() / f"{key}.json"
