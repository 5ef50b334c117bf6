#!/usr/bin/env bash
# Installs what is missing, where it may: install_debian.sh PROGRAM_OR_FILE=PACKAGE ...
set -euo pipefail

missing=()
for pair in "$@"; do
  command -v "${pair%%=*}" >/dev/null || [ -e "${pair%%=*}" ] || missing+=("${pair#*=}")
done
[ ${#missing[@]} -gt 0 ] || exit 0
if ! command -v apt-get >/dev/null || { [ "$(id -u)" != 0 ] && ! sudo -n true 2>/dev/null; }; then
  echo "missing here: ${missing[*]} (Debian: apt-get install ${missing[*]})" >&2
  exit 1
fi
sudo=$([ "$(id -u)" = 0 ] || echo sudo)
echo "installing ${missing[*]}"
$sudo apt-get update -qq
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
