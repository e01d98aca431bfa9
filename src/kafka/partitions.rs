//! The partitions of topics, as the cluster has them.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings as rd;

use super::client::{Client, list};
use super::describe;
use crate::message::TopicId;
use crate::options::Address;

/// A partition, as the partitioner is shown it.
#[derive(Clone, Debug)]
pub struct PartitionInfo {
    pub id: i32,
    pub leader: i32,
    pub replicas: Vec<i32>,
    pub isr: Vec<i32>,
}

/// What a cluster said when it was asked for topics.
#[derive(Clone, Debug, Default)]
pub struct Described {
    pub brokers: Vec<(i32, Address)>,
    /// Each topic that was asked for. One that Kafka does not know has no partitions.
    pub topics: Vec<(TopicId, Vec<PartitionInfo>)>,
}

/// Asks for all of the topics in one request. Blocks: never on the worker's thread.
///
/// # Errors
/// Librdkafka's words.
pub fn describe_topics(
    client: &Client,
    topics: Vec<(TopicId, Arc<str>)>,
    timeout: Duration,
) -> Result<Described, String> {
    let names: Vec<CString> = topics
        .iter()
        .map(|(_, name)| CString::new(name.as_bytes()))
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())?;
    let metadata = client.metadata(&names, timeout).map_err(describe)?;
    let mut found: HashMap<&CStr, Vec<PartitionInfo>> = metadata
        .topics()
        .map(|(name, partitions)| (name, partitions.iter().map(PartitionInfo::from).collect()))
        .collect();
    let topics = topics
        .into_iter()
        .zip(&names)
        .map(|((id, _), name)| {
            let mut partitions = found.remove(name.as_c_str()).unwrap_or_default();
            partitions.sort_by_key(|partition| partition.id);
            (id, partitions)
        })
        .collect();
    Ok(Described {
        brokers: metadata.brokers(),
        topics,
    })
}

impl From<&rd::rd_kafka_metadata_partition> for PartitionInfo {
    fn from(partition: &rd::rd_kafka_metadata_partition) -> Self {
        PartitionInfo {
            id: partition.id,
            leader: partition.leader,
            // SAFETY: librdkafka gives each list with its length; the metadata outlives the reference.
            replicas: unsafe { list(partition.replicas, partition.replica_cnt) }.to_vec(),
            isr: unsafe { list(partition.isrs, partition.isr_cnt) }.to_vec(),
        }
    }
}
