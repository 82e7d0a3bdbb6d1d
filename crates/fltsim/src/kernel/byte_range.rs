//! Byte-range locks of one file: what is locked for whom, and who waits for what.
//!
//! The file system has such a set for each of its streams, and every `FILE_LOCK` of a driver is
//! one. A set calls nobody: who has waited is told by its caller, once that holds no lock.

use fltmgr_sys::{
    NTSTATUS, STATUS_CANCELLED, STATUS_INVALID_LOCK_RANGE, STATUS_LOCK_NOT_GRANTED,
    STATUS_RANGE_NOT_LOCKED,
};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// A range of bytes; it may be empty, and may lie behind the end of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) start: u64,
    pub(crate) length: u64,
}

impl Range {
    /// The last byte; for an empty range the one before it, which it takes for its place.
    const fn last(self) -> i128 {
        self.start as i128 + self.length as i128 - 1
    }

    const fn overlaps(self, other: Self) -> bool {
        self.start as i128 <= other.last() && self.last() >= other.start as i128
    }

    const fn is_valid(self) -> bool {
        self.last() <= u64::MAX as i128
    }
}

/// Whom a lock belongs to: an open, and the process that asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) file: u64,
    pub(crate) process: u64,
}

/// A lock, held or wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lock {
    pub(crate) range: Range,
    pub(crate) exclusive: bool,
    pub(crate) key: u32,
    pub(crate) owner: Owner,
}

impl Lock {
    fn is_of(&self, other: &Self) -> bool {
        self.owner == other.owner && self.key == other.key
    }

    /// Whether this lock, which is held, keeps another one from being granted.
    fn excludes(&self, wanted: &Self) -> bool {
        if !self.range.overlaps(wanted.range) {
            return false;
        }
        if self.exclusive {
            wanted.exclusive || !self.is_of(wanted)
        } else {
            wanted.exclusive
        }
    }

    /// Whether this lock, which is held, keeps others from reading, or from writing if they are
    /// exclusive. A shared lock keeps its own owner from writing too.
    fn forbids(&self, access: &Self) -> bool {
        if !self.range.overlaps(access.range) {
            return false;
        }
        if self.exclusive {
            !self.is_of(access)
        } else {
            access.exclusive
        }
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Lock,
    UnlockSingle,
    UnlockAll,
    UnlockAllByKey,
}

/// What names one request for a lock; later ones have higher tickets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(pub(crate) u64);

impl Ticket {
    pub(crate) fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// Whom to tell that a lock was granted, or why it never will be.
pub(crate) type Waiter = Box<dyn FnOnce(Result<(), NTSTATUS>) + Send>;

/// How a request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Done,
    /// The waiter is told later.
    Waits,
}

/// Those who have waited and are to be told.
#[must_use = "somebody waits to be told"]
#[derive(Default)]
pub(crate) struct Ended(Vec<(Waiter, Result<(), NTSTATUS>)>);

impl fmt::Debug for Ended {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Ended").field(&self.0.len()).finish()
    }
}

impl Ended {
    pub(crate) fn extend(&mut self, more: Self) {
        self.0.extend(more.0);
    }

    /// Tells them. No lock may be held: whoever is told may begin whatever he wants.
    pub(crate) fn tell(self) {
        for (waiter, result) in self.0 {
            waiter(result);
        }
    }
}

/// What came of a request.
pub(crate) struct Performed {
    pub(crate) answer: Result<Answer, NTSTATUS>,
    /// The locks that are gone.
    pub(crate) removed: Vec<Lock>,
    pub(crate) ended: Ended,
}

impl From<Result<Answer, NTSTATUS>> for Performed {
    /// An answer that nobody else hears of.
    fn from(answer: Result<Answer, NTSTATUS>) -> Self {
        Self {
            answer,
            removed: Vec::new(),
            ended: Ended::default(),
        }
    }
}

struct Waiting {
    ticket: Ticket,
    lock: Lock,
    waiter: Waiter,
}

