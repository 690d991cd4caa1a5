//! The only error type: things the user can change. Each message is one line: what input, what is
//! wrong with it, what to do.

use std::io;

/// An input that could not be read at all.
///
/// A capture that breaks half-way is no error: what was read is reported, with the place of the
/// damage beside it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is nothing under this name.
    #[error("{file}: no such file; check the name")]
    Missing {
        /// File name as the user gave it.
        file: String,
    },
    /// The user may not read the file.
    #[error("{file}: permission denied; make it readable for you or run as its owner")]
    Permission {
        /// File name as the user gave it.
        file: String,
    },
    /// A directory where a file is needed.
    #[error("{file}: is a directory; name the capture files in it")]
    Directory {
        /// File name as the user gave it.
        file: String,
    },
    /// A directory where a key log is needed.
    #[error("{file}: is a directory; --keylog takes the file that SSLKEYLOGFILE names")]
    KeyLogDirectory {
        /// File name as the user gave it.
        file: String,
    },
    /// A key log that does not exist.
    #[error("{file}: no such key log; check the name given to --keylog")]
    KeyLogMissing {
        /// File name as the user gave it.
        file: String,
    },
    /// A named pipe for keys into which nobody writes.
    #[error(
        "{file}: nobody writes to this named pipe; start the program that writes its keys there, \
         or give --keylog a file"
    )]
    KeyLogUnwritten {
        /// File name as the user gave it.
        file: String,
    },
    /// Not one octet in it.
    #[error("{file}: is empty; capture again, or wait until the capturing program has written")]
    Empty {
        /// File name as the user gave it.
        file: String,
    },
    /// The file ends inside its file header.
    #[error("{file}: ends inside its file header; copy or capture it again")]
    ShortHeader {
        /// File name as the user gave it.
        file: String,
    },
    /// A compressed file that ends before anything of it can be unpacked.
    #[error(
        "{file}: is compressed and cut short before its first whole block, nothing of it can be \
         unpacked; copy or compress it again"
    )]
    CutShort {
        /// File name as the user gave it.
        file: String,
    },
    /// Text where a capture is needed.
    #[error("{file}: is a text file; give a pcap or pcapng capture (tcpdump -w, dumpcap)")]
    Text {
        /// File name as the user gave it.
        file: String,
    },
    /// A compression that this program does not open.
    #[error(
        "{file}: is compressed with {what}; decompress it first (gzip and zstd are read as is)"
    )]
    Compression {
        /// File name as the user gave it.
        file: String,
        /// Name of the compression.
        what: &'static str,
    },
    /// A known format that this program does not read, or none that it knows.
    #[error(
        "{file}: is {what}; convert it with `editcap -F pcapng`, or give a pcap or pcapng file"
    )]
    Format {
        /// File name as the user gave it.
        file: String,
        /// What the file is, with its article.
        what: String,
    },
    /// A capture that ended because its interface gave no more packets.
    #[error("{what}; what had come until then was judged")]
    Gone {
        /// Which interface, and why.
        what: String,
    },
    /// Packets that were to be saved could not be.
    #[error("{what}")]
    Unsaved {
        /// Which file, and why.
        what: String,
    },
    /// A packet filter that libpcap does not understand.
    #[error("filter '{text}': {what}; see pcap-filter(7), for example 'tcp port 8080'")]
    Filter {
        /// The filter as the user gave it.
        text: String,
        /// What libpcap says.
        what: String,
    },
    /// An interface that cannot be opened.
    #[error("{name}: {what}; `goawhy interfaces` lists what there is")]
    Interface {
        /// Name of the interface.
        name: String,
        /// What libpcap says.
        what: String,
    },
    /// An address where nothing can listen.
    #[error("{address}: cannot listen there: {what}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Why not, and what to do.
        what: String,
    },
    /// libpcap cannot list interfaces.
    #[error("the interfaces cannot be listed: {what}; check that libpcap works for you")]
    Interfaces {
        /// What libpcap says.
        what: String,
    },
    /// Rights that are not needed any more could not be given up.
    #[error("{what}; --no-drop goes on without")]
    GiveUp {
        /// What failed.
        what: String,
    },
    /// The user may not capture.
    #[error("{name}: you may not capture here; run it under sudo, or once: {}", setcap())]
    Privilege {
        /// Name of the interface.
        name: String,
    },
    /// A filter that asks for what is known only after all packets have been read.
    #[error("a pipe cannot be read twice, as '-Y {text}' needs; save it to a file first")]
    Twice {
        /// The filter as the user gave it.
        text: String,
    },
    /// The terminal cannot be taken over.
    #[error("the terminal cannot be used: {0}; goawhy report FILE needs none")]
    Terminal(io::Error),
    /// The operating system, or the decompressor, refused before anything could be read.
    #[error("{file}: cannot {operation}: {source}; check the file and the disk it is on")]
    Io {
        /// File name as the user gave it.
        file: String,
        /// The verb that failed.
        operation: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

impl Error {
    /// A TLS key log that could not be opened or read.
    pub fn of_key_log(file: &std::path::Path, source: io::Error) -> Self {
        let name = file.display().to_string();
        match source.kind() {
            io::ErrorKind::NotFound => Self::KeyLogMissing { file: name },
            io::ErrorKind::IsADirectory => Self::KeyLogDirectory { file: name },
            io::ErrorKind::TimedOut => Self::KeyLogUnwritten { file: name },
            _ => Self::of_file(file, source),
        }
    }

    /// A file that could not be opened or read at all: `file` as the user gave it.
    pub fn of_file(file: &std::path::Path, source: io::Error) -> Self {
        let name = file.display().to_string();
        match source.kind() {
            io::ErrorKind::NotFound => Self::Missing { file: name },
            io::ErrorKind::PermissionDenied => Self::Permission { file: name },
            io::ErrorKind::IsADirectory => Self::Directory { file: name },
            _ => Self::Io { file: name, operation: "read", source },
        }
    }
}

/// The command that gives this program the right to capture.
fn setcap() -> String {
    let program = std::env::current_exe().ok();
    let program = program.map_or("goawhy".to_owned(), |path| path.display().to_string());
    format!("sudo setcap cap_net_raw=eip '{program}'")
}
