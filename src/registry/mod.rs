//! Room `registry`: see ARCHITECTURE.md.
