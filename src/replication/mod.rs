//! Room `replication`: see ARCHITECTURE.md.
