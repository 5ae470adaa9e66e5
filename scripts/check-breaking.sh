#!/usr/bin/env bash
# Fails when the contract breaks with what stood before: on main its parent, elsewhere main.
set -euo pipefail
cd "$(dirname "$0")/.."
for before in $([ "$(git rev-parse --abbrev-ref HEAD)" = main ] || echo main origin/main) HEAD~1; do
  git rev-parse --verify --quiet "$before^{commit}" >/dev/null || continue
  if ! git cat-file -e "$before:buf.yaml" 2>/dev/null; then continue; fi
  base=$(mktemp -d)
  trap 'rm -rf "$base"' EXIT
  git archive "$before" proto buf.yaml | tar -x -C "$base"
  buf breaking --against "$base"
  exit
done
echo "skipped: there is nothing before this to compare the contract with"
