//! What a program may want to hear of: changes of state, discards, replayed files. Kept until it is fetched,
//! many at a time; without anybody who listens, nothing is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use serde::Serialize;

/// So many are kept for a JS thread that is busy; then discards are added up without their topics.
const MANY: usize = 1000;

/// As JavaScript gets it: `lib/events.js` has the same names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "camelCase")]
pub enum Item {
    State {
        to: &'static str,
        from: &'static str,
    },
    Discard {
        /// Not known of messages in a file that was removed, say.
        #[serde(skip_serializing_if = "Option::is_none")]
        topic: Option<String>,
        reason: &'static str,
        count: u64,
    },
    /// A file is through.
    Replayed { file: String },
    /// Messages went to file because memory was full.
    Spill { count: u64 },
}

impl Item {
    /// Whether the other one is only more of this.
    fn absorb(&mut self, other: &Item) -> bool {
        match (self, other) {
            (
                Item::Discard {
                    topic,
                    reason,
                    count,
                },
                Item::Discard {
                    topic: other_topic,
                    reason: other_reason,
                    count: more,
                },
            ) if topic == other_topic && reason == other_reason => {
                *count += more;
                true
            }
            (Item::Spill { count }, Item::Spill { count: more }) => {
                *count += more;
                true
            }
            _ => false,
        }
    }
}

#[derive(Default)]
struct Kept {
    items: Vec<Item>,
    is_called: bool,
}

type Call = Box<dyn Fn() -> bool + Send + Sync>;

#[derive(Default)]
pub struct News {
    is_listened_to: AtomicBool,
    kept: Mutex<Kept>,
    call: OnceLock<Call>,
}

impl News {
    /// From here on somebody listens. `call` has the news fetched, and says whether they will be.
    pub fn listen(&self, call: impl Fn() -> bool + Send + Sync + 'static) {
        // Whoever listens twice is called once.
        let _ = self.call.set(Box::new(call));
        self.is_listened_to.store(true, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn tell(&self, item: impl FnOnce() -> Item) {
        if !self.is_listened_to.load(Ordering::Acquire) {
            return;
        }
        let mut kept = self.lock();
        let mut item = item();
        if kept.items.len() >= MANY
            && let Item::Discard { topic, .. } = &mut item
        {
            *topic = None;
        }
        if !kept.items.iter_mut().rev().any(|known| known.absorb(&item)) {
            kept.items.push(item);
        }
        let is_called = std::mem::replace(&mut kept.is_called, true);
        drop(kept);
        if !is_called && !self.call.get().is_some_and(|call| call()) {
            self.lock().is_called = false;
        }
    }

    pub fn take(&self) -> Vec<Item> {
        let mut kept = self.lock();
        kept.is_called = false;
        std::mem::take(&mut kept.items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn discard(topic: &str, count: u64) -> Item {
        Item::Discard {
            topic: Some(topic.to_owned()),
            reason: "tooLarge",
            count,
        }
    }

    #[test]
    fn without_a_listener_nothing_is_kept() {
        let news = News::default();
        news.tell(|| Item::Spill { count: 1 });
        assert_eq!(news.take(), []);
    }

    #[test]
    fn what_is_the_same_is_added_up() {
        let news = News::default();
        news.listen(|| true);
        for item in [
            discard("a", 1),
            Item::Spill { count: 2 },
            discard("b", 1),
            discard("a", 2),
            Item::Spill { count: 3 },
        ] {
            news.tell(|| item);
        }
        let expected = [discard("a", 3), Item::Spill { count: 5 }, discard("b", 1)];
        assert_eq!(news.take(), expected);
        for n in 0..MANY + 10 {
            news.tell(|| discard(&n.to_string(), 1));
        }
        let kept = news.take();
        assert_eq!(kept.len(), MANY + 1);
        let rest = Item::Discard {
            topic: None,
            reason: "tooLarge",
            count: 10,
        };
        assert_eq!(kept.last(), Some(&rest));
        assert_eq!(
            serde_json::to_string(&kept[0]).unwrap(),
            r#"{"event":"discard","topic":"0","reason":"tooLarge","count":1}"#
        );
    }
}
