#!/bin/sh
# Packages in dist/: a .deb for Debian and Ubuntu, and a tarball that needs neither Rust nor
# libpcap (it reads captures; live capture is left out). PROFILE=dev packs a quick build, for tests.
set -eu
cd "$(dirname "$0")/.."

profile=${PROFILE:-release}
cargo=${CARGO:-cargo}
[ "$profile" = dev ] && folder=debug || folder=$profile
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
architecture=$(dpkg --print-architecture 2>/dev/null || uname -m)
target=${CARGO_TARGET_DIR:-target}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
mkdir -p dist

# What both have beside the program: pages of the manual, completions, papers.
papers() {
	program=$1
	share=$2
	mkdir -p "$share/man/man1" "$share/bash-completion/completions" \
		"$share/zsh/vendor-completions" "$share/fish/vendor_completions.d" "$share/doc/goawhy"
	# Not in one pipe: a shell tells the status of its last part alone.
	"$program" man >"$share/man/man1/goawhy.1"
	for command in $("$program" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z][a-z]*\) .*/\1/p'); do
		"$program" man "$command" >"$share/man/man1/goawhy-$command.1"
	done
	gzip -9n "$share"/man/man1/*.1
	"$program" completions bash >"$share/bash-completion/completions/goawhy"
	"$program" completions zsh >"$share/zsh/vendor-completions/_goawhy"
	"$program" completions fish >"$share/fish/vendor_completions.d/goawhy.fish"
	"$program" schema >"$share/doc/goawhy/report.schema.json"
	cp README.md LICENSE-MIT LICENSE-APACHE "$share/doc/goawhy/"
	gzip -9nc CHANGELOG.md >"$share/doc/goawhy/changelog.gz"
	cp packaging/copyright "$share/doc/goawhy/copyright"
	cp -r ops "$share/doc/goawhy/ops"
}

# The newest symbol version of the C library that a program needs.
libc() {
	objdump -T "$1" | sed -n 's/.*GLIBC_\([0-9.]*\).*/\1/p' | sort -Vu | tail -n 1
}

echo "goawhy: building the .deb" >&2
"$cargo" build --locked --profile "$profile"
root=$work/deb
mkdir -p "$root/DEBIAN" "$root/usr/bin" "$root/lib/systemd/system"
install -m 755 "$target/$folder/goawhy" "$root/usr/bin/goawhy"
[ "$profile" = dev ] || strip "$root/usr/bin/goawhy"
papers "$root/usr/bin/goawhy" "$root/usr/share"
install -m 644 packaging/goawhy-live@.service "$root/lib/systemd/system/"
install -m 755 packaging/postinst "$root/DEBIAN/postinst"
size=$(du -sk "$root/usr" | cut -f 1)
sed -e "s/@VERSION@/$version/" -e "s/@ARCHITECTURE@/$architecture/" -e "s/@SIZE@/$size/" \
	-e "s/@LIBC@/$(libc "$root/usr/bin/goawhy")/" packaging/control >"$root/DEBIAN/control"
deb=dist/goawhy_${version}_$architecture.deb
dpkg-deb --build --root-owner-group "$root" "$deb" >&2

echo "goawhy: building the tarball" >&2
"$cargo" build --locked --profile "$profile" --no-default-features --target-dir "$target/files"
name=goawhy-$version-$(uname -s | tr '[:upper:]' '[:lower:]')-$(uname -m)
mkdir -p "$work/$name/bin"
install -m 755 "$target/files/$folder/goawhy" "$work/$name/bin/goawhy"
[ "$profile" = dev ] || strip "$work/$name/bin/goawhy"
papers "$work/$name/bin/goawhy" "$work/$name/share"
tar -C "$work" --owner=0 --group=0 --sort=name -czf "dist/$name.tar.gz" "$name"

ls -l "$deb" "dist/$name.tar.gz" >&2
