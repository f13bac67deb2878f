//! Room `controller`: see ARCHITECTURE.md.
