"""A fake model on loopback that makes scripted tool calls and records the tool results that a host sends.

The fake model implements the APIs Anthropic Messages, OpenAI Responses, OpenAI Chat Completions and Gemini.
"""

# pyright: basic
from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Call", "Result", "ScriptedModel"]

Json = dict[str, Any]


@dataclass(frozen=True)
class Call:
    tool: str
    arguments: Json

    @property
    def json(self) -> str:
        # non-ASCII characters are escaped, because unpaired surrogates cannot be encoded in UTF-8
        return json.dumps(self.arguments)


@dataclass
class Result:
    """The result of a call, as the host sent it to the model."""

    text: str
    images: int
    seconds: float


@dataclass
class ScriptedModel:
    """A model that follows a script. The number of results in a request determines the next call."""

    script: list[Call]
    results: list[Result] = field(default_factory=list[Result])
    tools: list[str] = field(default_factory=list[str])
    paths: list[str] = field(default_factory=list[str])
    problems: list[str] = field(default_factory=list[str])
    _sent: dict[int, float] = field(default_factory=dict[int, float])
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def serve(self) -> ThreadingHTTPServer:
        """Start a server on a free loopback port, and return it. The caller must shut it down."""
        model = self

        class Handler(_Handler):
            scripted = model

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def choose(self, tools: dict[str, str], outputs: list[Any]) -> tuple[str, Call] | None:
        """Record the new results in a request, and return the next call with the host's name for the tool.

        Return None at the end of the script, or if the host does not offer the tool.
        """
        with self._lock:
            self.tools = sorted(tools.values())
            for output in outputs[len(self.results) :]:
                text, images = _read_output(output)
                waited = time.monotonic() - self._sent.get(len(self.results), time.monotonic())
                self.results.append(Result(text, images, waited))
            step = len(outputs)
            if step >= len(self.script):
                return None
            call = self.script[step]
            name = next((given for given, ours in tools.items() if ours == call.tool), None)
            if name is None:
                self.problems.append(f"the host offers no tool {call.tool}")
                return None
            self._sent.setdefault(step, time.monotonic())
            return name, call


def _read_output(output: Any) -> tuple[str, int]:
    """Return the text and the number of images in a tool result, in the format of any of the APIs."""
    if isinstance(output, str):
        return output, 0
    if isinstance(output, list):
        parts = [_read_output(part) for part in output]
        return "\n".join(text for text, _ in parts if text), sum(images for _, images in parts)
    if not isinstance(output, dict):
        return json.dumps(output), 0
    if output.get("type") in ("image", "input_image", "image_url") or "inlineData" in output:
        return "", 1
    if isinstance(output.get("text"), str):
        return output["text"], 0
    return json.dumps(output, ensure_ascii=False), 0


def _our_tool(name: str) -> str:
    """Return the name of a tool without the prefix that hosts add for the server."""
    return re.sub(r"^(mcp_+)?swanlab_+", "", name)


def _ours(names: Iterator[str]) -> dict[str, str]:
    return {name: _our_tool(name) for name in names if _our_tool(name) != name}


