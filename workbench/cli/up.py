"""`workbench up`: what `make run` does after setting up."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

if TYPE_CHECKING:
    from workbench.config import Settings

SAMPLE = Path(__file__).parent.parent / "samples" / "conversation.wav"
"""Two questions, the second one into the first answer; spoken by the Piper voice `en_US-joe-medium`."""


@click.command(
    epilog="""\b
Example:
  workbench up"""
)
def up() -> None:
    """Start talking by the shortest way that this machine allows.

    With a terminal, a microphone and a speaker: the screen. Otherwise a sample conversation without a screen, and
    where the time of its turns went. Without the weights of the models on board: the profile `scripted`.
    """
    from workbench.cli.options import load_plugins
    from workbench.cli.output import err
    from workbench.cli.run import converse
    from workbench.config import load_settings

    settings = load_settings({})
    load_plugins(settings)
    if settings.profile == "embedded" and (missing := _missing_weights(settings)):
        err(
            f"The models on board are not here ({missing}): a script answers. `workbench models pull` gets them."
        )
        settings = load_settings({"profile": "scripted"})
    lacking = _missing_device()
    if lacking is None:
        from workbench.cli.tui import tui

        tui.main(["--profile", settings.profile], standalone_mode=False)
        return
    err(
        f"There is {lacking}: a sample conversation is played instead. `workbench tui` is for talking yourself."
    )
    settings = load_settings(
        {
            "profile": settings.profile,
            "audio.source": str(SAMPLE),
            "audio.sink": "none",
            "record.enabled": False,
        }
    )
    raise SystemExit(converse(settings, None))


def _missing_weights(settings: Settings) -> str:
    """Return the models of the profile whose weights are not here, in words."""
    from workbench.plugin.values import ProviderStage
    from workbench.weights.manifest import MODELS
    from workbench.weights.store import FileState, open_store

    store = open_store(settings.models_path)
    chosen = {settings.choice(item) for stage in get_args(ProviderStage) for item in settings.chain(stage)}
    needed = [model for model in MODELS if model.name in chosen or model.name.partition("/")[0] in chosen]
    return ", ".join(model.name for model in needed if store.state(model) is not FileState.PRESENT)


def _missing_device() -> str | None:
    """Return what is missing to talk on the screen, None if nothing is."""
    import sys

    from workbench.model.errors import MissingError
    from workbench.transports.local.devices import list_devices

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return "no terminal"
    try:
        present = {kind: bool(list_devices(kind)) for kind in ("input", "output")}
    except MissingError:
        return "no PortAudio"
    if all(present.values()):
        return None
    return (
        "no sound card"
        if not any(present.values())
        else f"no {'speaker' if present['input'] else 'microphone'}"
    )
