//! Kafka embedded, for the demo and for tests without Docker and without a JVM: what testing.js
//! makes the class `MockCluster` of.
//!
//! librdkafka's mock cluster does the work: its brokers share one thread, and listen on real TCP
//! ports. This adds Kafka's [`names`] for what can go wrong, a [`reader`] of topics with its
//! [`promise`], and a check of all [`arguments`]: librdkafka aborts the process over some wrong
//! ones, and writes outside its memory over others.
//!
//! These are functions, and the class is JavaScript, because a native class would appear in
//! index.d.ts, and so among what `kafka-publisher` itself exports.

// In test builds napi leaves the functions out, and with them the use of all else.
#![cfg_attr(test, allow(dead_code))]

mod arguments;
mod names;
mod promise;
mod reader;

use std::cell::RefCell;
use std::thread;
use std::time::Duration;

use napi::bindgen_prelude::*;
use napi::{Env, Unknown};
use napi_derive::napi;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::mocking;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use crate::edge::value;
use crate::options::Value;
use arguments::Call;
use promise::{Answer, Pending, Question, Reads};
use reader::Reader;

const CLOSED: &str = "the MockCluster is closed";

const DEFAULT_BROKERS: i64 = 3;
const MAX_BROKERS: i64 = 100;

/// What the mock makes a topic with when a client asks for an unknown one.
const DEFAULT_PARTITIONS: i64 = 4;
const DEFAULT_REPLICATION: i64 = 3;
const MAX_PARTITIONS: i64 = 10_000;

const READ_TIMEOUT: i64 = 10_000;
const MAX_MS: i64 = i32::MAX as i64;

const ALL_BROKERS: i32 = -1;

/// Having answered a command, the mock's thread throws away what has woken it. A command that comes
/// in between, until which this lets it run, would wait until the thread wakes up by itself: for a
/// second.
const AFTER_COMMAND: Duration = Duration::from_millis(1);

/// In later versions the mock names the new leader when it refuses a request for its old one, and
/// brings the process down when there is none.
const MAX_VERSIONS: [(RDKafkaApiKey, i16); 2] =
    [(RDKafkaApiKey::Produce, 9), (RDKafkaApiKey::Fetch, 11)];

/// A cluster, running until it is closed or collected.
pub struct MockCluster {
    running: RefCell<Option<Running>>,
    connection_string: String,
    brokers: i64,
}

type Cluster = mocking::MockCluster<'static, DefaultProducerContext>;

struct Running {
    cluster: Cluster,
    reads: Reads,
}

impl Running {
    fn start(brokers: i32) -> KafkaResult<Self> {
        let running = Running {
            cluster: Cluster::new(brokers)?,
            reads: Reads::default(),
        };
        for (api, version) in MAX_VERSIONS {
            running.command(|mock| mock.apiversion(api, Some(0), Some(version)))?;
        }
        Ok(running)
    }

    fn command<T>(&self, act: impl FnOnce(&Cluster) -> KafkaResult<T>) -> KafkaResult<T> {
        let result = act(&self.cluster);
        thread::sleep(AFTER_COMMAND);
        result
    }
}

#[napi(namespace = "testing", skip_typescript)]
pub fn start(options: Unknown<'_>) -> Result<External<MockCluster>> {
    let call = Call("new MockCluster");
    let [brokers] = call.options(options, ["brokers"])?;
    let brokers = call
        .integer("brokers", &brokers, 1..=MAX_BROKERS)?
        .unwrap_or(DEFAULT_BROKERS);
    let running = Running::start(brokers as i32).map_err(|error| call.failed(&error))?;
    Ok(External::new(MockCluster {
        connection_string: running.cluster.bootstrap_servers(),
        brokers,
        running: RefCell::new(Some(running)),
    }))
}

#[napi(namespace = "testing", skip_typescript)]
pub fn close(cluster: &External<MockCluster>) {
    cluster.running.take();
}

