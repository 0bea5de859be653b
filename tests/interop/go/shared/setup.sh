# What the two lines' `setup` have in common: sourced with `here` (the line's directory) and `line` set.
set -euo pipefail

INTEROP_WORK=${INTEROP_WORK:-$here/../../../../target/interop/go-$line}

command -v go >/dev/null || { echo "go-$line needs go >= $needs" >&2; exit 1; }
# Asked in the module, where a go that fetches toolchains says the one that it will use.
have=$(cd "$here" && go env GOVERSION) || have="too old to say"
printf 'go%s\n%s\n' "$needs" "$have" | sort -C -V || { echo "go-$line needs go >= $needs, and this is $have" >&2; exit 1; }

mkdir -p "$INTEROP_WORK"
# Versions are those of go.mod and go.sum, and nothing may change these.
(cd "$here" && go build -mod=readonly -buildvcs=false -o "$INTEROP_WORK/peer" .) >&2
