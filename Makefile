# goawhy: `make run` sets up, builds and opens a capture; `make test` runs every check.

CAPTURE ?= captures/stacks/vertx-client-timeout-goaway1-10s.pcap
CARGO ?= cargo

.PHONY: run test otlp deny bench build dist deps clean

run: build
	target/release/goawhy $(CAPTURE)

build: deps
	$(CARGO) build --release --locked

test: deps
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) test --locked
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps
	@sh scripts/deny.sh

# What is built on request only (--features otlp): metrics and spans for OpenTelemetry.
otlp: deps
	$(CARGO) clippy --locked --features otlp --lib --bin goawhy --test otlp -- -D warnings
	$(CARGO) test --locked --features otlp --lib otlp
	$(CARGO) test --locked --features otlp --test otlp

# Licences, sources and duplicates of the dependencies, and what is known against them (which asks
# the network).
deny:
	$(CARGO) deny check

# Each room, then goawhy beside its peers on CAPTURE (scripts/peers.py).
bench: build
	$(CARGO) bench --locked
	python3 scripts/peers.py $(CAPTURE)

# A .deb (with live capture) and a tarball (reads files, needs no libpcap) in dist/.
dist: deps
	sh scripts/dist.sh

# Installs what is missing by the system's package manager; says what to do where it cannot.
deps:
	@sh scripts/deps.sh

clean:
	$(CARGO) clean
