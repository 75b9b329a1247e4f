#!/usr/bin/env bash
# Builds, installs what an experiment needs, and runs it. Results: bench/results/NAME.json and NAME.svg.
#
#   bench/run.sh hop | peak | nbd | rados | maps | all [--quick] [--rounds N] [--seconds S] [--store memstore|bluestore]
#                [--only TEXT] [--filed DIR]
#
# Needs Debian and the .NET 10 SDK; packages come by apt (as root, or by sudo). Nothing else should run on the machine: rounds in
# which others use more than 0.2 cores are repeated. BENCH_ALLOW_NOISE=1 takes them and marks the result as noisy.
# Exit code: 0 all aims met, 3 some missed, 1 failed, 2 wrong usage.
set -euo pipefail
cd "$(dirname "$0")/.."

case ${1:-} in hop | peak | nbd | rados | maps | all) ;; *) sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2 ;; esac
name=$1
shift

packages=(gnuplot-nox util-linux)
case $name in nbd | all) packages+=(fio nbdkit qemu-utils libnbd-bin) ;; esac
case $name in rados | maps | all) packages+=(fio ceph-mon ceph-osd ceph-common librados2) ;; esac
deploy/packages.sh "${packages[@]}"
command -v dotnet >/dev/null || { echo "bench/run.sh: the .NET 10 SDK is missing: no 'dotnet' on PATH" >&2; exit 1; }

export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 MSBUILDDISABLENODEREUSE=1
dotnet build bench/Archipelago.Experiments.csproj -c Release -v quiet -nologo -m:1
[ ! -x deploy/build.sh ] || deploy/build.sh

mkdir -p bench/results
worst=0
names=("$name")
[ "$name" != all ] || names=(hop peak nbd rados maps)
for one in "${names[@]}"; do
  status=0
  bench/bin/Release/net10.0/experiments "$one" --results bench/results "$@" || status=$?
  # A failure (1, 2) counts for more than a missed aim (3).
  if ((status == 3 && worst == 0)); then worst=3; elif ((status != 0 && status != 3)); then worst=$status; fi
done
exit $worst
