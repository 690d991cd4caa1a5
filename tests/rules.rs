//! Every rule of the table is told somewhere, and a test shows it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::path::{Path, PathBuf};

use common::none;
use goawhy::vocab::rule::{RULES, UNTOLD};

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_rule_is_raised_and_tested() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let table = std::fs::read_to_string(root.join("vocab/rule.rs")).unwrap();
    let mut paths = Vec::new();
    sources(&root, &mut paths);
    let (mut code, mut tests) = (String::new(), String::new());
    for path in paths.iter().filter(|path| !path.ends_with("vocab/rule.rs")) {
        let text = std::fs::read_to_string(path).unwrap();
        let is_test = path.iter().any(|part| part.to_string_lossy().starts_with("tests"));
        let (before, behind) = match text.find("#[cfg(test)]") {
            _ if is_test => ("", text.as_str()),
            Some(place) => text.split_at(place),
            None => (text.as_str(), ""),
        };
        code.push_str(before);
        tests.push_str(behind);
    }
    let mut faults = Vec::new();
    for rule in RULES {
        let constant = table.lines().find_map(|line| {
            let (name, rest) = line.trim().split_once(" = ")?;
            rest.starts_with(&format!("\"{}\"", rule.id)).then_some(name)
        });
        let constant = constant.unwrap_or_else(|| panic!("{} is not in the table", rule.id));
        let is_raised = code.match_indices(&format!("rule::{constant}")).any(|(place, found)| {
            let next = code[place + found.len()..].chars().next();
            !next.is_some_and(|letter| letter == '_' || letter.is_ascii_alphanumeric())
        });
        if !is_raised {
            faults.push(format!("{} is raised nowhere", rule.id));
        }
        let id = rule.id;
        if ![format!(" {id} "), format!("\"{id}\"")].iter().any(|text| tests.contains(text)) {
            faults.push(format!("no test shows {id}"));
        }
    }
    none(&faults);
    assert!(RULES.len() > 90 && UNTOLD.len() > 9);
}
