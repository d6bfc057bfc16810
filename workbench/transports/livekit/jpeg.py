"""A frame of video as a JPEG that is small enough for a model."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from workbench.transports.livekit.sdk import rtc

LONGEST = 768
"""Pixels of the longer side; what models see of a larger picture is scaled down to about this."""
MOST_BYTES = 200_000
QUALITIES = (80, 60, 40)


def jpeg(event: Any) -> tuple[bytes, int, int]:
    """The picture of an `rtc.VideoFrameEvent`, upright: its bytes, at most `MOST_BYTES`, its width and its height in
    pixels, at most `LONGEST`. Takes 10–30 ms, off the loop."""
    from PIL import Image  # 30 ms, and only those who show something need it

    sdk = rtc()
    kinds, frame = sdk.VideoBufferType, event.frame
    if frame.type != kinds.I420:  # what all can be turned into, and it into RGB
        frame = frame.convert(kinds.I420)
    frame = frame.convert(kinds.RGB24)
    image = Image.frombuffer("RGB", (frame.width, frame.height), bytes(frame.data), "raw", "RGB", 0, 1)
    image.thumbnail((LONGEST, LONGEST))
    turns = {1: Image.Transpose.ROTATE_270, 2: Image.Transpose.ROTATE_180, 3: Image.Transpose.ROTATE_90}
    if (turn := turns.get(event.rotation)) is not None:  # a telephone that is held upright
        image = image.transpose(turn)
    while True:
        for quality in QUALITIES:
            out = BytesIO()
            image.save(out, "JPEG", quality=quality)
            if out.tell() <= MOST_BYTES:
                return out.getvalue(), image.width, image.height
        image = image.reduce(2)