/// The byte-range locks of one file.
#[derive(Default)]
pub(crate) struct RangeLocks {
    held: Vec<(Ticket, Lock)>,
    waiting: Vec<Waiting>,
}

impl fmt::Debug for RangeLocks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RangeLocks")
            .field("held", &self.held)
            .field("waiting", &self.waiting.len())
            .finish()
    }
}

impl RangeLocks {
    /// Performs a request. Without a waiter, a lock that cannot be had now is refused.
    pub(crate) fn perform(
        &mut self,
        action: Action,
        lock: Lock,
        ticket: Ticket,
        waiter: Option<Waiter>,
    ) -> Performed {
        let ranged = matches!(action, Action::Lock | Action::UnlockSingle);
        if ranged && !lock.range.is_valid() {
            return Performed::from(Err(STATUS_INVALID_LOCK_RANGE));
        }
        let removed = match action {
            Action::Lock => return Performed::from(self.lock(lock, ticket, waiter)),
            Action::UnlockSingle => self.take_single(&lock).into_iter().collect(),
            Action::UnlockAll => self.take(|one| one.owner == lock.owner),
            Action::UnlockAllByKey => self.take(|one| one.is_of(&lock)),
        };
        if removed.is_empty() {
            return Performed::from(Err(STATUS_RANGE_NOT_LOCKED));
        }
        Performed {
            answer: Ok(Answer::Done),
            removed,
            ended: self.grant(),
        }
    }

    fn lock(
        &mut self,
        lock: Lock,
        ticket: Ticket,
        waiter: Option<Waiter>,
    ) -> Result<Answer, NTSTATUS> {
        if !self.is_excluded(&lock) {
            self.held.push((ticket, lock));
            return Ok(Answer::Done);
        }
        let waiter = waiter.ok_or(STATUS_LOCK_NOT_GRANTED)?;
        self.waiting.push(Waiting {
            ticket,
            lock,
            waiter,
        });
        Ok(Answer::Waits)
    }

    fn is_excluded(&self, wanted: &Lock) -> bool {
        self.held.iter().any(|(_, held)| held.excludes(wanted))
    }

    /// Takes exactly this lock; of two that are alike, the exclusive one goes first.
    fn take_single(&mut self, wanted: &Lock) -> Option<Lock> {
        let same = |(_, held): &(Ticket, Lock)| held.range == wanted.range && held.is_of(wanted);
        let exclusive = self
            .held
            .iter()
            .position(|one| same(one) && one.1.exclusive);
        let at = exclusive.or_else(|| self.held.iter().position(same))?;
        Some(self.held.remove(at).1)
    }

    fn take(&mut self, mut wanted: impl FnMut(&Lock) -> bool) -> Vec<Lock> {
        let taken = self.held.extract_if(.., |(_, lock)| wanted(lock));
        taken.map(|(_, lock)| lock).collect()
    }

    /// Grants what can be had now, first come, first served.
    fn grant(&mut self) -> Ended {
        let mut ended = Ended::default();
        for one in std::mem::take(&mut self.waiting) {
            if self.is_excluded(&one.lock) {
                self.waiting.push(one);
            } else {
                self.held.push((one.ticket, one.lock));
                ended.0.push((one.waiter, Ok(())));
            }
        }
        ended
    }

    /// Takes a lock back that was granted, if it is still there.
    pub(crate) fn revoke(&mut self, ticket: Ticket) -> Ended {
        self.held.retain(|(one, _)| *one != ticket);
        self.grant()
    }

    /// Whoever has a ticket waits no longer; `None` if he does not wait any more.
    pub(crate) fn withdraw(&mut self, ticket: Ticket) -> Option<Waiter> {
        let at = self.waiting.iter().position(|one| one.ticket == ticket)?;
        Some(self.waiting.remove(at).waiter)
    }

