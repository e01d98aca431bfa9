//! Where a file stands.

use std::collections::{BTreeMap, HashMap};

use crate::message::TopicId;

/// Where a file stands, as it is written to its progress file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    pub base: u64,
    pub floors: HashMap<TopicId, u64>,
    /// Stretches of held lines, from where to where.
    pub held: BTreeMap<u64, u64>,
}
