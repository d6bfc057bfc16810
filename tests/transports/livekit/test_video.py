"""What the user shows goes to a model that sees, when it is asked for: a client publishes video through a real server,
and a server that speaks the OpenAI API is sent the picture."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from livekit import rtc
from PIL import Image

from tests.providers.answering import server
from tests.transports.livekit.conftest import Run
from tests.transports.livekit.people import Person, events, person, settings
from tests.waiting import PATIENCE_S, eventually
from workbench import Agent, open_session, open_trace
from workbench.config.room import RoomSettings
from workbench.model.errors import StageError
from workbench.model.events import Notice, PictureTaken, SpeechStarted, ToolReturned, TurnEnded
from workbench.readers import entries
from workbench.session import Session
from workbench.simulation.clock import run_virtual
from workbench.simulation.synthesis import speech
from workbench.tools.context import ToolError
from workbench.trace.trace import Trace
from workbench.transports.livekit import video
from workbench.transports.livekit.participants import Participants
from workbench.transports.livekit.server import LocalServer
from workbench.transports.livekit.video import LONGEST, MOST_BYTES, OLD_S, UserVideo, jpeg, look

RED, BLUE, GREEN = (200, 30, 30), (30, 30, 200), (30, 200, 30)
SCREEN, CAMERA = rtc.TrackSource.SOURCE_SCREENSHARE, rtc.TrackSource.SOURCE_CAMERA
AGENT = Agent(instructions="You see.", name="eyes")


@asynccontextmanager
async def film(one: Person, colour: tuple[int, int, int], source: Any) -> AsyncIterator[rtc.VideoSource]:
    """A track of 1280 × 720 in one colour, ten frames a second."""
    video = rtc.VideoSource(1280, 720)
    track = rtc.LocalVideoTrack.create_video_track("film", video)
    options = rtc.TrackPublishOptions(source=source, simulcast=False)
    pixels = np.tile(np.array([*colour, 255], np.uint8), 1280 * 720).tobytes()

    async def run() -> None:
        while True:
            video.capture_frame(rtc.VideoFrame(1280, 720, rtc.VideoBufferType.RGBA, pixels))
            await asyncio.sleep(0.1)

    published = await one.room.local_participant.publish_track(track, options)
    running = asyncio.ensure_future(run())
    try:
        yield video
    finally:
        running.cancel()
        await one.room.local_participant.unpublish_track(published.sid)


class Model:
    """A server that speaks the OpenAI API. `script` says what it answers, request by request: a text, or a tool."""

    def __init__(self, *script: str) -> None:
        self.asked: list[list[dict[str, Any]]] = []
        self._script = list(script)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if not request.path.endswith("completions"):
            return web.json_response({"data": []})
        body = await request.json()
        self.asked.append(body["messages"])
        answer = self._script.pop(0) if self._script else "I see."
        delta: dict[str, Any] = {"content": answer}
        if answer.startswith("@"):
            call = {"index": 0, "id": "c1", "function": {"name": answer[1:], "arguments": "{}"}}
            delta = {"tool_calls": [call]}
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for choice in ({"delta": delta}, {"delta": {}, "finish_reason": "stop"}):
            chunk = {"id": "1", "object": "chat.completion.chunk", "choices": [{"index": 0, **choice}]}
            await response.write(f"data: {json.dumps(chunk)}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        return response

    def pictures(self, number: int = -1) -> list[Image.Image]:
        """What was in a request."""
        urls = [
            part["image_url"]["url"]
            for message in self.asked[number]
            if isinstance(message.get("content"), list)
            for part in message["content"]
            if part["type"] == "image_url"
        ]
        found = []
        for url in urls:
            kind, _, data = url.partition(";base64,")
            assert kind == "data:image/jpeg"
            jpeg = base64.b64decode(data)
            assert len(jpeg) <= MOST_BYTES
            found.append(Image.open(io.BytesIO(jpeg)).convert("RGB"))
        return found


def close_to(picture: Image.Image, colour: tuple[int, int, int]) -> bool:
    mean = np.asarray(picture, float).mean((0, 1))
    return bool(np.abs(mean - colour).max() < 30)


def video_subscribed(session: Session) -> list[str]:
    """Names of the video tracks that the session is sent."""
    assert session.room
    return [
        publication.sid
        for one in session.room.participants.remote.values()
        for publication in one.track_publications.values()
        if publication.kind == rtc.TrackKind.KIND_VIDEO and publication.subscribed
    ]


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame of video is waited for on a machine that has much to do."""
    monkeypatch.setattr(video, "WAIT_S", PATIENCE_S)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.mark.room