class _Handler(BaseHTTPRequestHandler):
    scripted: ScriptedModel
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._send("application/json", b"")

    def do_GET(self) -> None:
        self.scripted.paths.append(f"GET {self.path}")
        self._json({"object": "list", "data": [], "models": []})

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.scripted.paths.append(f"POST {self.path.split('?')[0]}")
        try:
            body = json.loads(raw)
        except ValueError:
            body = {}
        path = self.path.split("?")[0]
        if path.endswith("/messages"):
            self._messages(body)
        elif path.endswith("/responses"):
            self._responses(body)
        elif path.endswith("/chat/completions"):
            self._chat(body)
        elif "enerateContent" in path:
            self._gemini(body, stream="stream" in path)
        elif path.endswith(("/count_tokens", ":countTokens")):
            self._json({"input_tokens": 100, "totalTokens": 100})
        else:
            self._json({})

    def _messages(self, body: Json) -> None:
        """Respond to an Anthropic Messages request."""
        outputs = [
            block.get("content", "")
            for message in body.get("messages", [])
            if isinstance(message["content"], list)
            for block in message["content"]
            if block.get("type") == "tool_result"
        ]
        tools = _ours(tool["name"] for tool in body.get("tools", []) if "name" in tool)
        chosen = self.scripted.choose(tools, outputs) if tools else None
        usage = {"input_tokens": 1, "output_tokens": 1}
        message: Json = {"id": "msg_1", "type": "message", "role": "assistant", "model": body.get("model", "m")}
        message |= {"content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
        if chosen:
            name, call = chosen
            block: Json = {"type": "tool_use", "id": f"toolu_{len(outputs)}", "name": name, "input": {}}
            delta: Json = {"type": "input_json_delta", "partial_json": call.json}
        else:
            block, delta = {"type": "text", "text": ""}, {"type": "text_delta", "text": "done"}
        stop = "tool_use" if chosen else "end_turn"
        if not body.get("stream"):
            full = block | ({"input": chosen[1].arguments} if chosen else {"text": "done"})
            self._json(message | {"content": [full], "stop_reason": stop})
            return
        events = [
            {"type": "message_start", "message": message},
            {"type": "content_block_start", "index": 0, "content_block": block},
            {"type": "content_block_delta", "index": 0, "delta": delta},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None}, "usage": usage},
            {"type": "message_stop"},
        ]
        self._events(events, named=True)

    def _responses(self, body: Json) -> None:
        """Respond to an OpenAI Responses request. Codex puts a server's tools into a namespace."""
        outputs = [one["output"] for one in body.get("input", []) if one.get("type") == "function_call_output"]
        names: dict[str, str] = {}
        spaces: dict[str, str] = {}
        for tool in body.get("tools", []):
            if tool.get("type") == "namespace" and "swanlab" in tool["name"]:
                names |= {one["name"]: _our_tool(one["name"]) for one in tool["tools"]}
                spaces |= {one["name"]: tool["name"] for one in tool["tools"]}
            elif "name" in tool:
                names |= _ours(iter([tool["name"]]))
        chosen = self.scripted.choose(names, outputs) if names else None
        item: Json
        if chosen:
            name, call = chosen
            item = {"type": "function_call", "id": f"fc_{len(outputs)}", "call_id": f"call_{len(outputs)}"}
            item |= {"name": name, "arguments": call.json, "status": "completed"}
            item |= {"namespace": spaces[name]} if name in spaces else {}
        else:
            text = {"type": "output_text", "text": "done", "annotations": []}
            item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [text]}
        usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
        response = {"id": f"resp_{len(outputs)}", "object": "response", "status": "in_progress", "output": []}
        self._events(
            [
                {"type": "response.created", "response": response},
                {"type": "response.output_item.added", "output_index": 0, "item": item},
                {"type": "response.output_item.done", "output_index": 0, "item": item},
                {
                    "type": "response.completed",
                    "response": response | {"status": "completed", "output": [item], "usage": usage},
                },
            ],
            named=True,
        )

    def _chat(self, body: Json) -> None:
        """Respond to an OpenAI Chat Completions request. Hosts send images as a user message after the tool result."""
        outputs: list[Any] = []
        for message in body.get("messages", []):
            content = message.get("content") or ""
            if message["role"] == "tool":
                outputs.append([content] if isinstance(content, str) else list(content))
            elif message["role"] == "user" and outputs and isinstance(content, list):
                outputs[-1] += [part for part in content if part.get("type") == "image_url"]
        tools = _ours(tool["function"]["name"] for tool in body.get("tools", []) if "function" in tool)
        chosen = self.scripted.choose(tools, outputs) if tools else None
        delta: Json = {"role": "assistant", "content": "done"}
        if chosen:
            name, call = chosen
            function = {"name": name, "arguments": call.json}
            asked = {"index": 0, "id": f"call_{len(outputs)}", "type": "function", "function": function}
            delta = {"role": "assistant", "content": None, "tool_calls": [asked]}
        chunk = {"id": "chat_1", "object": "chat.completion.chunk", "created": 0, "model": body.get("model", "m")}
        stop = "tool_calls" if chosen else "stop"
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        if not body.get("stream"):
            self._json(chunk | {"object": "chat.completion", "choices": [{"index": 0, "message": delta}]})
            return
        first = chunk | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        last = chunk | {"choices": [{"index": 0, "delta": {}, "finish_reason": stop}], "usage": usage}
        self._events([first, last], end="data: [DONE]\n\n")

    def _gemini(self, body: Json, *, stream: bool) -> None:
        outputs: list[Any] = []
        for content in body.get("contents", []):
            for part in content.get("parts", []):
                if "functionResponse" in part:
                    answer = part["functionResponse"]
                    outputs.append([answer.get("response", {}), *answer.get("parts", [])])
                elif "inlineData" in part and outputs:
                    outputs[-1].append(part)
        declared = [one for tool in body.get("tools", []) for one in tool.get("functionDeclarations", [])]
        tools = _ours(one["name"] for one in declared)
        chosen = self.scripted.choose(tools, outputs) if tools else None
        part: Json = {"text": "done"}
        if chosen:
            name, call = chosen
            part = {"functionCall": {"name": name, "args": call.arguments}}
        candidate = {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}
        usage = {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2}
        answer = {"candidates": [candidate], "usageMetadata": usage}
        if stream:
            self._events([answer])
        else:
            self._json(answer)

    def _events(self, events: list[Json], *, named: bool = False, end: str = "") -> None:
        lines = [(f"event: {event['type']}\n" if named else "") + f"data: {json.dumps(event)}\n\n" for event in events]
        self._send("text/event-stream", ("".join(lines) + end).encode())

    def _json(self, answer: Json) -> None:
        self._send("application/json", json.dumps(answer).encode())

    def _send(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
