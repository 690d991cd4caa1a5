#!/usr/bin/env python3
"""The hostile table: inputs made to exhaust, and what they cost beside normal ones.

    scripts/hostile.py PROGRAM FOLDER [SCALE [NAME...]]

Writes captures to FOLDER (about 1 GB at SCALE 1, which is the full size: ten million streams), reads
each with `PROGRAM report --format json`, and prints a row: octets, packets, peak memory, CPU per
octet against that of normal traffic, and which limits the report names. Normal are small requests
with answers of 60 octets: what an octet costs is a matter of how many frames there are in it, for
bodies are passed over. The second row is the same with answers of 4 KB. Fails where CPU per octet
is more than 20 times the first row's, or peak memory above 1 GB. With names only those rows are made, and
the first one.
"""
import gzip, json, os, random, struct, subprocess, sys

PROGRAM, FOLDER = sys.argv[1], sys.argv[2]
SCALE = float(sys.argv[3]) if len(sys.argv) > 3 else 1.0
NAMES = sys.argv[4:]
RATIO_MAX, MEMORY_MAX = 20, 1 << 30
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
GET = b"\x82\x86\x84\x41\x01a"


def frame(kind, flags, stream, payload=b""):
    return struct.pack("!I", len(payload))[1:] + bytes([kind, flags]) + struct.pack("!I", stream) + payload


class Capture:
    def __init__(self, name, opener=open):
        self.path = os.path.join(FOLDER, name)
        self.out = opener(self.path, "wb")
        self.out.write(struct.pack("<IHHiIII", 0xa1b23c4d, 2, 4, 0, 0, 262144, 1))
        self.at, self.packets = 1_000_000_000_000_000_000, 0

    def record(self, data):
        self.at += 10_000
        self.packets += 1
        seconds, rest = divmod(self.at, 1_000_000_000)
        self.out.write(struct.pack("<IIII", seconds, rest, len(data), len(data)) + data)

    def segment(self, port, server, flags, seq, ack, payload=b"", client=0x0A000001):
        host = 0x0A000002
        ends = (host, client, 8080, port) if server else (client, host, port, 8080)
        self.record(b"\2\0\0\0\0\1\2\0\0\0\0\2\x08\0" + struct.pack(
            "!BBHHHBBHIIHHIIBBHHH", 0x45, 0, 40 + len(payload), 0, 0x4000, 64, 6, 0, ends[0], ends[1],
            ends[2], ends[3], seq & 0xffffffff, ack & 0xffffffff, 0x50, flags, 65535, 0, 0) + payload)

    def opened(self, port, client=0x0A000001):
        self.segment(port, False, 2, 999, 0, client=client)
        self.segment(port, True, 0x12, 4999, 1000, client=client)
        self.segment(port, False, 0x10, 1000, 5000, client=client)

    def talk(self, client, said, apart=0):
        """A connection of this client: (server, octets) in turn, so many nanoseconds apart; then the
        server closes it."""
        self.opened(40000, client)
        ends = {False: 1000, True: 5000}
        for server, octets in [(False, PREFACE + frame(4, 0, 0)), (True, frame(4, 0, 0) + frame(4, 1, 0))] + said:
            self.at += apart
            self.segment(40000, server, 0x18, ends[server], ends[not server], octets, client)
            ends[server] += len(octets)
        self.segment(40000, True, 0x11, ends[True], ends[False], client=client)
        self.segment(40000, False, 0x11, ends[False], ends[True] + 1, client=client)

    def client_sends(self, pieces, port=40000):
        """One connection on which the client sends these octets in segments of 1400."""
        self.opened(port)
        seq, held = 1000, PREFACE + frame(4, 0, 0)
        for piece in pieces:
            held += piece
            while len(held) >= 1400:
                self.segment(port, False, 0x18, seq, 5000, held[:1400])
                seq, held = seq + 1400, held[1400:]
        self.segment(port, False, 0x18, seq, 5000, held)

    def done(self):
        self.out.close()
        return self.path


def times(count):
    return int(count * SCALE)


