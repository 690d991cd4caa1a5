#!/usr/bin/env python3
"""`goawhy live -i lo` under hostile traffic beside normal h2load traffic, on loopback alone.

    sudo scripts/soak.py PROGRAM SECONDS FOLDER [RATE]

Needs nginx, h2load and curl, and root for capturing and for SYNs from raw sockets. RATE is how many
SYNs a second at most (default 300); everything else is bounded by it, too; with 0 there is normal
traffic alone. Ports 18280 to 18283 of 127.0.0.1 are used. FOLDER gets verdicts.jsonl, memory.txt
and result.json; a line for each minute goes to standard output.
"""
import collections, json, os, random, re, signal, socket, struct, subprocess, sys, threading, time

PROGRAM, SECONDS, FOLDER = sys.argv[1], float(sys.argv[2]), os.path.abspath(sys.argv[3])
RATE = int(sys.argv[4]) if len(sys.argv) > 4 else 300
NORMAL, ABUSED, SILENT, CLOSED = 18280, 18281, 18282, 18283
HOST = "127.0.0.1"
counts = collections.Counter()
ends = threading.Event()


def nginx():
    os.makedirs(FOLDER + "/html", exist_ok=True)
    with open(FOLDER + "/html/1k", "wb") as out:
        out.write(b"x" * 1024)
    conf = FOLDER + "/nginx.conf"
    with open(conf, "w") as out:
        out.write(f"""daemon on; pid {FOLDER}/nginx.pid; error_log {FOLDER}/nginx.log; worker_processes 1;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_timeout 3s; keepalive_requests 100000;
server {{ listen {HOST}:{NORMAL} http2; location / {{ root {FOLDER}/html; }}
  location /slow {{ proxy_pass http://{HOST}:{SILENT}; }} }}
server {{ listen {HOST}:{ABUSED} http2; location / {{ root {FOLDER}/html; }} }} }}
""")
    subprocess.run(["nginx", "-c", conf], check=True)
    return conf


def silent():
    """Accepts, and never says a word."""
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((HOST, SILENT))
    server.listen(256)
    server.settimeout(1)
    kept = []
    while not ends.is_set():
        try:
            kept.append(server.accept()[0])
        except TimeoutError:
            continue
        for old in kept[:-200]:
            old.close()
        kept = kept[-200:]


def normal(conf):
    """Rounds of requests, requests that time out at the client, reloads: what must stay right."""
    turn = 0
    while not ends.is_set():
        turn += 1
        clients = 5 + turn % 10
        done = subprocess.run(
            ["h2load", "-c", str(clients), "-n", str(clients * 10), "-m", "8", "--rps", "40",
             f"http://{HOST}:{NORMAL}/1k"], capture_output=True, text=True)
        found = re.search(r"(\d+) done, (\d+) succeeded, (\d+) failed", done.stdout)
        if found:
            counts["requests"] += int(found[1])
            counts["requests failed"] += int(found[3])
            counts["connections of h2load"] += clients
        if turn % 3 == 0:
            subprocess.run(["curl", "-s", "--http2-prior-knowledge", "-m", "1",
                            f"http://{HOST}:{NORMAL}/slow"])
            counts["requests timed out by curl"] += 1
        if turn % 40 == 0:
            subprocess.run(["nginx", "-c", conf, "-s", "reload"])
            counts["reloads"] += 1


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xffff)
    return ~(total + (total >> 16)) & 0xffff


def syns():
    """SYNs from addresses of 127/8 to a closed port: each gets a RST."""
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    rng = random.Random(1)
    while not ends.is_set():
        begun = time.time()
        for _ in range(RATE // 10):
            source = f"127.{rng.randrange(1, 255)}.{rng.randrange(255)}.{rng.randrange(1, 255)}"
            port, seq = rng.randrange(1024, 65536), rng.randrange(1 << 32)
            bare = struct.pack("!HHIIBBHHH", port, CLOSED, seq, 0, 0x50, 2, 65535, 0, 0)
            pseudo = socket.inet_aton(source) + socket.inet_aton(HOST) + struct.pack("!BBH", 0, 6, 20)
            packet = bare[:16] + struct.pack("!H", checksum(pseudo + bare)) + bare[18:]
            head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, 0, 0, 64, 6, 0,
                               socket.inet_aton(source), socket.inet_aton(HOST))
            try:
                raw.sendto(head + packet, (HOST, 0))
                counts["SYNs"] += 1
            except OSError:
                counts["SYNs refused by the kernel"] += 1
        ends.wait(max(0, 0.1 - (time.time() - begun)))


def frame(kind, flags, stream, payload=b""):
    return struct.pack("!I", len(payload))[1:] + bytes([kind, flags]) + struct.pack("!I", stream) + payload


GET = b"\x82\x86\x84\x41\x01a"
BEGIN = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0)


