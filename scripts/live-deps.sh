#!/bin/sh
# Installs what the tests of live capture use: nginx, h2load, curl and openssl. Never fails: without
# them those tests say so and are skipped.
for program in nginx h2load curl openssl; do
	command -v "$program" >/dev/null 2>&1 || missing=yes
done
[ "${missing:-}" = yes ] || exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
	echo "goawhy: without nginx, h2load, curl and openssl live capture is not tested here" >&2
	exit 0
fi
install() {
	DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
		nginx-light nghttp2-client curl openssl >/dev/null 2>&1
}
install || { apt-get update >/dev/null 2>&1 && install; } ||
	echo "goawhy: nginx, h2load, curl or openssl could not be installed; live capture is not tested" >&2
exit 0