    /// An open ends: its locks go, and what it waits for is cancelled.
    pub(crate) fn close(&mut self, file: u64) -> Ended {
        self.take(|lock| lock.owner.file == file);
        let of_file = |one: &mut Waiting| one.lock.owner.file == file;
        let waiting = self.waiting.extract_if(.., of_file);
        let mut ended = Ended(
            waiting
                .map(|one| (one.waiter, Err(STATUS_CANCELLED)))
                .collect(),
        );
        ended.extend(self.grant());
        ended
    }

    /// Everything ends; whoever waits is told that there is nothing to be had any more.
    pub(crate) fn clear(&mut self) -> Ended {
        self.held.clear();
        let waiting = self.waiting.drain(..);
        Ended(
            waiting
                .map(|one| (one.waiter, Err(STATUS_RANGE_NOT_LOCKED)))
                .collect(),
        )
    }

    /// Whether somebody may read, or write if the access is exclusive.
    pub(crate) fn allows(&self, access: &Lock) -> bool {
        access.range.length == 0 || !self.held.iter().any(|(_, held)| held.forbids(access))
    }

    /// How many locks are held, and how many are waited for.
    pub(crate) fn count(&self) -> (usize, usize) {
        (self.held.len(), self.waiting.len())
    }

    /// The first lock behind a ticket.
    pub(crate) fn after(&self, ticket: Ticket) -> Option<(Ticket, Lock)> {
        let later = self.held.iter().filter(|(one, _)| *one > ticket);
        later.min_by_key(|(one, _)| *one).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    const MINE: Owner = Owner {
        file: 1,
        process: 4,
    };
    const OTHER: Owner = Owner {
        file: 2,
        process: 4,
    };
    /// The same open in the hands of another process.
    const INHERITED: Owner = Owner {
        file: 1,
        process: 8,
    };

    fn lock(owner: Owner, start: u64, length: u64, exclusive: bool) -> Lock {
        Lock {
            range: Range { start, length },
            exclusive,
            key: 0,
            owner,
        }
    }

    fn with_key(mut lock: Lock, key: u32) -> Lock {
        lock.key = key;
        lock
    }

    fn take(locks: &mut RangeLocks, lock: Lock) -> Result<Answer, NTSTATUS> {
        locks
            .perform(Action::Lock, lock, Ticket::next(), None)
            .answer
    }

    fn perform(
        locks: &mut RangeLocks,
        action: Action,
        lock: Lock,
    ) -> (usize, Result<(), NTSTATUS>) {
        let performed = locks.perform(action, lock, Ticket::next(), None);
        performed.ended.tell();
        (performed.removed.len(), performed.answer.map(drop))
    }

    type Told = Arc<Mutex<Vec<(u32, Result<(), NTSTATUS>)>>>;

    fn wait(locks: &mut RangeLocks, lock: Lock, told: &Told) -> Ticket {
        let told = Arc::clone(told);
        let ticket = Ticket::next();
        let waiter: Waiter = Box::new(move |result| told.lock().unwrap().push((lock.key, result)));
        let performed = locks.perform(Action::Lock, lock, ticket, Some(waiter));
        assert_eq!(performed.answer, Ok(Answer::Waits));
        ticket
    }

    #[test]
    fn what_excludes_what() {
        const NO: Result<Answer, NTSTATUS> = Err(STATUS_LOCK_NOT_GRANTED);
        const YES: Result<Answer, NTSTATUS> = Ok(Answer::Done);
        // Held exclusively by whom, wanted by whom and how, granted.
        for (held, wanted, expected) in [
            (lock(MINE, 10, 10, true), lock(OTHER, 19, 1, true), NO),
            (lock(MINE, 10, 10, true), lock(OTHER, 20, 1, true), YES),
            (lock(MINE, 10, 10, true), lock(OTHER, 0, 10, true), YES),
            (lock(MINE, 10, 10, true), lock(OTHER, 0, 11, false), NO),
            (lock(MINE, 10, 10, true), lock(INHERITED, 12, 1, false), NO),
            // An owner may share what he has, but not have it twice.
            (lock(MINE, 10, 10, true), lock(MINE, 10, 10, true), NO),
            (lock(MINE, 10, 10, true), lock(MINE, 10, 10, false), YES),
            (
                lock(MINE, 10, 10, true),
                with_key(lock(MINE, 10, 10, false), 1),
                NO,
            ),
            (lock(MINE, 10, 10, false), lock(OTHER, 10, 10, false), YES),
            (lock(MINE, 10, 10, false), lock(OTHER, 10, 10, true), NO),
            (lock(MINE, 10, 10, false), lock(MINE, 10, 10, true), NO),
            // Empty ranges: inside of one that is locked, at its edges, and the very first.
            (lock(MINE, 10, 10, true), lock(OTHER, 15, 0, true), NO),
            (lock(MINE, 10, 10, true), lock(OTHER, 10, 0, true), YES),
            (lock(MINE, 10, 10, true), lock(OTHER, 20, 0, true), YES),
            (lock(MINE, 0, 10, true), lock(OTHER, 0, 0, true), YES),
            (lock(MINE, 0, 0, true), lock(OTHER, 0, 10, true), YES),
            (
                lock(MINE, u64::MAX, 1, true),
                lock(OTHER, 0, u64::MAX, true),
                YES,
            ),
            (
                lock(MINE, u64::MAX, 1, true),
                lock(OTHER, 1, u64::MAX, true),
                NO,
            ),
        ] {
            let mut locks = RangeLocks::default();
            assert_eq!(take(&mut locks, held), YES);
            assert_eq!(take(&mut locks, wanted), expected, "{held:?} {wanted:?}");
        }
        let mut locks = RangeLocks::default();
        let beyond = lock(MINE, 2, u64::MAX, true);
        assert_eq!(take(&mut locks, beyond), Err(STATUS_INVALID_LOCK_RANGE));
        let unlocked = perform(&mut locks, Action::UnlockSingle, beyond);
        assert_eq!(unlocked, (0, Err(STATUS_INVALID_LOCK_RANGE)));
    }

    #[test]
    fn who_may_read_and_write() {
        // Held; accessed by whom; may read; may write.
        for (held, who, read, write) in [
            (lock(MINE, 10, 10, true), MINE, true, true),
            (lock(MINE, 10, 10, true), OTHER, false, false),
            (lock(MINE, 10, 10, true), INHERITED, false, false),
            (lock(MINE, 10, 10, false), MINE, true, false),
            (lock(MINE, 10, 10, false), OTHER, true, false),
            (with_key(lock(MINE, 10, 10, true), 3), MINE, false, false),
        ] {
            let mut locks = RangeLocks::default();
            assert_eq!(take(&mut locks, held), Ok(Answer::Done));
            for (start, length) in [(19, 1), (0, 11), (0, 100)] {
                let may = |exclusive| locks.allows(&lock(who, start, length, exclusive));
                assert_eq!((may(false), may(true)), (read, write), "{held:?} {who:?}");
            }
            for (start, length) in [(20, 1), (0, 10), (15, 0)] {
                let may = |exclusive| locks.allows(&lock(who, start, length, exclusive));
                assert_eq!((may(false), may(true)), (true, true), "{held:?} {who:?}");
            }
        }
        let mut locks = RangeLocks::default();
        let keyed = with_key(lock(MINE, 0, 1, true), 3);
        assert_eq!(take(&mut locks, keyed), Ok(Answer::Done));
        assert!(locks.allows(&keyed));
    }

    #[test]
    fn unlocking_takes_what_is_named() {
        let mut locks = RangeLocks::default();
        let first = lock(MINE, 0, 10, true);
        for one in [
            first,
            lock(MINE, 0, 10, false),
            with_key(lock(MINE, 20, 5, false), 7),
            with_key(lock(MINE, 30, 5, false), 7),
            lock(INHERITED, 40, 5, true),
            with_key(lock(OTHER, 50, 5, true), 7),
        ] {
            assert_eq!(take(&mut locks, one), Ok(Answer::Done));
        }
        let nothing = (0, Err(STATUS_RANGE_NOT_LOCKED));
        for wrong in [
            lock(MINE, 0, 9, true),
            lock(MINE, 1, 9, true),
            lock(OTHER, 0, 10, true),
            with_key(first, 1),
        ] {
            assert_eq!(perform(&mut locks, Action::UnlockSingle, wrong), nothing);
        }
        // The exclusive one of two goes first.
        let single = perform(&mut locks, Action::UnlockSingle, first);
        assert_eq!(single, (1, Ok(())));
        assert!(locks.allows(&lock(OTHER, 0, 10, false)));
        assert!(!locks.allows(&lock(OTHER, 0, 10, true)));
        let by_key = with_key(lock(MINE, 0, 0, false), 7);
        let all = lock(MINE, 0, 0, false);
        assert_eq!(
            perform(&mut locks, Action::UnlockAllByKey, by_key),
            (2, Ok(()))
        );
        assert_eq!(perform(&mut locks, Action::UnlockAllByKey, by_key), nothing);
        assert_eq!(perform(&mut locks, Action::UnlockAll, all), (1, Ok(())));
        assert_eq!(perform(&mut locks, Action::UnlockAll, all), nothing);
        assert_eq!(locks.count(), (2, 0));
        locks.close(MINE.file).tell();
        assert_eq!(locks.count(), (1, 0));
    }

    #[test]
    fn waiting_is_granted_in_order_withdrawn_or_cancelled() {
        let told = Told::default();
        let mut locks = RangeLocks::default();
        let first = lock(MINE, 0, 10, true);
        assert_eq!(take(&mut locks, first), Ok(Answer::Done));
        wait(&mut locks, with_key(lock(OTHER, 0, 5, true), 1), &told);
        wait(&mut locks, with_key(lock(OTHER, 0, 10, true), 2), &told);
        wait(&mut locks, with_key(lock(OTHER, 5, 5, false), 3), &told);
        let fourth = wait(&mut locks, with_key(lock(MINE, 5, 5, false), 4), &told);
        assert_eq!(locks.count(), (1, 4));
        assert_eq!(
            perform(&mut locks, Action::UnlockSingle, first),
            (1, Ok(()))
        );
        // The second waits for the first, which came before it; the others share.
        let granted = std::mem::take(&mut *told.lock().unwrap());
        assert_eq!(granted, [(1, Ok(())), (3, Ok(())), (4, Ok(()))]);
        assert!(locks.withdraw(fourth).is_none());
        locks.revoke(fourth).tell();
        assert_eq!(locks.count(), (2, 1));
        let fifth = wait(&mut locks, with_key(lock(MINE, 0, 10, true), 5), &told);
        assert!(locks.withdraw(fifth).is_some());
        locks.close(OTHER.file).tell();
        let cancelled = std::mem::take(&mut *told.lock().unwrap());
        assert_eq!(cancelled, [(2, Err(STATUS_CANCELLED))]);
        assert_eq!(locks.count(), (0, 0));
        assert_eq!(take(&mut locks, first), Ok(Answer::Done));
        wait(&mut locks, with_key(lock(OTHER, 0, 5, true), 6), &told);
        locks.clear().tell();
        let ended = std::mem::take(&mut *told.lock().unwrap());
        assert_eq!(ended, [(6, Err(STATUS_RANGE_NOT_LOCKED))]);
        assert_eq!(locks.count(), (0, 0));
    }

    #[test]
    fn locks_are_listed_one_by_one() {
        let mut locks = RangeLocks::default();
        for start in [30, 10, 20] {
            let one = lock(MINE, start, 1, true);
            assert_eq!(take(&mut locks, one), Ok(Answer::Done));
        }
        let mut starts = Vec::new();
        let mut last = Ticket(0);
        while let Some((ticket, lock)) = locks.after(last) {
            starts.push(lock.range.start);
            last = ticket;
        }
        assert_eq!(starts, [30, 10, 20]);
    }
}
