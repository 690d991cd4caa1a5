//! Parts of the README that a test writes.

use std::fs;

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");

/// Compares the part of the README between two marks; `UPDATE=1` rewrites it.
pub fn stored(mark: &str, wanted: &str) {
    let text = fs::read_to_string(README).unwrap();
    let (open, close) = (format!("<!-- {mark} -->\n"), format!("<!-- /{mark} -->"));
    let (before, rest) = text.split_once(&open).expect("the opening mark");
    let (found, after) = rest.split_once(&close).expect("the closing mark");
    if std::env::var_os("UPDATE").is_some() {
        if found != wanted {
            fs::write(README, format!("{before}{open}{wanted}{close}{after}")).unwrap();
        }
        return;
    }
    assert_eq!(found, wanted, "rewrite it with UPDATE=1 cargo test");
}
