#!/usr/bin/env python3
"""Large captures for measuring how memory and time grow; they are big, delete them afterwards.

    large-captures.py repeat IN.pcap OUT.pcap COPIES   the capture COPIES times behind each other:
                                                       later, and from other addresses
    large-captures.py open OUT.pcap CONNECTIONS        HTTP/2 connections that are all open at the
                                                       end: handshake, preface, SETTINGS, one request

`repeat` takes pcap (little-endian) of Ethernet and IPv4. Checksums are left as they are or zero.
"""
import struct
import sys

RECORD = struct.Struct("<IIII")


def repeat(source, target, copies):
    with open(source, "rb") as file:
        data = file.read()
    header, body = data[:24], data[24:]
    if header[:4] not in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1"):
        sys.exit(f"{source}: no little-endian pcap")
    places, place = [], 0
    while place + 16 <= len(body):
        places.append(place)
        place += 16 + RECORD.unpack_from(body, place)[2]
    seconds = [RECORD.unpack_from(body, place)[0] for place in places]
    span = max(seconds) - min(seconds) + 2
    with open(target, "wb") as out:
        out.write(header)
        for copy in range(copies):
            changed = bytearray(body)
            for place, second in zip(places, seconds):
                struct.pack_into("<I", changed, place, second + copy * span)
                # The second octet of both IPv4 addresses, behind Ethernet.
                if changed[place + 28 : place + 30] == b"\x08\x00":
                    changed[place + 43] = copy % 256
                    changed[place + 47] = copy % 256
            out.write(changed)


def segment(at, client, from_client, seq, ack, flags, payload=b""):
    """One record: time in microseconds, the client's number, TCP fields."""
    here = (bytes([10]) + (client // 50000).to_bytes(3, "big"), 10000 + client % 50000)
    there = (bytes([192, 168, 0, 1]), 8080)
    (source, sport), (destination, dport) = (here, there) if from_client else (there, here)
    tcp = struct.pack(">HHIIBBHHH", sport, dport, seq, ack, 0x50, flags, 65535, 0, 0) + payload
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0, source, destination)
    frame = b"\x02" * 12 + b"\x08\x00" + ip + tcp
    return RECORD.pack(at // 1_000_000, at % 1_000_000, len(frame), len(frame)) + frame


def http2(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def settings(*values):
    return http2(4, 0, 0, b"".join(struct.pack(">HI", *value) for value in values))


def connections(target, count):
    # :method GET, :scheme http, :path /, :authority "example"; :status 200.
    request = http2(1, 5, 1, b"\x82\x86\x84\x41\x07example")
    answer = http2(1, 5, 1, b"\x88")
    client = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings((3, 100), (4, 1 << 20)) + request
    server = settings((3, 128), (5, 16384)) + http2(4, 1, 0) + answer
    acknowledged = http2(4, 1, 0)
    with open(target, "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))
        for number in range(count):
            at = 1_700_000_000_000_000 + number * 20
            behind, after = 1 + len(client), 1 + len(server)
            out.write(segment(at, number, True, 0, 0, 2))
            out.write(segment(at + 1, number, False, 0, 1, 0x12))
            out.write(segment(at + 2, number, True, 1, 1, 0x18, client))
            out.write(segment(at + 3, number, False, 1, behind, 0x18, server))
            out.write(segment(at + 4, number, True, behind, after, 0x18, acknowledged))


match sys.argv[1:]:
    case ["repeat", source, target, copies]:
        repeat(source, target, int(copies))
    case ["open", target, count]:
        connections(target, int(count))
    case _:
        sys.exit(__doc__)
