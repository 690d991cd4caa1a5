//! A copy of captures as one pcapng file, with comments on packets.

use std::collections::BTreeMap;
use std::io::{self, Write};

use crate::capture::Source;
use crate::capture::save::{Described, Saver};
use crate::error::Error;
use crate::report::notes::Notes;
use crate::vocab::packet::LinkType;

use super::clocks;
use super::offline::Job;

/// Writes every packet of `job`'s captures, each in its own order and merged by time, with what
/// `notes` say of it. Link types and lengths stay, times but for the clocks that `job` puts right;
/// each interface of each capture has one of its own; TLS secrets that were in a capture are in the
/// copy too.
///
/// # Errors
/// Where an input cannot be read at all, or what the output says.
pub fn annotate<W: Write>(
    job: &Job,
    notes: &Notes,
    out: W,
) -> Result<Result<(), io::Error>, Error> {
    let job = clocks::put_right(job);
    let mut source = Source::open_shifted(&job.files, &job.clocks)?;
    let names: Vec<String> = source.facts().into_iter().map(|facts| facts.file).collect();
    Ok(copy(&mut source, &names, notes, out))
}

fn copy<W: Write>(source: &mut Source, names: &[String], notes: &Notes, out: W) -> io::Result<()> {
    let mut saver = Saver::new(out, &[])?;
    let mut interfaces: BTreeMap<(usize, u32, LinkType), u16> = BTreeMap::new();
    let mut secrets = 0;
    while let Some((interface, packet)) = source.next_on_interface() {
        let capture = packet.stamp.capture();
        let fresh = u16::try_from(interfaces.len()).unwrap_or(u16::MAX);
        let place = *interfaces.entry((capture, interface, packet.link)).or_insert(fresh);
        if place == fresh && usize::from(fresh) + 1 == interfaces.len() {
            let file = names.get(capture).map_or("", String::as_str);
            saver.describe(&Described {
                name: format!("{file} ({interface})"),
                link: packet.link,
                snap_length: 0,
                filter: None,
            })?;
        }
        let key = (capture, packet.stamp.packet());
        let comments = notes.get(&key).map(Vec::as_slice).unwrap_or_default();
        saver.commented(place, &packet, comments)?;
        secrets = keep_secrets(source, secrets, &mut saver)?;
    }
    keep_secrets(source, secrets, &mut saver)?;
    saver.flush()
}

/// Writes the secrets found since so many were; gives how many there are. Those that stand behind
/// what they open stay there.
fn keep_secrets<W: Write>(
    source: &Source,
    known: usize,
    saver: &mut Saver<W>,
) -> io::Result<usize> {
    for lines in source.secrets().get(known..).unwrap_or_default() {
        saver.secrets(lines)?;
    }
    Ok(source.secrets().len())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::report::Pick;
    use crate::run::offline;

    #[test]
    fn a_copy_says_what_the_original_says_and_comments_stand_where_they_belong() {
        let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures");
        for name in ["stacks/vertx-client-timeout-goaway1-10s.pcap", "tls/tls13_dsb_late.pcapng"] {
            let job = Job { files: vec![captures.join(name)], ..Job::default() };
            let board = offline::report(&job).unwrap();
            let (notes, _) = crate::report::notes::notes(&board, Pick::default());
            assert!(!notes.is_empty(), "{name}");
            let mut out = Vec::new();
            annotate(&job, &notes, &mut out).unwrap().unwrap();
            let file = std::env::temp_dir().join(format!(
                "goawhy-notes-{}-{}.pcapng",
                std::process::id(),
                out.len()
            ));
            std::fs::write(&file, &out).unwrap();
            let again = offline::report(&Job { files: vec![file.clone()], ..Job::default() });
            std::fs::remove_file(file).unwrap();
            let again = again.unwrap();
            assert_eq!(format!("{:?}", again.connections), format!("{:?}", board.connections));
            let has = |text: &str| out.windows(text.len()).any(|part| part == text.as_bytes());
            assert!(notes.values().flatten().all(|text| has(text)), "{name}");
        }
    }
}
