#!/usr/bin/env bash
# Installs what the tests need, builds everything and runs all tests. The last line is "N passed, N failed".
#
#   tests/run.sh               all tests, about 20 minutes on two cores
#   tests/run.sh Xseg Cached   only the test projects whose name contains one of the words
#
# Needs Debian and the .NET 10 SDK; installs packages with apt if they are missing (as root, or by sudo).
# ARCHIPELAGO_LONG=1 adds the long storms and soaks. Results (trx) are left in TestResults/.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(ceph-mon ceph-osd ceph-common librados2 fio nbdkit libnbd-bin nbdfuse python3-libnbd qemu-utils e2fsprogs fuse3 gcc libc6-dev util-linux procps)
deploy/packages.sh "${packages[@]}"
command -v dotnet >/dev/null || { echo "tests/run.sh: the .NET 10 SDK is missing: no 'dotnet' on PATH" >&2; exit 1; }

# One compiler for all projects, which ends with this script: most of a build is its start, else once for each project.
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 MSBUILDDISABLENODEREUSE=1 UseSharedCompilation=true
trap 'dotnet build-server shutdown --vbcscompiler >/dev/null 2>&1 || true' EXIT
dotnet build Storage.sln -c Release -v quiet -nologo

results=$PWD/TestResults
rm -rf "$results"
passed=0 failed=0
count() { sed -n "s/.*<Counters .*[^a-zA-Z]$2=\"\([0-9]*\)\".*/\1/p" "$1" | head -n 1; }
for project in tests/*.Tests/*.csproj; do
  name=$(basename "$project" .csproj)
  if (($#)); then
    wanted=0
    for word; do [[ $name == *$word* ]] && wanted=1; done
    ((wanted)) || continue
  fi
  started=$SECONDS
  status=0
  # The console's logger says why a test failed: of a run elsewhere its output may be all that is kept.
  dotnet test "$project" -c Release --no-build --nologo -v quiet --results-directory "$results" --logger "trx;LogFileName=$name.trx" --logger "console;verbosity=minimal" \
    --blame-hang --blame-hang-timeout 10m --blame-hang-dump-type none || status=$?
  trx=$results/$name.trx
  p=0 f=0
  if [ -f "$trx" ]; then
    p=$(count "$trx" passed) f=$(count "$trx" failed)
  fi
  # A run that broke off counts as a failure even where no test says so.
  if ((status != 0 && ${f:-0} == 0)); then f=1; fi
  echo "$name: ${p:-0} passed, ${f:-0} failed in $((SECONDS - started)) s"
  passed=$((passed + ${p:-0})) failed=$((failed + ${f:-0}))
done
echo "$passed passed, $failed failed"
((failed == 0 && passed > 0))
