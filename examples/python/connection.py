"""The one connection to promptd that a process needs."""

import json
import os

import grpc

# Reads are tried again while promptd cannot be reached. Mutations are not: a SetLabels that arrived
# and is sent again would answer with a `previous` that undoes nothing.
RETRIES = {
    "methodConfig": [
        {
            "name": [
                {"service": "promptd.v1.PromptService", "method": "GetPrompt"},
                {"service": "promptd.v1.PromptService", "method": "Compile"},
            ],
            "retryPolicy": {
                "maxAttempts": 3,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}


def connect(address: str) -> grpc.Channel:
    """For TLS: grpc.secure_channel(address, grpc.ssl_channel_credentials(), …)."""
    return grpc.insecure_channel(address, options=[("grpc.service_config", json.dumps(RETRIES))])


def headers() -> list[tuple[str, str]]:
    """What goes with every call, as its `metadata`."""
    key = os.environ.get("PROMPTD_API_KEY")
    return [("authorization", f"Bearer {key}")] if key else []
