#!/usr/bin/env bash
# Installs the Debian packages named as arguments that are not there yet, with apt: as root, or by sudo.
set -euo pipefail
missing=()
for package; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' || missing+=("$package")
done
((${#missing[@]})) || exit 0
echo "installing: ${missing[*]}"
root=; [ "$(id -u)" = 0 ] || root=sudo
$root apt-get update -q
$root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
