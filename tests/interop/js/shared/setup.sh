# What the two lines' `setup` have in common: sourced with `here` (the line's directory) and `line` set.
set -euo pipefail

INTEROP_WORK=${INTEROP_WORK:-$here/../../../../target/interop/js-$line}

command -v node >/dev/null && command -v npm >/dev/null || { echo "js-$line needs node >= 20 with npm" >&2; exit 1; }
node -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 20 ? 0 : 1)' ||
  { echo "js-$line needs node >= 20, and this is $(node --version)" >&2; exit 1; }

mkdir -p "$INTEROP_WORK/shared" "$INTEROP_WORK/$line"
# The packages are kept as long as the lock file that named them is the same.
if ! cmp -s "$here/package-lock.json" "$INTEROP_WORK/installed.json"; then
  cp "$here/package.json" "$here/package-lock.json" "$INTEROP_WORK/"
  (cd "$INTEROP_WORK" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) >&2
  cp "$here/package-lock.json" "$INTEROP_WORK/installed.json"
fi
cp "$here"/../shared/*.js "$INTEROP_WORK/shared/"
cp "$here"/*.js "$INTEROP_WORK/$line/"
