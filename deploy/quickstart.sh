#!/usr/bin/env bash
# Builds Archipelago and runs it in the foreground: a volume "demo" of 1 GiB on an NBD socket, kept in files below the state directory.
# It prints how to attach. Ctrl-C ends it in order.
#
#   deploy/quickstart.sh [OPTION…]    options of `archipelago up`, such as --state DIR or --config FILE
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
"$root/deploy/build.sh"
exec "$root/out/archipelago" up "$@"
