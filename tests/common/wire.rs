//! Packets as octets: read from captures, taken apart, put together, written as pcap.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use goawhy::capture::Source;

/// Pseudorandom numbers that are the same in each run.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `bound`; 0 where that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound.max(1)
    }
}

/// One captured packet.
#[derive(Clone)]
pub struct Owned {
    /// Nanoseconds since the epoch.
    pub at: i64,
    pub data: Vec<u8>,
    pub wire_length: u32,
}

/// A list of packets of one link type.
#[derive(Clone)]
pub struct Wire {
    pub link: u32,
    pub packets: Vec<Owned>,
}

impl Wire {
    /// Every packet of a capture whose packets have one link type.
    pub fn read(path: &Path) -> Self {
        let mut source = Source::open(&[path.to_owned()]).unwrap();
        let mut wire = Self { link: 1, packets: Vec::new() };
        while let Some(packet) = source.next() {
            wire.link = packet.link.0;
            let (at, data) = (packet.stamp.at.0, packet.data.to_vec());
            wire.packets.push(Owned { at, data, wire_length: packet.wire_length });
        }
        wire
    }

    /// The packets as a pcap file with nanoseconds.
    pub fn to_pcap(&self) -> Vec<u8> {
        let words: [u32; 6] = [0xa1b2_3c4d, 0x0004_0002, 0, 0, 262_144, self.link];
        let mut out: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        for packet in &self.packets {
            let (seconds, rest) = (packet.at / 1_000_000_000, packet.at % 1_000_000_000);
            let words = [seconds as u32, rest as u32, packet.data.len() as u32, packet.wire_length];
            out.extend(words.iter().flat_map(|word| word.to_le_bytes()));
            out.extend_from_slice(&packet.data);
        }
        out
    }

    /// Writes the packets and hands the path to `read`.
    pub fn with_file<R>(&self, read: impl FnOnce(&Path) -> R) -> R {
        with_file(&self.to_pcap(), read)
    }
}

/// Writes `octets` to a file that lives as long as `read` runs.
pub fn with_file<R>(octets: &[u8], read: impl FnOnce(&Path) -> R) -> R {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("{}-{number}.pcap", std::process::id());
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, octets).unwrap();
    let result = read(&path);
    fs::remove_file(&path).unwrap();
    result
}

/// Where the headers of a plain TCP packet over IP stand.
#[derive(Clone, Copy)]
pub struct Layout {
    pub ip: usize,
    pub tcp: usize,
    pub payload: usize,
    /// Behind the last octet of the payload; trailing octets are padding.
    pub end: usize,
}

impl Layout {
    /// `None` where the packet is not plain TCP, or cut.
    pub fn of(link: u32, data: &[u8]) -> Option<Self> {
        let ip = match link {
            0 | 108 => 4,
            1 => 14,
            113 => 16,
            276 => 20,
            101 | 228 | 229 => 0,
            _ => return None,
        };
        let (tcp, end, protocol) = match data.get(ip)? >> 4 {
            4 => {
                let head = usize::from(data[ip] & 15) * 4;
                (ip + head, ip + word(data, ip + 2)?, *data.get(ip + 9)?)
            }
            6 => (ip + 40, ip + 40 + word(data, ip + 4)?, *data.get(ip + 6)?),
            _ => return None,
        };
        let payload = tcp + usize::from(*data.get(tcp + 12)? >> 4) * 4;
        (protocol == 6 && payload <= end && end <= data.len()).then_some(Self {
            ip,
            tcp,
            payload,
            end,
        })
    }

    pub fn seq(self, data: &[u8]) -> u32 {
        u32::from_be_bytes(data[self.tcp + 4..self.tcp + 8].try_into().unwrap())
    }

    pub fn flags(self, data: &[u8]) -> u8 {
        data[self.tcp + 13]
    }

    /// Addresses and ports: the same for all packets of one direction.
    pub fn direction(self, data: &[u8]) -> Vec<u8> {
        let addresses = if data[self.ip] >> 4 == 4 { 12..20 } else { 8..40 };
        let addresses = &data[self.ip + addresses.start..self.ip + addresses.end];
        [addresses, &data[self.tcp..self.tcp + 4]].concat()
    }

    /// The packet with another payload: lengths fit, checksums need not.
    pub fn with_payload(self, packet: &Owned, seq: u32, payload: &[u8], flags: u8) -> Owned {
        let mut data = packet.data[..self.payload].to_vec();
        data.extend_from_slice(payload);
        data[self.tcp + 4..self.tcp + 8].copy_from_slice(&seq.to_be_bytes());
        data[self.tcp + 13] = flags;
        let (place, from) = if data[self.ip] >> 4 == 4 { (2, 0) } else { (4, 40) };
        let length = u16::try_from(data.len() - self.ip - from).unwrap();
        data[self.ip + place..self.ip + place + 2].copy_from_slice(&length.to_be_bytes());
        Owned { at: packet.at, wire_length: data.len() as u32, data }
    }
}

fn word(data: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_be_bytes([*data.get(at)?, *data.get(at + 1)?])))
}

/// Builds packets of TCP connections over Ethernet and IPv4.
pub struct Flow {
    pub client_port: u16,
    /// Next sequence numbers of client and server.
    pub seq: [u32; 2],
}

impl Flow {
    pub fn new(client_port: u16) -> Self {
        Self { client_port, seq: [1000, 5000] }
    }

    /// A segment at `at` with what follows in its direction.
    pub fn send(&mut self, at: i64, server: bool, flags: u8, payload: &[u8]) -> Owned {
        let from = usize::from(server);
        let packet = self.segment(at, server, flags, self.seq[from], payload);
        let counted = payload.len() as u32 + u32::from(flags & 3 != 0);
        self.seq[from] = self.seq[from].wrapping_add(counted);
        packet
    }

    /// A segment anywhere.
    pub fn segment(&self, at: i64, server: bool, flags: u8, seq: u32, payload: &[u8]) -> Owned {
        let (client, host) = (self.client_port.to_be_bytes(), 8080_u16.to_be_bytes());
        let (ports, addresses) = if server {
            ([host, client], [[10, 0, 0, 2], [10, 0, 0, 1]])
        } else {
            ([client, host], [[10, 0, 0, 1], [10, 0, 0, 2]])
        };
        let mut data = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0];
        data.extend_from_slice(&u16::try_from(40 + payload.len()).unwrap().to_be_bytes());
        data.extend_from_slice(&[0, 0, 0x40, 0, 64, 6, 0, 0]);
        data.extend_from_slice(&addresses.concat());
        data.extend_from_slice(&ports.concat());
        data.extend_from_slice(&seq.to_be_bytes());
        data.extend_from_slice(&self.seq[usize::from(!server)].to_be_bytes());
        data.extend_from_slice(&[0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        data.extend_from_slice(payload);
        Owned { at, wire_length: data.len() as u32, data }
    }

    /// The three packets that open it.
    pub fn open(&mut self, at: i64) -> Vec<Owned> {
        let syn = self.send(at, false, 0x02, b"");
        let answer = self.send(at + 1000, true, 0x12, b"");
        vec![syn, answer, self.send(at + 2000, false, 0x10, b"")]
    }
}

/// An HTTP/2 frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags][..], &stream.to_be_bytes()[..]].concat();
    [&head, payload].concat()
}
