"""Everything that holds the Python package to its word, in an environment of its own; `./dev python` runs it.

Without arguments: lint, format, types, tests, wheel and sdist. With arguments: pytest with these, and nothing else;
`bench` measures, on the Python at hand. Everything else runs on Python 3.10 where there is one, since that is the
oldest that the package promises to run on. Ends with `N passed, N failed`, where each test counts, and each tool as
one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from xml.etree import ElementTree

PACKAGE = Path(__file__).resolve().parents[1]
ROOT = PACKAGE.parent
OLDEST = "3.10"
"""As `requires-python` says; a test that runs on it runs on those after it, or pyright has a word to say."""


def find_oldest() -> Path | None:
    """An interpreter of the oldest version: on the path, or one that pyenv keeps; None without one."""
    kept = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    named = shutil.which(f"python{OLDEST}")
    for found in [*([Path(named)] if named else []), *sorted(kept.glob(f"{OLDEST}.*/bin/python3"))]:
        asked = [found, "-c", "import ssl, sys, venv; print(sys.version)"]
        said = subprocess.run(asked, capture_output=True, text=True)
        # A name of pyenv's may lead to no interpreter.
        if said.returncode == 0 and said.stdout.startswith(f"{OLDEST}."):
            return found
    return None


FOUND = None if sys.argv[1:2] == ["bench"] else find_oldest()
INTERPRETER = FOUND or Path(sys.executable)
HOME = ROOT / ".cache/python" / (OLDEST if FOUND else "{}.{}".format(*sys.version_info))
BIN = HOME / "venv/bin"
PYTHON = BIN / "python"
ENV = {
    **os.environ,
    "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PYRIGHT_PYTHON_CACHE_DIR": str(HOME / "pyright"),
    "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1",
}


def main(args: list[str]) -> int:
    """Runs what was asked for; 0 when all of it holds."""
    set_up()
    passed, failed = 0, 0
    if args[:1] == ["bench"]:
        return subprocess.run([PYTHON, PACKAGE / "bench/run.py", *args[1:]], env=ENV).returncode
    if not args:
        steps = [
            ["ruff", "check", "."],
            ["ruff", "format", "--check", "."],
            ["pyright", "-p", ".", "--pythonpath", PYTHON],
        ]
        results = [has_passed(*step) for step in steps] + [can_build()]
        passed, failed = results.count(True), results.count(False)
    tested = run_tests(args)
    passed, failed = passed + tested[0], failed + tested[1]
    if FOUND is None:
        print(f"\nNOTE: there is no Python {OLDEST} here: nothing of this ran on it, only on {sys.version.split()[0]}")
    print(f"\n{passed} passed, {failed} failed")
    return 0 if failed == 0 and passed > 0 else 1


def set_up() -> None:
    """Installs at the locked versions and hashes when they changed; content decides, never time."""
    locked = (PACKAGE / "requirements.txt").read_bytes() + (PACKAGE / "pyproject.toml").read_bytes()
    wanted = hashlib.sha256(locked + sys.version.encode() + str(INTERPRETER).encode()).hexdigest()
    stamp = HOME / "installed"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    shutil.rmtree(HOME / "venv", ignore_errors=True)
    run(INTERPRETER, "-m", "venv", HOME / "venv")
    install = [PYTHON, "-m", "pip", "install", "--quiet"]
    run(*install, "--require-hashes", "--only-binary", ":all:", "-r", "requirements.txt")
    run(*install, "--no-deps", "--no-build-isolation", "--editable", ".")
    stamp.write_text(wanted)


def has_passed(*command: str | Path) -> bool:
    """Whether a tool has nothing to say."""
    print(f"\n== {' '.join(map(str, command))}", flush=True)
    is_good = subprocess.run(list(map(str, command)), cwd=PACKAGE, env=ENV).returncode == 0
    if not is_good:
        print(f"FAIL {command[0]} {command[1]}")
    return is_good


def can_build() -> bool:
    """Whether wheel and sdist are built and the wheel holds the package, its types marker and nothing else."""
    with tempfile.TemporaryDirectory() as directory:
        if not has_passed("python", "-m", "build", "--no-isolation", "--outdir", directory):
            return False
        (wheel,) = Path(directory).glob("*.whl")
        names = zipfile.ZipFile(wheel).namelist()
        is_whole = "trustwarden/py.typed" in names and "trustwarden/identity.py" in names
        is_clean = all(name.startswith(("trustwarden/", "trustwarden-")) for name in names)
        return is_whole and is_clean and len(list(Path(directory).glob("*.tar.gz"))) == 1


def run_tests(args: list[str]) -> tuple[int, int]:
    """How many tests passed and failed; one that is skipped has failed, since nothing here may be absent."""
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "report.xml"
        is_good = has_passed("pytest", f"--junit-xml={report}", *args)
        if not report.exists():
            return 0, 1
        suite = ElementTree.parse(report).getroot().find("testsuite")
        counts = (
            {}
            if suite is None
            else {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
        )
        failed = sum(counts.get(name, 0) for name in ("failures", "errors", "skipped"))
        return max(counts.get("tests", 0) - failed, 0), failed or (0 if is_good else 1)


def run(*command: str | Path) -> None:
    """Runs a command that must succeed."""
    subprocess.run(list(map(str, command)), cwd=PACKAGE, env=ENV, check=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
