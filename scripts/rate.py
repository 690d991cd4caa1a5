#!/usr/bin/env python3
"""The packet rate that live capture holds without a drop, and what it costs beside tcpdump.

    sudo scripts/rate.py PROGRAM FOLDER [SECONDS]

Runs h2load against nginx on loopback at rising rates of requests, SECONDS (default 6) each, once
under `tcpdump -w /dev/null` and once under `PROGRAM live`, and prints a row for each: packets a
second, what the kernel and the queues dropped, and the CPU seconds of a million packets. Best run
in a network namespace of its own (`unshare -n`, then `ip link set lo up`). Needs nginx, h2load and
tcpdump, and root for capturing. Port 18290 of 127.0.0.1 is used.
"""
import json, os, re, signal, subprocess, sys, time

PROGRAM, FOLDER = sys.argv[1], os.path.abspath(sys.argv[2])
SECONDS = float(sys.argv[3]) if len(sys.argv) > 3 else 6
PORT = 18290
RATES = [2_000, 8_000, 16_000, 32_000, 0]  # requests a second; 0: as many as go
MOST = 60_000  # about as many as go
CLIENTS = 20


def nginx():
    conf = FOLDER + "/nginx.conf"
    with open(conf, "w") as out:
        out.write(f"""daemon on; pid {FOLDER}/nginx.pid; error_log {FOLDER}/nginx.log; worker_processes 1;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 100000000;
server {{ listen 127.0.0.1:{PORT} http2; location / {{ return 200 ok; }} }} }}
""")
    subprocess.run(["nginx", "-c", conf], check=True)
    return conf


def load(rate):
    """Requests that were answered, and the seconds that it took."""
    paced = ["--rps", str(rate // CLIENTS)] if rate else []
    requests = int((rate or MOST) * SECONDS) // CLIENTS * CLIENTS
    begun = time.time()
    done = subprocess.run(
        ["h2load", "-c", str(CLIENTS), "-m", "1", "-n", str(requests), *paced, f"http://127.0.0.1:{PORT}/"],
        capture_output=True, text=True)
    return int(re.search(r"(\d+) succeeded", done.stdout)[1]), time.time() - begun


def processor(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def watched(command, rate, told):
    """Requests, seconds, and the CPU seconds of a program that watches."""
    with open(told, "w") as out:
        program = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=out)
    time.sleep(1)
    before = processor(program.pid)
    requests, seconds = load(rate)
    time.sleep(1)
    spent = processor(program.pid) - before
    program.send_signal(signal.SIGINT)
    program.wait(60)
    return requests, seconds, spent


def row(name, rate, done, packets, dropped, spent):
    requests, seconds = done
    cost = spent / packets * 1e6 if packets else 0.0
    asked = rate or "most"
    print(f"{name:8} {asked:>7} {requests / seconds:9.0f} {packets / seconds:10.0f} "
          f"{dropped:>18} {spent:7.2f} {cost:9.2f}", flush=True)


def main():
    os.makedirs(FOLDER, exist_ok=True)
    conf = nginx()
    only = f"tcp port {PORT}"
    print("          asked  requests/s packets/s   dropped            CPU s   CPU s/million packets")
    try:
        for rate in RATES:
            told = FOLDER + "/tcpdump.txt"
            command = ["tcpdump", "-i", "lo", "-n", "-s", "0", "-B", "16384", "-w", "/dev/null", only]
            *done, spent = watched(command, rate, told)
            said = open(told).read()
            packets = int(re.search(r"(\d+) packets captured", said)[1])
            dropped = int(re.search(r"(\d+) packets dropped by kernel", said)[1])
            row("tcpdump", rate, done, packets, f"kernel {dropped}", spent)
            verdicts = FOLDER + "/verdicts.jsonl"
            command = [PROGRAM, "live", "-i", "lo", "-f", only, "--format", "jsonl", "-o", verdicts]
            *done, spent = watched(command, rate, FOLDER + "/live.txt")
            summary = json.loads(open(verdicts).readlines()[-1])
            dropped = f"kernel {summary['kernel_dropped']}, queue {summary['queue_dropped']}"
            row("goawhy", rate, done, summary["packets"], dropped, spent)
    finally:
        subprocess.run(["nginx", "-c", conf, "-s", "stop"])


main()
