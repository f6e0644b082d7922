"""Building: once, whole or absent, and never in the way."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from luban.native import build
from luban.native import tensors as native

needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, build.COMPILERS)), reason="there is no C++ compiler here"
)


@pytest.fixture
def fresh(monkeypatch):
    """As in a process that has asked nothing yet."""
    build._library_or_none.cache_clear()
    yield
    build._library_or_none.cache_clear()


@pytest.fixture
def quick(monkeypatch, tmp_path):
    """A source that compiles at once, with every name that is asked for."""
    names = "".join(f'extern "C" void {name}() {{}}\n' for name in build._SIGNATURES)
    (tmp_path / "quick.cpp").write_text(names)
    monkeypatch.setattr(build, "SOURCES", (tmp_path / "quick.cpp",))
    return tmp_path / "quick.cpp"


@needs_compiler
def test_second_load_builds_nothing(quick, tmp_path, monkeypatch):
    build.load(tmp_path / "native")
    monkeypatch.setattr(build, "_build", lambda *_: pytest.fail("built again"))
    build.load(tmp_path / "native")


@needs_compiler
def test_other_source_flags_or_processor_is_another_library(quick, tmp_path, monkeypatch):
    keys = [build._key(build._flags())]
    quick.write_text(quick.read_text() + "// changed\n")
    keys += [build._key(build._flags()), build._key(("-O1",))]
    monkeypatch.setattr(build, "_processor", lambda: "another")
    keys.append(build._key(build._flags()))
    assert len(set(keys)) == 4


@needs_compiler
def test_builds_side_by_side_leave_one_whole_library(quick, tmp_path):
    folder = tmp_path / "native"
    with ThreadPoolExecutor() as workers:
        loaded = list(workers.map(build.load, [folder] * 3))
    assert len(loaded) == 3
    assert [path.suffix for path in folder.iterdir()] == [".so"]


def test_without_a_compiler_one_line_says_so(fresh, monkeypatch, capsys):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert not native.is_available()
    assert not native.is_available()
    said = capsys.readouterr().err
    assert said.count("no C++ compiler") == 1
    assert "LUBAN_NATIVE=0" in said


@needs_compiler
def test_failing_build_says_why_and_leaves_nothing(fresh, quick, tmp_path, monkeypatch, capsys):
    quick.write_text("this is not C++")
    monkeypatch.setenv("LUBAN_HOME", str(tmp_path / "mine"))
    assert not native.is_available()
    assert "failed" in capsys.readouterr().err
    assert not list((tmp_path / "mine" / "native").iterdir())


@needs_compiler
def test_folder_that_cannot_be_written_is_no_crash(fresh, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LUBAN_HOME", str(tmp_path / "file"))
    assert not native.is_available()
    assert "cannot be built" in capsys.readouterr().err


@needs_compiler
def test_broken_library_is_named(quick, tmp_path):
    folder = tmp_path / "native"
    folder.mkdir()
    (folder / f"{build._key(build._flags())}.so").write_text("half a file")
    with pytest.raises(build.BuildError, match=r"does not load.*delete it"):
        build.load(folder)


def test_can_be_switched_off(monkeypatch):
    monkeypatch.setenv("LUBAN_NATIVE", "0")
    assert not native.is_available()
