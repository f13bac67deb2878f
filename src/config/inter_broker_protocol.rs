//! `inter.broker.protocol.version`: which versions of the requests among brokers a cluster speaks.
//!
//! Source: `MetadataVersion` of Apache Kafka 3.9.

/// A release of Kafka as the key has it; ordered as the releases are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InterBrokerProtocol {
    major: u32,
    minor: u32,
    patch: u32,
    /// The number after `-IV`. A release without one means its last.
    iv: u32,
}

impl InterBrokerProtocol {
    const fn of(major: u32, minor: u32, iv: u32) -> InterBrokerProtocol {
        InterBrokerProtocol { major, minor, patch: 0, iv }
    }

    /// `3.9-IV0`, `2.8`, `0.10.2-IV0`. The text has been checked by its key: what is left out is the newest.
    pub(super) fn parse(text: &str) -> InterBrokerProtocol {
        let (release, iv) = text.split_once("-IV").unwrap_or((text, ""));
        let mut parts = release.split('.').map(|part| part.parse().unwrap_or(0));
        let (major, minor) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
        // Before 1.0 the third part belonged to the release; since then all patches of a release speak alike.
        let patch = if major == 0 { parts.next().unwrap_or(0) } else { 0 };
        InterBrokerProtocol { major, minor, patch, iv: iv.parse().unwrap_or(u32::MAX) }
    }

    fn pick(self, table: &[(InterBrokerProtocol, i16)], oldest: i16) -> i16 {
        table.iter().find(|(since, _)| self >= *since).map_or(oldest, |(_, version)| *version)
    }

    /// Of Fetch, as followers send it.
    pub fn fetch_version(self) -> i16 {
        const TABLE: &[(InterBrokerProtocol, i16)] = &[
            (InterBrokerProtocol::of(3, 9, 0), 17),
            (InterBrokerProtocol::of(3, 7, 4), 16),
            (InterBrokerProtocol::of(3, 5, 1), 15),
            (InterBrokerProtocol::of(3, 5, 0), 14),
            (InterBrokerProtocol::of(3, 1, 0), 13),
            (InterBrokerProtocol::of(2, 7, 1), 12),
            (InterBrokerProtocol::of(2, 3, 1), 11),
            (InterBrokerProtocol::of(2, 1, 2), 10),
            (InterBrokerProtocol::of(2, 0, 1), 8),
            (InterBrokerProtocol::of(1, 1, 0), 7),
        ];
        // What is older writes records as messages, which our logs do not have.
        self.pick(TABLE, 5)
    }

    /// Of OffsetForLeaderEpoch.
    pub fn offset_for_leader_epoch_version(self) -> i16 {
        const TABLE: &[(InterBrokerProtocol, i16)] = &[
            (InterBrokerProtocol::of(2, 8, 0), 4),
            (InterBrokerProtocol::of(2, 3, 1), 3),
            (InterBrokerProtocol::of(2, 1, 1), 2),
            (InterBrokerProtocol::of(2, 0, 0), 1),
        ];
        self.pick(TABLE, 0)
    }

    /// Of ListOffsets, as followers send it.
    pub fn list_offsets_version(self) -> i16 {
        const TABLE: &[(InterBrokerProtocol, i16)] = &[
            (InterBrokerProtocol::of(3, 9, 0), 9),
            (InterBrokerProtocol::of(3, 5, 0), 8),
            (InterBrokerProtocol::of(3, 0, 1), 7),
            (InterBrokerProtocol::of(2, 8, 0), 6),
            (InterBrokerProtocol::of(2, 2, 1), 5),
            (InterBrokerProtocol::of(2, 1, 1), 4),
            (InterBrokerProtocol::of(2, 0, 1), 3),
        ];
        self.pick(TABLE, 1)
    }

    /// Of LeaderAndIsr.
    pub fn leader_and_isr_version(self) -> i16 {
        const TABLE: &[(InterBrokerProtocol, i16)] = &[
            (InterBrokerProtocol::of(3, 4, 0), 7),
            (InterBrokerProtocol::of(3, 2, 0), 6),
            (InterBrokerProtocol::of(2, 8, 1), 5),
            (InterBrokerProtocol::of(2, 4, 1), 4),
            (InterBrokerProtocol::of(2, 4, 0), 3),
            (InterBrokerProtocol::of(2, 2, 0), 2),
            (InterBrokerProtocol::of(1, 0, 0), 1),
        ];
        self.pick(TABLE, 0)
    }

    /// Of StopReplica.
    pub fn stop_replica_version(self) -> i16 {
        const TABLE: &[(InterBrokerProtocol, i16)] = &[
            (InterBrokerProtocol::of(3, 4, 0), 4),
            (InterBrokerProtocol::of(2, 6, 0), 3),
            (InterBrokerProtocol::of(2, 4, 1), 2),
            (InterBrokerProtocol::of(2, 2, 0), 1),
        ];
        self.pick(TABLE, 0)
    }

    /// Of UpdateMetadata.
    pub fn update_metadata_version(self) -> i16 {
        const TABLE: &[(InterBrokerProtocol, i16)] = &[
            (InterBrokerProtocol::of(3, 4, 0), 8),
            (InterBrokerProtocol::of(2, 8, 1), 7),
            (InterBrokerProtocol::of(2, 4, 1), 6),
            (InterBrokerProtocol::of(2, 2, 0), 5),
            (InterBrokerProtocol::of(1, 0, 0), 4),
        ];
        self.pick(TABLE, 3)
    }

    /// Of ControlledShutdown.
    pub fn controlled_shutdown_version(self) -> i16 {
        const TABLE: &[(InterBrokerProtocol, i16)] =
            &[(InterBrokerProtocol::of(2, 4, 1), 3), (InterBrokerProtocol::of(2, 2, 0), 2)];
        self.pick(TABLE, 1)
    }

    /// Whether leaders ask the controller for ISRs (KIP-497); before, they write them into the registry.
    pub fn has_alter_partition(self) -> bool {
        self >= InterBrokerProtocol::of(2, 7, 2)
    }
}
