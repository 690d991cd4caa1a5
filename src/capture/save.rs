//! Packets into pcapng files (draft-ietf-opsawg-pcapng), one block after the other.

use std::io::{self, Write};

use zeroize::Zeroizing;

use crate::vocab::packet::{LinkType, Packet};
use crate::vocab::time::Timestamp;

/// What an interface description says.
#[derive(Clone, Debug)]
pub struct Described {
    /// Name of the interface, or of the capture that the packets come from.
    pub name: String,
    /// Its link type.
    pub link: LinkType,
    /// Octets captured of each packet; 0 means all.
    pub snap_length: u32,
    /// The capture filter.
    pub filter: Option<String>,
}

/// Writes one file. Each call writes whole blocks, so that a file that ends early ends well.
pub struct Saver<W> {
    out: W,
    block: Vec<u8>,
    written: u64,
}

impl<W: Write> Saver<W> {
    /// Begins a file; packets name their interface by its place in `interfaces`.
    ///
    /// # Errors
    /// What the system says.
    pub fn new(out: W, interfaces: &[Described]) -> io::Result<Self> {
        let mut saver = Self { out, block: Vec::new(), written: 0 };
        let mut section = Vec::new();
        section.extend_from_slice(&0x1a2b_3c4d_u32.to_ne_bytes());
        section.extend_from_slice(&1_u16.to_ne_bytes());
        section.extend_from_slice(&0_u16.to_ne_bytes());
        section.extend_from_slice(&u64::MAX.to_ne_bytes());
        let program = concat!("goawhy ", env!("CARGO_PKG_VERSION"));
        option(&mut section, SHB_OS, std::env::consts::OS.as_bytes());
        option(&mut section, SHB_USERAPPL, program.as_bytes());
        option(&mut section, END, &[]);
        saver.write_block(SECTION, &section)?;
        for interface in interfaces {
            saver.describe(interface)?;
        }
        Ok(saver)
    }

    /// Describes an interface: the next one that packets name.
    ///
    /// # Errors
    /// What the system says.
    pub fn describe(&mut self, interface: &Described) -> io::Result<()> {
        let link = u16::try_from(interface.link.0).unwrap_or(u16::MAX);
        let mut body = Vec::new();
        body.extend_from_slice(&link.to_ne_bytes());
        body.extend_from_slice(&0_u16.to_ne_bytes());
        body.extend_from_slice(&interface.snap_length.to_ne_bytes());
        option(&mut body, IF_NAME, interface.name.as_bytes());
        option(&mut body, IF_TSRESOL, &[9]);
        if let Some(filter) = &interface.filter {
            // Filter code 0: a libpcap string.
            option(&mut body, IF_FILTER, &[&[0], filter.as_bytes()].concat());
        }
        option(&mut body, END, &[]);
        self.write_block(INTERFACE, &body)
    }

    /// Writes a packet of the interface with this place.
    ///
    /// # Errors
    /// What the system says.
    pub fn packet(&mut self, interface: u16, packet: &Packet<'_>) -> io::Result<()> {
        self.commented(interface, packet, &[])
    }

    /// Writes a packet with comments.
    ///
    /// # Errors
    /// What the system says.
    pub fn commented(
        &mut self,
        interface: u16,
        packet: &Packet<'_>,
        comments: &[String],
    ) -> io::Result<()> {
        let time = u64::try_from(packet.stamp.at.0).unwrap_or(0);
        let captured = packet.data.len() as u32;
        let mut body = std::mem::take(&mut self.block);
        body.clear();
        body.extend_from_slice(&u32::from(interface).to_ne_bytes());
        body.extend_from_slice(&((time >> 32) as u32).to_ne_bytes());
        body.extend_from_slice(&(time as u32).to_ne_bytes());
        body.extend_from_slice(&captured.to_ne_bytes());
        body.extend_from_slice(&packet.wire_length.max(captured).to_ne_bytes());
        body.extend_from_slice(packet.data);
        body.resize(body.len().next_multiple_of(4), 0);
        for comment in comments {
            option(&mut body, COMMENT, comment.as_bytes());
        }
        if !comments.is_empty() {
            option(&mut body, END, &[]);
        }
        let written = self.write_block(PACKET, &body);
        self.block = body;
        written
    }

    /// Writes lines of a TLS key log (SSLKEYLOGFILE) as a Decryption Secrets Block. Only for who
    /// asked for it: whoever has the file can then read what is inside TLS.
    ///
    /// # Errors
    /// What the system says.
    pub fn secrets(&mut self, lines: &[u8]) -> io::Result<()> {
        let length = lines.len() as u32;
        let mut body = Zeroizing::new(Vec::with_capacity(lines.len().saturating_add(12)));
        body.extend_from_slice(&TLS_KEY_LOG.to_ne_bytes());
        body.extend_from_slice(&length.to_ne_bytes());
        body.extend_from_slice(lines);
        let padded = body.len().next_multiple_of(4);
        body.resize(padded, 0);
        self.write_block(SECRETS, &body)
    }

