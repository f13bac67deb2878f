//! Fetch sessions (KIP-227): what a client fetches is remembered here, so that a request names only what changed and
//! an answer only what is new.
//!
//! - epoch -1: no session, and an end to the one named · epoch 0: a new one · epoch n: the next of this session
//! - A session's epoch counts its requests; one that is not the next is refused.
//! - An incremental answer leaves out partitions without records, error, or a changed watermark or log start.
//! - Partitions that had records go to the end of the queue, so that none starves when an answer is full.
//!
//! A value: ids and the clock are given to it. Source: `FetchSession`, `FetchSessionCache`, `FetchManager`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::wire::{ErrorCode, Uuid};

/// Milliseconds of any clock that does not go back.
pub(super) type Millis = u64;

/// A session that was not used for so long gives way to a new one when there are no slots left.
const EVICTION_MS: Millis = 120_000;
/// Says "no session" as an id; "begin a session" as an epoch.
const NONE: i32 = 0;
/// Says "no session from here on" as an epoch.
const FINAL_EPOCH: i32 = -1;

/// How a request names a topic: by name up to version 12, by id from 13 on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum TopicRef {
    Name(Arc<str>),
    Id(Uuid),
}

/// A partition, as requests name it.
pub(super) type PartitionRef = (TopicRef, i32);

/// What a client wants to read of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub topic: TopicRef,
    pub partition: i32,
    pub fetch_offset: i64,
    /// None: the client does not say which leader epoch it believes in.
    pub current_leader_epoch: Option<i32>,
    /// The epoch of the last record the client has; None: it does not say.
    pub last_fetched_epoch: Option<i32>,
    /// A follower's log start; -1 from a consumer.
    pub log_start_offset: i64,
    pub max_bytes: i32,
}

/// What an answer says of one partition, as far as the session must remember it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub error: ErrorCode,
    pub has_records: bool,
    /// The client is sent back in its log, or to another replica.
    pub diverged: bool,
    pub high_watermark: i64,
    pub log_start_offset: i64,
}

/// The partitions of a session, in the order in which they are read.
#[derive(Debug, Default)]
pub(super) struct FetchSession {
    by_turn: BTreeMap<u64, Remembered>,
    turns: HashMap<PartitionRef, u64>,
    next_turn: u64,
    /// The epoch that the next request must have.
    epoch: i32,
    uses_ids: bool,
}

#[derive(Debug)]
struct Remembered {
    wanted: Wanted,
    high_watermark: i64,
    log_start_offset: i64,
}

impl FetchSession {
    fn new(wanted: impl IntoIterator<Item = Wanted>, uses_ids: bool) -> FetchSession {
        let mut session = FetchSession { epoch: 1, uses_ids, ..FetchSession::default() };
        session.want(wanted);
        session
    }

    fn want(&mut self, wanted: impl IntoIterator<Item = Wanted>) {
        for wanted in wanted {
            let name = (wanted.topic.clone(), wanted.partition);
            match self.turns.get(&name).and_then(|turn| self.by_turn.get_mut(turn)) {
                Some(remembered) => remembered.wanted = wanted,
                None => {
                    // Nothing was told yet, so the first answer names the partition in any case.
                    let fresh = Remembered { wanted, high_watermark: -1, log_start_offset: -1 };
                    self.turns.insert(name, self.next_turn);
                    self.by_turn.insert(self.next_turn, fresh);
                    self.next_turn += 1;
                }
            }
        }
    }

    fn forget(&mut self, forgotten: &[PartitionRef]) {
        for name in forgotten {
            if let Some(turn) = self.turns.remove(name) {
                self.by_turn.remove(&turn);
            }
        }
    }

    /// The partitions with the turn by which [`FetchSession::told`] knows them, in the order of reading.
    pub fn wanted(&self) -> impl Iterator<Item = (u64, &Wanted)> {
        self.by_turn.iter().map(|(turn, remembered)| (*turn, &remembered.wanted))
    }

    pub fn len(&self) -> usize {
        self.by_turn.len()
    }

    /// Whether an incremental answer has to name this partition.
    pub fn is_news(&self, turn: u64, told: &Told) -> bool {
        let Some(remembered) = self.by_turn.get(&turn) else { return false };
        told.has_records
            || told.diverged
            || told.error != ErrorCode::NONE
            || told.high_watermark != remembered.high_watermark
            || told.log_start_offset != remembered.log_start_offset
    }

    /// Remembers what the client is being told.
    pub fn told(&mut self, turn: u64, told: &Told) {
        let Some(remembered) = self.by_turn.get_mut(&turn) else { return };
        // After an error the next answer names the partition again, whatever it says.
        remembered.high_watermark = if told.error == ErrorCode::NONE { told.high_watermark } else { -1 };
        remembered.log_start_offset = told.log_start_offset;
        if told.has_records
            && let Some(remembered) = self.by_turn.remove(&turn)
        {
            self.turns.insert((remembered.wanted.topic.clone(), remembered.wanted.partition), self.next_turn);
            self.by_turn.insert(self.next_turn, remembered);
            self.next_turn += 1;
        }
    }
}

