#!/usr/bin/env bash
# Calls promptd in every way that a script needs, and prints one line of JSON for each step.
set -euo pipefail

address=${PROMPTD_ADDRESS:-127.0.0.1:8080}
name=examples/curl

# Calls a method with a request, and prints the answer or the error. What stands in arguments is seen by
# every user of the machine (ps), so the key does not.
call() {
  local method=$1 request=$2
  shift 2
  curl --silent --fail-with-body --max-time 5 --header @<(headers) "$@" \
    --data "$request" "http://$address/promptd.v1.PromptService/$method"
}

headers() {
  echo 'content-type: application/json'
  if [ -n "${PROMPTD_API_KEY:-}" ]; then echo "authorization: Bearer $PROMPTD_API_KEY"; fi
}

# Adds a version, and prints its number; the labels are JSON.
create() {
  local system=$1 labels=$2
  call CreateVersion "$(jq --null-input --arg name "$name" --arg system "$system" --argjson labels "$labels" '{
    $name, $labels, commitMessage: "an example",
    chat: {items: [
      {message: {role: "system", content: $system}},
      {placeholder: {name: "history"}},
      {message: {role: "user", content: "{{question}}"}}
    ]}
  }')" | jq .version
}

# Prints the request by which these moves are made.
moves() { jq --null-input --arg name "$name" --argjson moves "$1" --arg reason "$2" '{$name, $moves, $reason}'; }

# Streams what a prompt is.
watch() {
  exec curl --silent --no-buffer --max-time 30 --header @<(headers | sed 's/json/connect+json/') \
    --data-binary @<(message "{\"prompts\": [{\"name\": \"$name\"}]}") \
    "http://$address/promptd.v1.PromptService/WatchPrompts"
}

# Prints a message of a stream: before it stand a byte of flags and four of its length.
message() {
  printf '\0%b%s' "$(printf '%08x' "$(printf %s "$1" | wc -c)" | sed 's/../\\x&/g')" "$1"
}

# Prints the next snapshot or update of what descriptor 3 brings. A heartbeat only says that it is alive.
next() {
  local a b c d message line
  while read -r _ a b c d < <(dd bs=1 count=5 <&3 2>/dev/null | od -An -tu1); do
    message=$(dd bs=1 count=$(((a << 24) + (b << 16) + (c << 8) + d)) <&3 2>/dev/null)
    line=$(jq --compact-output 'if .snapshot then {step: "watch", event: "snapshot", version: .snapshot.items[0]}
      elif .update then {step: "watch", event: "update", version: .update.items[0].item}
      else empty end | .version |= .response.resolution.version' <<<"$message")
    if [ -n "$line" ]; then echo "$line" && return; fi
  done
  echo 'the stream has ended' >&2
  return 1
}

# Two versions; production points at the first.
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

# Production moves to the second version and back, and the watch is told.
exec 3< <(watch)
watching=$!
next
previous=$(call SetLabels "$(moves "[{\"label\": \"production\", \"version\": $second}]" 'one sentence is enough')" |
  jq .previous)
jq --null-input --compact-output --argjson previous "$previous" '{step: "label", $previous}'
next
# What it was before, sent back, undoes it.
call SetLabels "$(moves "$previous" 'it was not')" | jq --compact-output '{step: "undo"}'
next
kill "$watching"

# Goes on with a trace. The attributes belong on the span of the model call.
trace_id=$(openssl rand -hex 16)
call GetPrompt "{\"name\": \"$name\"}" --header "traceparent: 00-$trace_id-$(openssl rand -hex 8)-01" |
  jq --compact-output --arg trace_id "$trace_id" \
    '{step: "trace", $trace_id, trace_attributes: .resolution.traceAttributes}'

# A label that is not there; the message tells what is.
error=$(call GetPrompt "{\"name\": \"$name\", \"label\": \"nowhere\"}" || true)
jq --compact-output '{step: "not_found", code, message}' <<<"$error"

# Without its variables; the details name the fields.
error=$(call Compile "{\"name\": \"$name\"}" || true)
jq --compact-output '{step: "invalid_argument", code, message, violations:
  [.details[] | select(.type == "google.rpc.BadRequest") | .debug.fieldViolations[]]}' <<<"$error"

# A text of its own where no promptd listens (7), or where it is too late (28).
address=127.0.0.1:1
status=0
answer=$(call GetPrompt "{\"name\": \"$name\"}" --retry 1 --retry-connrefused) || status=$?
case $status in
  0) jq --compact-output '{step: "unavailable", code: "ok", text: .prompt.text}' <<<"$answer" ;;
  7 | 28) echo '{"step":"unavailable","code":"unavailable","text":"You help people."}' ;;
  *) exit "$status" ;;
esac
