//! What became of messages for which somebody waits.
//!
//! A message has the number of whoever waits with it on all its ways. Whoever has it when its fate is
//! decided says so here, before the message is counted elsewhere: the event loop of JavaScript stays alive for
//! what is in memory. What is told is fetched from here, many at a time.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::message::Waiter;
use crate::reason::Reason;

/// Where Kafka has put a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub partition: i32,
    /// Negative where Kafka did not say (`requiredAcks: 0`).
    pub offset: i64,
    /// Of the message, in milliseconds since the Unix epoch.
    pub timestamp: i64,
    /// Bytes of its value.
    pub size: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    Delivered(Receipt),
    /// It is in a fallback file, from which it will be replayed.
    Filed,
    Discarded(Reason, String),
}

#[derive(Default)]
struct Told {
    waiting: Vec<(Waiter, Fate)>,
    /// Somebody was called to fetch them.
    is_called: bool,
}

type Call = Box<dyn Fn() -> bool + Send + Sync>;

#[derive(Default)]
pub struct Fates {
    told: Mutex<Told>,
    call: OnceLock<Call>,
}

impl Fates {
    /// `call` has them fetched, and says whether they will be.
    pub fn fetched_by(&self, call: impl Fn() -> bool + Send + Sync + 'static) {
        // Once, by whoever makes the publisher.
        let _ = self.call.set(Box::new(call));
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Once for each message, and nothing where nobody waits.
    pub fn tell(&self, waiter: Waiter, fate: impl FnOnce() -> Fate) {
        if waiter.is_nobody() {
            return;
        }
        let mut told = self.lock();
        told.waiting.push((waiter, fate()));
        let is_called = std::mem::replace(&mut told.is_called, true);
        drop(told);
        self.have_fetched(is_called);
    }

    /// The same of many.
    pub fn tell_all(&self, fates: impl Iterator<Item = (Waiter, Fate)>) {
        let mut told = self.lock();
        let before = told.waiting.len();
        told.waiting
            .extend(fates.filter(|(waiter, _)| !waiter.is_nobody()));
        if told.waiting.len() == before {
            return;
        }
        let is_called = std::mem::replace(&mut told.is_called, true);
        drop(told);
        self.have_fetched(is_called);
    }

    fn have_fetched(&self, is_called: bool) {
        if !is_called && !self.call.get().is_some_and(|call| call()) {
            self.lock().is_called = false;
        }
    }

    pub fn take(&self) -> Vec<(Waiter, Fate)> {
        let mut told = self.lock();
        told.is_called = false;
        std::mem::take(&mut told.waiting)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn many_are_fetched_by_one_call() {
        let (fates, calls) = (Fates::default(), Arc::new(AtomicU32::new(0)));
        let counted = Arc::clone(&calls);
        fates.fetched_by(move || counted.fetch_add(1, Ordering::Relaxed) < 10);
        fates.tell(Waiter::NOBODY, || Fate::Filed);
        for number in 1..=3 {
            fates.tell(Waiter::new(number), || Fate::Filed);
        }
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        let told = fates.take();
        let numbers: Vec<u32> = told.iter().map(|(waiter, _)| waiter.number()).collect();
        assert_eq!(numbers, [1, 2, 3]);
        fates.tell(Waiter::new(0xff_ffff), || Fate::Filed);
        assert_eq!(calls.load(Ordering::Relaxed), 2);
        assert_eq!(fates.take(), [(Waiter::new(0xff_ffff), Fate::Filed)]);
    }

    #[test]
    fn numbers_that_do_not_fit_are_nobodys() {
        assert!(Waiter::new(0).is_nobody() && Waiter::new(1 << 24).is_nobody());
        assert_eq!(Waiter::new(0x01_02_03).number(), 0x01_02_03);
        assert_eq!(size_of::<crate::message::Record>(), 32);
    }
}
