//! Which messages of one file are settled: delivered, or refused for good.
//!
//! A file is read in passes, from the first message that may be unsettled to its end, with one window
//! of messages on their way. Messages are settled in any order, so what is known of a file is an
//! offset before which all is settled ([`Ledger::base`]) and, for each topic that had to be left
//! behind because it is in trouble, a lower one of its own (its floor). A topic that is halted is
//! skipped until its trouble is over; the next pass begins at its floor. Lines that only a later version
//! can read are held: they are remembered by where they are, and never settled.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::ops::Range;

mod checkpoint;

pub use checkpoint::Checkpoint;

use crate::message::TopicId;

/// Topics whose messages wait, in all files.
pub type Halted = HashSet<TopicId>;

/// Stretches of held lines that are remembered of one file. Where there are more, it is not read further.
const MOST_HELD: usize = 1000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Waiting,
    Settled,
    Back,
}

#[derive(Debug)]
struct Sent {
    offset: u64,
    next: u64,
    topic: TopicId,
    cost: u64,
    fate: Fate,
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
    /// Of those that have left the window since this was last asked for.
    settled_cost: u64,
    /// All lines before this one were looked at in this pass; 0 between passes.
    position: u64,
    held: BTreeMap<u64, u64>,
    /// Held lines before this one have been looked at by this process.
    held_to: u64,
    held_lines: u64,
    /// Topics in trouble that have held lines which this version knows.
    held_for: HashSet<TopicId>,
    /// There is more to be held than can be remembered.
    is_stopped: bool,
    /// What an earlier process has left behind for some topics, as far as it was not looked at yet: a line
    /// there that can't be read may be one of theirs.
    doubtful: Range<u64>,
}

impl Ledger {
    pub fn new(checkpoint: Checkpoint) -> Self {
        let lowest = checkpoint.floors.values().copied().min();
        Ledger {
            doubtful: lowest.unwrap_or(checkpoint.base)..checkpoint.base,
            base: checkpoint.base,
            floors: checkpoint.floors,
            held: checkpoint.held,
            ..Ledger::default()
        }
    }

    /// Where a pass has to begin, or, in the midst of one, the first message that may be unsettled.
    pub fn start(&self, halted: &Halted) -> u64 {
        let Checkpoint { base, floors, .. } = self.checkpoint(halted);
        floors
            .iter()
            .filter(|(topic, _)| !halted.contains(topic))
            .map(|(_, floor)| *floor)
            .chain(self.first_held_unseen(halted))
            .fold(base, u64::min)
    }

    /// The first stretch of held lines that this process has not looked at: it may know them.
    fn first_held_unseen(&self, halted: &Halted) -> Option<u64> {
        let seen_to = if self.is_held_for_others_than(halted) {
            0
        } else {
            self.held_to
        };
        let mut held = self.held.iter();
        held.find(|(_, to)| **to > seen_to)
            .map(|(from, _)| (*from).max(seen_to))
    }

    fn is_held_for_others_than(&self, halted: &Halted) -> bool {
        self.held_for.iter().any(|topic| !halted.contains(topic))
    }

    /// A line that only a later version can read. Returns false if there are too many to remember.
    pub fn hold(&mut self, offset: u64, next: u64) -> bool {
        if offset >= self.held_to {
            self.held_to = next;
            self.held_lines += 1;
        }
        if self.is_held(offset) {
            return true;
        }
        if let Some((_, to)) = self.held.range_mut(..offset).next_back()
            && *to == offset
        {
            *to = next;
        } else if self.held.len() < MOST_HELD {
            self.held.insert(offset, next);
        } else {
            self.is_stopped = true;
            self.held_lines -= 1;
            return false;
        }
        true
    }

    pub fn is_held(&self, offset: u64) -> bool {
        let before = self.held.range(..=offset).next_back();
        before.is_some_and(|(_, to)| offset < *to)
    }

    /// A held line that this version knows is settled.
    pub fn let_go(&mut self, offset: u64, next: u64) {
        let before = self.held.range(..=offset).next_back();
        let Some((from, to)) = before
            .map(|(from, to)| (*from, *to))
            .filter(|(_, to)| offset < *to)
        else {
            return;
        };
        self.held.remove(&from);
        if from < offset {
            self.held.insert(from, offset);
        }
        if next < to {
            self.held.insert(next, to);
        }
    }

    /// Lines that were found to be for a later version.
    pub fn held_lines(&self) -> u64 {
        self.held_lines
    }

    /// Whether a pass over the file, which has this length, may find something to send.
    pub fn has_due(&self, length: u64, halted: &Halted) -> bool {
        !self.is_stopped
            && (self.base < length
                || self.floors.keys().any(|topic| !halted.contains(topic))
                || self.first_held_unseen(halted).is_some())
    }

    /// Whether a pass has been over all of it, and only topics in trouble and held lines are left.
    pub fn is_pinned(&self, length: u64) -> bool {
        self.base >= length && self.window.is_empty() && !self.is_complete(length)
    }

    /// Whether every message of the file is settled.
    pub fn is_complete(&self, length: u64) -> bool {
        self.base >= length
            && self.floors.is_empty()
            && self.window.is_empty()
            && self.held.is_empty()
    }

