#!/bin/sh
# Installs what the tests of live capture use: nginx, h2load, curl, openssl and Prometheus (with
# promtool). Never fails: without them those tests say so and are skipped.
has() {
	for program in "$@"; do
		command -v "$program" >/dev/null 2>&1 || return 1
	done
}
has nginx h2load curl openssl prometheus promtool && exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
	echo "goawhy: without nginx, h2load, curl, openssl and prometheus not all is tested here" >&2
	exit 0
fi
install() {
	DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" >/dev/null 2>&1 || {
		apt-get update >/dev/null 2>&1
		DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" >/dev/null 2>&1
	}
}
has nginx h2load curl openssl || install nginx-light nghttp2-client curl openssl ||
	echo "goawhy: nginx, h2load, curl or openssl could not be installed; live capture is not tested" >&2
has prometheus promtool || install prometheus ||
	echo "goawhy: prometheus could not be installed; its rules are not tested" >&2
exit 0
