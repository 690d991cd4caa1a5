#!/bin/sh
# What cargo-deny can check without the network: licences, sources, bans.
set -eu

if ! "${CARGO:-cargo}" deny --version >/dev/null 2>&1; then
	echo "goawhy: cargo-deny is not installed, so licences and sources are not checked (cargo install cargo-deny)" >&2
	exit 0
fi
# Two versions of one package are told by `make deny`, not here.
"${CARGO:-cargo}" deny --offline --log-level error check --allow duplicate bans licenses sources
