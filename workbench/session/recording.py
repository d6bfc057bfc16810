"""What a session writes: the beginning of its trace, its folder, and the tracks in memory that the recorder reads."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import get_args

from workbench.config import Settings
from workbench.engine.stages import Tracks
from workbench.model.audio import INPUT_RATE, OUTPUT_RATE
from workbench.model.events import SessionStarted
from workbench.plugin.values import ProviderStage
from workbench.trace.store import About, SessionFolder
from workbench.trace.track import LiveTrack
from workbench.views.trace import OpenTrace

RECORDED_S = 8.0
"""Sound of each track kept in memory for the recorder, which may lag behind, s."""
USER_S, AGENT_S = 6.0, 2.0
"""Sound of `user` and of `agent` kept without a recorder: what readers look back, s."""


def begin_trace(settings: Settings, agent_name: str, trace: OpenTrace) -> SessionFolder | None:
    """Emit `SessionStarted`, and return the session's new folder, None where nothing is recorded."""
    about = About(agent=agent_name, profile=settings.profile, settings=settings.public())
    record = settings.record
    folder = None
    if record.enabled:
        path = record.folder or (record.dir / about.folder_name if record.dir else None)
        folder = SessionFolder.create(about, path)
    trace.emit(
        SessionStarted(
            about.session,
            about.date,
            about.profile,
            about.agent,
            {stage: ", ".join(settings.chain(stage)) for stage in get_args(ProviderStage)},
            dict(about.rates),
            str(folder.path) if folder else None,
        )
    )
    return folder


def discard_folder(folder: Path) -> None:
    """Remove the folder of a session that could not begin: the next try may record into the same one."""
    shutil.rmtree(folder, ignore_errors=True)


def open_tracks(
    settings: Settings,
    trace: OpenTrace,
    *,
    recorded: bool,
    own_transport: bool,
    hears_raw: bool | None = None,
) -> Tracks:
    """Return the tracks of a session, which the trace has too; `mic` where it differs from `user` (`hears_raw`)."""
    user_s, agent_s = (RECORDED_S, RECORDED_S) if recorded else (USER_S, AGENT_S)
    user, agent = LiveTrack("user", INPUT_RATE, user_s), LiveTrack("agent", OUTPUT_RATE, agent_s)
    trace.tracks |= {"user": user, "agent": agent}
    mic = None
    if hears_raw is None:
        hears_raw = settings.audio.source == "mic" and settings.audio.echo_cancellation and not own_transport
    if hears_raw:
        trace.tracks["mic"] = mic = LiveTrack("mic", INPUT_RATE, user_s)
    return Tracks(user, agent, mic)