def test_each_turn_has_what_is_shown_the_screen_first_and_the_recording_has_it_too(
    with_server: Run, tmp_path: Path
) -> None:
    model = Model()

    async def talk(livekit: LocalServer) -> None:
        async with server(model.answer) as url, person(livekit, "see") as ann:
            given = settings(
                livekit, "see", room__video="turn", llm__provider="openai/gpt", llm__base_url=url,
                record__enabled=True, record__folder=tmp_path / "rec",
            )  # fmt: skip
            async with open_session(given, agent=AGENT) as session:
                await eventually(lambda: session.room and session.room.source.voices)
                assert session.room
                assert (await session.aask("what is it?")).status == "done"
                assert model.pictures() == []
                assert "neither screen nor camera" in events(session, Notice)[-1].reason
                async with film(ann, RED, CAMERA):
                    await eventually(lambda: session.room and session.room.user_video._best_publication())
                    assert not video_subscribed(session)
                    ann.say(speech(1.0))
                    await eventually(lambda: events(session, SpeechStarted))
                    await eventually(lambda: len(events(session, TurnEnded)) == 2)
                    (camera,) = model.pictures()
                    assert close_to(camera, RED)
                    assert camera.size == (LONGEST, 432)
                    assert not session.room.user_video.watching
                    await eventually(lambda: not video_subscribed(session))
                    async with film(ann, BLUE, SCREEN):
                        await eventually(
                            lambda: (
                                session.room and session.room.user_video._best_publication().source == SCREEN
                            )
                        )
                        await session.aask("and now?")
                        (screen,) = model.pictures()  # the one before is not sent again
                        assert close_to(screen, BLUE)
                await eventually(lambda: session.room and session.room.user_video._best_publication() is None)
                await session.aask("gone?")
                assert model.pictures() == []
                taken = events(session, PictureTaken)
                assert [(one.source, one.identity) for one in taken] == [("camera", "ann"), ("screen", "ann")]
                assert all(
                    one.size <= MOST_BYTES and one.age_ms < 1000 * OLD_S and one.reply for one in taken
                )
                shown = [message.pictures for message in session.conversation.messages if message.pictures]
                assert [(one[0].file, one[0].jpeg) for one in shown] == [(one.file, b"") for one in taken]
        for one in taken:
            file = tmp_path / "rec" / one.file
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            assert file.stat().st_size == one.size
        assert "base64" not in (tmp_path / "rec" / "events.jsonl").read_text()
        again = [entry.event for entry in entries(open_trace(tmp_path / "rec"))]
        assert [one for one in again if isinstance(one, PictureTaken)] == taken

    with_server(talk)


@pytest.mark.room
def test_a_model_looks_by_itself_and_nobody_looks_where_video_is_off(with_server: Run) -> None:
    model = Model("@look", "It is green.", "@look", "Nothing.")

    async def talk(livekit: LocalServer) -> None:
        async with server(model.answer) as url, person(livekit, "look", microphone=False) as ann:
            given = settings(
                livekit, "look", room__video="tool", llm__provider="openai/gpt", llm__base_url=url
            )
            off = settings(livekit, "look")
            async with (
                film(ann, GREEN, rtc.TrackSource.SOURCE_UNKNOWN),
                open_session(given, agent=AGENT) as session,
            ):
                await eventually(lambda: session.room and session.room.user_video._best_publication())
                assert not video_subscribed(session)
                assert (await session.aask("what colour is it?")).agent_text == "It is green."
                assert model.pictures(0) == []
                (picture,) = model.pictures(1)
                assert close_to(picture, GREEN)
                roles = [message["role"] for message in model.asked[1]]
                assert roles == ["system", "user", "assistant", "tool", "user"]
                await eventually(lambda: not video_subscribed(session))
            async with open_session(given, agent=AGENT) as session:
                await eventually(lambda: session.room and session.room.participants.linked)
                await session.aask("what colour is it now?")
                (end,) = events(session, ToolReturned)
                assert "shows neither screen nor camera" in (end.error or "")
                still = rtc.LocalVideoTrack.create_video_track("still", rtc.VideoSource(64, 64))
                await ann.room.local_participant.publish_track(still, rtc.TrackPublishOptions(source=CAMERA))
                await eventually(lambda: session.room and session.room.user_video._best_publication())
                still.mute()
                await eventually(lambda: session.room and session.room.user_video._best_publication() is None)
                assert session.room
                assert await session.room.look() is None
            async with (
                film(ann, GREEN, CAMERA),
                open_session(given.model_copy(update={"room": off.room})) as session,
            ):
                await eventually(lambda: session.room and session.room.user_video._best_publication())
                await session.aask("hello?")
                assert model.pictures() == []
                assert "look" not in session.tools.names
                assert session.room
                with pytest.raises(StageError, match="does not look at video"):
                    await session.room.look()
                assert not video_subscribed(session)

    with_server(talk)


def test_a_model_that_cannot_see_is_told_so() -> None:
    context: Any = SimpleNamespace(room=SimpleNamespace(user_video=SimpleNamespace(sees=lambda: False)))
    with pytest.raises(ToolError, match="cannot look at pictures"):
        run_virtual(look.function(context))


def test_what_was_shown_long_ago_is_not_shown_now() -> None:
    async def main() -> list[bool]:
        loop = asyncio.get_running_loop()
        eyes = UserVideo(
            Participants(RoomSettings(), Trace(lambda: 0.0), lambda *_: None, lambda _: None),
            Trace(lambda: 0.0),
            "tool",
            lambda: True,
        )
        eyes._publication = SimpleNamespace(width=64, height=64)
        found = []
        for age_s in (OLD_S - 0.1, OLD_S + 0.1):
            eyes._frame = (loop.time() - age_s, SimpleNamespace(frame=eyes._publication))
            found.append(await eyes._fresh() is not None)
        return found

    assert run_virtual(main()) == [True, False]


def test_a_picture_is_upright_and_within_its_bounds() -> None:
    noise = np.random.default_rng(3).integers(0, 255, (1920, 1080, 4), dtype=np.uint8)
    noise[..., 3] = 255
    frame = rtc.VideoFrame(1080, 1920, rtc.VideoBufferType.RGBA, noise.tobytes())
    data, width, height = jpeg(SimpleNamespace(frame=frame, rotation=0))
    assert len(data) <= MOST_BYTES
    assert max(width, height) <= LONGEST
    half = np.zeros((200, 300, 4), np.uint8)
    half[:, :150] = 255  # the left half is white
    held = rtc.VideoFrame(300, 200, rtc.VideoBufferType.RGBA, half.tobytes())
    data, width, height = jpeg(SimpleNamespace(frame=held, rotation=1))
    assert (width, height) == (200, 300)
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("L"), float)
    assert pixels[:140].mean() > 240 > 15 > pixels[160:].mean()  # turned clockwise, left is up
