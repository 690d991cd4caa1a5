//! The local program behind an endpoint of a connection.

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