    /// Ends the file with what each interface has received until `at`, and, where that is known,
    /// dropped.
    ///
    /// # Errors
    /// What the system says.
    pub fn finish(mut self, at: Timestamp, counts: &[(u64, Option<u64>)]) -> io::Result<W> {
        let time = u64::try_from(at.0).unwrap_or(0);
        for (interface, (received, dropped)) in (0_u32..).zip(counts) {
            let mut body = Vec::new();
            body.extend_from_slice(&interface.to_ne_bytes());
            body.extend_from_slice(&((time >> 32) as u32).to_ne_bytes());
            body.extend_from_slice(&(time as u32).to_ne_bytes());
            option(&mut body, ISB_IFRECV, &received.to_ne_bytes());
            if let Some(dropped) = dropped {
                option(&mut body, ISB_IFDROP, &dropped.to_ne_bytes());
            }
            option(&mut body, END, &[]);
            self.write_block(STATISTICS, &body)?;
        }
        self.out.flush()?;
        Ok(self.out)
    }

    /// Hands everything written so far to the system.
    ///
    /// # Errors
    /// What the system says.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Octets of the file so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    fn write_block(&mut self, kind: u32, body: &[u8]) -> io::Result<()> {
        let length = u32::try_from(body.len().saturating_add(12)).unwrap_or(u32::MAX);
        self.out.write_all(&kind.to_ne_bytes())?;
        self.out.write_all(&length.to_ne_bytes())?;
        self.out.write_all(body)?;
        self.out.write_all(&length.to_ne_bytes())?;
        self.written += u64::from(length);
        Ok(())
    }
}

/// An option, padded to four octets.
fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = value.get(..usize::from(u16::MAX)).unwrap_or(value);
    body.extend_from_slice(&code.to_ne_bytes());
    body.extend_from_slice(&(value.len() as u16).to_ne_bytes());
    body.extend_from_slice(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const STATISTICS: u32 = 5;
const PACKET: u32 = 6;
const SECRETS: u32 = 10;
const TLS_KEY_LOG: u32 = 0x544c_534b;
const END: u16 = 0;
const COMMENT: u16 = 1;
const SHB_OS: u16 = 3;
const SHB_USERAPPL: u16 = 4;
const IF_NAME: u16 = 2;
const IF_TSRESOL: u16 = 9;
const IF_FILTER: u16 = 11;
const ISB_IFRECV: u16 = 4;
const ISB_IFDROP: u16 = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Source;
    use crate::vocab::time::Stamp;

    #[test]
    fn what_is_saved_is_read_again() {
        let interfaces = [LinkType::ETHERNET, LinkType::LINUX_SLL2].map(|link| Described {
            name: "eth0".into(),
            link,
            snap_length: 262_144,
            filter: Some("tcp".into()),
        });
        let mut saver = Saver::new(Vec::new(), &interfaces).unwrap();
        saver.secrets(b"CLIENT_RANDOM 00 11\n").unwrap();
        let data: Vec<u8> = (0..61).collect();
        for number in 0..4_u16 {
            let at = Timestamp(1_700_000_000_123_456_789 + i64::from(number));
            let packet = Packet {
                stamp: Stamp::new(0, 1 + u64::from(number), at),
                link: LinkType::ETHERNET,
                data: &data[..usize::from(number) * 20],
                wire_length: 99,
                fcs_length: 0,
            };
            saver.packet(number % 2, &packet).unwrap();
        }
        let file = saver.finish(Timestamp(1), &[(4, Some(3)), (0, Some(2))]).unwrap();
        let path = std::env::temp_dir().join(format!("goawhy-save-{}", std::process::id()));
        std::fs::write(&path, &file).unwrap();
        let mut source = Source::open(std::slice::from_ref(&path)).unwrap();
        let mut found = Vec::new();
        while let Some(packet) = source.next() {
            assert_eq!(packet.data, &data[..packet.data.len()]);
            found.push((packet.stamp.at.0, packet.link, packet.data.len(), packet.wire_length));
        }
        let wanted = |n: i64, link| (1_700_000_000_123_456_789 + n, link, n as usize * 20, 99);
        let (a, b) = (LinkType::ETHERNET, LinkType::LINUX_SLL2);
        assert_eq!(found, [wanted(0, a), wanted(1, b), wanted(2, a), wanted(3, b)]);
        let facts = source.facts().remove(0);
        assert_eq!((facts.kernel_dropped, facts.damage), (Some(5), None));
        let secrets: Vec<&[u8]> = source.secrets().iter().map(|text| &text[..]).collect();
        assert_eq!(secrets, [b"CLIENT_RANDOM 00 11\n"]);
        std::fs::remove_file(path).unwrap();
    }
}
