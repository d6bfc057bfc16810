"""Labels by hand: `labels.json` beside a recording, which itself is never changed.

    {"v": 1, "silences": [{"at_sample": 123456, "label": "end"}]}

`at_sample` is the position on `user` where the silence begins. Other keys are kept.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, cast, get_args

from workbench.model.errors import UsageError
from workbench.model.text import plain
from workbench.replay.tune.truth import Label
from workbench.trace.files import open_new, open_regular

FILE = "labels.json"
VERSION = 1
LABELS: tuple[Label, ...] = get_args(Label)
LIMIT = 4 * 1024 * 1024


def read_labels(folder: Path) -> dict[int, Label]:
    """Return the labels of a recording by position; none without the file. UsageError for what is none."""
    return {item["at_sample"]: cast(Label, item["label"]) for item in _content(folder)["silences"]}


def write_label(folder: Path, at_sample: int, label: Label | None) -> None:
    """Set the label of the silence that begins there, None to have none, in one step. Raises UsageError."""
    content = _content(folder)
    silences = [item for item in content["silences"] if item["at_sample"] != at_sample]
    if label is not None:
        silences.append({"at_sample": at_sample, "label": label})
    content["silences"] = sorted(silences, key=lambda item: item["at_sample"])
    part = folder / f"{FILE}.part"
    try:
        part.unlink(missing_ok=True)
        with os.fdopen(open_new(part), "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
        part.replace(folder / FILE)
    except OSError as error:
        raise UsageError(
            f"{folder / FILE} cannot be written: {error.strerror}", "see to the folder's rights"
        ) from None


def _content(folder: Path) -> dict[str, Any]:
    path = folder / FILE
    try:
        with open_regular(path) as file:
            content = json.loads(file.read(LIMIT))
    except FileNotFoundError:
        return {"v": VERSION, "silences": []}
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "see to its rights") from None
    except (ValueError, RecursionError):
        raise UsageError(f"{path} is not JSON", "correct it, or move it away") from None
    if not isinstance(content, dict) or not isinstance(content.get("silences"), list):
        raise UsageError(f"{path} holds no labels", "correct it, or move it away")
    if content.get("v") != VERSION:
        version = plain(repr(content.get("v")), 20, one_line=True)
        raise UsageError(f"{path} is of version {version}, this reads {VERSION}", "install a newer workbench")
    for item in content["silences"]:
        _check(path, item)
    return content


def _check(path: Path, item: Any) -> None:
    place = item.get("at_sample") if isinstance(item, dict) else None
    if type(place) is not int or place < 0 or item.get("label") not in LABELS:
        shown = plain(repr(item), 80, one_line=True)
        hint = f'write {{"at_sample": 16000, "label": "{LABELS[0]}"}}; labels are {", ".join(LABELS)}'
        raise UsageError(f"{path}: {shown} is no label", hint)