def normal(capture, body=60):
    """Connections with a hundred requests each, headers of the usual kind."""
    rng = random.Random(1)
    word = lambda n: bytes(rng.choice(b"abcdefghijklmnopqrstuvwxyz0123456789") for _ in range(n))
    text = lambda octets: bytes([len(octets)]) + octets
    for number in range(times(300 if body > 1000 else 3000)):
        port = 1024 + number
        capture.opened(port)
        seq, ack = 1000, 5000
        first = PREFACE + frame(4, 0, 0)
        capture.segment(port, False, 0x18, seq, ack, first)
        seq += len(first)
        capture.segment(port, True, 0x18, ack, seq, frame(4, 0, 0) + frame(4, 1, 0))
        ack += 18
        for stream in range(1, 200, 2):
            block = b"\x82\x86\x41" + text(b"shop.example") + b"\x44" + text(b"/items/" + word(12))
            block += b"\x40\x0ax-trace-id" + text(word(32)) + b"\x7a" + text(b"client/1.0")
            request = frame(1, 5, stream, block)
            capture.segment(port, False, 0x18, seq, ack, request)
            seq += len(request)
            answer = frame(1, 4, stream, b"\x88\x5f\x10application/json") + frame(0, 1, stream, (word(64) * 64)[:body])
            for at in range(0, len(answer), 1400):
                part = answer[at:at + 1400]
                capture.segment(port, True, 0x18, ack, seq, part)
                ack += len(part)
            capture.segment(port, False, 0x10, seq, ack)
        capture.segment(port, True, 0x18, ack, seq, frame(7, 0, 0, struct.pack("!II", 199, 0)))
        capture.segment(port, True, 0x11, ack + 17, seq)
        capture.segment(port, False, 0x11, seq, ack + 18)


def with_bodies(capture):
    normal(capture, 4096)


def syns(capture):
    for number in range(times(2_000_000)):
        capture.segment(number & 0xffff, False, 2, number, 0, client=0x0B000000 + (number >> 3))


def one_shard(capture):
    """Flows whose addresses all fall to one shard (src/run/shard.rs)."""
    mask, odd = (1 << 64) - 1, 0x9e3779b97f4a7c15

    def mixed(ip, port):
        total = (ip * odd + port) & mask
        return ((total ^ (total >> 29)) * odd) & mask
    host = mixed(0x0A000002, 8080)
    found, number = 0, 0
    while found < times(300_000):
        number += 1
        client, port = 0x0B000000 + (number >> 4), 1024 + (number & 15)
        total = (mixed(client, port) + host) & mask
        if (((((total ^ (total >> 32)) * odd) & mask) >> 32) * 16) >> 32 == 3:
            capture.segment(port, False, 2, number, 0, client=client)
            capture.segment(port, False, 0x18, number + 1, 0, b"x" * 40, client=client)
            found += 1


def streams(capture):
    capture.client_sends(frame(1, 4, 1 + 2 * n, GET) for n in range(times(10_000_000)))


def resets(capture):
    capture.client_sends(
        frame(1, 5, 1 + 2 * n, GET) + frame(3, 0, 1 + 2 * n, b"\0\0\0\x08") for n in range(times(2_000_000)))


def continuations(capture):
    part = frame(9, 0, 1, b"\0\x01a\x01b" * 20)
    capture.client_sends([frame(1, 0, 1, GET)] + [part] * times(500_000))


def empty_continuations(capture):
    capture.client_sends([frame(1, 0, 1, GET)] + [frame(9, 0, 1)] * times(5_000_000))


def bomb(capture):
    """One field of 4,000 octets into the table, then references to it without end."""
    field = b"\x40\x01b\x7f\x81\x1e" + b"x" * 4000
    capture.client_sends([frame(1, 5, 1, GET + field)] + [
        frame(1, 5, 3 + 2 * n, GET + b"\xbe" * 16000) for n in range(times(3000))])


def churn(capture):
    """Tables that are emptied and filled, field by field."""
    change = b"\x20\x3f\xe1\x1f" + b"\x40\0\0" * 3
    insert = b"\x40\x01a\x01b" * 3200
    capture.client_sends(
        frame(1, 5, 1 + 4 * n, GET + insert) + frame(1, 5, 3 + 4 * n, change * 1000) for n in range(times(1500)))


