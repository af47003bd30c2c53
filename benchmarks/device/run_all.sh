#!/bin/bash
# Everything in one call: the programs in JAX, then the same networks in PyTorch.
#     bash FOLDER/run_all.sh [SECONDS] [OUT]
# SECONDS (default 400) are shared two to one; a part that hangs is ended a minute after its share.
# OUT (default .) gets program.json and program_peers.json. PYTHON names the interpreter.
set -u
here=$(cd "$(dirname "$0")" && pwd)
seconds=${1:-400} out=${2:-.} python=${PYTHON:-python3}
part() { # name, share in seconds
  echo "== $1.py, $2 s"
  timeout $(($2 + 60)) "$python" "$here/$1.py" --seconds="$2" --result="$out/$3"
}
mkdir -p "$out"
failed=0
part programs $((seconds * 2 / 3)) program.json || failed=1
if "$python" -c "import torch" 2>/dev/null; then
  part peers $((seconds / 3)) program_peers.json || failed=1
else
  echo "== peers.py: not run: torch is not installed"
fi
exit $failed