def abuses(rng):
    """Kinds of abuse, each a few tens of kilobytes."""
    noise = bytes(rng.randrange(256) for _ in range(4000))
    bomb = b"\x40\x01b\x7f\x81\x1e" + b"x" * 4000
    return {
        "garbage": noise,
        "garbage behind a preface": BEGIN + noise,
        "rapid reset": BEGIN + b"".join(
            frame(1, 5, 1 + 2 * n, GET) + frame(3, 0, 1 + 2 * n, b"\0\0\0\x08") for n in range(1000)),
        "SETTINGS": BEGIN + frame(4, 0, 0, b"\0\4\0\0\xff\xff") * 1500,
        "PING": BEGIN + frame(6, 0, 0, bytes(8)) * 1500,
        "CONTINUATION": BEGIN + frame(1, 0, 1, GET) + frame(9, 0, 1, b"\0\1a\1b" * 40) * 120,
        "HPACK": BEGIN + frame(1, 5, 1, GET + bomb) + b"".join(
            frame(1, 5, 3 + 2 * n, GET + b"\xbe" * 2000) for n in range(10)),
        "WINDOW_UPDATE": BEGIN + frame(8, 0, 0, b"\x7f\xff\xff\xff") * 3,
        "unknown frames": BEGIN + frame(0x2a, 255, 77, noise[:100]) * 200,
        "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + noise[:600],
        "HTTP/1": b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n" + b"X: \x1b[2J\r\n" * 100,
    }


def abuse():
    rng = random.Random(2)
    while not ends.is_set():
        for kind, octets in abuses(rng).items():
            if ends.is_set():
                return
            try:
                with socket.create_connection((HOST, ABUSED), 2) as client:
                    client.settimeout(0.2)
                    client.sendall(octets)
                    try:
                        client.recv(65536)
                    except OSError:
                        pass
                    if rng.randrange(2):  # a RST instead of a FIN
                        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            except OSError:
                pass
            counts["abuse: " + kind] += 1
            ends.wait(30 / RATE)


def memory(pid):
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(r"VmRSS:\s*(\d+)", status.read())[1]) / 1024


def processor(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def judged(port):
    """What was told last of each ending, by cause, of connections to a port."""
    latest = {}
    last = None
    for line in open(FOLDER + "/verdicts.jsonl"):
        told = json.loads(line)
        if told["kind"] == "summary":
            last = told
            continue
        if told["settles"] is not None:
            latest.pop(told["settles"], None)
        latest[told["number"]] = told
    causes = collections.Counter()
    for told in latest.values():
        if told["kind"] == "verdict" and told["connection"]["server"].endswith(f":{port}"):
            verdict = told.get("verdict") or told["goaway"]["verdict"]
            causes[verdict["cause"], verdict["confidence"] >= 0.6] += 1
    return {f"{cause}{'' if sure else ' (unsure)'}": n for (cause, sure), n in causes.items()}, last


def main():
    os.makedirs(FOLDER, exist_ok=True)
    conf = nginx()
    program = subprocess.Popen(
        [PROGRAM, "live", "-i", "lo", "-f", f"tcp portrange {NORMAL}-{CLOSED}", "--format", "jsonl",
         "-o", FOLDER + "/verdicts.jsonl"], stderr=open(FOLDER + "/errors.txt", "w"))
    time.sleep(2)
    threads = [threading.Thread(target=silent), threading.Thread(target=normal, args=(conf,))]
    if RATE > 0:
        threads += [threading.Thread(target=syns), threading.Thread(target=abuse)]
    for thread in threads:
        thread.start()
    begun, marks = time.time(), []
    try:
        with open(FOLDER + "/memory.txt", "w") as log:
            while time.time() - begun < SECONDS and program.poll() is None:
                time.sleep(min(10, SECONDS))
                mark = (round(time.time() - begun), round(memory(program.pid), 1),
                        round(processor(program.pid), 1))
                marks.append(mark)
                print(*mark, file=log, flush=True)
                if len(marks) % 6 == 0:
                    print(f"{mark[0]} s: {mark[1]} MiB, {mark[2]} s of CPU,", dict(counts), flush=True)
    finally:
        ends.set()
        for thread in threads:
            thread.join()
        subprocess.run(["nginx", "-c", conf, "-s", "stop"])
    time.sleep(5)
    program.send_signal(signal.SIGINT)
    code = program.wait(60)
    normal_causes, summary = judged(NORMAL)
    abused_causes, _ = judged(ABUSED)
    result = {"code": code, "seconds": round(time.time() - begun), "sent": dict(counts),
              "memory MiB": {"first": marks[0][1], "half": marks[len(marks) // 2][1],
                             "last": marks[-1][1], "most": max(mark[1] for mark in marks)},
              "CPU seconds": marks[-1][2], "normal verdicts": normal_causes,
              "abuse verdicts": abused_causes, "summary": summary}
    with open(FOLDER + "/result.json", "w") as out:
        json.dump(result, out, indent=1)
    print(json.dumps(result, indent=1))


main()
