//! Reads a topic back, as any consumer would: over TCP, from the partitions' leaders.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::names;

/// How soon a reader sees that it is told to stop.
const POLL: Duration = Duration::from_millis(50);
/// Between two tries of a request that failed.
const PAUSE: Duration = Duration::from_millis(20);

pub struct Message {
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// The offsets that a partition holds: `low` is the first, `high` the next to be written.
struct Range {
    partition: i32,
    low: i64,
    high: i64,
}

pub struct Reader {
    consumer: BaseConsumer,
    topic: String,
    timeout: Duration,
    deadline: Instant,
    stop: Arc<AtomicBool>,
}

impl Reader {
    pub fn new(
        bootstrap: &str,
        topic: String,
        timeout: Duration,
        stop: Arc<AtomicBool>,
    ) -> Result<Self, String> {
        let deadline = Instant::now() + timeout;
        let consumer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            // Nothing is committed; but librdkafka assigns partitions only to members of a group.
            .set("group.id", "mock-cluster-reader")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "earliest")
            .set("isolation.level", "read_uncommitted")
            // The mock holds a fetch back so long when it finds nothing, even if something comes.
            .set("fetch.wait.max.ms", "10")
            .create()
            .map_err(|error| error.to_string())?;
        Ok(Reader {
            consumer,
            topic,
            timeout,
            deadline,
            stop,
        })
    }

    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// How many messages the topic holds.
    pub fn count(&self) -> Result<i64, String> {
        Ok(total(&self.ranges()?))
    }

    /// All messages that the topic holds now, by partition and offset.
    pub fn messages(&self) -> Result<Vec<Message>, String> {
        let ranges = self.ranges()?;
        let mut open = BTreeMap::new();
        let mut partitions = TopicPartitionList::new();
        for range in ranges.iter().filter(|range| range.low < range.high) {
            open.insert(range.partition, range.high);
            partitions
                .add_partition_offset(&self.topic, range.partition, Offset::Offset(range.low))
                .map_err(|error| error.to_string())?;
        }
        self.consumer
            .assign(&partitions)
            .map_err(|error| error.to_string())?;

        let mut messages = Vec::new();
        let mut last_error = None;
        while let Some((&partition, _)) = open.first_key_value() {
            let Some(left) = self.left() else {
                let stage = format!(
                    "{} of {} messages read, the rest of partition {partition} is missing",
                    messages.len(),
                    total(&ranges)
                );
                return Err(self.gave_up(&stage, last_error));
            };
            match self.consumer.poll(left.min(POLL)) {
                None => {}
                Some(Ok(message)) => {
                    let Some(&high) = open.get(&message.partition()) else {
                        continue;
                    };
                    if message.offset() < high {
                        messages.push(copy(&message));
                    }
                    if message.offset() + 1 >= high {
                        open.remove(&message.partition());
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    open.remove(&partition);
                }
                Some(Err(error)) => last_error = Some(error),
            }
        }
        messages.sort_by_key(|message| (message.partition, message.offset));
        Ok(messages)
    }

    /// Empty for a topic that does not exist.
    fn ranges(&self) -> Result<Vec<Range>, String> {
        // All topics, since a client that asks for one by name may create it.
        let metadata = self.retried("no broker has answered", |left| {
            self.consumer.fetch_metadata(None, left)
        })?;
        let Some(topic) = metadata
            .topics()
            .iter()
            .find(|topic| topic.name() == self.topic)
        else {
            return Ok(Vec::new());
        };
        if let Some(error) = topic.error() {
            return Err(format!(
                "topic '{}': {}",
                self.topic,
                names::error_name(error)
            ));
        }
        let is_up = |id| metadata.brokers().iter().any(|broker| broker.id() == id);
        let mut ranges = Vec::new();
        for partition in topic.partitions() {
            let id = partition.id();
            // Waiting would not help: the mock never chooses another leader.
            let problem = match partition.leader() {
                leader if leader < 0 => "has no leader".to_owned(),
                leader if !is_up(leader) => format!("has its leader, broker {leader}, down"),
                _ => String::new(),
            };
            if !problem.is_empty() {
                return Err(format!("topic '{}': partition {id} {problem}", self.topic));
            }
            let stage = format!("the offsets of partition {id} are not known");
            let (low, high) = self.retried(&stage, |left| {
                self.consumer.fetch_watermarks(&self.topic, id, left)
            })?;
            ranges.push(Range {
                partition: id,
                low,
                high,
            });
        }
        Ok(ranges)
    }

    fn retried<T>(
        &self,
        stage: &str,
        ask: impl Fn(Duration) -> KafkaResult<T>,
    ) -> Result<T, String> {
        let mut last_error = None;
        while let Some(left) = self.left() {
            match ask(left) {
                Ok(answer) => return Ok(answer),
                Err(error) => last_error = Some(error),
            }
            thread::sleep(PAUSE);
        }
        Err(self.gave_up(stage, last_error))
    }

    fn left(&self) -> Option<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        (!left.is_zero() && !self.stop.load(Ordering::Acquire)).then_some(left)
    }

    fn gave_up(&self, stage: &str, last_error: Option<KafkaError>) -> String {
        let because = last_error
            .and_then(|error| error.rdkafka_error_code())
            .filter(|code| *code != RDKafkaErrorCode::OperationTimedOut)
            .map_or(String::new(), |code| format!("; {}", names::describe(code)));
        let ms = self.timeout.as_millis();
        format!(
            "topic '{}' was not read within {ms} ms: {stage}{because}",
            self.topic
        )
    }
}

fn total(ranges: &[Range]) -> i64 {
    ranges.iter().map(|range| range.high - range.low).sum()
}

fn copy(message: &BorrowedMessage<'_>) -> Message {
    let headers = message
        .headers()
        .into_iter()
        .flat_map(|headers| headers.iter());
    Message {
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        timestamp: message.timestamp().to_millis().unwrap_or(-1),
        headers: headers
            .map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)))
            .collect(),
    }
}
