//! Which local programs are at the ends of connections, by procfs, in a thread of its own: on a
//! host with many processes a look takes a while.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use procfs::net::TcpState;
use procfs::process::FDTarget;

use crate::vocab::address::{Both, Endpoint};
use crate::vocab::flow::FlowId;
use crate::vocab::process::Process;
use crate::vocab::text::printable;

/// The programs at both ends.
pub(super) type Programs = Both<Option<Arc<Process>>>;

/// Asks and answers, shared with the thread that looks.
#[derive(Clone, Default)]
pub(super) struct Namer(Arc<Mutex<Shared>>);

#[derive(Default)]
struct Shared {
    asked: Vec<(FlowId, Both<Endpoint>)>,
    found: Vec<(FlowId, Programs)>,
}

impl Namer {
    /// Begins to look, until `stop`.
    pub(super) fn begin(stop: Arc<AtomicBool>) -> Self {
        let namer = Self::default();
        let asked = namer.clone();
        thread::spawn(move || {
            let mut known = Known::default();
            while !stop.load(Ordering::Relaxed) {
                let begun = Instant::now();
                asked.look(&mut known);
                // At most a tenth of one core.
                thread::sleep(EVERY.max(begun.elapsed() * 9));
            }
        });
        namer
    }

    /// Asks for the programs of connections; the answers so far.
    pub(super) fn exchange(&self, asked: Vec<(FlowId, Both<Endpoint>)>) -> Vec<(FlowId, Programs)> {
        let mut shared = self.lock();
        let room = ASKED_MOST.saturating_sub(shared.asked.len());
        shared.asked.extend(asked.into_iter().take(room));
        std::mem::take(&mut shared.found)
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self, known: &mut Known) {
        let asked = std::mem::take(&mut self.lock().asked);
        if asked.is_empty() {
            return;
        }
        let sockets = Sockets::now();
        let needed: Vec<(FlowId, Both<Option<u64>>)> =
            asked.iter().map(|(flow, ends)| (*flow, sockets.inodes(*ends))).collect();
        let inodes = needed.iter().flat_map(|(_, of)| [of.first, of.second]).flatten();
        known.learn(inodes.collect());
        let answers = needed.into_iter().map(|(flow, inodes)| {
            let program =
                |inode: Option<u64>| inode.and_then(|inode| known.of.get(&inode).cloned());
            (flow, Both { first: program(inodes.first), second: program(inodes.second) })
        });
        let answers: Vec<_> = answers.collect();
        let mut shared = self.lock();
        if shared.found.len() < ASKED_MOST {
            shared.found.extend(answers);
        }
    }
}

/// TCP sockets of this network namespace: inode by local and remote end.
struct Sockets {
    connected: HashMap<(Endpoint, Endpoint), u64>,
    listening: Vec<(Endpoint, u64)>,
}

impl Sockets {
    fn now() -> Self {
        let mut found = Self { connected: HashMap::new(), listening: Vec::new() };
        let tables = [procfs::net::tcp(), procfs::net::tcp6()];
        for entry in tables.into_iter().flatten().flatten() {
            let (local, remote) = (endpoint(entry.local_address), endpoint(entry.remote_address));
            if entry.state == TcpState::Listen {
                found.listening.push((local, entry.inode));
            } else if entry.inode != 0 {
                found.connected.insert((local, remote), entry.inode);
            }
        }
        found
    }

    fn inodes(&self, ends: Both<Endpoint>) -> Both<Option<u64>> {
        let (client, server) = (plain(ends.first), plain(ends.second));
        let listens = self.listening.iter().find(|(local, _)| {
            let at = local.ip == server.ip || local.ip.is_unspecified();
            at && local.port == server.port
        });
        let accepted = self.connected.get(&(server, client)).copied();
        // A listening socket on all addresses says nothing of a server on another host.
        let here = accepted.is_some() || self.connected.contains_key(&(client, server));
        let local = server.ip.is_loopback() || (here && accepted.is_some());
        let listens = listens.filter(|_| local).map(|(_, inode)| *inode);
        Both { first: self.connected.get(&(client, server)).copied(), second: accepted.or(listens) }
    }
}