def cookies(capture):
    """Pseudo-fields and fields again and again: whatever is looked up is looked up among many."""
    fields = b"".join(b"\0\x03" + bytes([97 + n % 26, 97 + n // 26 % 26, 97 + n // 676]) + b"\0" for n in range(2600))
    capture.client_sends(frame(1, 5, 1 + 2 * n, GET + fields[:16000]) for n in range(times(3000)))


def settings(capture):
    capture.client_sends([frame(4, 0, 0, b"\0\4\0\0\xff\xff" * 2000)] * times(5000))


def finished(capture):
    """Connections that end at once with an error, each of another client: rows without end."""
    error = (True, frame(7, 0, 0, struct.pack("!II", 0, 2)))
    for number in range(times(250_000)):
        capture.talk(0x0B000000 + number, [(False, frame(1, 5, 1, GET)), error])


def many_clients(capture):
    """Clients of one server, each with three requests that it gives up after the same time: what
    each shows is held against all others."""
    for number in range(times(60_000)):
        asks = [(False, frame(1, 5, stream, GET)) for stream in (1, 3, 5)]
        gives_up = [(False, frame(3, 0, stream, struct.pack("!I", 8))) for stream in (1, 3, 5)]
        capture.talk(0x0B000000 + number, asks + gives_up, 50_000_000)


def eager_pings(capture):
    """Clients of one server, each with keepalive PINGs of its own pace that the server punishes."""
    enough = (True, frame(7, 0, 0, struct.pack("!II", 0, 11) + b"too_many_pings"))
    ping, answer = frame(6, 0, 0, bytes(8)), frame(6, 1, 0, bytes(8))
    for number in range(times(20_000)):
        said = [(False, ping), (True, answer)] * 12 + [enough]
        capture.talk(0x0B000000 + number, said, 100_000_000 + number * 1000)


def pings(capture):
    capture.client_sends([frame(6, 0, 0, bytes(8))] * times(3_000_000))


def goaways(capture):
    capture.client_sends([frame(7, 0, 0, struct.pack("!II", 0, 2) + b"d" * 16000)] * times(3000))


def tiny(capture):
    """2^20 segments of a few octets that overlap, latest first."""
    capture.opened(40000)
    rng = random.Random(3)
    stream = PREFACE + frame(4, 0, 0) + frame(0, 0, 1, bytes(16000)) * 16
    for _ in range(times(1 << 20)):
        at = rng.randrange(1, len(stream))
        capture.segment(40000, False, 0x18, 1000 + at, 5000, stream[at:at + rng.randrange(1, 5)])


def dribble(capture):
    """Octet by octet, what is read again and again until it is known whether it is HTTP/2: heads of
    HTTP/1 without end, text behind them, and frames that do not tell whose they are."""
    pad = b"X: " + b"y" * 60_000
    sides = [
        (False, False, b"GET / HTTP/1.1\r\n" + pad),
        (False, False, b"GET /" + b"y" * 60_000 + b" HTTP/9\r\n\r\n" + b"\0y" * 2000),
        (False, False, b"A" * 60_000),
        (True, False, b"HTTP/1.1 200 OK\r\n" + pad),
        (True, False, b"HTTP/1.1 200 OK\r\n" + pad + b"\r\n\r\n" + frame(4, 0, 0) + frame(6, 0, 0, bytes(8)) * 200),
        (False, True, b"junk"), (False, True, b"GET GET " * 8000), (False, True, b"GET /h2c " * 7000),
        (True, True, b"junk"), (True, True, frame(6, 0, 0, bytes(8)) * 3500), (True, True, frame(4, 0, 0) * 7000),
    ]
    for port, (server, torn, octets) in enumerate(sides, 1024):
        seq, ack = (5000, 1000) if server else (1000, 5000)
        if torn:  # a hole in front: what comes is no beginning
            capture.segment(port, server, 0x18, seq, ack, b"x")
            capture.segment(port, not server, 0x10, ack, seq + 10)
            seq += 10
        for at in range(len(octets)):
            capture.segment(port, server, 0x18, seq + at, ack, octets[at:at + 1])


def holes(capture):
    """Every second octet is missing, on many flows."""
    for number in range(times(2000)):
        capture.opened(1024 + number)
        for at in range(0, 400, 2):
            capture.segment(1024 + number, False, 0x18, 1001 + at, 5000, b"x")


def fragments(capture):
    """First fragments of datagrams whose rest never comes."""
    head = b"\2\0\0\0\0\1\2\0\0\0\0\2\x08\0"
    for number in range(times(500_000)):
        capture.record(head + struct.pack(
            "!BBHHHBBHII", 0x45, 0, 60, number & 0xffff, 0x2000, 64, 6, 0, 0x0A000001 + (number >> 16),
            0x0A000002) + bytes(40))


def tunnels(capture):
    """IP in IP in IP, seventy deep."""
    inner = struct.pack("!BBHHHBBHII", 0x45, 0, 40, 0, 0x4000, 64, 6, 0, 0x0A000001, 0x0A000002) + bytes(20)
    for _ in range(70):
        inner = struct.pack("!BBHHHBBHII", 0x45, 0, 20 + len(inner), 0, 0x4000, 64, 4, 0, 1, 2) + inner
    for _ in range(times(100_000)):
        capture.record(b"\2\0\0\0\0\1\2\0\0\0\0\2\x08\0" + inner)


def zeros(capture):
    """A gigabyte of packets of nothing, which compresses a thousandfold."""
    for _ in range(times(16_000)):
        capture.record(bytes(65_000))


def zstd(path):
    """The same behind zstd, where the system has it."""
    subprocess.run(["zstd", "-q", "-f", path], check=True)
    os.remove(path)
    return path + ".zst"


def measure(path):
    # A process of its own, so that the peak is that of this one.
    code = ("import resource,subprocess,sys;"
            "r=subprocess.run(sys.argv[1:],stdout=open(sys.argv[-1]+'.json','wb'));"
            "u=resource.getrusage(resource.RUSAGE_CHILDREN);"
            "print(r.returncode,u.ru_utime+u.ru_stime,u.ru_maxrss)")
    done = subprocess.run([sys.executable, "-c", code, PROGRAM, "report", "--format", "json", path],
                          capture_output=True, text=True)
    status, cpu, peak = done.stdout.split()
    with open(path + ".json") as report:
        told = json.load(report)
    os.remove(path + ".json")
    assert status == "0", done.stderr
    return float(cpu), int(peak) * 1024, told


def main():
    os.makedirs(FOLDER, exist_ok=True)
    inputs = [normal, with_bodies, syns, one_shard, streams, resets, continuations, empty_continuations, bomb, churn,
              cookies, settings, finished, many_clients, eager_pings, pings, goaways, tiny, dribble, holes, fragments, tunnels]
    rows, base, bad = [], None, []
    jobs = [(make.__name__, make, "pcap", open) for make in inputs]
    jobs.append(("zeros in gzip", zeros, "pcap.gz", lambda path, mode: gzip.open(path, mode, 6)))
    jobs.append(("zeros in zstd", zeros, "zst", open))
    jobs = [job for job in jobs if not NAMES or job[0] in ["normal"] + NAMES]
    print("| input | octets | packets | peak memory | CPU | CPU per octet | the report says |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, make, end, opener in jobs:
        capture = Capture(name.replace(" ", "-") + "." + end.replace("zst", "pcap"), opener)
        make(capture)
        path = capture.done()
        if end == "zst":
            try:
                path = zstd(path)
            except (OSError, subprocess.CalledProcessError):
                continue
        cpu, peak, told = measure(path)
        octets = told["captures"][0]["bytes"] + 16 * capture.packets
        each = cpu / octets
        base = base or each
        limits = dict(told["limits"])
        for row in told["connections"]:
            for hit in row["limits"]:
                limits[hit] = limits.get(hit, 0) + 1
        says = [f"{len(told['connections'])} connections", f"{told['summary']['other_flows']} other flows"]
        says += [f"{hit}: {count}" for hit, count in sorted(limits.items())]
        says += [f"{of['packets']} × {of['reason']}" for of in told["captures"][0]["undecoded"] if of["loss"]]
        assert told["faults"] == [], told["faults"]
        print(f"| {name} | {os.path.getsize(path):,} | {capture.packets:,} | {peak >> 20} MiB | {cpu:.2f} s |"
              f" {each * 1e9:.1f} ns, {each / base:.1f} × | {', '.join(says)} |", flush=True)
        if each > RATIO_MAX * base or peak > MEMORY_MAX:
            bad.append(name)
        os.remove(path)
    if bad:
        sys.exit(f"beyond the bounds: {', '.join(bad)}")


main()
