//! Packet filters in libpcap's language (pcap-filter(7)), on packets of captures.

use pcap::{BpfProgram, Capture, Linktype};

use crate::error::Error;
use crate::vocab::packet::{LinkType, Packet};

/// A filter, compiled for each link type that comes by.
pub struct Filter {
    text: String,
    /// `None` where the filter means nothing on that link type.
    programs: Vec<(LinkType, Option<BpfProgram>)>,
}

impl Filter {
    /// Compiles a filter.
    ///
    /// # Errors
    /// Where the text is not in the filter language.
    pub fn new(text: &str) -> Result<Self, Error> {
        let program = compile(text, LinkType::ETHERNET)?;
        let programs = vec![(LinkType::ETHERNET, Some(program))];
        Ok(Self { text: text.to_string(), programs })
    }

    /// Whether the filter lets a packet through. On a link type that the filter has no meaning
    /// for, nothing passes, as with tcpdump.
    pub fn passes(&mut self, packet: &Packet<'_>) -> bool {
        let known = self.programs.iter().position(|(link, _)| *link == packet.link);
        let place = known.unwrap_or_else(|| {
            let program = compile(&self.text, packet.link).ok();
            self.programs.push((packet.link, program));
            self.programs.len() - 1
        });
        let program = self.programs.get(place).and_then(|(_, program)| program.as_ref());
        program.is_some_and(|program| program.filter(packet.data))
    }
}

fn compile(text: &str, link: LinkType) -> Result<BpfProgram, Error> {
    let error = |what: pcap::Error| Error::Filter { text: text.into(), what: what.to_string() };
    // Files number raw IP 101, libpcap's compiler 12 (LINKTYPE_RAW and DLT_RAW).
    let number = if link == LinkType::RAW { LinkType::RAW_OPENBSD.0 } else { link.0 };
    let link = Linktype(i32::try_from(number).unwrap_or(i32::MAX));
    Capture::dead(link).and_then(|capture| capture.compile(text, true)).map_err(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::time::Stamp;

    #[test]
    fn packets_are_let_through_by_what_they_are() {
        let mut filter = Filter::new("ip proto 6").unwrap();
        let mut data = [0; 64];
        data[12] = 8; // EtherType IPv4
        data[14] = 0x45;
        data[23] = 6; // TCP
        let of = |link, data| Packet {
            stamp: Stamp::default(),
            link,
            data,
            wire_length: 64,
            fcs_length: 0,
        };
        assert!(filter.passes(&of(LinkType::ETHERNET, &data)));
        assert!(filter.passes(&of(LinkType::RAW, &data[14..])));
        assert!(!filter.passes(&of(LinkType(9999), &data)));
        let mut other = data;
        other[23] = 17; // UDP
        assert!(!filter.passes(&of(LinkType::ETHERNET, &other)));
    }

    #[test]
    fn what_is_no_filter_is_said_in_one_line() {
        let Err(error) = Filter::new("tcp port port") else { panic!("compiled") };
        let said = error.to_string();
        assert!(said.contains("tcp port port") && said.contains("pcap-filter"), "{said}");
        assert!(!said.contains('\n'), "{said}");
    }
}