    /// Messages of this pass are numbered from `first_id`.
    pub fn begin_pass(&mut self, first_id: u64, halted: &Halted) {
        debug_assert!(self.window.is_empty());
        self.first_id = first_id;
        self.position = self.start(halted);
        if self.is_held_for_others_than(halted) {
            (self.held_to, self.held_lines) = (0, 0);
            self.held_for.clear();
        }
    }

    /// Whether the message is not settled, as far as its topic and offset tell.
    pub fn is_unsettled(&self, offset: u64, topic: TopicId) -> bool {
        (offset >= self.floors.get(&topic).copied().unwrap_or(self.base)
            && !self.ahead.contains(&offset))
            || self.is_held(offset)
    }

    /// Whether a line that is no message, or none any more, was not dealt with before.
    pub fn is_unread(&self, offset: u64) -> bool {
        offset >= self.base || self.doubtful.contains(&offset) || self.is_held(offset)
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
        if !halted.contains(&topic) {
            return true;
        }
        self.leave_behind(offset, topic);
        false
    }

    /// A floor tells of lines behind it, too: of a held one, only its own place does.
    fn leave_behind(&mut self, offset: u64, topic: TopicId) {
        if self.is_held(offset) {
            self.held_for.insert(topic);
            return;
        }
        let floor = self.floors.entry(topic).or_insert(offset);
        *floor = offset.min(*floor);
    }

    /// The message is on its way. Returns its number.
    pub fn sent(&mut self, offset: u64, next: u64, topic: TopicId, cost: u64) -> u64 {
        self.cost += cost;
        self.window.push_back(Sent {
            offset,
            next,
            topic,
            cost,
            fate: Fate::Waiting,
        });
        self.first_id + self.window.len() as u64 - 1
    }

    /// All lines before `offset` were looked at.
    pub fn read_to(&mut self, offset: u64) {
        if self.position <= self.doubtful.start {
            self.doubtful.start = self.doubtful.start.max(offset);
        }
        self.position = offset;
    }

    /// Where the message of this number is in the file, and where the next line begins.
    pub fn place_of(&self, id: u64) -> Option<(u64, u64)> {
        let index = id.checked_sub(self.first_id)?;
        let sent = self.window.get(index as usize)?;
        Some((sent.offset, sent.next))
    }

    /// Delivered, or refused for good. Returns whether that is news.
    pub fn settled(&mut self, id: u64, halted: &Halted) -> bool {
        let Some(sent) = self.waiting(id) else {
            return false;
        };
        sent.fate = Fate::Settled;
        let (offset, next) = (sent.offset, sent.next);
        if !self.held.is_empty() {
            self.let_go(offset, next);
        }
        self.advance(halted);
        true
    }

    /// A topic's trouble has begun, in whichever file. What is settled of it above its floor, which may
    /// be that of an earlier trouble, must not be forgotten from here on.
    pub fn halt(&mut self, topic: TopicId) {
        let mark = self.mark();
        if let Some(floor) = self.floors.get_mut(&topic) {
            *floor = mark.max(*floor);
        }
    }

    /// All before this was settled, as far as this pass has seen it.
    fn mark(&self) -> u64 {
        self.window
            .front()
            .map_or(self.position, |first| first.offset)
    }

    /// Not delivered: its topic, which is halted, goes on from here.
    pub fn came_back(&mut self, id: u64, halted: &Halted) {
        if let Some(sent) = self.waiting(id) {
            sent.fate = Fate::Back;
            let (topic, offset) = (sent.topic, sent.offset);
            self.leave_behind(offset, topic);
        }
        self.advance(halted);
    }

    /// The topics that it knows, between passes.
    pub fn topics(&self) -> impl Iterator<Item = TopicId> {
        self.floors.keys().chain(&self.held_for).copied()
    }

    /// The topic of a message that is on its way.
    pub fn topic_of(&self, id: u64) -> Option<TopicId> {
        let index = id.checked_sub(self.first_id)?;
        let sent = self.window.get(index as usize)?;
        (sent.fate == Fate::Waiting).then_some(sent.topic)
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
                    if floor.is_some_and(|floor| sent.offset >= *floor) {
                        self.ahead.insert(sent.offset);
                    }
                }
                Fate::Settled | Fate::Back => {}
            }
            self.cost -= sent.cost;
            self.settled_cost += sent.cost;
            self.first_id += 1;
            self.window.pop_front();
        }
    }

    pub fn is_idle(&self) -> bool {
        self.window.is_empty()
    }

    /// Cost of what has left the window since this was last asked.
    pub fn take_settled(&mut self) -> u64 {
        std::mem::take(&mut self.settled_cost)
    }

    /// Between passes: before this all is settled, whatever is halted.
    pub fn first_unsettled(&self) -> u64 {
        let floors = self.floors.values().copied();
        let held = self.held.keys().next().copied();
        floors.chain(held).fold(self.base, u64::min)
    }

    /// Memory cost of the window.
    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// Where the file stands: whoever begins there misses nothing.
    pub fn checkpoint(&self, halted: &Halted) -> Checkpoint {
        let mark = self.mark();
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
            held: self.held.clone(),
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
        let Checkpoint { base, floors, .. } = self.checkpoint(halted);
        self.base = base;
        self.floors = floors;
        let start = self.floors.values().copied().fold(base, u64::min);
        self.ahead
            .retain(|offset| *offset >= start && *offset < base);
        self.position = 0;
    }
}

#[cfg(test)]
mod tests;
