# What `setup`, `agent` and `client` of every Python peer share; `here` is the peer's directory. Meant to be sourced.
# A peer is a virtual environment with the packages of its requirements.txt, and two programs that run in it.
set -euo pipefail

root=$(cd "$here/../../../.." && pwd)
work=${INTEROP_WORK:-${CARGO_TARGET_DIR:-$root/target}/interop/python-$(basename "$here")}
venv=$work/venv

# Installs again only when the list of packages has changed since the last time.
set_up() {
  local python=${PYTHON:-python3}
  if ! "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then
    echo "python3 3.11 or newer with its venv module is needed (PYTHON names another one than python3)" >&2
    exit 64
  fi
  cmp -s "$here/requirements.txt" "$venv/installed.txt" && return
  mkdir -p "$work"
  "$python" -m venv --clear "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt" >&2
  cp "$here/requirements.txt" "$venv/installed.txt"
}

# Becomes one of the peer's programs. Proxies of the environment must not come between local processes.
become() {
  local program=$1
  shift
  unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY
  export PYTHONDONTWRITEBYTECODE=1 GRPC_VERBOSITY=NONE PYTHONPATH=$here/../lib
  exec "$venv/bin/python" "$here/$program" "$@"
}
