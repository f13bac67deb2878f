//! Room `transaction`: see ARCHITECTURE.md.
