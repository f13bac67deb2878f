//! Room `group`: see ARCHITECTURE.md.
