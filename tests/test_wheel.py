"""What is shipped: the wheel holds what it needs, installs without Node, and works away from the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


def build(source: Path, kind: str, into: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Builds a "wheel" or an "sdist" with what is installed here: nothing is downloaded."""
    return subprocess.run(
        [sys.executable, "-m", "build", f"--{kind}", "--no-isolation", "--outdir", str(into), str(source)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def without_node(folder: Path) -> str:
    """A PATH on which there is no npm."""
    (folder / "no-node").mkdir(exist_ok=True)
    return str(folder / "no-node")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source archive, made from the checkout."""
    into = tmp_path_factory.mktemp("sdist")
    done = build(CHECKOUT, "sdist", into)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = into.glob("*.tar.gz")
    return found


@pytest.fixture(scope="module")
def wheel(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, made from the source archive where there is no Node."""
    folder = tmp_path_factory.mktemp("wheel")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    (source,) = folder.iterdir()
    done = build(source, "wheel", folder, PATH=without_node(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = folder.glob("*.whl")
    return found


def test_the_wheel_holds_bundle_weights_and_samples(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        sizes = {info.filename: info.file_size for info in packed.infolist()}
    for bundle in ("explorer", "saliency", "facets", "lesson"):
        assert sizes[f"spade_widgets/widgets/static/{bundle}.js"] > 1000
        assert sizes[f"spade_widgets/widgets/static/{bundle}.css"] > 1000
    assert "spade_widgets/py.typed" in sizes
    weights = {name: size for name, size in sizes.items() if name.endswith(".safetensors")}
    assert weights
    assert all(100_000 < size <= 4 * 2**20 for size in weights.values())
    samples = [name for name in sizes if name.startswith("spade_widgets/demo/") and name.endswith(".png")]
    assert len(samples) >= 24
    photographs = [name for name in sizes if name.startswith("spade_widgets/demo/photos/") and name.endswith(".jpg")]
    assert len(photographs) >= 8
    assert {"spade_widgets/demo/photos/data/NOTICE.txt", "spade_widgets/glyphs/data/OFL.txt"} <= set(sizes)
    assert wheel.stat().st_size < 8 * 10**6
    tops = {name.split("/")[0] for name in sizes}
    assert tops <= {"spade_widgets", *(top for top in tops if top.endswith(".dist-info"))}
    assert not [name for name in sizes if "__pycache__" in name or name.endswith((".ts", ".tsx", ".ttf"))]


@pytest.mark.rare
def test_the_installed_wheel_makes_an_explorer_away_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    """In a new environment that sees this one's libraries, but neither the checkout nor its editable install."""
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    python = environment / "bin" / "python"
    install = ["--python", str(python), "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", *install], check=True)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(environment), "platbase": str(environment)}))
    # a folder named in a .pth file is searched after the environment's own, and .pth files within it are not read
    (site / "libraries.pth").write_text(f"{sysconfig.get_path('purelib')}\n{sysconfig.get_path('platlib')}\n")
    code = """
import sys
from pathlib import Path
import spade_widgets as sw

assert Path(sw.__file__).is_relative_to(sys.prefix), sw.__file__
explorer = sw.Explorer()
state = explorer.state()
assert len(explorer.samples) >= 16, len(explorer.samples)
assert len(sw.Explorer("emoji").samples) >= 24
assert len(explorer._bundle) > 1000 and len(str(explorer._css)) > 1000
print("constructed", sw.__version__)
"""
    away = tmp_path / "away"
    away.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run([python, "-c", code], cwd=away, env=kept, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("constructed ")


def test_a_checkout_without_node_says_so_in_one_sentence(tmp_path: Path) -> None:
    source = tmp_path / "checkout"
    source.mkdir()
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, source)
    shutil.copytree(CHECKOUT / "spade_widgets", source / "spade_widgets", ignore=shutil.ignore_patterns("static"))
    done = build(source, "wheel", tmp_path, PATH=without_node(tmp_path))
    assert done.returncode != 0
    said = [line for line in (done.stdout + done.stderr).splitlines() if "needs Node" in line]
    assert len(said) == 1
    assert "install a spade-widgets wheel" in said[0]
    assert "Traceback" not in done.stderr
