//! The names of the topics that a publisher has met, by number.
//!
//! Numbers are never given twice. Names that nothing refers to any more are forgotten when there are
//! many, because a caller may make up as many as he likes (`user-<uuid>`). Where they come back again and
//! again, they are not made up, and more are remembered.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher};
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

/// So many topics are remembered, here and by librdkafka, whether they are used or not.
pub const MANY: usize = 2000;
/// At most so many, when they come back.
const MOST: usize = 64_000;

/// What a name is remembered for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Since {
    /// A message that was queued.
    Queued,
    /// A fallback file that is being replayed.
    Filed,
    /// An option: as long as the publisher lives.
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
    /// The hashes of the names that were forgotten last, without those that have come back.
    forgotten: HashSet<u64>,
    /// How many of them have.
    returned: usize,
}

impl Table {
    fn is_new(&mut self, name: &str) {
        if !self.forgotten.is_empty() && self.forgotten.remove(&hash(name)) {
            self.returned += 1;
        }
    }
}

fn hash(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

impl Topics {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of a name that is never forgotten.
    pub fn intern(&self, name: &str) -> TopicId {
        self.remember(name, Since::Kept)
    }

    /// The number of a message's topic, which may be forgotten with [`Topics::forget_queued`].
    pub fn intern_queued(&self, name: &str) -> TopicId {
        self.remember(name, Since::Queued)
    }

    /// The number of a topic in a file, until [`Topics::release_filed`].
    pub fn intern_filed(&self, name: &str) -> TopicId {
        self.remember(name, Since::Filed)
    }

    fn remember(&self, name: &str, since: Since) -> TopicId {
        let mut table = self.lock();
        if let Some(&id) = table.ids.get(name) {
            if let Some((_, known)) = table.names.get_mut(&id) {
                *known = (*known).max(since);
            }
            return id;
        }
        table.is_new(name);
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

    /// No file refers to any name but those that `is_needed` is true for: the others may be forgotten.
    /// Returns how many are needed.
    pub fn release_filed(&self, is_needed: impl Fn(TopicId) -> bool) -> usize {
        let mut needed = 0;
        for (id, (_, since)) in &mut self.lock().names {
            match since {
                Since::Filed if is_needed(*id) => needed += 1,
                Since::Filed => *since = Since::Queued,
                Since::Queued | Since::Kept => {}
            }
        }
        needed
    }

    /// How many may be remembered, after `many` were: more, when half of those that were forgotten last
    /// have come back.
    pub fn many(&self, many: usize) -> usize {
        let mut table = self.lock();
        let table = &mut *table;
        if table.returned <= table.forgotten.len() || table.returned < many / 4 {
            return many;
        }
        table.returned = 0;
        table.forgotten = HashSet::new();
        MOST.min(2 * many)
    }

    /// Forgets the names that came with messages only, and that `is_needed` is not true for. The caller
    /// sees to it that no such message is in memory, and none is being queued. Returns how many.
    pub fn forget_queued(&self, is_needed: impl Fn(TopicId) -> bool) -> usize {
        let mut table = self.lock();
        let table = &mut *table;
        let mut forgotten = HashSet::new();
        table.names.retain(|id, (name, since)| {
            let stays = *since > Since::Queued || is_needed(*id);
            if !stays {
                forgotten.insert(hash(name));
            }
            stays
        });
        let count = forgotten.len();
        table.forgotten = forgotten;
        table.returned = 0;
        let names = &table.names;
        table.ids.retain(|_, id| names.contains_key(id));
        table.names.shrink_to_fit();
        table.ids.shrink_to_fit();
        self.count.store(table.names.len(), Ordering::Relaxed);
        self.generation.fetch_add(1, Ordering::Release);
        count
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
        assert_eq!(topics.forget_queued(|id| id == needed), 1);
        assert_ne!(topics.generation(), generation);
        assert_eq!(topics.count(), 3);
        assert!(!topics.is_known(queued));
        assert_eq!(topics.intern_queued("kept"), kept);
        assert_eq!(topics.intern_queued("both"), both);
        assert_eq!(topics.intern_queued("needed"), needed);
        let again = topics.intern_queued("queued");
        assert!(again.0 > needed.0);
    }

    #[test]
    fn names_of_files_are_forgotten_when_no_file_refers_to_them() {
        let topics = Topics::default();
        let (done, left) = (topics.intern_filed("done"), topics.intern_filed("left"));
        assert_eq!(topics.forget_queued(|_| false), 0);
        assert_eq!(topics.release_filed(|id| id == left), 1);
        assert_eq!(topics.forget_queued(|_| false), 1);
        assert!(topics.is_known(left) && !topics.is_known(done));
    }

    #[test]
    fn more_are_remembered_when_they_come_back() {
        let topics = Topics::default();
        let queue = |prefix: &str, count: u32| {
            for i in 0..count {
                topics.intern_queued(&format!("{prefix}{i}"));
            }
        };
        queue("real", 100);
        topics.forget_queued(|_| false);
        queue("made-up", 100);
        assert_eq!(topics.many(100), 100);
        queue("real", 40);
        assert_eq!(topics.many(100), 100);
        queue("real", 60);
        assert_eq!(topics.many(100), 200);
        assert_eq!(topics.many(200), 200);
        topics.forget_queued(|_| false);
        assert_eq!(topics.many(200), 200);
    }
}
