//! The partitions of topics, as the cluster has them.

use std::ffi::CString;
use std::sync::Arc;
use std::time::Duration;

use super::client::{Client, list};
use super::describe;
use crate::message::TopicId;

/// How long a request waits.
const METADATA_TIMEOUT: Duration = Duration::from_secs(1);

/// A partition, as the partitioner is shown it.
#[derive(Clone, Debug)]
pub struct PartitionInfo {
    pub id: i32,
    pub leader: i32,
    pub replicas: Vec<i32>,
    pub isr: Vec<i32>,
}

/// Blocks: never on the worker's thread. A topic that Kafka does not know has no partitions.
pub fn fetch_partitions(
    client: &Client,
    topics: Vec<(TopicId, Arc<str>)>,
) -> Result<Vec<(TopicId, Vec<PartitionInfo>)>, String> {
    let mut known = Vec::new();
    for (id, name) in topics {
        let name = CString::new(name.as_bytes()).map_err(|error| error.to_string())?;
        let metadata = client
            .metadata(Some(&name), METADATA_TIMEOUT)
            .map_err(describe)?;
        let mut partitions: Vec<PartitionInfo> = metadata
            .partitions_of(&name)
            .iter()
            .map(|partition| PartitionInfo {
                id: partition.id,
                leader: partition.leader,
                // SAFETY: librdkafka gives each list with its length; the metadata outlives both.
                replicas: unsafe { list(partition.replicas, partition.replica_cnt) }.to_vec(),
                isr: unsafe { list(partition.isrs, partition.isr_cnt) }.to_vec(),
            })
            .collect();
        partitions.sort_by_key(|partition| partition.id);
        known.push((id, partitions));
    }
    Ok(known)
}
