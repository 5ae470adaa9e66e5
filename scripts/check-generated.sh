#!/usr/bin/env bash
# Fails when gen/ or the generated pages of docs/ are not what the sources give now.
set -euo pipefail
cd "$(dirname "$0")/.."
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
buf generate -o "$fresh"
diff -r "$fresh/gen" gen || {
  echo "gen/ is not current: run 'npm run generate'" >&2
  exit 1
}
tsx scripts/docs.ts --check
