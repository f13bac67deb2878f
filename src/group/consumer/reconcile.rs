//! A member on its way from what it has to what it shall have.
//!
//! ```text
//!            must give up                              has given up
//! Stable ───────────────────▶ UnrevokedPartitions ─────────────────────┐
//!   ▲ │                                                                ▼
//!   │ └── others still have what it shall have ──▶ UnreleasedPartitions ──(they gave it up)──▶ Stable
//!   └──────────── nothing to give up, all is free ────────────
//! ```
//!
//! Source: `CurrentAssignmentBuilder` of Apache Kafka 3.9.

use super::heartbeat::{Owned, Refusal};
use super::*;

impl ConsumerGroup {
    /// The member one step further: what it may have now, what it has to give up, and its epoch.
    ///
    /// # Errors
    /// `FENCED_MEMBER_EPOCH` for a member in a state from the future that has partitions.
    pub(super) fn reconcile(&self, member: &Member, owned: &Owned) -> Result<Member, Refusal> {
        match member.state {
            MemberState::Stable if member.epoch == self.assignment_epoch => Ok(member.clone()),
            MemberState::Stable | MemberState::UnreleasedPartitions => Ok(self.next(member, member.epoch, owned)),
            MemberState::UnrevokedPartitions if still_owns(owned, &member.pending_revocation) => Ok(member.clone()),
            MemberState::UnrevokedPartitions => Ok(self.next(member, member.epoch + 1, owned)),
            MemberState::Unknown if owned.as_ref().is_some_and(Partitions::is_empty) => {
                Ok(self.next(member, self.assignment_epoch, owned))
            }
            MemberState::Unknown => {
                let message = "The consumer group member is in a unknown state. The member must abandon all its \
                               partitions and rejoin.";
                Err(Refusal::new(ErrorCode::FENCED_MEMBER_EPOCH, message))
            }
        }
    }

    /// `epoch`: the one to stay in if there is something to give up.
    fn next(&self, member: &Member, epoch: i32, owned: &Owned) -> Member {
        let nothing = Partitions::default();
        let target = self.target.get(&member.member_id).map_or(&nothing, |target| target);
        let (kept, revoked): (Vec<_>, Vec<_>) =
            member.assigned.iter().partition(|(topic, partition)| target.contains(*topic, *partition));
        let wanted = target.iter().filter(|(topic, partition)| !member.assigned.contains(*topic, *partition));
        let (waited_for, free): (Vec<_>, Vec<_>) = wanted.partition(|partition| self.holders.contains_key(partition));
        let revoked: Partitions = revoked.into_iter().collect();

        let mut next = member.clone();
        if !revoked.is_empty() && still_owns(owned, &revoked) {
            next.state = MemberState::UnrevokedPartitions;
            if epoch != next.epoch {
                next.advance_to(epoch);
            }
            next.assigned = kept.into_iter().collect();
            next.pending_revocation = revoked;
            return next;
        }
        next.state = match waited_for.is_empty() {
            true => MemberState::Stable,
            false => MemberState::UnreleasedPartitions,
        };
        if next.epoch != self.assignment_epoch {
            next.advance_to(self.assignment_epoch);
        }
        next.assigned = kept.into_iter().chain(free).collect();
        next.pending_revocation = Partitions::default();
        next
    }

    /// Whether others still have what the member shall have.
    pub(super) fn waits_for_others(&self, member: &Member) -> bool {
        let Some(target) = self.target.get(&member.member_id) else { return false };
        let lacks = |(topic, partition): &(Uuid, i32)| !member.assigned.contains(*topic, *partition);
        target.iter().filter(lacks).any(|partition| self.holders.contains_key(&partition))
    }
}

/// Whether the member has not yet given up what it must; so too if it does not say what it has.
fn still_owns(owned: &Owned, revoked: &Partitions) -> bool {
    owned.as_ref().is_none_or(|owned| owned.intersects(revoked))
}
