//! The model: what every message's fate must be.

use std::collections::BTreeMap;

use super::super::names::SegmentId;
use super::Fate;

pub const TOPICS: [&str; 3] = ["orders", "payments", "x"];

#[derive(Clone, Debug)]
pub struct Message {
    pub topic: u8,
    pub file: SegmentId,
    /// Nothing is promised of it: a crash has torn its line.
    pub is_torn: bool,
    /// Times that Kafka has taken it.
    pub delivered: u32,
    pub rejected: bool,
    /// Settled in this process's life, and the replayer knows it.
    pub settled_here: bool,
    pub on_its_way: bool,
}

/// Messages by their number, which is their order, too.
#[derive(Debug, Default)]
pub struct Messages {
    all: BTreeMap<u64, Message>,
    next: u64,
}

impl Messages {
    pub fn next_number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    pub fn written(&mut self, number: u64, topic: u8, file: SegmentId) {
        let message = Message {
            topic,
            file,
            is_torn: false,
            delivered: 0,
            rejected: false,
            settled_here: false,
            on_its_way: false,
        };
        self.all.insert(number, message);
    }

    /// The line is gone as if it had never been, or half of it is left.
    pub fn cut(&mut self, number: u64, is_torn: bool) {
        if is_torn {
            self.get(number).is_torn = true;
        } else {
            self.all.remove(&number);
        }
    }

    pub fn get(&mut self, number: u64) -> &mut Message {
        let message = self.all.get_mut(&number);
        message.unwrap_or_else(|| panic!("message {number} was never written, or cut off"))
    }

    /// The replayer offers a message: is it its turn?
    pub fn offered(&mut self, number: u64, topic: &str) {
        let message = self.get(number).clone();
        assert_eq!(TOPICS[usize::from(message.topic)], topic);
        assert!(!message.on_its_way, "message {number} is offered twice");
        assert!(!message.settled_here, "message {number} is offered again");
        let skipped = self.all.range(..number).find(|(_, earlier)| {
            earlier.file == message.file
                && earlier.topic == message.topic
                && !earlier.is_torn
                && !earlier.on_its_way
                && !earlier.is_settled()
        });
        assert!(
            skipped.is_none(),
            "message {number} is offered before {skipped:?}"
        );
        self.get(number).on_its_way = true;
    }

    pub fn decided(&mut self, number: u64, fate: Fate) {
        let message = self.get(number);
        assert!(message.on_its_way);
        message.on_its_way = false;
        match fate {
            Fate::Delivered => message.delivered += 1,
            Fate::Rejected => message.rejected = true,
            Fate::Returned => return,
        }
        message.settled_here = true;
    }

    /// A process has ended; `delivered`: Kafka had taken what was on its way.
    pub fn process_ended(&mut self, delivered: bool) {
        for message in self.all.values_mut() {
            message.delivered += u32::from(message.on_its_way && delivered);
            message.on_its_way = false;
            message.settled_here = false;
        }
    }

    /// Neither delivered nor kept apart.
    pub fn unsettled(&self) -> Vec<u64> {
        let unsettled = |message: &Message| !message.is_torn && !message.is_settled();
        let all = self.all.iter();
        all.filter(|(_, message)| unsettled(message))
            .map(|(number, _)| *number)
            .collect()
    }

    /// Refused, and never delivered: these must be in a `.rejected` file.
    pub fn only_rejected(&self) -> Vec<u64> {
        let all = self.all.iter();
        all.filter(|(_, message)| message.rejected && message.delivered == 0)
            .map(|(number, _)| *number)
            .collect()
    }
}

impl Message {
    pub fn is_settled(&self) -> bool {
        self.delivered > 0 || self.rejected
    }
}
