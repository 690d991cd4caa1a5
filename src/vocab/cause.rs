//! Causes.
