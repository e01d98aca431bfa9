//! `getStatistics()`: all counts at one moment, as plain JSON.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use crate::inbox::Inbox;
use crate::message::Reason;
use crate::statistics::{Counts, Errors, State};

/// What `getStatistics()` returns. A value that was never set is left out.
pub fn json(inbox: &Inbox, latency: crate::statistics::Latency, directory: &str) -> Value {
    let (accepted, held, counts) = inbox.snapshot();
    let no_topic = counts.discarded_for(Reason::NoTopic);
    let in_memory =
        held.messages + counts.worker.messages + counts.flight.messages + counts.writer.messages;
    let queued = accepted + counts.refused - no_topic;
    let came = queued + no_topic + counts.recovered + counts.carried;
    let is_at = in_memory
        + counts.disk.messages
        + counts.delivered
        + counts.discarded_total()
        + counts.rejected
        + counts.handed_over;

    let mut file_publisher =
        json!({ "mesgCnt": counts.written, "errorCnt": counts.file_errors.count });
    set_last_error(&mut file_publisher, &counts.file_errors);
    set_time(&mut file_publisher, "lastReset", Some(counts.last_reset));

    let mut all = json!({
        "queueCnt": queued,
        "curQueuedCnt": in_memory,
        "sentCnt": counts.delivered,
        "errorCnt": counts.errors.count,
        "backgroundRetries": counts.background_retries,
        "filePublisher": file_publisher,
        "kafkaReady": counts.state == State::Publishing,
        "kafkaPending": counts.state == State::Connecting,
        "backgroundRetrying": counts.state == State::FallingBack,
        "state": counts.state.name(),
        "stateChangeCnt": counts.state_changes,
        "discardedCnt": discarded(&counts),
        "spilledCnt": counts.spilled,
        "recoveredCnt": counts.recovered,
        "handedOverCnt": counts.handed_over,
        "carriedCnt": counts.carried,
        "queuedBytes": held.bytes + counts.worker.bytes,
        "inFlightCnt": counts.flight.messages,
        "inFlightBytes": counts.flight.bytes,
        "ackLatency": {
            "count": latency.count,
            "p50": latency.p50,
            "p99": latency.p99,
            "max": latency.max,
        },
        "fallback": {
            "directory": directory,
            "files": counts.current.files + counts.backlog.files,
            "messages": counts.disk.messages,
            "bytes": counts.current.bytes + counts.backlog.bytes,
            "pendingCnt": counts.writer.messages,
        },
        "replay": replay(&counts),
        "unaccountedCnt": came as i64 - is_at as i64,
    });
    set_last_error(&mut all, &counts.errors);
    set_time(&mut all, "lastReset", Some(counts.last_reset));
    all
}

fn discarded(counts: &Counts) -> Value {
    let mut discarded = Map::new();
    for reason in Reason::ALL {
        discarded.insert(reason.name().into(), counts.discarded_for(reason).into());
    }
    discarded.insert("total".into(), counts.discarded_total().into());
    discarded.into()
}

fn replay(counts: &Counts) -> Value {
    let gauges = &counts.replay;
    let mut replay = json!({
        "state": gauges.state.name(),
        "files": counts.backlog.files,
        "bytes": gauges.bytes,
        "messages": gauges.messages,
        "replayedCnt": counts.replayed,
        "rejectedCnt": counts.rejected,
        "heldCnt": gauges.held,
        "inFlightCnt": counts.replaying.messages,
    });
    // A line can claim any time; only years of four digits have a date text.
    let oldest = gauges
        .oldest
        .filter(|ms| (1..253_402_300_800_000).contains(ms))
        .map(|ms| UNIX_EPOCH + Duration::from_millis(ms as u64));
    set_time(&mut replay, "oldestTs", oldest);
    if let Some(file) = &gauges.file {
        set(&mut replay, "file", file.as_str());
    }
    if gauges.bytes_per_second >= 1.0 {
        let left = gauges.bytes as f64 / gauges.bytes_per_second;
        set(&mut replay, "timeLeftMs", (left * 1000.0).round() as u64);
    }
    replay
}

fn set(object: &mut Value, name: &str, value: impl Into<Value>) {
    if let Some(object) = object.as_object_mut() {
        object.insert(name.to_owned(), value.into());
    }
}

fn set_last_error(object: &mut Value, errors: &Errors) {
    if let Some((time, text)) = &errors.last {
        set(object, "lastError", text.as_str());
        set_time(object, "lastErrorTs", Some(*time));
    }
}

/// As `Date.prototype.toUTCString` writes it.
fn set_time(object: &mut Value, name: &str, time: Option<SystemTime>) {
    if let Some(time) = time {
        set(object, name, httpdate::fmt_http_date(time));
    }
}
