"""Build the wheel, install it into an empty environment elsewhere, and run the quickstart from it.

Too long for the suite: `make wheel`. Takes the time of an install plus the quickstart.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def run(*command: object, cwd: Path) -> None:
    print("$", *command, flush=True)
    subprocess.run([str(c) for c in command], cwd=cwd, check=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        run(sys.executable, "-m", "build", "--wheel", "--outdir", place, ROOT, cwd=place)
        run(sys.executable, "-m", "venv", place / "venv", cwd=place)
        python, luban = place / "venv/bin/python", place / "venv/bin/luban"
        wheel = next(place.glob("luban-*.whl"))
        pip = (python, "-m", "pip", "install", "--quiet", "--no-compile", "-c", ROOT / "constraints.txt")
        run(*pip, "torch", f"{wheel}[quickstart]", cwd=place)
        run(luban, "doctor", cwd=place)
        run(luban, "run", "quickstart", *sys.argv[1:], cwd=place)
        print((place / "runs/quickstart/report.html").stat().st_size, "bytes of report.html")


if __name__ == "__main__":
    main()
