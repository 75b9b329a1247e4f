#!/usr/bin/env bash
# Builds the executable into out/archipelago, with ReadyToRun code so that nothing is compiled while the first requests come in.
#
#   deploy/build.sh [DIR]     DIR: where to put it; default: out in the source tree
#
# out/archipelago is a launcher beside the folder out/lib/archipelago, which holds the program; both can be moved together.
# Needs the .NET 10 SDK; the result needs the .NET 10 and ASP.NET Core runtimes.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$(realpath -m "${1:-out}")

command -v dotnet >/dev/null || { echo "deploy/build.sh: the .NET 10 SDK is missing: no 'dotnet' on PATH" >&2; exit 1; }
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 MSBUILDDISABLENODEREUSE=1
case $(uname -m) in
  x86_64) rid=linux-x64 ;;
  aarch64) rid=linux-arm64 ;;
  *) echo "deploy/build.sh: no build for $(uname -m)" >&2; exit 1 ;;
esac

# Into a new folder, which then takes the old one's place: a program that runs keeps its files.
mkdir -p "$out/lib"
fresh=$(mktemp -d "$out/lib/.build.XXXXXX")
trap 'rm -rf "$fresh"' EXIT
dotnet publish peers/archipelago/Archipelago.Cli.csproj -c Release -r "$rid" --self-contained false \
  -p:PublishReadyToRun=true -p:DebugType=embedded -o "$fresh" -v quiet -nologo
chmod 755 "$fresh"
rm -rf "$out/lib/archipelago.old"
[ ! -e "$out/lib/archipelago" ] || mv "$out/lib/archipelago" "$out/lib/archipelago.old"
mv "$fresh" "$out/lib/archipelago"
rm -rf "$out/lib/archipelago.old"

# A link, not a copy: the host finds the program's parts beside its real path.
ln -sfn lib/archipelago/archipelago "$out/archipelago"
"$out/archipelago" version
