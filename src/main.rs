//! The `goawhy` command.

fn main() {}
