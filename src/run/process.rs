//! Which local programs are at the ends of connections, by procfs, in a thread of its own: on a
//! host with many processes a look takes a while.
//!
//! A connection is asked for when its first packet is seen, and looked for at once: many live for a
//! few milliseconds. The server's program is known even of one that is gone, by the socket that
//! listens.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use procfs::process::FDTarget;

use super::sockets::{Sockets, plain};
use crate::capture::live::interfaces;
use crate::vocab::address::{Both, Endpoint};
use crate::vocab::flow::FlowId;
use crate::vocab::process::{Named, Process};
use crate::vocab::text::printable;

/// A connection, and its ends in any order.
pub(super) type Asked = (FlowId, Both<Endpoint>);

/// Asks and answers, shared with the thread that looks.
#[derive(Clone, Default)]
pub(super) struct Namer(Arc<(Mutex<Shared>, Condvar)>);

#[derive(Default)]
struct Shared {
    asked: Vec<Asked>,
    found: Vec<(FlowId, Named)>,
    /// Whether something was asked and is not answered.
    busy: bool,
}

impl Namer {
    /// Begins to look, until `stop`.
    pub(super) fn begin(stop: Arc<AtomicBool>) -> Self {
        let namer = Self::default();
        let asked = namer.clone();
        thread::spawn(move || {
            let mut known = Known::default();
            while !stop.load(Ordering::Relaxed) {
                asked.look(&mut known);
                // A look at all processes goes on in small steps, between which others are asked.
                if asked.search(&mut known) {
                    continue;
                }
                // At most a fifth of one core, beside what whole looks take.
                thread::sleep(EVERY.max(known.table_took * 4));
                asked.wait();
            }
        });
        namer
    }

    /// Asks for the programs of connections.
    pub(super) fn ask(&self, asked: impl IntoIterator<Item = Asked>) {
        let mut shared = self.lock();
        let room = ASKED_MOST.saturating_sub(shared.asked.len());
        shared.asked.extend(asked.into_iter().take(room));
        shared.busy = true;
        self.0.1.notify_one();
    }

    /// The answers since the last call.
    pub(super) fn answers(&self) -> Vec<(FlowId, Named)> {
        std::mem::take(&mut self.lock().found)
    }

    /// Whether answers are on their way.
    pub(super) fn is_busy(&self) -> bool {
        self.lock().busy
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until something is asked, or some of what was may be asked again.
    fn wait(&self) {
        let shared = self.lock();
        if shared.asked.is_empty() {
            drop(self.0.1.wait_timeout(shared, AGAIN_AFTER));
        }
    }

    fn look(&self, known: &mut Known) {
        let mut asked = std::mem::take(&mut self.lock().asked);
        let fresh = asked.len();
        asked.extend(known.due());
        if asked.is_empty() {
            return;
        }
        let begun = Instant::now();
        let sockets = Sockets::now();
        known.table_took = begun.elapsed();
        known.hosts();
        let asked: Vec<(Asked, Both<Inode>)> =
            asked.into_iter().map(|asked| (asked, known.inodes(&sockets, asked.1))).collect();
        // What is known already is told before anything is looked for far and wide.
        let unknown = known.learn(asked.iter().flat_map(|(_, of)| [of.first, of.second]));
        self.answer(&asked, known);
        if let Some(unknown) = unknown {
            known.begin_search(unknown, &asked);
        }
        for ((flow, ends), inodes) in asked.into_iter().take(fresh) {
            // Not accepted yet, had by a worker in a moment, or left for the next whole look.
            let vague = |inode| match inode {
                Inode::Own(inode, _) => !known.of.contains_key(&inode),
                Inode::Listening(_) => true,
                Inode::None => false,
            };
            if vague(inodes.first) || vague(inodes.second) {
                known.again(flow, ends);
            }
        }
        let mut shared = self.lock();
        shared.busy = !shared.asked.is_empty();
    }

    /// A step of the look at all processes; whether there are more.
    fn search(&self, known: &mut Known) -> bool {
        let Some(mut search) = known.search.take() else { return false };
        let begun = Instant::now();
        while let Some(pid) = search.left.pop_front() {
            if let Some(process) = of_pid(pid) {
                known.scan(&process, &mut search.unknown);
            }
            if begun.elapsed() >= STEP {
                break;
            }
        }
        search.took += begun.elapsed();
        if !search.left.is_empty() {
            known.search = Some(search);
            return true;
        }
        // At most a tenth of one core.
        known.rests_until = Some(Instant::now() + search.took * 9);
        self.answer(&search.asked, known);
        false
    }

    fn answer(&self, asked: &[(Asked, Both<Inode>)], known: &Known) {
        let answers = asked.iter().map(|((flow, ends), inodes)| {
            let (first, second) = (known.program(inodes.first), known.program(inodes.second));
            (*flow, Named { ends: *ends, programs: Both { first, second } })
        });
        let mut shared = self.lock();
        if shared.found.len() < ASKED_MOST {
            shared.found.extend(answers);
        }
    }
}

/// The socket of one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inode {
    /// Of the connection itself, and of whoever listens there.
    Own(u64, Option<u64>),
    /// Of whoever listens there: it is too early, or too late, for that of the connection.
    Listening(u64),
    /// Not on this host, or gone.
    None,
}

