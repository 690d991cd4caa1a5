#!/usr/bin/env python3
"""How much of the verdicts rests on known texts: a table by stack, in Markdown.

    scripts/leave-one-out.py SCORER CAPTURES [--bin target/release/goawhy]

SCORER is score.py, CAPTURES a folder of labelled captures. Each stack's captures are scored three times: with
everything, with what is known of that implementation left out (its texts count for nothing), and with no
implementation's text at all. Cells say how many causes are right, and how many were told wrong with confidence.
"""
import argparse, os, re, subprocess, sys, tempfile

# How a capture's name begins, and what its implementations are called in fingerprints.json.
STACKS = [
    ("Vert.x on Netty", r"vertx", ["vertx", "netty"]),
    ("Netty", r"netty", ["netty"]),
    ("Go net/http", r"go\d", ["go-net-http"]),
    ("grpc-go", r"grpcgo", ["grpc"]),
    ("gRPC core", r"grpcio", ["grpc"]),
    ("Node.js", r"node|violations-node", ["nodejs", "nghttp2"]),
    ("nginx", r"nginx|.*-nginx|busy-reload|healthy-long", ["nginx"]),
    ("Apache httpd", r"apache|.*-apache", ["apache-httpd"]),
    ("HAProxy", r"haproxy|.*-haproxy", ["haproxy"]),
    ("h2o", r"h2o", ["h2o"]),
    ("Caddy", r"caddy", ["caddy", "go-net-http"]),
    ("nghttp2", r"nghttpx|settings-ack|violations-nghttpd|.*-nghttp-", ["nghttp2"]),
    ("several in one capture", r"", ["all"]),
]

def score(scorer, folder, binary, left_out):
    """Right causes, all causes, told wrong with confidence."""
    with tempfile.NamedTemporaryFile("w", suffix=".sh", delete=False) as wrapper:
        flags = " ".join(f"--without-fingerprints {name}" for name in left_out)
        wrapper.write(f'#!/bin/sh\nexec {os.path.abspath(binary)} "$@" {flags}\n')
    os.chmod(wrapper.name, 0o755)
    done = subprocess.run([sys.executable, scorer, "--bin", wrapper.name, folder], capture_output=True, text=True)
    os.unlink(wrapper.name)
    found = re.search(r"causes right: (\d+)/(\d+) .* sure and wrong (\d+)", done.stdout)
    if not found:
        sys.exit(f"no score for {folder}: {done.stdout}{done.stderr}")
    misses = [line.strip() for line in done.stdout.splitlines() if "MISS cause:" in line or "SURE AND" in line]
    return tuple(map(int, found.groups())), misses

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scorer")
    parser.add_argument("captures")
    parser.add_argument("--bin", default="target/release/goawhy")
    parser.add_argument("--misses", action="store_true", help="what is lost, below the table")
    options = parser.parse_args()
    names = {}
    for folder, _, files in os.walk(os.path.abspath(options.captures)):
        for name in files:
            if name.endswith(".truth.json"):
                stack = next(stack for stack in STACKS if re.match(stack[1], name))
                names.setdefault(stack[0], []).append((folder, name[: -len(".truth.json")]))
    print("| stack | captures | causes right | without its own texts | without any text |")
    print("| --- | --- | --- | --- | --- |")
    lost = []
    for title, _, own in STACKS:
        with tempfile.TemporaryDirectory() as folder:
            for place, name in names.get(title, []):
                for file in os.listdir(place):
                    if file.startswith(name + "."):
                        os.symlink(os.path.join(place, file), os.path.join(folder, file))
            if not names.get(title):
                continue
            cells = []
            for left_out in [[], own, ["all"]]:
                (right, total, sure), misses = score(options.scorer, folder, options.bin, left_out)
                wrong = f", {sure} sure and wrong" if sure else ""
                cells.append(f"{right}/{total}{wrong}")
            lost += [f"- {title}: {miss}" for miss in misses]
            print(f"| {title} | {len(names[title])} | {' | '.join(cells)} |")
    if options.misses:
        print("\nWithout any text:\n" + "\n".join(lost))

if __name__ == "__main__":
    main()
