# Stands in for GitHub's program `gh`, as far as the workflow calls it: comments, in a file.

comments=$LOG.comments
[ -f "$comments" ] || echo '[]' >"$comments"
[[ $GH_TOKEN == *'"pull-requests":"write"'* ]] || { echo 'gh: HTTP 403' >&2; exit 1; }
[ "$1" = api ] || { echo "gh: not known here: $1" >&2; exit 1; }
shift
method=GET
while [ $# -gt 0 ]; do
  case $1 in
    --method) method=$2; shift 2 ;;
    --field) file=${2#body=@}; shift 2 ;;
    --jq) filter=$2; shift 2 ;;
    --paginate | --silent) shift ;;
    *) path=$1; shift ;;
  esac
done

keep() { jq "$@" --rawfile body "$file" "$comments" >"$comments.new" && mv "$comments.new" "$comments"; }

case "$method $path" in
  'GET repos/acme/prompts/issues/7/comments') jq --raw-output "$filter" "$comments" ;;
  'POST repos/acme/prompts/issues/7/comments')
    keep '. + [{id: (length + 1), user: {login: "github-actions[bot]"}, $body}]' ;;
  'PATCH repos/acme/prompts/issues/comments/'*)
    keep --argjson id "${path##*/}" 'map(if .id == $id then .body = $body else . end)' ;;
  *) echo "gh: HTTP 404: $method $path" >&2; exit 1 ;;
esac
