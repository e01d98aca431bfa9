//! The partitions of topics, as the cluster has them.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::client::Client;

use super::Context;
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
    client: &Client<Context>,
    topics: Vec<(TopicId, Arc<str>)>,
) -> Result<Vec<(TopicId, Vec<PartitionInfo>)>, String> {
    let mut known = Vec::new();
    for (id, name) in topics {
        let metadata = client
            .fetch_metadata(Some(&name), METADATA_TIMEOUT)
            .map_err(|error| error.to_string())?;
        let topic = metadata
            .topics()
            .iter()
            .find(|topic| topic.name() == &*name);
        let mut partitions: Vec<PartitionInfo> = topic.map_or_else(Vec::new, |topic| {
            topic
                .partitions()
                .iter()
                .map(|partition| PartitionInfo {
                    id: partition.id(),
                    leader: partition.leader(),
                    replicas: partition.replicas().to_vec(),
                    isr: partition.isr().to_vec(),
                })
                .collect()
        });
        partitions.sort_by_key(|partition| partition.id);
        known.push((id, partitions));
    }
    Ok(known)
}
