//! Which messages of one file are settled: delivered, or refused for good.
//!
//! A file is read in passes, from the first message that may be unsettled to its end, with one window
//! of messages on their way. Messages are settled in any order, so what is known of a file is an
//! offset before which all is settled ([`Ledger::base`]) and, for each topic that had to be left
//! behind because it is in trouble, a lower one of its own (its floor). A topic that is halted is
//! skipped until its trouble is over; the next pass begins at its floor.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::message::TopicId;

/// Topics whose messages wait, in all files.
pub type Halted = HashSet<TopicId>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Waiting,
    Settled,
    Back,
}

#[derive(Debug)]
struct Sent {
    offset: u64,
    topic: TopicId,
    cost: u64,
    fate: Fate,
}

/// Where a file stands, as it is written to its progress file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    pub base: u64,
    pub floors: HashMap<TopicId, u64>,
}

#[derive(Debug, Default)]
pub struct Ledger {
    base: u64,
    floors: HashMap<TopicId, u64>,
    /// Settled messages above the floor of their topic: not to be sent again in the next pass.
    ahead: HashSet<u64>,
    /// On their way, in the order of the file, from the first one that is not settled.
    window: VecDeque<Sent>,
    first_id: u64,
    cost: u64,
    /// All lines before this one were looked at in this pass; 0 between passes.
    position: u64,
}

impl Ledger {
    pub fn new(checkpoint: Checkpoint) -> Self {
        Ledger {
            base: checkpoint.base,
            floors: checkpoint.floors,
            ..Ledger::default()
        }
    }

    /// Where a pass has to begin, or, in the midst of one, the first message that may be unsettled.
    pub fn start(&self, halted: &Halted) -> u64 {
        let Checkpoint { base, floors } = self.checkpoint(halted);
        floors
            .iter()
            .filter(|(topic, _)| !halted.contains(topic))
            .map(|(_, floor)| *floor)
            .fold(base, u64::min)
    }

    /// Whether a pass over the file, which has this length, may find something to send.
    pub fn has_due(&self, length: u64, halted: &Halted) -> bool {
        self.base < length || self.floors.keys().any(|topic| !halted.contains(topic))
    }

    /// Whether every message of the file is settled.
    pub fn is_complete(&self, length: u64) -> bool {
        self.base >= length && self.floors.is_empty() && self.window.is_empty()
    }

    /// Messages of this pass are numbered from `first_id`.
    pub fn begin_pass(&mut self, first_id: u64, halted: &Halted) {
        debug_assert!(self.window.is_empty());
        self.first_id = first_id;
        self.position = self.start(halted);
    }

    /// Whether the message is not settled, as far as its topic and offset tell.
    pub fn is_unsettled(&self, offset: u64, topic: TopicId) -> bool {
        offset >= self.floors.get(&topic).copied().unwrap_or(self.base)
            && !self.ahead.contains(&offset)
    }

    /// Whether a line that is no message was dealt with before.
    pub fn is_base_above(&self, offset: u64) -> bool {
        offset < self.base
    }

    /// Where the pass is: all before was looked at.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Whether this message is to be sent now. One whose topic is halted is remembered.
    pub fn is_due(&mut self, offset: u64, topic: TopicId, halted: &Halted) -> bool {
        if !self.is_unsettled(offset, topic) {
            return false;
        }
        if halted.contains(&topic) {
            self.floors.entry(topic).or_insert(offset);
            return false;
        }
        true
    }

    /// The message is on its way. Returns its number.
    pub fn sent(&mut self, offset: u64, topic: TopicId, cost: u64) -> u64 {
        self.cost += cost;
        self.window.push_back(Sent {
            offset,
            topic,
            cost,
            fate: Fate::Waiting,
        });
        self.first_id + self.window.len() as u64 - 1
    }

    /// All lines before `offset` were looked at.
    pub fn read_to(&mut self, offset: u64) {
        self.position = offset;
    }