/// How a request is to be answered.
#[derive(Clone, Debug)]
pub(super) enum Context {
    /// These partitions, and no session.
    Sessionless(Vec<Wanted>),
    /// These partitions, all of them named in the answer, which carries the new session's id (0: none was free).
    New { id: i32, session: Arc<Mutex<FetchSession>> },
    /// What the session remembers; the answer names the news.
    Incremental { id: i32, session: Arc<Mutex<FetchSession>> },
}

/// All sessions of a broker.
#[derive(Debug)]
pub(in crate::broker) struct FetchSessions {
    max_slots: usize,
    sessions: HashMap<i32, Slot>,
}

#[derive(Debug)]
struct Slot {
    session: Arc<Mutex<FetchSession>>,
    /// A follower's session, which no consumer's may push out.
    is_follower: bool,
    last_used: Millis,
    created: Millis,
    size: usize,
}

/// What a request says about sessions.
#[derive(Debug)]
pub(super) struct Request {
    pub session_id: i32,
    pub session_epoch: i32,
    pub wanted: Vec<Wanted>,
    pub forgotten: Vec<PartitionRef>,
    pub uses_ids: bool,
    pub is_follower: bool,
}

impl FetchSessions {
    /// `max_slots`: `max.incremental.fetch.session.cache.slots`.
    pub(in crate::broker) fn new(max_slots: usize) -> FetchSessions {
        FetchSessions { max_slots, sessions: HashMap::new() }
    }

    /// Says what a request asks for. `new_id` makes random ids; the first positive one that is free becomes a new
    /// session's.
    ///
    /// # Errors
    /// `FETCH_SESSION_ID_NOT_FOUND`, `INVALID_FETCH_SESSION_EPOCH`, `FETCH_SESSION_TOPIC_ID_ERROR`: the whole answer.
    pub(super) fn enter(
        &mut self,
        request: Request,
        new_id: impl FnMut() -> i32,
        now: Millis,
    ) -> Result<Context, ErrorCode> {
        match request.session_epoch {
            FINAL_EPOCH => {
                self.sessions.remove(&request.session_id);
                Ok(Context::Sessionless(request.wanted))
            }
            NONE => {
                self.sessions.remove(&request.session_id);
                Ok(self.create(request, new_id, now))
            }
            _ => self.go_on(request, now),
        }
    }

    fn go_on(&mut self, request: Request, now: Millis) -> Result<Context, ErrorCode> {
        let id = request.session_id;
        let slot = self.sessions.get_mut(&id).ok_or(ErrorCode::FETCH_SESSION_ID_NOT_FOUND)?;
        let shared = slot.session.clone();
        let mut session = shared.lock();
        if request.session_epoch != session.epoch {
            return Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH);
        }
        if request.uses_ids != session.uses_ids {
            return Err(ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR);
        }
        session.want(request.wanted);
        session.forget(&request.forgotten);
        if session.len() == 0 {
            self.sessions.remove(&id);
            return Ok(Context::Sessionless(Vec::new()));
        }
        // Behind the largest number comes 1: 0 begins a session.
        session.epoch = session.epoch.checked_add(1).unwrap_or(1);
        slot.last_used = now;
        slot.size = session.len();
        drop(session);
        Ok(Context::Incremental { id, session: shared })
    }

    fn create(&mut self, request: Request, mut new_id: impl FnMut() -> i32, now: Millis) -> Context {
        let session = FetchSession::new(request.wanted, request.uses_ids);
        let size = session.len();
        let session = Arc::new(Mutex::new(session));
        if size == 0 || !self.make_room(request.is_follower, size, now) {
            return Context::New { id: NONE, session };
        }
        let id = loop {
            let id = new_id();
            if id > NONE && !self.sessions.contains_key(&id) {
                break id;
            }
        };
        let slot =
            Slot { session: session.clone(), is_follower: request.is_follower, last_used: now, created: now, size };
        self.sessions.insert(id, slot);
        Context::New { id, session }
    }

    /// Whether there is a free slot, or one was made free.
    fn make_room(&mut self, is_follower: bool, size: usize, now: Millis) -> bool {
        if self.sessions.len() < self.max_slots {
            return true;
        }
        let unused = self.sessions.iter().min_by_key(|(_, slot)| slot.last_used);
        let unused = unused.filter(|(_, slot)| now.saturating_sub(slot.last_used) > EVICTION_MS).map(|(id, _)| *id);
        let weaker = || {
            // Followers count more than consumers, and large sessions more than small ones, which are cheap to send.
            let weakest = self.sessions.iter().min_by_key(|(_, slot)| (slot.is_follower, slot.size, slot.last_used));
            let (id, slot) = weakest?;
            let is_old = now.saturating_sub(slot.created) > EVICTION_MS;
            let is_weaker = (slot.is_follower, slot.size) < (is_follower, size);
            (is_weaker && (is_old || is_follower && !slot.is_follower)).then_some(*id)
        };
        match unused.or_else(weaker) {
            Some(id) => self.sessions.remove(&id).is_some(),
            None => false,
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.sessions.len()
    }
}

#[cfg(test)]
mod tests;
