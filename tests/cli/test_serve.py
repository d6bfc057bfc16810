from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.waiting import PATIENCE_S

SERVE = [
    sys.executable,
    "-c",
    "from workbench.cli.serve import serve; serve()",
    "--openai",
    "--profile",
    "scripted",
]
HELLO = {"model": "any", "messages": [{"role": "user", "content": "good morning"}]}


@contextmanager
def served(**environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The real program on a free port, and its base URL."""
    with subprocess.Popen(
        [*SERVE, "--port", "0", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    ) as program:
        assert program.stdout
        try:
            yield program, json.loads(program.stdout.readline())["base_url"]
        finally:
            program.kill()


def ask(base_url: str, key: str = "none") -> str:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    request = urllib.request.Request(f"{base_url}/chat/completions", json.dumps(HELLO).encode(), headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=PATIENCE_S) as answer:
        return str(json.load(answer)["choices"][0]["message"]["content"])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_serve_answers_until_a_signal_comes(number: signal.Signals, code: int) -> None:
    with served() as (program, base_url):
        assert ask(base_url) == "Hello! You said: good morning"
        program.send_signal(number)
        out, told = program.communicate(timeout=PATIENCE_S)
        assert program.returncode == code
        assert out == "", "one line, and nothing else"
        assert f"curl {base_url}/chat/completions" in told
        assert "Traceback" not in told


def test_with_a_key_only_requests_with_it_are_answered() -> None:
    with served(WORKBENCH_SERVE_API_KEY="right") as (program, base_url):
        with pytest.raises(urllib.error.HTTPError, match="401") as refused:
            ask(base_url)
        refused.value.close()
        assert "good morning" in ask(base_url, "right")
        program.terminate()
        assert "right" not in program.communicate(timeout=PATIENCE_S)[1]