#[napi(namespace = "testing", skip_typescript)]
pub fn connection_string(cluster: &External<MockCluster>) -> &str {
    &cluster.connection_string
}

#[napi(namespace = "testing", skip_typescript)]
pub fn create_topic(
    cluster: &External<MockCluster>,
    topic: Unknown<'_>,
    options: Unknown<'_>,
) -> Result<()> {
    let call = Call("createTopic");
    let topic = call.topic(topic)?;
    let [partitions, replication] = call.options(options, ["partitions", "replicationFactor"])?;
    let partitions = call
        .integer("partitions", &partitions, 1..=MAX_PARTITIONS)?
        .unwrap_or(DEFAULT_PARTITIONS);
    let replication = call
        .integer("replicationFactor", &replication, 1..=cluster.brokers)?
        .unwrap_or(DEFAULT_REPLICATION.min(cluster.brokers));
    cluster.command(call, |mock| {
        mock.create_topic(&topic, partitions as i32, replication as i32)
    })
}

#[napi(namespace = "testing", skip_typescript)]
pub fn broker_down(cluster: &External<MockCluster>, id: Unknown<'_>) -> Result<()> {
    let call = Call("brokerDown");
    let id = cluster.broker_or_all(call, id)?;
    cluster.command(call, |mock| mock.broker_down(id))
}

#[napi(namespace = "testing", skip_typescript)]
pub fn broker_up(cluster: &External<MockCluster>, id: Unknown<'_>) -> Result<()> {
    let call = Call("brokerUp");
    let id = cluster.broker_or_all(call, id)?;
    cluster.command(call, |mock| mock.broker_up(id))
}

#[napi(namespace = "testing", skip_typescript)]
pub fn set_latency(
    cluster: &External<MockCluster>,
    ms: Unknown<'_>,
    id: Unknown<'_>,
) -> Result<()> {
    let call = Call("setLatency");
    let ms = call.required("ms", &value::from_js(ms)?, 0..=MAX_MS)?;
    let id = cluster.broker_or_all(call, id)?;
    let latency = Duration::from_millis(ms as u64);
    cluster.command(call, |mock| mock.broker_round_trip_time(id, latency))
}

#[napi(namespace = "testing", skip_typescript)]
pub fn fail_requests(
    cluster: &External<MockCluster>,
    api: Unknown<'_>,
    errors: Unknown<'_>,
) -> Result<()> {
    let call = Call("failRequests");
    let api = call.api(api)?;
    let errors = match value::from_js(errors)? {
        Value::Array(errors) if !errors.is_empty() => errors
            .iter()
            .map(|error| call.error("errors", error))
            .collect::<Result<Vec<_>>>()?,
        other => return Err(call.wrong("errors", &other, "an array of one error or more")),
    };
    cluster.command(call, |mock| {
        mock.request_errors(api, &errors);
        Ok(())
    })
}

#[napi(namespace = "testing", skip_typescript)]
pub fn clear_failures(cluster: &External<MockCluster>, api: Unknown<'_>) -> Result<()> {
    let call = Call("clearFailures");
    let api = call.api(api)?;
    cluster.command(call, |mock| {
        mock.clear_request_errors(api);
        Ok(())
    })
}

#[napi(namespace = "testing", skip_typescript)]
pub fn set_topic_error(
    cluster: &External<MockCluster>,
    topic: Unknown<'_>,
    error: Unknown<'_>,
) -> Result<()> {
    let call = Call("setTopicError");
    let topic = call.topic(topic)?;
    let got = value::from_js(error)?;
    let error = match got {
        Value::Missing => RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR,
        _ => call.error("error", &got)?,
    };
    if error == names::DISCONNECT {
        return Err(call.wrong("error", &got, "an error that a broker answers with"));
    }
    cluster.command(call, |mock| mock.topic_error(&topic, error))
}

