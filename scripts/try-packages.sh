#!/bin/sh
# In an empty Debian root: runs the tarball of dist/, while there is no libpcap, then installs the
# .deb and runs that. Needs root and debootstrap; ROOT keeps the folder.
set -eu
cd "$(dirname "$0")/.."

deb=$(ls dist/goawhy_*.deb)
tarball=$(ls dist/goawhy-*.tar.gz)
root=${ROOT:-$(mktemp -d)}
[ -n "${ROOT:-}" ] || trap 'rm -rf "$root"' EXIT INT TERM
sample=captures/stacks/vertx-client-timeout-goaway1-10s.pcap
[ -e "$root/bin/sh" ] || debootstrap --variant=minbase bookworm "$root" >&2
inside() { chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
	DEBIAN_FRONTEND=noninteractive "$@"; }
says() {
	case $1 in
	*"$2"*) echo "ok: $3" ;;
	*)
		echo "not ok: $3: $1" >&2
		exit 1
		;;
	esac
}

cp "$sample" "$root/tmp/sample.pcap"
rm -rf "$root/opt/goawhy" && mkdir -p "$root/opt/goawhy"
tar -C "$root/opt/goawhy" --strip-components=1 -xzf "$tarball"
if inside sh -c 'ls /usr/lib/*/libpcap* 2>/dev/null'; then
	echo "the root has libpcap already: the tarball would prove nothing" >&2
	exit 1
fi
says "$(inside /opt/goawhy/bin/goawhy report /tmp/sample.pcap)" late_response \
	"the tarball's program reads a capture without libpcap"
says "$(inside /opt/goawhy/bin/goawhy --version)" "without live capture" "and says what it lacks"

cp "$deb" "$root/tmp/goawhy.deb"
inside apt-get install -y --no-install-recommends /tmp/goawhy.deb libcap2-bin >&2
says "$(inside goawhy report /tmp/sample.pcap)" late_response "the .deb's program reads a capture"
says "$(inside goawhy --version)" "goawhy " "it tells its version: $(inside goawhy --version)"
# postinst once more: now setcap is there for sure.
inside /var/lib/dpkg/info/goawhy.postinst configure
says "$(inside getcap /usr/bin/goawhy)" cap_net_raw "its file may capture"
says "$(inside sh -c 'zcat /usr/share/man/man1/goawhy-report.1.gz')" annotate "pages of the manual"
says "$(inside cat /usr/share/bash-completion/completions/goawhy)" "complete -F" "completions"
says "$(inside cat /lib/systemd/system/goawhy-live@.service)" "goawhy live -i %i" "a unit for live"
says "$(inside cat /usr/share/doc/goawhy/ops/prometheus/goawhy.rules.yml)" "alert:" "rules for Prometheus"
inside apt-get purge -y goawhy >&2
inside sh -c '! command -v goawhy' && echo "ok: it goes away as it came"
