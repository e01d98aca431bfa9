//! The real thing: what one process has of a fallback, without its threads.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::super::instance::Instance;
use super::super::replayer::{Offer, Offers, Replay, ReplayerParts};
use super::super::writer::{WriterParts, WriterThread};
use super::messages::TOPICS;
use crate::inbox::{Inbox, Limits};
use crate::message::{Batch, Content, KeyEncoding, Record, Topics};
use crate::options::{
    FallbackConfig, Fsync, Modes, RejectedConfig, ReplayConfig, RetryPolicy, WhenFull,
};
use crate::statistics::{Place, Statistics};

/// Small enough that files are many, and that the share is used up all the time.
const SEGMENT_BYTES: u64 = 400;
pub const SHARE: u64 = 2000;

const MODES: Modes = Modes {
    directory: 0o700,
    file: 0o600,
};

pub struct Process {
    pub instance: Arc<Instance>,
    pub topics: Arc<Topics>,
    pub statistics: Arc<Statistics>,
    pub writer: WriterThread,
    pub replay: Replay,
    pub offers: Offers,
    pub offered: Receiver<Offer>,
    pub accepted: u64,
}

/// What the model chooses of the options.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub fsync: Fsync,
    pub archive: bool,
    pub max_bytes: Option<u64>,
    pub max_age: Option<Duration>,
    pub segment_bytes: u64,
    pub share: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            fsync: Fsync::Never,
            archive: false,
            max_bytes: None,
            max_age: None,
            segment_bytes: SEGMENT_BYTES,
            share: SHARE,
        }
    }
}

impl Process {
    pub fn start(directory: &Path, settings: Settings) -> Self {
        let statistics = Arc::new(Statistics::default());
        let topics = Arc::new(Topics::default());
        let instance = Arc::new(Instance::new(
            directory.to_owned(),
            MODES,
            Arc::clone(&statistics),
        ));
        let config = config(directory, settings);
        let parts = ReplayerParts {
            config: config.replay,
            instance: Arc::clone(&instance),
            topics: Arc::clone(&topics),
            statistics: Arc::clone(&statistics),
            share: settings.share,
            single_topic: false,
        };
        let parts_of_writer = WriterParts {
            fates: Arc::default(),
            config,
            encoding: KeyEncoding::Json,
            instance: Arc::clone(&instance),
            topics: Arc::clone(&topics),
            inbox: Arc::new(Inbox::new(Limits::new(1 << 20), Arc::clone(&statistics))),
            statistics: Arc::clone(&statistics),
        };
        let (offer, offered) = channel();
        let offers: Offers = Box::new(move |o| offer.send(o).unwrap());
        let mut replay = Replay::new(parts);
        replay.look_around(&offers);
        Process {
            instance,
            topics,
            statistics,
            writer: WriterThread::new(parts_of_writer, Arc::new(AtomicBool::new(false))),
            replay,
            offers,
            offered,
            accepted: 0,
        }
    }

    /// As the worker hands messages over to the writer.
    pub fn append(&mut self, messages: &[(u64, u8)]) {
        let messages: Vec<_> = messages
            .iter()
            .map(|(number, topic)| (*number, *topic, *number as i64))
            .collect();
        let batch = self.accept(&messages);
        self.writer.append(batch);
    }

    /// The same with their times, as far as the writer, whose the batch is then.
    pub fn accept(&mut self, messages: &[(u64, u8, i64)]) -> Batch {
        let mut batch = Batch::default();
        for (number, topic, timestamp) in messages {
            let topic = self.topics.intern(TOPICS[usize::from(*topic)]);
            let record = Record::of(topic, *timestamp);
            batch.push(record, Content::new(b"\"key\"", value(*number).as_bytes()));
        }
        let amount = batch.remaining();
        self.accepted += amount.messages;
        self.statistics.leave_inbox(amount);
        self.statistics
            .transfer(Place::Worker, Place::Writer, amount);
        batch
    }

    pub fn check(&self) {
        self.check_law();
        assert_eq!(self.statistics.counts().discarded_total(), 0);
    }

    /// The law, without an inbox.
    pub fn check_law(&self) {
        let counts = self.statistics.counts();
        let held = counts.worker.messages + counts.flight.messages + counts.writer.messages;
        let kept = counts.rejected + counts.handed_over;
        let gone = counts.delivered + kept + counts.discarded_total();
        assert_eq!(
            self.accepted + counts.recovered,
            held + counts.disk.messages + gone,
            "{counts:?}"
        );
    }

    pub fn end(mut self) {
        self.writer.seal();
        self.replay.close();
        self.instance.release();
    }
}

/// The JSON of a message, some of them longer than others.
pub fn value(number: u64) -> String {
    let length = (number * 37 % 60) as usize;
    format!("{{\"n\":{number},\"text\":\"{}\"}}", "x".repeat(length))
}

fn config(directory: &Path, settings: Settings) -> FallbackConfig {
    FallbackConfig {
        enabled: true,
        directory: directory.to_owned(),
        retry: RetryPolicy {
            retries: Some(0),
            factor: 1.0,
            min: Duration::ZERO,
            max: Duration::ZERO,
            randomize: false,
        },
        fsync: settings.fsync,
        segment_bytes: settings.segment_bytes,
        modes: MODES,
        max_bytes: settings.max_bytes,
        when_full: if settings.max_bytes.is_some() {
            WhenFull::DiscardOldest
        } else {
            WhenFull::DiscardNewest
        },
        keep_refused: false,
        replay: ReplayConfig {
            enabled: true,
            max_messages_per_second: None,
            archive: settings.archive,
            fsync: settings.fsync,
            max_age: settings.max_age,
            rejected: RejectedConfig::default(),
        },
    }
}