/// Sockets whose processes are not known.
#[derive(Default)]
struct Unknown {
    own: HashSet<u64>,
    listening: HashSet<u64>,
    /// Those that listen and have been found by now.
    found: HashSet<u64>,
}

/// A look at all processes that goes on.
struct Search {
    /// Processes that were not looked at yet.
    left: VecDeque<i32>,
    unknown: Unknown,
    /// Who is answered at the end.
    asked: Vec<(Asked, Both<Inode>)>,
    /// Time that it took so far.
    took: Duration,
}

/// What is known of this host.
#[derive(Default)]
struct Known {
    /// Processes by the inode of their sockets.
    of: HashMap<u64, Arc<Process>>,
    /// The same of listening ones.
    listening: HashMap<u64, Arc<Process>>,
    /// Those of them that are looked for once more: a process may have ended since.
    doubted: HashSet<u64>,
    /// Processes that had a connection lately, latest first.
    recent: VecDeque<i32>,
    /// Addresses of this host.
    here: HashSet<IpAddr>,
    /// When those and the listening ones were last learned.
    learned: Option<Instant>,
    /// What may be asked once more, and when.
    later: VecDeque<(Instant, Asked)>,
    /// Time that it took to read the table of sockets.
    table_took: Duration,
    /// The look at all processes that goes on.
    search: Option<Search>,
    /// Not to look through all processes before.
    rests_until: Option<Instant>,
}

impl Known {
    /// Learns this host's addresses, and doubts who listens, from time to time.
    fn hosts(&mut self) {
        if self.learned.is_some_and(|at| at.elapsed() < LISTENERS_LAST) {
            return;
        }
        self.learned = Some(Instant::now());
        self.doubted = self.listening.keys().copied().collect();
        let addresses = interfaces().unwrap_or_default().into_iter().flat_map(|of| of.addresses);
        self.here = addresses.map(|address| address.to_canonical()).collect();
    }

    fn inodes(&self, sockets: &Sockets, ends: Both<Endpoint>) -> Both<Inode> {
        let (first, second) = (plain(ends.first), plain(ends.second));
        let inode = |end: Endpoint, other: Endpoint| {
            if let Some(inode) = sockets.connected.get(&(end, other)) {
                return Inode::Own(*inode, sockets.listener(end));
            }
            // Who listens on all addresses says nothing of a server on another host.
            let here = end.ip.is_loopback() || self.here.contains(&end.ip);
            let listener = sockets.listener(end).filter(|_| here);
            listener.map_or(Inode::None, Inode::Listening)
        };
        Both { first: inode(first, second), second: inode(second, first) }
    }

