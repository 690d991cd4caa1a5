#!/bin/sh
# Looks for what the build needs besides Rust (a C compiler, pkg-config, libpcap with its headers)
# and installs what is missing by the system's package manager.
set -eu

fail() {
	echo "goawhy: $1" >&2
	exit 1
}

if ! command -v "${CARGO:-cargo}" >/dev/null 2>&1; then
	fail "Rust is missing: install it from https://rustup.rs, open a new shell, run make again"
fi

compiler() { command -v cc >/dev/null 2>&1 || command -v gcc >/dev/null 2>&1; }
libpcap() {
	pkg-config --exists libpcap 2>/dev/null || [ -e /usr/include/pcap/pcap.h ] ||
		[ -e /usr/local/include/pcap/pcap.h ] ||
		{ command -v xcrun >/dev/null 2>&1 && [ -e "$(xcrun --show-sdk-path)/usr/include/pcap.h" ]; }
}
complete() { compiler && command -v pkg-config >/dev/null 2>&1 && libpcap; }

complete && exit 0

as_root=
if [ "$(id -u)" -ne 0 ]; then
	if command -v sudo >/dev/null 2>&1; then
		as_root=sudo
	elif ! command -v brew >/dev/null 2>&1; then
		fail "libpcap headers, pkg-config or a C compiler are missing: install them as root (Debian: libpcap-dev pkg-config build-essential), run make again"
	fi
fi

echo "goawhy: installing libpcap headers, pkg-config and a C compiler" >&2
if command -v apt-get >/dev/null 2>&1; then
	quiet="env DEBIAN_FRONTEND=noninteractive apt-get"
	$as_root $quiet install -y --no-install-recommends libpcap-dev pkg-config gcc libc6-dev >&2 ||
		{ $as_root $quiet update >&2 &&
			$as_root $quiet install -y --no-install-recommends libpcap-dev pkg-config gcc libc6-dev >&2; } ||
		fail "apt-get failed: see its message above, then run make again"
elif command -v dnf >/dev/null 2>&1; then
	$as_root dnf install -y libpcap-devel pkgconf-pkg-config gcc >&2 ||
		fail "dnf failed: see its message above, then run make again"
elif command -v apk >/dev/null 2>&1; then
	$as_root apk add libpcap-dev pkgconf gcc musl-dev >&2 ||
		fail "apk failed: see its message above, then run make again"
elif command -v pacman >/dev/null 2>&1; then
	$as_root pacman -S --needed --noconfirm libpcap pkgconf gcc >&2 ||
		fail "pacman failed: see its message above, then run make again"
elif command -v brew >/dev/null 2>&1; then
	brew install libpcap pkg-config >&2 ||
		fail "brew failed: see its message above, then run make again"
else
	fail "no package manager found: install libpcap with its headers, pkg-config and a C compiler, run make again"
fi

complete || [ "$(uname)" = Darwin ] ||
	fail "libpcap headers, pkg-config or a C compiler are still missing: install them by hand, run make again"
