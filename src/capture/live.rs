//! Packets from network interfaces, by libpcap.

use std::os::fd::{AsFd, BorrowedFd};

use pcap::{Active, Capture, Device, Linktype, Precision};

use crate::error::Error;
use crate::vocab::packet::LinkType;
use crate::vocab::time::Timestamp;

/// How to capture.
#[derive(Clone, Debug)]
pub struct Options {
    /// A packet filter in libpcap's language, applied by the kernel.
    pub filter: Option<String>,
    /// Octets of the kernel's buffer, per interface.
    pub buffer: u32,
    /// Octets of each packet that are captured; 0 means all.
    pub snap_length: u32,
    /// Whether packets for other hosts are wanted too.
    pub promiscuous: bool,
}

/// An open interface. Never waits.
pub struct Tap {
    capture: Capture<Active>,
    name: String,
    link: LinkType,
    nanoseconds: bool,
}

/// A packet as it was captured.
#[derive(Clone, Copy, Debug)]
pub struct Caught<'a> {
    /// When.
    pub at: Timestamp,
    /// Length on the wire in octets.
    pub wire_length: u32,
    /// Octets captured.
    pub data: &'a [u8],
}

/// What the kernel counted since the capture began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets that passed the filter.
    pub received: u64,
    /// Packets dropped because nobody fetched them in time.
    pub kernel_dropped: u64,
    /// Packets dropped by the interface or its driver.
    pub interface_dropped: u64,
}

/// An interface of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name, as `-i` takes it.
    pub name: String,
    /// What libpcap says about it.
    pub description: Option<String>,
    /// Its addresses.
    pub addresses: Vec<std::net::IpAddr>,
    /// Whether it is up.
    pub up: bool,
    /// Whether it is a loopback interface.
    pub loopback: bool,
}

/// Interfaces of this host, as libpcap lists them.
///
/// # Errors
/// Where libpcap fails.
pub fn interfaces() -> Result<Vec<Interface>, Error> {
    let devices = Device::list().map_err(|error| Error::Interfaces { what: said(&error) })?;
    let interface = |device: Device| Interface {
        up: device.flags.is_up(),
        loopback: device.flags.is_loopback(),
        addresses: device.addresses.iter().map(|address| address.addr).collect(),
        description: device.desc,
        name: device.name,
    };
    Ok(devices.into_iter().map(interface).collect())
}

impl Tap {
    /// Opens an interface.
    ///
    /// # Errors
    /// Where there is none of that name, the right is missing, or the filter is wrong.
    pub fn open(name: &str, options: &Options) -> Result<Self, Error> {
        let fails = |error: pcap::Error| refused(name, &error);
        let snap_length = match options.snap_length {
            0 => SNAP_LENGTH,
            some => i32::try_from(some).unwrap_or(SNAP_LENGTH),
        };
        let inactive = Capture::from_device(name)
            .map_err(fails)?
            .promisc(options.promiscuous)
            .snaplen(snap_length)
            .buffer_size(i32::try_from(options.buffer).unwrap_or(i32::MAX))
            .timeout(BLOCK_MILLIS)
            .precision(Precision::Nano);
        let mut capture = inactive.open().map_err(fails)?;
        if name == ANY && capture.list_datalinks().is_ok_and(|links| links.contains(&SLL2)) {
            // It tells the interface of each packet.
            capture.set_datalink(SLL2).map_err(fails)?;
        }
        if let Some(filter) = &options.filter {
            let wrong =
                |error: pcap::Error| Error::Filter { text: filter.clone(), what: said(&error) };
            capture.filter(filter, true).map_err(wrong)?;
        }
        let link = LinkType(u32::try_from(capture.get_datalink().0).unwrap_or(u32::MAX));
        let link = if link == LinkType::RAW_OPENBSD { LinkType::RAW } else { link };
        let capture = capture.setnonblock().map_err(fails)?;
        Ok(Self { capture, name: name.to_owned(), link, nanoseconds: true })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it captures from every interface at once.
    pub fn is_any(&self) -> bool {
        self.name == ANY
    }

    /// Link type of its packets.
    pub fn link(&self) -> LinkType {
        self.link
    }

    /// What to wait for before the next [`Tap::read`].
    pub fn handle(&self) -> BorrowedFd<'_> {
        self.capture.as_fd()
    }

    /// Hands what the kernel has ready to `each`; gives how many packets that were.
    ///
    /// # Errors
    /// Why nothing more comes, in one clause: the interface went away.
    pub fn read(&mut self, mut each: impl FnMut(Caught<'_>)) -> Result<usize, String> {
        let unit = if self.nanoseconds { 1 } else { 1_000 };
        let caught = self.capture.dispatch(None, |packet| {
            let (seconds, parts) = (packet.header.ts.tv_sec, packet.header.ts.tv_usec);
            each(Caught {
                at: Timestamp::from_parts(seconds, parts * unit),
                wire_length: packet.header.len,
                data: packet.data,
            });
        });
        caught.map_err(|error| said(&error))
    }

    /// What the kernel has counted.
    pub fn counts(&mut self) -> Option<Counts> {
        let stat = self.capture.stats().ok()?;
        Some(Counts {
            received: u64::from(stat.received),
            kernel_dropped: u64::from(stat.dropped),
            interface_dropped: u64::from(stat.if_dropped),
        })
    }
}

/// Why an interface cannot be opened.
fn refused(name: &str, error: &pcap::Error) -> Error {
    let (name, what) = (name.to_owned(), said(error));
    let hints = ["permission", "not permitted", "CAP_NET_RAW"];
    if hints.iter().any(|hint| what.contains(hint)) {
        return Error::Privilege { name };
    }
    Error::Interface { name, what }
}

/// What libpcap says, in one line.
fn said(error: &pcap::Error) -> String {
    let text = match error {
        pcap::Error::PcapError(text) => text.clone(),
        other => other.to_string(),
    };
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Every interface at once.
const ANY: &str = "any";
/// libpcap's own largest snap length (MAXIMUM_SNAPLEN).
const SNAP_LENGTH: i32 = 262_144;
/// Milliseconds for which the kernel collects packets before it wakes a reader: a twelfth of the
/// work of waking for each.
const BLOCK_MILLIS: i32 = 20;
/// Cooked capture, version 2.
const SLL2: Linktype = Linktype(276);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_is_not_there_is_named() {
        let options = Options { filter: None, buffer: 1 << 20, snap_length: 0, promiscuous: false };
        let Err(error) = Tap::open("goawhy-none", &options) else { panic!("opened") };
        let text = error.to_string();
        assert!(text.contains("goawhy-none") && !text.contains('\n'), "{text}");
    }
}
