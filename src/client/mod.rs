//! Room `client`: see ARCHITECTURE.md.

pub mod properties;
