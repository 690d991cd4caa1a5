//! What the program says of itself.

use std::io::Write as _;

use super::{Exit, Output, finish};
use crate::report::json::JSON_SCHEMA;

/// Prints the JSON Schema of the report.
pub(super) fn schema() -> Exit {
    finish(Output::Standard.write(|out| out.write_all(JSON_SCHEMA.as_bytes())))
}