    fn program(&self, inode: Inode) -> Option<Arc<Process>> {
        match inode {
            Inode::Own(inode, listening) => {
                let listener = listening.and_then(|inode| self.listening.get(&inode));
                self.of.get(&inode).or(listener).cloned()
            }
            Inode::Listening(inode) => self.listening.get(&inode).cloned(),
            Inode::None => None,
        }
    }

    fn again(&mut self, flow: FlowId, ends: Both<Endpoint>) {
        if self.later.len() < ASKED_MOST {
            self.later.push_back((Instant::now() + AGAIN_AFTER, (flow, ends)));
        }
    }

    fn due(&mut self) -> Vec<Asked> {
        let now = Instant::now();
        let due = self.later.iter().take_while(|(at, _)| *at <= now).count();
        self.later.drain(..due).map(|(_, asked)| asked).collect()
    }

    /// Looks for the processes of sockets that are not known yet among those that had some lately:
    /// a load generator opens one after the other. Gives what is still to be looked for.
    fn learn(&mut self, needed: impl Iterator<Item = Inode>) -> Option<Unknown> {
        let mut unknown = Unknown::default();
        for inode in needed {
            let (own, listening) = match inode {
                Inode::Own(own, listening) => (Some(own), listening),
                Inode::Listening(listening) => (None, Some(listening)),
                Inode::None => (None, None),
            };
            unknown.own.extend(own.filter(|inode| !self.of.contains_key(inode)));
            let known =
                |inode: &u64| self.listening.contains_key(inode) && !self.doubted.contains(inode);
            unknown.listening.extend(listening.filter(|inode| !known(inode)));
        }
        if self.of.len() > KNOWN_MOST {
            self.of.clear();
        }
        if !unknown.own.is_empty() {
            let mut few = Unknown { own: unknown.own.clone(), ..Unknown::default() };
            let recent: Vec<i32> = self.recent.iter().copied().collect();
            for process in recent.into_iter().filter_map(of_pid) {
                self.scan(&process, &mut few);
            }
            unknown.own.retain(|inode| !self.of.contains_key(inode));
        }
        (!unknown.own.is_empty() || !unknown.listening.is_empty()).then_some(unknown)
    }

    /// Begins to look through all processes, if it is time.
    fn begin_search(&mut self, unknown: Unknown, asked: &[(Asked, Both<Inode>)]) {
        let rests = self.rests_until.is_some_and(|until| Instant::now() < until);
        if rests || self.search.is_some() {
            return;
        }
        let Ok(processes) = procfs::process::all_processes() else { return };
        self.doubted.retain(|inode| !unknown.listening.contains(inode));
        let left = processes.flatten().map(|process| process.pid).collect();
        let asked = asked.to_vec();
        self.search = Some(Search { left, unknown, asked, took: Duration::ZERO });
    }

    fn scan(&mut self, process: &procfs::process::Process, unknown: &mut Unknown) {
        let Unknown { own, listening, found } = unknown;
        let Ok(descriptors) = process.fd() else { return };
        let mut described: Option<Arc<Process>> = None;
        for descriptor in descriptors.flatten() {
            let FDTarget::Socket(inode) = descriptor.target else { continue };
            let (connects, listens) = (own.contains(&inode), listening.contains(&inode));
            if !connects && !listens {
                continue;
            }
            let known = described.get_or_insert_with(|| Arc::new(describe(process)));
            if connects {
                // Of several that share a socket, as a server and its workers, the last one has
                // it: workers come after who started them.
                self.of.insert(inode, Arc::clone(known));
            } else if found.insert(inode)
                || self.listening.get(&inode).is_some_and(|first| first.pid == INIT)
            {
                // Which worker had it is not known; who started them is. An init that listens for
                // others (socket activation) is not meant.
                self.listening.insert(inode, Arc::clone(known));
            }
        }
        if let Some(named) = described
            && own.iter().any(|inode| self.of.get(inode).is_some_and(|of| of.pid == named.pid))
        {
            self.recent.retain(|pid| *pid != process.pid);
            self.recent.push_front(process.pid);
            self.recent.truncate(RECENT);
        }
    }
}

