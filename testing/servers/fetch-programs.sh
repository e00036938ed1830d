#!/bin/sh
# Gets Prometheus and Alertmanager for the tests: fetch-programs.sh FOLDER
#
# Where they are not installed and apt-get is there, their packages are unpacked into FOLDER. Nothing is installed, and
# no service is started. Root, or sudo without a password, is needed only where apt-get has no package lists yet.
# It never fails: tests that need what could not be had are skipped, or fail where CI is set.
set -u
folder=${1:?name the folder to unpack into}
PATH=$PATH:$folder/usr/bin

present() { command -v prometheus && command -v amtool && { command -v prometheus-alertmanager || command -v alertmanager; }; }
fetch() { (cd "$1" && apt-get -qq download prometheus prometheus-alertmanager); }
update() { if [ "$(id -u)" = 0 ]; then apt-get -qq update; else sudo -n apt-get -qq update; fi; }

present >/dev/null && exit 0
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || exit 0
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT || exit 0
{ fetch "$work" || { update && fetch "$work"; }; } >/dev/null 2>&1 || exit 0
mkdir -p "$folder" && for package in "$work"/*.deb; do dpkg-deb -x "$package" "$folder"; done
exit 0
