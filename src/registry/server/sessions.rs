//! Sessions: who is alive, until when, and on which connection. Pure; the clock is an argument.

use std::collections::HashMap;

/// A connection, by the number its listener gave it.
pub type ConnectionId = u64;

/// A monotonic clock, milliseconds.
pub type Millis = u64;

#[derive(Debug, Default)]
pub struct Sessions {
    sessions: HashMap<i64, Session>,
    last_id: i64,
}

#[derive(Debug)]
pub struct Session {
    pub timeout_ms: i32,
    expires_at: Millis,
    /// `None` while the client is away.
    pub connection: Option<ConnectionId>,
}

/// Length of a session's password.
pub const PASSWORD_LENGTH: usize = 16;

impl Sessions {
    /// `wall_ms`: so that ids differ from those that an earlier run of the server has given.
    pub fn new(wall_ms: i64) -> Sessions {
        // Source: `SessionTrackerImpl.initializeNextSessionId`, with the server id of a stand-alone one, 1.
        Sessions { sessions: HashMap::new(), last_id: ((wall_ms << 24) as u64 >> 8) as i64 | 1 << 56 }
    }

    /// A number that no other session has.
    pub fn next_id(&mut self) -> i64 {
        self.last_id += 1;
        while self.sessions.contains_key(&self.last_id) {
            self.last_id += 1;
        }
        self.last_id
    }

    /// Tracks a session: a new one, or one read back from disk.
    pub fn open(&mut self, id: i64, timeout_ms: i32, connection: Option<ConnectionId>, now: Millis) {
        let expires_at = now + timeout_ms.max(0) as Millis;
        self.sessions.insert(id, Session { timeout_ms, expires_at, connection });
    }

    pub fn close(&mut self, id: i64) -> Option<Session> {
        self.sessions.remove(&id)
    }

    pub fn find(&self, id: i64) -> Option<&Session> {
        self.sessions.get(&id)
    }

    /// The client is back on another connection. Returns the one it had, which is to be closed.
    pub fn attach(&mut self, id: i64, timeout_ms: i32, connection: ConnectionId, now: Millis) -> Option<ConnectionId> {
        let session = self.sessions.get_mut(&id)?;
        session.timeout_ms = timeout_ms;
        session.expires_at = now + timeout_ms.max(0) as Millis;
        session.connection.replace(connection)
    }

    /// Its connection is gone; it has until its timeout to come back.
    pub fn detach(&mut self, id: i64, connection: ConnectionId) {
        if let Some(session) = self.sessions.get_mut(&id)
            && session.connection == Some(connection)
        {
            session.connection = None;
        }
    }

    /// A sign of life.
    pub fn touch(&mut self, id: i64, now: Millis) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.expires_at = now + session.timeout_ms.max(0) as Millis;
        }
    }

    /// The sessions whose time is over, in order of id.
    pub fn expired(&self, now: Millis) -> Vec<i64> {
        let over = self.sessions.iter().filter(|(_, session)| session.expires_at <= now);
        let mut ids: Vec<i64> = over.map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids
    }

    /// When the next session may expire.
    pub fn next_expiry(&self) -> Option<Millis> {
        self.sessions.values().map(|session| session.expires_at).min()
    }

    /// All sessions, in order of id.
    pub fn iter(&self) -> impl Iterator<Item = (i64, &Session)> {
        let mut sessions: Vec<_> = self.sessions.iter().map(|(id, session)| (*id, session)).collect();
        sessions.sort_unstable_by_key(|(id, _)| *id);
        sessions.into_iter()
    }

    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Gives every session its whole timeout from now: after a restart nobody could have shown a sign of life.
    pub fn restart_clocks(&mut self, now: Millis) {
        for session in self.sessions.values_mut() {
            session.expires_at = now + session.timeout_ms.max(0) as Millis;
        }
    }
}

/// A session's password: a function of its id, so that it holds after a restart (and if Apache's server takes the
/// directory over). Source: `ZooKeeperServer.generatePasswd`, which is `java.util.Random` seeded with the id.
pub fn password(session_id: i64) -> [u8; PASSWORD_LENGTH] {
    const MULTIPLIER: u64 = 0x5_deec_e66d;
    const MASK: u64 = (1 << 48) - 1;
    let mut seed = ((session_id as u64 ^ 0xb341_5c00) ^ MULTIPLIER) & MASK;
    let mut password = [0; PASSWORD_LENGTH];
    for bytes in password.as_chunks_mut::<4>().0 {
        seed = (seed.wrapping_mul(MULTIPLIER) + 0xb) & MASK;
        // Random.nextBytes takes the low byte of the upper 32 bits first.
        *bytes = ((seed >> 16) as u32).to_le_bytes();
    }
    password
}

#[cfg(test)]
mod tests;
