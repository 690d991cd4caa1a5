//! What /proc tells of this program's output and of who started it.

use procfs::ProcError;
use procfs::process::{FDInfo, FDTarget, Process};

use super::{Own, of_ssh};
use crate::run::sockets::Sockets;
use crate::vocab::address::Endpoint;

pub(super) fn connections() -> Vec<Own> {
    let Ok(myself) = Process::myself() else { return Vec::new() };
    let sockets = Sockets::now();
    let mut found = standard_streams(&myself, &sockets);
    let ancestors = ancestors(myself);
    let told = ancestors.iter().find_map(ssh_connection);
    found.extend(told.or_else(|| ancestors.iter().find_map(|of| session(of, &sockets))));
    found
}

/// A process and those that started it, nearest first.
fn ancestors(process: Process) -> Vec<Process> {
    let mut line = vec![process];
    while line.len() < GENERATIONS
        && let Some(parent) = line.last().and_then(|child| child.stat().ok()).map(|stat| stat.ppid)
        && parent > 0
        && let Ok(parent) = Process::new(parent)
    {
        line.push(parent);
    }
    line
}

/// Connections that are standard streams, as inetd or a shell's redirection makes them.
fn standard_streams(myself: &Process, sockets: &Sockets) -> Vec<Own> {
    let inodes: Vec<u64> = (0..=2).filter_map(|of| socket(myself.fd_from_fd(of))).collect();
    let by = "a standard stream of this program";
    connected(sockets, &inodes).map(|(here, there)| Own { here, there, by }).collect()
}

/// What sshd tells whoever it starts.
fn ssh_connection(process: &Process) -> Option<Own> {
    let environment = process.environ().ok()?;
    of_ssh(environment.get(std::ffi::OsStr::new("SSH_CONNECTION"))?.to_str()?)
}

/// The connection that a process of sshd serves: one that it accepted, for forwarded ones it makes.
fn session(process: &Process, sockets: &Sockets) -> Option<Own> {
    if !process.stat().ok()?.comm.starts_with("sshd") {
        return None;
    }
    let mut descriptors: Vec<FDInfo> = process.fd().ok()?.flatten().collect();
    descriptors.sort_by_key(|descriptor| descriptor.fd);
    let inodes: Vec<u64> = descriptors.into_iter().filter_map(|of| socket(Ok(of))).collect();
    let mut accepted = connected(sockets, &inodes);
    let (here, there) = accepted.find(|(here, _)| sockets.listener(*here).is_some())?;
    Some(Own { here, there, by: "a socket of sshd" })
}

fn socket(descriptor: Result<FDInfo, ProcError>) -> Option<u64> {
    match descriptor.ok()?.target {
        FDTarget::Socket(inode) => Some(inode),
        _ => None,
    }
}

/// Local and remote ends, in the order of the inodes.
fn connected(sockets: &Sockets, inodes: &[u64]) -> impl Iterator<Item = (Endpoint, Endpoint)> {
    inodes.iter().filter_map(|wanted| {
        let mut all = sockets.connected.iter();
        all.find(|(_, inode)| *inode == wanted).map(|(ends, _)| *ends)
    })
}

/// Ancestors that are looked at: enough for sudo in a script in a shell.
const GENERATIONS: usize = 32;
