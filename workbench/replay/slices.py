"""The beginning of a recorded session as a smaller recording: what a saved turn is run on."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

from workbench.readers import entries
from workbench.trace.archive import lines_from
from workbench.trace.cassette import FOLDER, ROWS, CassetteFile, CassetteLog, open_cassette, parsed_row
from workbench.trace.codec import encode
from workbench.trace.files import open_regular
from workbench.trace.store import ABOUT, SessionFolder, open_trace
from workbench.trace.wav import wav_header

TOGETHER = 10_000
"""Rows that are written at once: a log keeps a bounded number of them."""


def copy_beginning(folder: Path, into: Path, end_ms: float) -> None:
    """Copy the recording of `folder` up to `end_ms` of its clock into the new folder `into`: what a rerun needs of it,
    which is not the agent's sound. Raises UsageError for a folder without a readable cassette, OSError."""
    session, trace, cassette = SessionFolder.open(folder), open_trace(folder), open_cassette(folder)
    into.mkdir()
    shutil.copyfile(folder / ABOUT, into / ABOUT)
    copy = SessionFolder(into, session.about)
    early = (f"{encode(entry)}\n" for entry in entries(trace) if entry.t_ms <= end_ms)
    copy.events.write_text("".join(early), encoding="ascii")
    frames = cassette.frames[cassette.frames["t"] <= end_ms / 1000]
    end = int(frames["position"][-1] + frames["count"][-1]) if len(frames) else 0
    for name in ("user", "mic"):
        if (track := trace.tracks.get(name)) is not None:
            samples = track.read(0, end).astype("<i2").tobytes()
            copy.sound(name).write_bytes(wav_header(track.rate, end) + samples)
    log = CassetteLog(lambda: end_ms / 1000)
    log.frames.extend(frames.tolist())
    log.pulls.extend(cassette.pulls[cassette.pulls["t"] <= end_ms / 1000].tolist())
    log.probabilities.extend(cassette.probabilities.tolist())
    with closing(CassetteFile(into)) as file, open_regular(folder / FOLDER / ROWS) as rows:
        for number, row in enumerate(filter(None, (parsed_row(line) for _, line in lines_from(rows, 0)))):
            if row["row"] not in ("cassette", "numbers") and row["t"] <= end_ms / 1000:
                data = cassette.data(row)
                log.put_later({name: value for name, value in row.items() if name != "data"}, data or None)
            if number % TOGETHER == TOGETHER - 1:
                file.write(log)
        log.put("shut", side="source")  # as if all that was said had been said
        file.write(log)
