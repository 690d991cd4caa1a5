//! Least privilege: after the capture is open, everything that is no longer needed is given up.

use std::fs::File;
use std::os::unix::fs::fchown;
use std::path::{Path, PathBuf};

use caps::{CapSet, Capability, CapsHashSet};
use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, NetPort, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, path_beneath_rules,
};
use nix::unistd::{Gid, Uid, User, setgroups, setresgid, setresuid};

use super::command::Commands;

/// What may be given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Become another user where this one is root.
    pub drop_user: bool,
    /// Be shut in by Landlock.
    pub sandbox: bool,
}

/// Gives up being root, keeping `kept` alone. What was done, in a clause. Files that were `made`
/// go to the new user, who may have to open them again. Where files have to be written as root,
/// `commands` still run as that user.
///
/// Before other threads are started: capabilities are those of one thread and its offspring.
///
/// # Errors
/// What failed, in a clause. Then nothing is sure, and the program should not go on.
pub(super) fn drop_user(
    writes: &[PathBuf],
    made: &[&File],
    kept: &[Capability],
    commands: Option<&Commands>,
) -> Result<String, String> {
    let said = |what: &str, error: &dyn std::fmt::Display| format!("cannot {what}: {error}");
    if !Uid::effective().is_root() {
        // The capabilities of its file (setcap) have done what they were for.
        let held =
            caps::read(None, CapSet::Permitted).map_err(|e| said("read capabilities", &e))?;
        let kept: CapsHashSet = kept.iter().copied().filter(|cap| held.contains(cap)).collect();
        return keep(&kept).map(|names| format!("not root: no user to drop; keeps {names}"));
    }
    let (uid, gid) = unprivileged();
    // Files take turns after this: whoever writes them must be able to.
    let stays = writes.iter().any(|folder| !is_writable(folder, uid));
    if !stays {
        for file in made {
            // Where the file system does not know of owners, whoever this becomes may open it.
            let _ = fchown(file, Some(uid.as_raw()), Some(gid.as_raw()));
        }
        caps::securebits::set_keepcaps(true).map_err(|e| said("keep capabilities", &e))?;
        setgroups(&[gid]).map_err(|e| said("drop groups", &e))?;
        setresgid(gid, gid, gid).map_err(|e| said("drop the group", &e))?;
        setresuid(uid, uid, uid).map_err(|e| said("drop the user", &e))?;
    } else if let Some(commands) = commands {
        let begun = commands.begin_as(uid.as_raw(), gid.as_raw());
        begun.map_err(|e| said("drop the user for the command of alarms", &e))?;
    }
    let names = keep(&kept.iter().copied().collect())?;
    Ok(match stays {
        true if commands.is_some() => format!(
            "stays user 0, whose folder is written, and starts commands as user {uid}, group \
             {gid}; keeps {names}"
        ),
        true => format!("stays user 0, whose folder is written; keeps {names}"),
        false => format!("user {uid}, group {gid}; keeps {names}"),
    })
}

/// Keeps these capabilities alone; gives their names.
fn keep(kept: &CapsHashSet) -> Result<String, String> {
    let only = |set, wanted: &CapsHashSet| {
        caps::set(None, set, wanted).map_err(|error| format!("cannot drop capabilities: {error}"))
    };
    only(CapSet::Effective, kept)?;
    only(CapSet::Permitted, kept)?;
    only(CapSet::Inheritable, &CapsHashSet::new())?;
    let names: Vec<String> = kept.iter().map(ToString::to_string).collect();
    Ok(if names.is_empty() { "no capability".to_owned() } else { names.join(", ") })
}

/// Shuts this thread and those that it will start in: files can be read where the program has to,
/// written in `writes` alone, and no connection can be made but to the port `connects`. What was
/// done, in a clause.
pub(super) fn sandbox(reads: &[PathBuf], writes: &[PathBuf], connects: Option<u16>) -> String {
    let system = ["/proc", "/sys", "/etc", "/usr/share/zoneinfo", "/dev"].map(PathBuf::from);
    let reads: Vec<&Path> = system.iter().chain(reads).map(PathBuf::as_path).collect();
    let abi = ABI::V4;
    let done = || {
        Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(abi))?
            .handle_access(AccessNet::from_all(abi))?
            .create()?
            .add_rules(path_beneath_rules(reads, AccessFs::from_read(abi)))?
            .add_rules(path_beneath_rules(writes, AccessFs::from_all(abi)))?
            .add_rules(
                connects
                    .map(|port| Ok::<_, RulesetError>(NetPort::new(port, AccessNet::ConnectTcp))),
            )?
            .restrict_self()
    };
    match done().map(|status| status.ruleset) {
        Ok(RulesetStatus::FullyEnforced) => "shut in by Landlock".to_owned(),
        Ok(RulesetStatus::PartiallyEnforced) => "shut in by Landlock as far as it goes".to_owned(),
        Ok(RulesetStatus::NotEnforced) => "this kernel has no Landlock".to_owned(),
        Err(error) => format!("Landlock failed: {error}"),
    }
}

/// Who called sudo, else nobody.
fn unprivileged() -> (Uid, Gid) {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok().filter(|id| *id != 0);
    if let (Some(uid), Some(gid)) = (number("SUDO_UID"), number("SUDO_GID")) {
        return (Uid::from_raw(uid), Gid::from_raw(gid));
    }
    let nobody = User::from_name("nobody").ok().flatten();
    nobody.map_or((Uid::from_raw(NOBODY), Gid::from_raw(NOBODY)), |user| (user.uid, user.gid))
}

/// Whether a user may make files in a folder, as far as its owner and mode tell.
fn is_writable(folder: &Path, uid: Uid) -> bool {
    use std::os::unix::fs::MetadataExt;
    let Ok(facts) = folder.metadata() else { return false };
    let bit = if facts.uid() == uid.as_raw() { 0o200 } else { 0o002 };
    facts.mode() & bit != 0
}

/// The number of nobody on every Linux that does not say otherwise.
const NOBODY: u32 = 65_534;