    /// Where the message of this number is in the file.
    pub fn offset_of(&self, id: u64) -> Option<u64> {
        let index = id.checked_sub(self.first_id)?;
        Some(self.window.get(index as usize)?.offset)
    }

    /// Delivered, or refused for good. Returns whether that is news.
    pub fn settled(&mut self, id: u64, halted: &Halted) -> bool {
        let Some(sent) = self.waiting(id) else {
            return false;
        };
        sent.fate = Fate::Settled;
        self.advance(halted);
        true
    }

    /// Not delivered: its topic is halted, and goes on from here.
    pub fn came_back(&mut self, id: u64, halted: &mut Halted) {
        if let Some(sent) = self.waiting(id) {
            sent.fate = Fate::Back;
            let (topic, offset) = (sent.topic, sent.offset);
            if halted.insert(topic) {
                self.floors.insert(topic, offset);
            } else {
                let floor = self.floors.entry(topic).or_insert(offset);
                *floor = offset.min(*floor);
            }
        }
        self.advance(halted);
    }

    fn waiting(&mut self, id: u64) -> Option<&mut Sent> {
        let index = id.checked_sub(self.first_id)?;
        self.window
            .get_mut(index as usize)
            .filter(|sent| sent.fate == Fate::Waiting)
    }

    fn advance(&mut self, halted: &Halted) {
        while let Some(sent) = self.window.front() {
            match sent.fate {
                Fate::Waiting => return,
                Fate::Settled if halted.contains(&sent.topic) => {
                    let floor = self.floors.get(&sent.topic);
                    if floor.is_some_and(|floor| sent.offset > *floor) {
                        self.ahead.insert(sent.offset);
                    }
                }
                Fate::Settled | Fate::Back => {}
            }
            self.cost -= sent.cost;
            self.first_id += 1;
            self.window.pop_front();
        }
    }

    pub fn is_idle(&self) -> bool {
        self.window.is_empty()
    }

    /// Memory cost of the window.
    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// Where the file stands: whoever begins there misses nothing.
    pub fn checkpoint(&self, halted: &Halted) -> Checkpoint {
        let mark = self
            .window
            .front()
            .map_or(self.position, |first| first.offset);
        let base = self.base.max(mark);
        let floors = self.floors.iter().map(|(topic, floor)| {
            let floor = if halted.contains(topic) {
                self.first_waiting(*topic)
                    .map_or(*floor, |at| at.min(*floor))
            } else {
                mark.max(*floor)
            };
            (*topic, floor)
        });
        Checkpoint {
            base,
            floors: floors.filter(|(_, floor)| *floor < base).collect(),
        }
    }

    fn first_waiting(&self, topic: TopicId) -> Option<u64> {
        self.window
            .iter()
            .find(|sent| sent.topic == topic && sent.fate == Fate::Waiting)
            .map(|sent| sent.offset)
    }

