"""Packages as pip would have installed them: a module and the folder that says what it is."""

from __future__ import annotations

from pathlib import Path


def publish(
    site: Path,
    name: str,
    source: str,
    *,
    version: str = "1.0",
    module: str = "",
    package: str = "",
    summary: str = "",
) -> None:
    """Install a distribution whose plugin `name` is this module, into a folder that is on the path."""
    module, package = module or f"plugin_{name}", package or f"the-{name}"
    (site / f"{module}.py").write_text(source, encoding="utf-8")
    about = site / f"{package.replace('-', '_')}-{version}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\nSummary: {summary}\n"
    )
    (about / "entry_points.txt").write_text(f"[workbench]\n{name} = {module}\n")


TOOL = """
from workbench import hookimpl

class Tool:
    name = "{name}"

@hookimpl
def workbench_tools():
    return [Tool()]
"""
"""A plugin with one tool."""
