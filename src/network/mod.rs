//! Room `network`: see ARCHITECTURE.md.
