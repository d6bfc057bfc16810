"""A real JupyterLab (or Notebook 7) and a real Chromium before it, for the tests and the benchmarks."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Locator, Page, Playwright

from tests.waiting import PATIENCE_S

SLOW_TIMERS = """() => {
    const every = window.setInterval;
    window.setInterval = (call, ms, ...more) => every(call, Math.max(1000, ms), ...more);
}"""
"""As the browser does with a page that nobody sees."""
CHROMIUM = shutil.which("chromium") or "chromium"


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


class Lab:
    """A Jupyter server in a folder of its own."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes], runtime: Path, token: str) -> None:
        self.folder = folder
        self.port = 0
        """Known after `wait`."""
        self._info = runtime / f"jpserver-{process.pid}.json"
        self.token = token
        self._process = process

    def url(self, notebook: str, *, classic: bool = False) -> str:
        """Where a notebook is opened, in JupyterLab in a workspace of its own, or in Notebook 7 (`classic`)."""
        place = "notebooks" if classic else f"lab/workspaces/{Path(notebook).stem}/tree"
        return f"http://127.0.0.1:{self.port}/{place}/{notebook}?token={self.token}"

    def write(self, name: str, cells: Sequence[str]) -> str:
        """Write a notebook of code cells; its name."""
        nodes: list[dict[str, Any]] = [
            {
                "cell_type": "code",
                "id": f"cell-{n}",
                "source": source,
                "metadata": {},
                "outputs": [],
                "execution_count": None,
            }
            for n, source in enumerate(cells)
        ]
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        book = {"cells": nodes, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
        (self.folder / name).write_text(json.dumps(book))
        return name

    def kernels(self) -> list[dict[str, Any]]:
        """The kernels that run."""
        kernels: list[dict[str, Any]] = self.ask("api/kernels")
        return kernels

    def end_kernels(self) -> None:
        """End all of them."""
        for kernel in self.kernels():
            self.ask(f"api/kernels/{kernel['id']}", "DELETE")

    def ask(self, path: str, method: str = "GET") -> Any:
        """The server's own API."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/{path}",
            headers={"Authorization": f"token {self.token}"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            body = answer.read()
        return json.loads(body) if body else None

    def wait(self) -> None:
        """Until it answers, at the port that it took: another where somebody else has ours by then."""
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                self.port = int(json.loads(self._info.read_text())["port"])
                self.ask("api/status")
                return
            except (FileNotFoundError, json.JSONDecodeError, urllib.error.URLError, ConnectionError):
                if time.monotonic() > until or self._process.poll() is not None:
                    raise
                time.sleep(0.1)


@contextmanager
def jupyter(folder: Path, *, app: str = "jupyterlab", **environment: str) -> Iterator[Lab]:
    """A server whose settings, sessions and runtime files are in `folder`, and nobody else's; `app` may be notebook."""
    work = folder / "work"
    work.mkdir(parents=True)
    token = secrets.token_hex(16)
    homes = {
        name: str(folder / name.lower())
        for name in (
            "JUPYTER_CONFIG_DIR",
            "JUPYTER_RUNTIME_DIR",
            "JUPYTER_DATA_DIR",
            "IPYTHONDIR",
            "XDG_DATA_HOME",
        )
    }
    log = (folder / "jupyter.log").open("wb")
    settings = {
        "ServerApp.port": free_port(),
        "ServerApp.token": token,
        "ServerApp.root_dir": str(work),
        "ServerApp.allow_remote_access": True,
        "LabApp.expose_app_in_browser": True,
        "JupyterNotebookApp.expose_app_in_browser": True,
        "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
        "LabApp.news_url": None,
    }
    flags = [f"--{name}={value}" for name, value in settings.items()]
    process = subprocess.Popen(
        [sys.executable, "-m", app, "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", *flags],
        cwd=work,
        env={
            **os.environ,
            **homes,
            **environment,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        },
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    lab = Lab(work, process, Path(homes["JUPYTER_RUNTIME_DIR"]), token)
    try:
        lab.wait()
        yield lab
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()


@contextmanager
def chromium(
    playwright: Playwright,
    speech: Path | None = None,
    *,
    fake: bool = True,
    allow: bool = True,
    flags: Sequence[str] = (),
) -> Iterator[Browser]:
    """A headless Chromium whose microphone speaks the wav file, round and round; `fake=False`: it has none."""
    arguments = ["--no-sandbox", "--autoplay-policy=user-gesture-required", *flags]
    if fake:
        arguments.append("--use-fake-device-for-media-stream")
    if allow:
        arguments.append("--use-fake-ui-for-media-stream")
    if speech is not None:
        arguments.append(f"--use-file-for-fake-audio-capture={speech}")
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments, headless=True)
    try:
        yield browser
    finally:
        browser.close()


class Book:
    """An open notebook."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.errors: list[str] = []
        self.console: list[str] = []
        """The errors that the console shows."""
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda line: self.console.append(line.text) if line.type == "error" else None)

    def open(self, url: str) -> None:
        """Open it and wait until its kernel is idle."""
        self.page.goto(url)
        self.page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=PATIENCE_S * 1000)
        self.page.wait_for_function(
            """() => {
                const app = window.jupyterapp;
                const kernel = app?.shell.currentWidget?.sessionContext?.session?.kernel;
                return kernel?.status === 'idle' && kernel.connectionStatus === 'connected';
            }""",
            timeout=PATIENCE_S * 1000,
        )

    def save(self) -> None:
        """Save it, as it is on the page."""
        self.page.evaluate(
            "window.jupyterapp.commands.execute('docmanager:save')"
        )  # a promise: it is awaited

    def cell(self, n: int) -> Locator:
        """The cell of that number."""
        return self.page.locator(".jp-Notebook .jp-CodeCell").nth(n)

    def run(self, n: int, *, wait: bool = True) -> None:
        """Run a cell by hand, as a user does; wait until it has a number."""
        cell = self.cell(n)
        before = cell.locator(".jp-InputPrompt").first.inner_text()
        cell.locator(".cm-content").first.click()
        self.page.keyboard.press("Shift+Enter")
        if wait:
            self.page.wait_for_function(
                """([n, before]) => {
                    const cell = document.querySelectorAll('.jp-Notebook .jp-CodeCell')[n];
                    const prompt = cell?.querySelector('.jp-InputPrompt')?.innerText;
                    return /\\[\\d+\\]/.test(prompt) && prompt !== before;
                }""",
                arg=[n, before],
                timeout=PATIENCE_S * 1000,
            )

    def output(self, n: int) -> str:
        """The text of a cell's output, of its model: the page draws it a moment later."""
        text: str = self.page.evaluate(
            """(n) => window.jupyterapp.shell.currentWidget.content.model.cells.get(n).outputs.toJSON()
                .flatMap((output) => output.text ?? output.data?.["text/plain"] ?? []).join("")""",
            n,
        )
        return text

    def printed(self, n: int) -> Any:
        """What a cell printed last, as JSON."""
        return json.loads(self.output(n).strip().splitlines()[-1])
