#!/bin/sh
# Installs the Debian packages given, those that are missing, when root or sudo allows it.
# Otherwise says what to install: with --required that is an error, else tests that need a missing
# package are skipped.
set -u

required=no
if [ "${1:-}" = "--required" ]; then
    required=yes
    shift
fi

is_installed() {
    [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

give_up() {
    echo "$1" >&2
    [ "$required" = no ]
    exit
}

command -v dpkg-query >/dev/null || give_up "Not Debian: install the equivalents of $* yourself."

missing=""
for package in "$@"; do
    is_installed "$package" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    as_root=""
elif sudo -n true 2>/dev/null; then
    as_root="sudo"
else
    give_up "Missing Debian packages, and neither root nor sudo: apt-get install$missing"
fi

echo "Installing Debian packages:$missing"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086  # words are meant to split
{
    $as_root apt-get update -qq &&
        $as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -qq --no-install-recommends $missing
} >/dev/null || give_up "apt-get failed; missing:$missing"