    /// The pass is over, at the file's end or before; nothing is on its way.
    pub fn end_pass(&mut self, halted: &Halted) {
        debug_assert!(self.window.is_empty());
        let Checkpoint { base, floors } = self.checkpoint(halted);
        self.base = base;
        self.floors = floors;
        let start = self.floors.values().copied().fold(base, u64::min);
        self.ahead
            .retain(|offset| *offset >= start && *offset < base);
        self.position = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: TopicId = TopicId(0);
    const B: TopicId = TopicId(1);

    /// A file whose lines are ten bytes long and alternate between two topics.
    fn pass(ledger: &mut Ledger, lines: u64, first_id: u64, halted: &Halted) -> Vec<(u64, u64)> {
        ledger.begin_pass(first_id, halted);
        let mut sent = Vec::new();
        for line in ledger.start(halted) / 10..lines {
            let (offset, topic) = (line * 10, if line % 2 == 0 { A } else { B });
            if ledger.is_due(offset, topic, halted) {
                sent.push((ledger.sent(offset, topic, 1), offset));
            }
            ledger.read_to(offset + 10);
        }
        sent
    }

    #[test]
    fn the_base_is_what_is_settled_without_a_gap() {
        let (mut ledger, halted) = (Ledger::default(), Halted::new());
        let sent = pass(&mut ledger, 4, 100, &halted);
        assert_eq!(sent, [(100, 0), (101, 10), (102, 20), (103, 30)]);
        ledger.settled(101, &halted);
        assert_eq!(ledger.checkpoint(&halted).base, 0);
        ledger.settled(100, &halted);
        assert_eq!(ledger.checkpoint(&halted).base, 20);
        assert_eq!(ledger.cost(), 2);
        ledger.settled(103, &halted);
        ledger.settled(102, &halted);
        ledger.end_pass(&halted);
        assert!(ledger.is_complete(40));
        assert!(!ledger.is_complete(50));
    }

    #[test]
    fn a_topic_in_trouble_is_left_behind_and_caught_up_with() {
        let (mut ledger, mut halted) = (Ledger::default(), Halted::new());
        pass(&mut ledger, 6, 0, &halted);
        // B's second comes back before its first is known; its third is delivered.
        for (id, is_settled) in [
            (3, false),
            (5, true),
            (0, true),
            (2, true),
            (1, true),
            (4, true),
        ] {
            if is_settled {
                ledger.settled(id, &halted);
            } else {
                ledger.came_back(id, &mut halted);
                assert_eq!(ledger.checkpoint(&halted).base, 0);
                assert_eq!(ledger.checkpoint(&halted).floors, HashMap::new());
            }
        }
        ledger.end_pass(&halted);
        assert_eq!(
            ledger.checkpoint(&halted),
            Checkpoint {
                base: 60,
                floors: HashMap::from([(B, 30)])
            }
        );
        assert!(!ledger.has_due(60, &halted) && !ledger.is_complete(60));

        // A further pass, while it is halted, over a file that has grown.
        let sent = pass(&mut ledger, 8, 10, &halted);
        assert_eq!(sent, [(10, 60)]);
        ledger.settled(10, &halted);
        ledger.end_pass(&halted);
        assert_eq!(ledger.checkpoint(&halted).floors, HashMap::from([(B, 30)]));

        halted.clear();
        assert_eq!(ledger.start(&halted), 30);
        // What was delivered above the floor is not sent again.
        let sent = pass(&mut ledger, 8, 20, &halted);
        assert_eq!(sent, [(20, 30), (21, 70)]);
        ledger.settled(20, &halted);
        assert_eq!(ledger.checkpoint(&halted).floors, HashMap::from([(B, 70)]));
        ledger.settled(21, &halted);
        ledger.end_pass(&halted);
        assert!(ledger.is_complete(80));
    }

    #[test]
    fn what_a_halted_topic_still_has_on_its_way_holds_its_floor_down() {
        let (mut ledger, mut halted) = (Ledger::default(), Halted::new());
        pass(&mut ledger, 6, 0, &halted);
        ledger.settled(0, &halted);
        ledger.came_back(3, &mut halted);
        // B at 10 is on its way: a crash now must not skip it.
        assert_eq!(ledger.checkpoint(&halted).base, 10);
        assert_eq!(ledger.checkpoint(&halted).floors, HashMap::new());
        ledger.came_back(1, &mut halted);
        assert_eq!(ledger.checkpoint(&halted).floors, HashMap::from([(B, 10)]));
        assert_eq!(ledger.checkpoint(&halted).base, 20);
    }

    #[test]
    fn a_pass_that_is_broken_off_goes_on_where_it_was() {
        let (mut ledger, mut halted) = (Ledger::default(), Halted::new());
        pass(&mut ledger, 4, 0, &halted);
        for id in 0..4 {
            ledger.came_back(id, &mut halted);
        }
        ledger.end_pass(&halted);
        halted.clear();
        assert_eq!(pass(&mut ledger, 6, 9, &halted).len(), 6);
    }
}
