//! The local program behind an endpoint of a connection.

use std::sync::Arc;

use super::address::{Both, Endpoint};

/// A process of this host, as procfs tells it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Process {
    /// Process number.
    pub pid: u32,
    /// Its short name (`comm`), printable.
    pub name: String,
    /// Its command line, printable, cut after a few hundred characters.
    pub command: String,
    /// The container it runs in, where its cgroup tells one: the first 12 digits of its id.
    pub container: Option<String>,
}

impl std::fmt::Display for Process {
    /// `nginx[4711]`, with the container behind it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}[{}]", self.name, self.pid)?;
        match &self.container {
            Some(container) => write!(f, " in container {container}"),
            None => Ok(()),
        }
    }
}

/// The programs at both ends, as far as they are known.
pub type Programs = Both<Option<Arc<Process>>>;

/// The programs at two ends, whichever of them is the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The ends.
    pub ends: Both<Endpoint>,
    /// Their programs.
    pub programs: Programs,
}

impl Named {
    /// The client's program and the server's.
    pub fn of(&self, client: Endpoint, server: Endpoint) -> Programs {
        let turned = self.ends == Both { first: server, second: client };
        if turned { self.programs.clone().swapped() } else { self.programs.clone() }
    }

    /// With what was known before where this knows nothing.
    #[must_use]
    pub fn or(self, before: &Self) -> Self {
        let known = before.of(self.ends.first, self.ends.second);
        let Both { first, second } = self.programs;
        let programs = Both { first: first.or(known.first), second: second.or(known.second) };
        Self { ends: self.ends, programs }
    }
}
