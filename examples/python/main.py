"""Calls promptd in every way that a backend needs, and prints one line of JSON for each step."""

import json
import os
import secrets
from collections.abc import Iterator

import grpc
from google.protobuf.struct_pb2 import Struct
from google.rpc.error_details_pb2 import BadRequest
from grpc_status import rpc_status

from connection import connect, headers
from promptd.v1.prompt_pb2 import (
    ChatMessage,
    ChatMessages,
    ChatTemplate,
    ChatTemplateItem,
    LabelMove,
    Placeholder,
    Resolution,
)
from promptd.v1.prompt_service_pb2 import (
    CompileRequest,
    CreateVersionRequest,
    GetPromptRequest,
    SetLabelsRequest,
    WatchPromptsRequest,
    WatchPromptsResponse,
)
from promptd.v1.prompt_service_pb2_grpc import PromptServiceStub

NAME = "examples/python"


def main() -> None:
    with connect(os.environ.get("PROMPTD_ADDRESS", "127.0.0.1:50051")) as channel:
        prompts = PromptServiceStub(channel)
        first, second = create(prompts)
        say("create", versions=[first, second])
        get(prompts)
        compile_chat(prompts)
        watch(prompts, second)
        trace(prompts)
        not_found(prompts)
        invalid_argument(prompts)
    unavailable()


def create(prompts: PromptServiceStub) -> tuple[int, int]:
    """Adds two versions; production points at the first."""
    first = prompts.CreateVersion(
        version("You help people who use {{product}}.", labels=["production"]),
        metadata=headers(),
        timeout=5,
    )
    second = prompts.CreateVersion(
        version("You help people who use {{product}}, in one sentence."),
        metadata=headers(),
        timeout=5,
    )
    return first.version, second.version


def version(system: str, labels: list[str] | None = None) -> CreateVersionRequest:
    return CreateVersionRequest(
        name=NAME,
        chat=ChatTemplate(
            items=[
                ChatTemplateItem(message=ChatMessage(role="system", content=system)),
                ChatTemplateItem(placeholder=Placeholder(name="history")),
                ChatTemplateItem(message=ChatMessage(role="user", content="{{question}}")),
            ]
        ),
        labels=labels,
        commit_message="an example",
    )


def get(prompts: PromptServiceStub) -> None:
    """Asks for what production says for this user."""
    request = GetPromptRequest(name=NAME, user_id="user-42")
    resolution = prompts.GetPrompt(request, metadata=headers(), timeout=1).resolution
    say(
        "get",
        version=resolution.version,
        label=resolution.label,
        reason=Resolution.Reason.Name(resolution.reason),
        content_hash=resolution.content_hash,
    )


def compile_chat(prompts: PromptServiceStub) -> None:
    """Has the template filled in: variables are text, placeholders are messages."""
    variables = Struct()
    variables.update({"product": "Acme", "question": "Where is my order?"})
    history = ChatMessages(
        messages=[
            ChatMessage(role="user", content="Hello"),
            ChatMessage(role="assistant", content="How can I help?"),
        ]
    )
    answer = prompts.Compile(
        CompileRequest(
            name=NAME,
            user_id="user-42",
            variables=variables,
            placeholders={"history": history},
        ),
        metadata=headers(),
        timeout=1,
    )
    say("compile", messages=[{"role": m.role, "content": m.content} for m in answer.chat.messages])


def watch(prompts: PromptServiceStub, second: int) -> None:
    """Is told of production while it moves to a version and back."""
    request = WatchPromptsRequest(prompts=[GetPromptRequest(name=NAME)])
    stream = prompts.WatchPrompts(request, metadata=headers(), timeout=30)
    say_next(stream)

    moved = prompts.SetLabels(
        SetLabelsRequest(
            name=NAME,
            moves=[LabelMove(label="production", version=second)],
            reason="one sentence is enough",
        ),
        metadata=headers(),
        timeout=5,
    )
    say("label", previous=[{"label": m.label, "version": m.version} for m in moved.previous])
    say_next(stream)

    # What it was before, sent back, undoes it.
    prompts.SetLabels(
        SetLabelsRequest(name=NAME, moves=moved.previous, reason="it was not"),
        metadata=headers(),
        timeout=5,
    )
    say("undo")
    say_next(stream)
    stream.cancel()


def say_next(stream: Iterator[WatchPromptsResponse]) -> None:
    """Prints the next snapshot or update. A heartbeat only says that the stream is alive."""
    for response in stream:
        match response.WhichOneof("event"):
            case "snapshot":
                item = response.snapshot.items[0]
                say("watch", event="snapshot", version=item.response.resolution.version)
                return
            case "update":
                item = response.update.items[0].item
                say("watch", event="update", version=item.response.resolution.version)
                return
    raise EOFError("the stream has ended")


def trace(prompts: PromptServiceStub) -> None:
    """Goes on with a trace, as OpenTelemetry's instrumentation of gRPC does by itself.

    The attributes belong on the span of the model call.
    """
    trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)
    answer = prompts.GetPrompt(
        GetPromptRequest(name=NAME),
        metadata=[*headers(), ("traceparent", f"00-{trace_id}-{span_id}-01")],
        timeout=1,
    )
    attributes = dict(answer.resolution.trace_attributes)
    say("trace", trace_id=trace_id, trace_attributes=attributes)


def not_found(prompts: PromptServiceStub) -> None:
    """Asks for a label that is not there; the message tells what is."""
    try:
        request = GetPromptRequest(name=NAME, label="nowhere")
        prompts.GetPrompt(request, metadata=headers(), timeout=1)
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.NOT_FOUND:
            raise
        say("not_found", code=error.code().name, message=error.details())


def invalid_argument(prompts: PromptServiceStub) -> None:
    """Leaves the variables out; the details name the fields."""
    try:
        prompts.Compile(CompileRequest(name=NAME), metadata=headers(), timeout=1)
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.INVALID_ARGUMENT:
            raise
        say(
            "invalid_argument",
            code=error.code().name,
            message=error.details(),
            violations=[
                {"field": violation.field, "description": violation.description}
                for violation in violations_of(error)
            ],
        )


def violations_of(error: grpc.RpcError) -> Iterator[BadRequest.FieldViolation]:
    status = rpc_status.from_call(error)
    for detail in status.details if status else []:
        bad_request = BadRequest()
        if detail.Unpack(bad_request):
            yield from bad_request.field_violations


def unavailable() -> None:
    """Goes on with a text of its own where no promptd listens."""
    with connect("127.0.0.1:1") as channel:
        try:
            answer = PromptServiceStub(channel).GetPrompt(GetPromptRequest(name=NAME), timeout=2)
            say("unavailable", code="OK", text=answer.prompt.text)
        except grpc.RpcError as error:
            if error.code() not in (
                grpc.StatusCode.UNAVAILABLE,
                grpc.StatusCode.DEADLINE_EXCEEDED,
            ):
                raise
            say("unavailable", code=error.code().name, text="You help people.")


def say(step: str, **said: object) -> None:
    print(json.dumps({"step": step, **said}))


if __name__ == "__main__":
    main()
