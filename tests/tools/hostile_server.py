"""An MCP server written by hand that does one thing wrong: `hostile_server.py MODE`."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from typing import Any

ANY = {"type": "object"}
TEXT = {"type": "object", "properties": {"text": {"type": "string"}}}
LIES: list[dict[str, Any]] = [
    {"name": "bad type", "inputSchema": {**ANY, "properties": {"a": {"type": "nonsense"}}}},
    {"name": "remote", "inputSchema": {**ANY, "properties": {"a": {"$ref": "http://127.0.0.1:1/x.json"}}}},
    {"name": "echo", "description": "Another one.", "inputSchema": ANY},
    {"name": "ünï / cøde", "inputSchema": ANY},
    {"name": "long", "description": "blah " * 100_000, "inputSchema": ANY},
    {"name": "evil", "inputSchema": {**ANY, "properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}}},
    {
        "name": "huge",
        "inputSchema": {**ANY, "properties": {f"p{i}": {"title": "x" * 99} for i in range(2000)}},
    },
    {"name": "kill", "annotations": {"destructiveHint": True}, "inputSchema": ANY},
    {"name": "look", "annotations": {"readOnlyHint": True}, "inputSchema": ANY},
    {"name": "again", "annotations": {"idempotentHint": True}, "inputSchema": ANY},
]
RESULT: dict[str, Any] = {
    "content": [
        {"type": "text", "text": "hi"},
        {"type": "image", "data": "aGFsbG8=", "mimeType": "image/png"},
        {"type": "resource_link", "name": "page", "uri": "http://example.com/"},
        {"type": "resource", "resource": {"uri": "file:///x", "text": "inside"}},
    ],
    "structuredContent": {"n": 1},
}


class Server:
    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.tools = [{"name": "echo", "description": "Says it again.", "inputSchema": TEXT}]
        self.tools += LIES if mode == "lies" else []

    def send(self, **message: Any) -> None:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        sys.stdout.flush()

    def serve(self) -> None:
        for line in sys.stdin:
            message = json.loads(line)
            number, method = message.get("id"), message.get("method")
            if method == "initialize":
                about = {"name": "hostile", "version": "1"}
                self.send(
                    id=number,
                    result={
                        "protocolVersion": "2025-06-18",
                        "capabilities": {"tools": {"listChanged": True}},
                        "serverInfo": about,
                    },
                )
            elif method == "tools/list":
                self.send(id=number, result={"tools": self.tools})
                if self.mode == "flood":
                    threading.Thread(target=self.flood, daemon=True).start()
            elif method == "tools/call":
                self.call(number, message["params"])
            elif number is not None:
                self.send(id=number, error={"code": -32601, "message": "Method not found"})

    def flood(self) -> None:
        while True:
            self.send(method="notifications/message", params={"level": "info", "data": "x" * 1000})

    def call(self, number: int, params: dict[str, Any]) -> None:
        match self.mode:
            case "dies":
                sys.exit("out of memory")
            case "silent":
                return
            case "asks":
                asked = {"message": "your password?", "requestedSchema": {"type": "object", "properties": {}}}
                self.send(id=77, method="elicitation/create", params=asked)
                answer = json.loads(sys.stdin.readline())
                text = answer["error"]["message"]
                self.send(id=number, result={"content": [{"type": "text", "text": text}]})
            case "large":
                self.send(id=number, result={"content": [{"type": "text", "text": "y" * 10_000_000}]})
            case "nonsense":  # the protocol asks for an object with content
                self.send(id=number, result={"contents": 1})
            case "refuses":
                self.send(id=number, error={"code": -32000, "message": "not with \x1b[31mme"})
            case "fails":
                self.send(
                    id=number, result={"content": [{"type": "text", "text": "no luck"}], "isError": True}
                )
            case "secret":
                text = {"type": "text", "text": os.environ["TOKEN"] + " " + str("SHELL_SECRET" in os.environ)}
                self.send(id=number, result={"content": [text]})
            case "changes":
                self.send(id=number, result=RESULT)
                self.tools.append({"name": "more", "inputSchema": ANY})
                self.send(method="notifications/tools/list_changed")
            case _:
                self.send(id=number, result=RESULT)


def main(mode: str) -> None:
    match mode:
        case "mute":
            time.sleep(100)
        case "exits":
            sys.exit(f"bad token {os.environ.get('TOKEN')}")
        case "endless":
            while True:
                sys.stdout.write("x" * 100_000)
        case "chatty":
            print("Starting up!", flush=True)
        case "stubborn":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Server(mode).serve()
    if mode == "stubborn":
        time.sleep(100)


main(sys.argv[1])