#[napi(namespace = "testing", skip_typescript)]
pub fn set_partition_leader(
    cluster: &External<MockCluster>,
    topic: Unknown<'_>,
    partition: Unknown<'_>,
    id: Unknown<'_>,
) -> Result<()> {
    let call = Call("setPartitionLeader");
    let topic = call.topic(topic)?;
    let partition = value::from_js(partition)?;
    let partition = call.required("partition", &partition, 0..=MAX_PARTITIONS - 1)?;
    let leader = call.integer("brokerId", &value::from_js(id)?, 1..=cluster.brokers)?;
    // By itself librdkafka makes an unknown topic with no more partitions than this one needs.
    let replication = DEFAULT_REPLICATION.min(cluster.brokers);
    cluster.command(call, |mock| {
        match mock.create_topic(&topic, DEFAULT_PARTITIONS as i32, replication as i32) {
            Err(KafkaError::MockCluster(RDKafkaErrorCode::TopicAlreadyExists)) => Ok(()),
            other => other,
        }
    })?;
    cluster.command(call, |mock| {
        mock.partition_leader(&topic, partition as i32, leader.map(|id| id as i32))
    })
}

#[napi(namespace = "testing", skip_typescript)]
pub fn read_topic<'env>(
    env: &'env Env,
    cluster: &External<MockCluster>,
    topic: Unknown<'_>,
    options: Unknown<'_>,
) -> Result<Object<'env>> {
    let question = question(Call("readTopic"), topic, options, |reader| {
        let messages = reader.messages()?;
        Ok(Answer::Messages(reader.topic().to_owned(), messages))
    });
    cluster.promise(env, question)
}

#[napi(namespace = "testing", skip_typescript)]
pub fn topic_end<'env>(
    env: &'env Env,
    cluster: &External<MockCluster>,
    topic: Unknown<'_>,
    options: Unknown<'_>,
) -> Result<Object<'env>> {
    let question = question(Call("topicEnd"), topic, options, |reader| {
        Ok(Answer::Count(reader.count()?))
    });
    cluster.promise(env, question)
}

fn question(
    call: Call,
    topic: Unknown<'_>,
    options: Unknown<'_>,
    ask: fn(&Reader) -> std::result::Result<Answer, String>,
) -> Result<Question> {
    let topic = call.topic(topic)?;
    let [timeout] = call.options(options, ["timeoutMs"])?;
    let timeout = call
        .integer("timeoutMs", &timeout, 1..=MAX_MS)?
        .unwrap_or(READ_TIMEOUT);
    Ok(Question {
        topic,
        timeout: Duration::from_millis(timeout as u64),
        ask,
    })
}

impl MockCluster {
    fn command(&self, call: Call, act: impl FnOnce(&Cluster) -> KafkaResult<()>) -> Result<()> {
        match &*self.running.borrow() {
            Some(running) => running.command(act).map_err(|error| call.failed(&error)),
            None => Err(Error::from_reason(CLOSED)),
        }
    }

    /// The broker's id as librdkafka takes it.
    fn broker_or_all(&self, call: Call, id: Unknown<'_>) -> Result<i32> {
        let id = call.integer("id", &value::from_js(id)?, 1..=self.brokers)?;
        Ok(id.map_or(ALL_BROKERS, |id| id as i32))
    }

    /// A wrong question, or a closed cluster, rejects the promise, too.
    fn promise<'env>(&self, env: &'env Env, question: Result<Question>) -> Result<Object<'env>> {
        let (pending, promise) = Pending::new(env)?;
        let started = match &mut *self.running.borrow_mut() {
            Some(running) => question.and_then(|question| {
                let bootstrap = self.connection_string.clone();
                running.reads.start(bootstrap, question, &pending)
            }),
            None => Err(Error::from_reason(CLOSED)),
        };
        if let Err(error) = started {
            pending.settle(Err(error));
        }
        Ok(promise)
    }
}
