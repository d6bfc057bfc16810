"""The weather agent and the joke teller, by voice: a recording asks, Whisper hears, a script chooses, Piper answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from tests.recorded import recorded
from workbench.model.audio import INPUT_RATE, silence
from workbench.simulation.synthesis import write_wav

pytestmark = pytest.mark.models

ROOT = Path(__file__).parents[2]
NOW = {"current": {"temperature_2m": 3.4, "weather_code": 61}, "daily": {}}


class OpenMeteo(BaseHTTPRequestHandler):
    """Knows every city, and rain."""

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        city = parse_qs(url.query).get("name", [""])[0]
        places = {"results": [{"name": city.title(), "latitude": 59.9, "longitude": 10.7}]}
        body = json.dumps(places if url.path.endswith("search") else NOW).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def open_meteo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with HTTPServer(("127.0.0.1", 0), OpenMeteo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("OPEN_METEO_URL", f"http://127.0.0.1:{server.server_port}")
        yield
        server.shutdown()
        thread.join()


def with_time_to_answer(name: str, file: Path) -> None:
    """Write recorded speech with silence around it."""
    quiet = silence(INPUT_RATE)
    write_wav(file, np.concatenate([quiet, recorded(name), quiet, quiet, quiet]))


def talked(name: str, asked: str, folder: Path) -> tuple[dict[str, object], list[dict[str, object]]]:
    """The turn, and the events of tools."""
    with_time_to_answer(asked, folder / "asked.wav")
    package = ROOT / "plugins" / name
    done = subprocess.run(
        [
            *(sys.executable, "-m", "workbench", "run", str(package / "agent.py"), "--json"),
            *("--config", str(package / "workbench.toml"), "--record", str(folder / "recording")),
            *("--plugin", str(package / "src" / f"voice_workbench_{name}" / "plugin.py")),
            *("--source", str(folder / "asked.wav"), "--sink", str(folder / "answered.wav")),
        ],
        env=dict(os.environ),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in (folder / "recording" / "events.jsonl").read_text().splitlines()]
    return json.loads(done.stdout.splitlines()[0]), [
        event for event in events if event["type"].startswith("tool_")
    ]


def test_the_weather_agent(open_meteo: None, tmp_path: Path) -> None:
    turn, tools = talked("weather", "weather.wav", tmp_path)
    assert turn["status"] == "done"
    assert turn["agent_text"] == "In London it is light rain and 3 degrees celsius."
    steps = ["called", "started", "progressed", "progressed", "returned"]
    assert [event["type"] for event in tools][-5:] == [f"tool_{step}" for step in steps]
    assert turn["parts_ms"]["tools"] >= 0  # type: ignore[index]
    assert turn["heard_latency_ms"]


def test_the_joke_teller(tmp_path: Path) -> None:
    turn, tools = talked("jokes", "joke.wav", tmp_path)
    assert turn["status"] == "done"
    assert "fish" in str(turn["agent_text"])
    assert json.loads(str(tools[0]["arguments"])) == {"topic": "animals"}
