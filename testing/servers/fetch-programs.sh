#!/bin/sh
# Gets Prometheus, Alertmanager and Chromium for the tests: fetch-programs.sh FOLDER
#
# Where they are not installed and apt-get is there, their packages are unpacked into FOLDER: Prometheus and Alertmanager
# into FOLDER/usr, and Chromium with the libraries that the system lacks into FOLDER/chromium. Nothing is installed, and
# no service is started. Root, or sudo without a password, is needed only where apt-get has no package lists yet.
# It never fails: tests that need what could not be had are skipped, or fail where CI is set.
set -u
folder=${1:?name the folder to unpack into}
PATH=$PATH:$folder/usr/bin

has_prometheus() { command -v prometheus && command -v amtool && { command -v prometheus-alertmanager || command -v alertmanager; }; }
has_chromium() { command -v chromium || command -v chromium-browser || command -v google-chrome || [ -d "$folder/chromium" ]; }
update() { if [ "$(id -u)" = 0 ]; then apt-get -qq update; else sudo -n apt-get -qq update; fi; }
with_what_they_need() { apt-get -s install --no-install-recommends "$@" | sed -n 's/^Inst \([^ ]*\) .*/\1/p'; }

fetch_prometheus() { (cd "$1" && apt-get -qq download prometheus prometheus-alertmanager); }
fetch_chromium() (
  cd "$1" && packages=$(with_what_they_need chromium fonts-dejavu-core) && [ -n "$packages" ] && apt-get -qq download $packages
)
unpack() { for package in "$1"/*.deb; do dpkg-deb -x "$package" "$2" || return; done; }
get() { # PROGRAM FOLDER: with the package lists that are there, else with new ones
  mkdir -p "$work/$1" && { "fetch_$1" "$work/$1" || { update && "fetch_$1" "$work/$1"; }; } && unpack "$work/$1" "$2"
}

has_prometheus >/dev/null && has_chromium >/dev/null && exit 0
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || exit 0
mkdir -p "$folder" && folder=$(cd "$folder" && pwd) && work=$(mktemp -d "$folder/fetch.XXXXXX") || exit 0
trap 'rm -rf "$work"' EXIT
has_prometheus >/dev/null || get prometheus "$folder" >/dev/null 2>&1
has_chromium >/dev/null || {
  echo "Fetching Chromium for the tests of web pages (about 120 MB, once)"
  # It takes its place when it is complete.
  get chromium "$work/unpacked" >/dev/null 2>&1 && cat >"$work/unpacked/fonts.conf" <<END && mv -T "$work/unpacked" "$folder/chromium"
<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <include ignore_missing="yes">/etc/fonts/fonts.conf</include>
  <dir>$folder/chromium/usr/share/fonts</dir>
</fontconfig>
END
}
exit 0
