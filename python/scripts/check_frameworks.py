"""The adapters against the real frameworks at exact versions, in environments of their own; `./dev frameworks` runs it.

Each folder of `frameworks/` with a `requirements.txt` is one environment. Without arguments: types, tests, examples and
guides of each. With arguments: pytest with these, in the environment whose folder they name, or in `main`. Ends with
`N passed, N failed`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from xml.etree import ElementTree

PACKAGE = Path(__file__).resolve().parents[1]
FRAMEWORKS = PACKAGE / "frameworks"
HOME = PACKAGE.parent / ".cache/frameworks"


def main(args: list[str]) -> int:
    """Runs what was asked for; 0 when all of it holds."""
    groups = sorted(found.parent for found in FRAMEWORKS.glob("*/requirements.txt"))
    chosen = [group for group in groups if any(group.name in Path(arg.partition("::")[0]).parts for arg in args)]
    groups = groups if not args else chosen[:1] or [FRAMEWORKS / "main"]
    set_up(groups)
    passed, failed = 0, 0
    for group in groups:
        if not args:
            has_types = run(group, "pyright", "-p", str(group), "--pythonpath", str(python_of(group)))
            passed, failed = passed + has_types, failed + (not has_types)
        tested = run_tests(group, args or [str(group)])
        passed, failed = passed + tested[0], failed + tested[1]
    print(f"\n{passed} passed, {failed} failed")
    return 0 if failed == 0 and passed > 0 else 1


def python_of(group: Path) -> Path:
    """The interpreter of a group's environment."""
    return HOME / group.name / "venv/bin/python"


def set_up(groups: list[Path]) -> None:
    """Installs what changed of the locked versions and hashes; content decides, never time."""
    stale = {group: wanted for group in groups if (wanted := digest_of(group)) != stamped(group)}
    if not stale:
        return
    installer = HOME / "installer"
    shutil.rmtree(installer, ignore_errors=True)
    venv.create(installer, with_pip=True)
    pip = [str(installer / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    # pip alone takes minutes for a hundred packages; the installer is locked like everything else.
    subprocess.run([*pip, "--require-hashes", "-r", str(FRAMEWORKS / "installer.txt")], check=True)
    for group, wanted in stale.items():
        install(group, installer / "bin/uv")
        (HOME / group.name / "installed").write_text(wanted)


def install(group: Path, uv: Path) -> None:
    """Makes a group's environment anew."""
    home = HOME / group.name
    shutil.rmtree(home, ignore_errors=True)
    venv.create(home / "venv", with_pip=False)
    only_locked = ["--require-hashes", "--only-binary", ":all:", "--python", str(python_of(group))]
    options = ["--quiet", "--no-cache", "--no-config", *only_locked]
    subprocess.run([str(uv), "pip", "install", *options, "-r", str(group / "requirements.txt")], check=True)


def digest_of(group: Path) -> str:
    """Of what an environment is made of."""
    locked = (group / "requirements.txt").read_bytes() + (PACKAGE / "pyproject.toml").read_bytes()
    return hashlib.sha256(locked + sys.version.encode()).hexdigest()


def stamped(group: Path) -> str:
    """What an environment was made of; nothing where there is none."""
    stamp = HOME / group.name / "installed"
    return stamp.read_text() if stamp.exists() else ""


def run(group: Path, *command: str) -> bool:
    """Whether a command of the environment succeeds; the package is the one of this checkout."""
    print(f"\n== {group.name}: {' '.join(command)}", flush=True)
    folder = python_of(group).parent
    env = {
        **os.environ,
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(PACKAGE / "src"),
        "PYRIGHT_PYTHON_CACHE_DIR": str(HOME / "pyright"),
        "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1",
    }
    return subprocess.run(list(command), cwd=PACKAGE, env=env).returncode == 0


def run_tests(group: Path, args: list[str]) -> tuple[int, int]:
    """How many tests passed and failed; one that is skipped has failed, since nothing here may be absent."""
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "report.xml"
        is_good = run(group, "pytest", "-c", str(FRAMEWORKS / "pytest.ini"), f"--junit-xml={report}", *args)
        suite = ElementTree.parse(report).getroot().find("testsuite") if report.exists() else None
        if suite is None:
            return 0, 1
        failed = sum(int(suite.get(name, 0)) for name in ("failures", "errors", "skipped"))
        return int(suite.get("tests", 0)) - failed, failed or (0 if is_good else 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
