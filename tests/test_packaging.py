"""The build: the two lists of dependencies, and what an installed wheel can do on its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

#: Names that differ on conda-forge.
CONDA_NAMES = {"duckdb": "python-duckdb"}

pytestmark = pytest.mark.skipif(
    not (ROOT / "pyproject.toml").is_file(), reason="needs a checkout of the repository"
)


def requirement(text: str) -> tuple[str, str]:
    match = re.fullmatch(r"([\w.-]+)\s*(>=[\d.]+)", text.strip())
    assert match is not None, text
    return match[1].lower(), match[2]


def test_environment_and_pyproject_are_in_step() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    needed = sum(extras.values(), project["dependencies"])
    wanted = dict(map(requirement, needed))
    wanted = {CONDA_NAMES.get(name, name): bound for name, bound in wanted.items()}
    wanted["python"] = project["requires-python"]
    lines = (ROOT / "environment.yml").read_text().split("dependencies:")[1].splitlines()
    items = [line.strip()[2:] for line in lines if line.strip().startswith("- ")]
    assert items.count("pip") == items.count("pip:") == 1
    assert items[-1] == "-e ."
    listed = dict(requirement(item) for item in items[:-1] if item not in ("pip", "pip:"))
    assert listed == wanted


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", str(folder), str(ROOT)],
        check=True,
        capture_output=True,
    )
    return next(folder.glob("*.whl"))


@pytest.mark.slow
def test_the_wheel_carries_notebooks_datasets_and_templates(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("notebooks", "datasets"):
        for path in (ROOT / folder).iterdir():
            if path.is_file():
                assert f"touchpoint_lib/_bundled/{folder}/{path.name}" in names
    assert "touchpoint_lib/py.typed" in names
    assert any(name.endswith(".css") for name in names)
    assert not any(name.startswith(("tests/", "benchmarks/", ".ci/")) for name in names)


@pytest.mark.slow
def test_an_installed_wheel_reports_from_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    """The wheel in a venv of its own; the dependencies are borrowed from this one."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run(
        [str(python), "-m", "pip", "install", "-q", "--no-deps", str(wheel)],
        check=True,
        capture_output=True,
    )
    site = next((tmp_path / "venv" / "lib").glob("python*/site-packages"))
    borrowed = [path for path in sys.path if path.endswith("site-packages")]
    (site / "borrowed.pth").write_text("\n".join(borrowed))
    work = tmp_path / "empty"
    work.mkdir()
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    where = subprocess.run(
        [str(python), "-c", "import touchpoint_lib; print(touchpoint_lib.__file__)"],
        cwd=work,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    assert str(tmp_path) in where.stdout
    done = subprocess.run(
        [str(python.parent / "touchpoint"), "report", "segment"],
        cwd=work,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "1 report in" in done.stdout
    assert (work / "reports" / "01_segmentation.html").stat().st_size > 1_000_000
    assert "01_segmentation.html" in (work / "reports" / "index.html").read_text()
