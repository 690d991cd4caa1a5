//! What `goawhy --version` tells of the build. Asks git where there is one; downloads nothing.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=GOAWHY_BUILD");
    let commit = std::env::var("GOAWHY_BUILD").ok().or_else(commit).unwrap_or_default();
    let commit = if commit.is_empty() { commit } else { format!(" ({commit})") };
    println!("cargo:rustc-env=GOAWHY_COMMIT={commit}");
    let live = std::env::var_os("CARGO_FEATURE_LIVE").is_some();
    let otlp = std::env::var_os("CARGO_FEATURE_OTLP").is_some();
    let features = match (live, otlp) {
        (false, _) => " without live capture",
        (true, true) => " with OTLP",
        (true, false) => "",
    };
    println!("cargo:rustc-env=GOAWHY_FEATURES={features}");
}

/// The commit, in release builds: others are built again with every change anyway, and would be
/// with every commit too.
fn commit() -> Option<String> {
    if std::env::var("PROFILE").ok()? != "release" {
        return None;
    }
    let head = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    println!("cargo:rerun-if-changed={head}");
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    let sign = if changed.is_empty() { "" } else { "+" };
    Some(format!("{}{sign}", git(&["rev-parse", "--short=10", "HEAD"])?))
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
