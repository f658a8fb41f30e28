"""Builds the front end into the package before hatchling packs it.

hatch-jupyter-builder was looked at: it runs `npm install`, which may rewrite the lock file, rebuilds or not by one
rule for checkouts and another for archives, and its words for a missing npm are a stack trace. This is shorter than
configuring around that.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

STATIC = Path("spade_widgets/widgets/static")
BUNDLES = (STATIC / "explorer.js", STATIC / "saliency.js", STATIC / "facets.js", STATIC / "lesson.js")
SOURCES = ("js/src", "js/package.json", "js/package-lock.json", "js/build.mjs", "js/vite.config.ts", "js/tsconfig.json")


class BundleHook(BuildHookInterface[Any]):
    """Runs `npm ci && npm run build` in js/ when a bundle is missing or older than what it is made from."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        if not stale(root):
            return
        npm = shutil.which("npm")
        if npm is None:
            raise SystemExit(
                "Building spade-widgets from a checkout needs Node 20 or newer with npm, which was not found: "
                "install Node, or install a spade-widgets wheel, which needs none."
            )
        for command in (["ci", "--no-audit", "--no-fund", "--loglevel=error"], ["run", "--silent", "build"]):
            subprocess.run([npm, *command], cwd=root / "js", check=True)
        for bundle in BUNDLES:
            if not (root / bundle).is_file():
                raise SystemExit(f"The front end was built, but {bundle} did not appear.")


def stale(root: Path) -> bool:
    """Whether a bundle is missing, or older than a source."""
    bundles = [root / bundle for bundle in BUNDLES]
    if not all(bundle.is_file() for bundle in bundles):
        return True
    built = min(bundle.stat().st_mtime for bundle in bundles)
    return any(file.stat().st_mtime > built for file in sources(root))


def sources(root: Path) -> list[Path]:
    """The files that the bundles are made from."""
    found: list[Path] = []
    for name in SOURCES:
        path = root / name
        found.extend(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else None
        if path.is_file():
            found.append(path)
    return found
