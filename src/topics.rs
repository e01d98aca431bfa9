//! The names of the topics that a publisher has met, by number.
//!
//! Numbers are never given twice. Names that nothing refers to any more are forgotten when there are
//! many, because a caller may make up as many as he likes (`user-<uuid>`).

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Number of a topic name in [`Topics`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TopicId(pub u32);

/// Maps by [`TopicId`] on the way of each message: numbers that follow each other need no better hash.
pub type ById<T> = HashMap<TopicId, T, BuildHasherDefault<Spread>>;

#[derive(Debug, Default)]
pub struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        // Hash maps use the upper bits, too.
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// What a name is remembered for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Since {
    /// A message that was queued.
    Queued,
    /// A fallback file, or an option: as long as the publisher lives.
    Kept,
}

#[derive(Debug, Default)]
pub struct Topics {
    table: Mutex<Table>,
    count: AtomicUsize,
    /// Counts up when names are forgotten: numbers from before may be no good any more.
    generation: AtomicU32,
}

#[derive(Debug, Default)]
struct Table {
    names: ById<(Arc<str>, Since)>,
    ids: HashMap<Arc<str>, TopicId>,
    next: u32,
}

impl Topics {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of a name that is not forgotten.
    pub fn intern(&self, name: &str) -> TopicId {
        self.remember(name, Since::Kept)
    }

    /// The number of a message's topic, which may be forgotten with [`Topics::forget_queued`].
    pub fn intern_queued(&self, name: &str) -> TopicId {
        self.remember(name, Since::Queued)
    }

    fn remember(&self, name: &str, since: Since) -> TopicId {
        let mut table = self.lock();
        if let Some(&id) = table.ids.get(name) {
            if let Some((_, known)) = table.names.get_mut(&id) {
                *known = (*known).max(since);
            }
            return id;
        }
        let name: Arc<str> = name.into();
        let id = TopicId(table.next);
        table.next = table.next.wrapping_add(1);
        table.names.insert(id, (Arc::clone(&name), since));
        table.ids.insert(name, id);
        self.count.store(table.names.len(), Ordering::Relaxed);
        id
    }

    /// The name, for as long as it is not forgotten.
    pub fn name(&self, id: TopicId) -> Arc<str> {
        let table = self.lock();
        match table.names.get(&id) {
            Some((name, _)) => Arc::clone(name),
            None => "(forgotten)".into(),
        }
    }

    /// How many names there are.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub fn generation(&self) -> u32 {
        self.generation.load(Ordering::Acquire)
    }

    /// Forgets the names that came with messages only, and that `is_needed` is not true for. The caller
    /// sees to it that no such message is in memory, and none is being queued.
    pub fn forget_queued(&self, is_needed: impl Fn(TopicId) -> bool) {
        let mut table = self.lock();
        let table = &mut *table;
        table
            .names
            .retain(|id, (_, since)| *since == Since::Kept || is_needed(*id));
        let names = &table.names;
        table.ids.retain(|_, id| names.contains_key(id));
        table.names.shrink_to_fit();
        table.ids.shrink_to_fit();
        self.count.store(table.names.len(), Ordering::Relaxed);
        self.generation.fetch_add(1, Ordering::Release);
    }

    pub fn is_known(&self, id: TopicId) -> bool {
        self.lock().names.contains_key(&id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_interned_once() {
        let topics = Topics::default();
        assert_eq!(topics.intern("a"), TopicId(0));
        assert_eq!(topics.intern_queued("b"), TopicId(1));
        assert_eq!(topics.intern("a"), TopicId(0));
        assert_eq!(&*topics.name(TopicId(1)), "b");
    }

    #[test]
    fn what_is_forgotten_gets_another_number() {
        let topics = Topics::default();
        let kept = topics.intern("kept");
        let both = topics.intern_queued("both");
        topics.intern("both");
        let (queued, needed) = (
            topics.intern_queued("queued"),
            topics.intern_queued("needed"),
        );
        let generation = topics.generation();
        topics.forget_queued(|id| id == needed);
        assert_ne!(topics.generation(), generation);
        assert_eq!(topics.count(), 3);
        assert!(!topics.is_known(queued));
        assert_eq!(topics.intern_queued("kept"), kept);
        assert_eq!(topics.intern_queued("both"), both);
        assert_eq!(topics.intern_queued("needed"), needed);
        let again = topics.intern_queued("queued");
        assert!(again.0 > needed.0);
    }
}
