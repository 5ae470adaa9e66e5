#!/usr/bin/env bash
# Calls promptd with grpcurl, which asks promptd for its contract (server reflection), and prints one line
# of JSON for each step.
set -euo pipefail

address=${PROMPTD_ADDRESS:-127.0.0.1:50051}
name=examples/grpcurl

# Built from its module, unless GRPCURL names one that is here.
grpcurl=${GRPCURL:-go run github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3}

# The key is read from the environment: what stands in arguments is seen by every user of the machine (ps).
headers=()
if [ -n "${PROMPTD_API_KEY:-}" ]; then
  headers=(-expand-headers -H 'authorization: Bearer ${PROMPTD_API_KEY}')
fi

# Calls a method with a request, and prints the answer, or on standard error the error as JSON.
call() {
  $grpcurl -plaintext -max-time 5 -format-error "${headers[@]}" -d "$2" "$address" "promptd.v1.PromptService/$1"
}

# The error of a call, without what `go run` says behind it.
refusal() { call "$@" 2>&1 | sed 's/exit status.*//'; }

$grpcurl -plaintext "${headers[@]}" "$address" list |
  jq --raw-input --slurp --compact-output '{step: "services", services: split("\n")[:-1]}'

# Two versions; production points at the first.
create() {
  call CreateVersion "$(jq --null-input --arg name "$name" --arg system "$1" --argjson labels "$2" '{
    $name, $labels, commitMessage: "an example",
    chat: {items: [
      {message: {role: "system", content: $system}},
      {placeholder: {name: "history"}},
      {message: {role: "user", content: "{{question}}"}}
    ]}
  }')" | jq .version
}
first=$(create 'You help people who use {{product}}.' '["production"]')
second=$(create 'You help people who use {{product}}, in one sentence.' '[]')
jq --null-input --compact-output '{step: "create", versions: $ARGS.positional}' --jsonargs "$first" "$second"

# What production says for this user.
call GetPrompt "{\"name\": \"$name\", \"userId\": \"user-42\"}" |
  jq --compact-output '.resolution | {step: "get", version, label: .label, reason, content_hash: .contentHash}'

# The template filled in: variables are text, placeholders are messages.
call Compile "$(jq --null-input --arg name "$name" '{
  $name,
  userId: "user-42",
  variables: {product: "Acme", question: "Where is my order?"},
  placeholders: {history: {messages: [
    {role: "user", content: "Hello"},
    {role: "assistant", content: "How can I help?"}
  ]}}
}')" | jq --compact-output '{step: "compile", messages: .chat.messages}'

# A label that is not there; the message tells what is. The code is gRPC's number.
error=$(refusal GetPrompt "{\"name\": \"$name\", \"label\": \"nowhere\"}" || true)
jq --compact-output '{step: "not_found", code, message}' <<<"$error"

# Without its variables; the details name the fields.
error=$(refusal Compile "{\"name\": \"$name\"}" || true)
jq --compact-output '{step: "invalid_argument", code, message, violations:
  [.details[] | select(."@type" == "type.googleapis.com/google.rpc.BadRequest") | .fieldViolations[]]}' <<<"$error"
