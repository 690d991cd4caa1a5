#!/usr/bin/env python3
"""goawhy beside its peers, as a table for the README: CPU seconds, wall time and peak memory.

    peers.py [--bin target/release/goawhy] [--runs N] CAPTURE...

Peers that are not installed are left out. Programs take turns, so that a machine that slows down
slows all of them; figures are medians.
"""
import argparse
import os
import shutil
import statistics
import time


def once(command):
    """CPU seconds, wall seconds and peak MiB of a command whose output nobody reads."""
    begun = time.monotonic()
    child = os.fork()
    if child == 0:
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        os.execvp(command[0], command)
    _, _, usage = os.wait4(child, 0)
    cpu = usage.ru_utime + usage.ru_stime
    return cpu, time.monotonic() - begun, usage.ru_maxrss / 1024


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("captures", nargs="+")
parser.add_argument("--bin", default="target/release/goawhy")
parser.add_argument("--runs", type=int, default=5)
options = parser.parse_args()

wanted = "http2.type==7 || http2.type==3"
print("| capture | program | CPU s | wall s | peak MiB |")
print("| --- | --- | --- | --- | --- |")
for capture in options.captures:
    programs = {
        "tcpdump -r FILE -w /dev/null": ["tcpdump", "-r", capture, "-w", "/dev/null"],
        "goawhy, one thread": [options.bin, "report", "--format", "json", "--threads", "1", capture],
        "goawhy": [options.bin, "report", "--format", "json", capture],
        f"tshark -Y '{wanted.replace('|', chr(92) + '|')}'": ["tshark", "-r", capture, "-Y", wanted],
    }
    found = {name: each for name, each in programs.items() if shutil.which(each[0])}
    runs = {name: [] for name in found}
    for _ in range(options.runs):
        for name, command in found.items():
            runs[name].append(once(command))
    size = f"{os.path.basename(capture)}, {os.path.getsize(capture) / 1e6:.0f} MB"
    for name, figures in runs.items():
        cpu, wall, _ = (statistics.median(column) for column in zip(*figures))
        peak = max(memory for _, _, memory in figures)
        print(f"| {size} | `{name}` | {cpu:.2f} | {wall:.2f} | {peak:.0f} |")
