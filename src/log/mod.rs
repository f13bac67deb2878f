//! Room `log`: see ARCHITECTURE.md.