/// Processes by the inode of their sockets.
#[derive(Default)]
struct Known {
    of: HashMap<u64, Arc<Process>>,
}

impl Known {
    /// Looks through all processes where an inode is not known yet.
    fn learn(&mut self, needed: HashSet<u64>) {
        if needed.iter().all(|inode| self.of.contains_key(inode)) {
            return;
        }
        if self.of.len() > KNOWN_MOST {
            self.of.clear();
        }
        let Ok(processes) = procfs::process::all_processes() else { return };
        for process in processes.flatten() {
            let Ok(descriptors) = process.fd() else { continue };
            let mut described: Option<Arc<Process>> = None;
            for descriptor in descriptors.flatten() {
                let FDTarget::Socket(inode) = descriptor.target else { continue };
                if !needed.contains(&inode) {
                    continue;
                }
                let known = described.get_or_insert_with(|| Arc::new(describe(&process)));
                // Of several that share a socket, as a server and its workers, the last one has
                // it: workers come after who started them.
                self.of.insert(inode, Arc::clone(known));
            }
        }
    }
}

fn describe(process: &procfs::process::Process) -> Process {
    let name = process.stat().map(|stat| stat.comm).unwrap_or_default();
    let command = process.cmdline().map(|words| words.join(" ")).unwrap_or_default();
    let command: String = printable(&command).chars().take(COMMAND_SHOWN).collect();
    let groups = process.cgroups().map(|groups| groups.0).unwrap_or_default();
    let container = groups.iter().find_map(|group| container(&group.pathname));
    let pid = u32::try_from(process.pid).unwrap_or_default();
    Process { pid, name: printable(&name), command, container }
}

/// The container that a cgroup's path names: runtimes give each one 64 hexadecimal digits.
fn container(path: &str) -> Option<String> {
    let mut words = path.split(|letter: char| !letter.is_ascii_hexdigit());
    let id = words.rfind(|word| word.len() == 64)?;
    id.get(..12).map(str::to_owned)
}

fn endpoint(address: SocketAddr) -> Endpoint {
    plain(Endpoint { ip: address.ip(), port: address.port() })
}

/// A socket for IPv6 names peers with IPv4 by mapped addresses.
fn plain(end: Endpoint) -> Endpoint {
    Endpoint { ip: end.ip.to_canonical(), port: end.port }
}

/// Time between two looks at least.
const EVERY: Duration = Duration::from_millis(100);
/// Connections that may wait for an answer.
const ASKED_MOST: usize = 4_096;
/// Sockets that are remembered: their numbers are never used again while the system is up.
const KNOWN_MOST: usize = 65_536;
/// Characters of a command line that are kept.
const COMMAND_SHOWN: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_known_by_its_cgroup() {
        let id = "0123456789abcdef".repeat(4);
        let wanted = Some("0123456789ab".to_owned());
        assert_eq!(container(&format!("/docker/{id}")), wanted);
        assert_eq!(container(&format!("/kubepods.slice/pod1/cri-containerd-{id}.scope")), wanted);
        assert_eq!(container("/user.slice/user-1000.slice/session-2.scope"), None);
    }

    #[test]
    fn both_ends_of_a_connection_of_this_process_are_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let accepted = listener.accept().unwrap();
        let ends = Both {
            first: endpoint(client.local_addr().unwrap()),
            second: endpoint(listener.local_addr().unwrap()),
        };
        let namer = Namer::default();
        namer.exchange(vec![(FlowId(7), ends)]);
        namer.look(&mut Known::default());
        let (flow, programs) = namer.exchange(Vec::new()).remove(0);
        assert_eq!(flow, FlowId(7));
        for program in [programs.first.unwrap(), programs.second.unwrap()] {
            assert_eq!(program.pid, std::process::id());
            assert!(!program.name.is_empty() && !program.command.is_empty());
        }
        drop(accepted);
    }
}