fn of_pid(pid: i32) -> Option<procfs::process::Process> {
    procfs::process::Process::new(pid).ok()
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

/// Time between two looks at least.
const EVERY: Duration = Duration::from_millis(10);
/// Longest time for which processes are looked at before others may ask.
const STEP: Duration = Duration::from_millis(10);
/// Time after which what was not found, or only by its listener, is looked for once more.
const AGAIN_AFTER: Duration = Duration::from_millis(300);
/// Time after which it is learned anew who listens.
const LISTENERS_LAST: Duration = Duration::from_secs(10);
/// Connections that may wait for an answer.
const ASKED_MOST: usize = 16_384;
/// Sockets that are remembered: their numbers are never used again while the system is up.
const KNOWN_MOST: usize = 65_536;
/// Processes that are looked at first.
const RECENT: usize = 16;
/// The first process of a system.
const INIT: u32 = 1;
/// Characters of a command line that are kept.
const COMMAND_SHOWN: usize = 200;

#[cfg(test)]
mod tests {
    use super::super::sockets::endpoint;
    use super::*;
    use crate::vocab::process::Programs;

    #[test]
    fn a_container_is_known_by_its_cgroup() {
        let id = "0123456789abcdef".repeat(4);
        let wanted = Some("0123456789ab".to_owned());
        assert_eq!(container(&format!("/docker/{id}")), wanted);
        assert_eq!(container(&format!("/kubepods.slice/pod1/cri-containerd-{id}.scope")), wanted);
        assert_eq!(container("/user.slice/user-1000.slice/session-2.scope"), None);
    }

    /// What is found at the ends of a connection, by a look at this moment.
    fn look(namer: &Namer, client: Endpoint, server: Endpoint) -> Programs {
        namer.ask([(FlowId(7), Both { first: client, second: server })]);
        let mut known = Known::default();
        namer.look(&mut known);
        while namer.search(&mut known) {}
        // What is known at once comes first.
        let (flow, named) = namer.answers().pop().unwrap();
        assert_eq!(flow, FlowId(7));
        named.of(client, server)
    }

    fn is_this(program: Option<Arc<Process>>) -> bool {
        let program = program.unwrap();
        assert!(!program.name.is_empty() && !program.command.is_empty());
        program.pid == std::process::id()
    }

    #[test]
    fn both_ends_of_a_connection_of_this_process_are_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let accepted = listener.accept().unwrap();
        let (client, server) =
            (endpoint(client.local_addr().unwrap()), endpoint(listener.local_addr().unwrap()));
        let programs = look(&Namer::default(), client, server);
        assert!(is_this(programs.first) && is_this(programs.second));
        drop(accepted);
    }

    #[test]
    fn a_server_is_known_of_a_connection_that_is_gone() {
        for address in ["127.0.0.1:0", "0.0.0.0:0", "[::]:0"] {
            let listener = std::net::TcpListener::bind(address).unwrap();
            let port = listener.local_addr().unwrap().port();
            let server = Endpoint { ip: "127.0.0.1".parse().unwrap(), port };
            let client = Endpoint { ip: "127.0.0.1".parse().unwrap(), port: 1 };
            let programs = look(&Namer::default(), client, server);
            assert!(programs.first.is_none() && is_this(programs.second), "{address}");
            // The same port on another host is another's.
            let elsewhere = Endpoint { ip: "192.0.2.1".parse().unwrap(), port };
            assert!(look(&Namer::default(), client, elsewhere).second.is_none());
        }
    }
}
