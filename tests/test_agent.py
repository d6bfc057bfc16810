from __future__ import annotations

from pathlib import Path

import pytest

from workbench.agent import Agent, load_agent
from workbench.model.errors import UsageError


def _file(folder: Path, text: str, name: str = "my_agent.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_load_agent_runs_the_file_and_returns_its_agent(tmp_path: Path) -> None:
    _file(tmp_path, "MANNERS = 'Be kind.'", "manners_of_mine.py")
    path = _file(
        tmp_path,
        """
from __future__ import annotations
from dataclasses import dataclass
from workbench.agent import Agent
from manners_of_mine import MANNERS

@dataclass
class Guest:
    name: str

agent = Agent(instructions=MANNERS, greeting=f"Hello {Guest('Ada').name}!", llm="openai/gpt-x", tools=[len])
""",
    )
    agent = load_agent(path)
    assert (agent.instructions, agent.greeting, agent.llm, agent.stt) == (
        "Be kind.",
        "Hello Ada!",
        "openai/gpt-x",
        None,
    )
    assert agent.tools == (len,)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("agent = 1 +", r"my_agent.py:1: invalid syntax"),
        ("import workbench\n\nx = 1 / 0", r"my_agent.py:3: ZeroDivisionError: division by zero"),
        ("def f():\n  raise ValueError('\\x1b[2Jno')\n\nf()", r"my_agent.py:2: ValueError: no –"),
        ("raise SystemExit('bye')", r"my_agent.py:1: SystemExit: bye"),
        ("import no_such_module_x", r"my_agent.py:1: ModuleNotFoundError.*install it"),
        (
            "from workbench.agent import Agent\nagent = Agent(instruction='x')",
            r"my_agent.py:2.*did you mean instructions\?",
        ),
        (
            "from workbench.agent import Agent\nagent = Agent(zzz=1)",
            r"my_agent.py:2.*an Agent takes instructions, greeting",
        ),
        (
            "from workbench.agent import Agent\nagent = Agent(instructions=5)",
            r"my_agent.py:2: Agent: instructions must be a text",
        ),
        ("agent = 'hello'", r"`agent` is no Agent but str"),
        (
            "from workbench.agent import Agent\nbot = Agent(instructions='x')",
            r"called `bot` there: call it `agent`",
        ),
        ("one = 1\ntwo = 2", r"has no `agent`; it has: one, two"),
        ("", r"it has: nothing"),
        ("\x00", r"my_agent.py"),
    ],
)
def test_errors_in_an_agent_file_name_file_and_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        load_agent(_file(tmp_path, text))
    assert "\x1b" not in str(caught.value)


def test_a_missing_agent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no agent file .*workbench init"):
        load_agent(tmp_path / "missing.py")
    with pytest.raises(UsageError, match="cannot be read"):
        load_agent(tmp_path)


def test_an_agent_refuses_values_of_the_wrong_type() -> None:
    with pytest.raises(UsageError, match="greeting"):
        Agent(instructions="x", greeting=b"x")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="speakable"):
        Agent(instructions="x", speakable="x")  # type: ignore[arg-type]
