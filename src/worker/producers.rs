//! All Kafka clients of a publisher, and nobody else's: when they are made, replaced and closed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{error, info};

use super::spare::{Spare, close};
use crate::inbox::Inbox;
use crate::kafka::{Client, Fleet, Hooks, Inquirer, Producer, Tuning};
use crate::message::TopicId;
use crate::options::{Address, KafkaConfig};

/// By how much batches become smaller at a time.
const STEP: u64 = 4;
/// A producer that fails for good again within this time is not replaced at once.
const REPLACEMENT_PAUSE: Duration = Duration::from_secs(10);
/// A client beside the main one that had nothing to do for so long is closed.
const IDLE: Duration = Duration::from_secs(30);
/// A client that has had nothing acknowledged for so long is not about to begin.
const BEGINNING: Duration = Duration::from_secs(2);
/// The longest that one takes.
const LONGEST_BEGINNING: Duration = Duration::from_secs(5);
/// How often librdkafka is made to look for messages that have timed out.
const NUDGE: Duration = Duration::from_millis(200);

pub(super) struct Producers {
    config: KafkaConfig,
    hooks: Hooks,
    inbox: Arc<Inbox>,
    /// The cluster takes idempotent producers, as far as it is known.
    idempotent: bool,
    /// When the main client was last replaced because it was of no use any more.
    last_replacement: Option<Instant>,
    /// The next main client gets smaller batches.
    shrinks_main: bool,
    last_nudge: Option<Instant>,
    main: Spare,
    alone: Spare,
    replay: Spare,
    /// The user's own.
    seeds: Vec<String>,
    /// So many clients send together.
    fleet_size: usize,
    /// The next main clients, which connect while the others are still used.
    next_main: Option<Fleet>,
    /// Brokers that the cluster has named, where the user's may be gone.
    brokers: Vec<(i32, Address)>,
}

impl Producers {
    pub(super) fn new(config: KafkaConfig, main: Fleet, hooks: Hooks, inbox: Arc<Inbox>) -> Self {
        Producers {
            seeds: config.seeds(),
            config,
            hooks,
            inbox,
            idempotent: true,
            last_replacement: None,
            shrinks_main: false,
            last_nudge: None,
            main: Spare::of(main),
            alone: Spare::default(),
            replay: Spare::default(),
            fleet_size: 1,
            next_main: None,
            brokers: Vec::new(),
        }
    }

    pub(super) fn config(&self) -> &KafkaConfig {
        &self.config
    }

    pub(super) fn inquirer(&self) -> Inquirer {
        Inquirer {
            config: self.config.clone(),
            hooks: self.hooks.clone(),
            brokers: self.brokers.clone(),
        }
    }

    /// The cluster has named its brokers: clients that are made from now on know them.
    pub(super) fn learn(&mut self, brokers: Vec<(i32, Address)>) {
        if brokers.is_empty() || brokers == self.brokers {
            return;
        }
        self.brokers = brokers;
        let mut list = self.seeds.clone();
        for (_, address) in &self.brokers {
            let address = address.to_string();
            if !list.contains(&address) {
                list.push(address);
            }
        }
        // The last one counts.
        let names = ["metadata.broker.list", "bootstrap.servers"];
        self.config
            .properties
            .retain(|(name, _)| !names.contains(&name.as_str()));
        let list = list.join(",");
        self.config.properties.push((names[1].to_owned(), list));
    }

    /// How many brokers the cluster has, as far as it is known.
    pub(super) fn broker_count(&self) -> usize {
        self.brokers.len()
    }

    /// So many clients send live messages, and so many those from files, from the next ones on.
    pub(super) fn set_fleet_size(&mut self, size: usize) {
        self.fleet_size = size;
    }

    /// Makes the next main client, or fleet. Returns whose answers tell when it is ready.
    pub(super) fn prepare_main(&mut self) -> Vec<Arc<Client>> {
        let tuning = Tuning::Live {
            idempotent: self.idempotent,
        };
        self.next_main = self.make(tuning, self.fleet_size);
        let fleet = self.next_main.iter();
        fleet
            .flat_map(Fleet::producers)
            .map(Producer::client)
            .collect()
    }

    pub(super) fn fleet_size(&self) -> usize {
        self.fleet_size
    }

    pub(super) fn is_prepared(&self) -> bool {
        self.next_main.is_some()
    }

    /// The main client is what was prepared.
    pub(super) fn use_prepared(&mut self) {
        self.close_main();
        if let Some(fleet) = self.next_main.take() {
            self.main = Spare::of(fleet);
        }
    }

    pub(super) fn close_prepared(&mut self) {
        if let Some(fleet) = self.next_main.take() {
            tokio::task::spawn_blocking(move || drop(fleet));
        }
    }

    fn make(&self, tuning: Tuning, size: usize) -> Option<Fleet> {
        Fleet::new(&self.config, tuning, &self.hooks, &self.inbox, size)
            .inspect_err(|error| error!(%error, "no Kafka client could be made"))
            .ok()
    }

    pub(super) fn knows_brokers(&self) -> bool {
        !self.brokers.is_empty()
    }

    /// Sends live messages, in batches.
    pub(super) fn main(&mut self) -> Option<&mut Fleet> {
        self.get(Use::Main)
    }

    /// Sends one message at a time.
    pub(super) fn alone(&mut self) -> Option<&mut Fleet> {
        self.get(Use::Alone)
    }

    /// Sends messages from files, in batches.
    pub(super) fn replay(&mut self) -> Option<&mut Fleet> {
        self.get(Use::Replay)
    }

    pub(super) fn open_main(&self) -> Option<&Fleet> {
        self.main.fleet.as_ref()
    }

    pub(super) fn open_alone(&self) -> Option<&Fleet> {
        self.alone.fleet.as_ref()
    }

    pub(super) fn open_replay(&self) -> Option<&Fleet> {
        self.replay.fleet.as_ref()
    }

    pub(super) fn open(&self) -> impl Iterator<Item = &Producer> {
        [&self.main, &self.alone, &self.replay]
            .into_iter()
            .filter_map(|spare| spare.fleet.as_ref())
            .flat_map(Fleet::producers)
    }

    /// Makes librdkafka see in time what has timed out.
    pub(super) fn nudge(&mut self, now: Instant) {
        if self.last_nudge.is_some_and(|last| now - last < NUDGE) {
            return;
        }
        self.last_nudge = Some(now);
        for producer in self.open() {
            producer.nudge();
        }
    }

    /// The main client's handle, for a question that may block.
    pub(super) fn main_client(&mut self) -> Option<Arc<Client>> {
        self.main().map(|fleet| fleet.client())
    }

    fn get(&mut self, what: Use) -> Option<&mut Fleet> {
        let idempotent = self.idempotent;
        let (tuning, size) = match what {
            Use::Main => (Tuning::Live { idempotent }, self.fleet_size),
            Use::Alone => (Tuning::Alone, 1),
            Use::Replay => (Tuning::Replay { idempotent }, self.fleet_size),
        };
        if self.spare(what).fleet.is_none()
            && let Some(fleet) = self.make(tuning, size)
        {
            *self.spare(what) = Spare::of(fleet);
        }
        let spare = self.spare(what);
        if !matches!(what, Use::Main) {
            spare.last_used = Some(Instant::now());
        }
        spare.fleet.as_mut()
    }

    fn spare(&mut self, what: Use) -> &mut Spare {
        match what {
            Use::Main => &mut self.main,
            Use::Alone => &mut self.alone,
            Use::Replay => &mut self.replay,
        }
    }

    /// Whom to ask for the metadata of which topic, so that new clients begin in time.
    pub(super) fn questions(&mut self, now: Instant) -> Vec<(Arc<Client>, TopicId)> {
        if !(self.idempotent && self.config.idempotent) {
            return Vec::new();
        }
        let all = [&mut self.main, &mut self.replay];
        all.into_iter()
            .flat_map(|spare| spare.questions(now))
            .collect()
    }

    /// The client has had something acknowledged.
    pub(super) fn main_has_begun(&mut self) {
        self.main.new_since = None;
    }

    pub(super) fn replay_has_begun(&mut self) {
        self.replay.new_since = None;
    }

    /// The main client has had nothing acknowledged yet, for longer than a beginning takes.
    pub(super) fn is_main_stuck(&self) -> bool {
        let since = self.main.new_since;
        self.main.topic_count() > 0 && since.is_some_and(|since| since.elapsed() > BEGINNING)
    }

    /// The main client has had nothing acknowledged yet, and is not older than a beginning takes where the
    /// way is long.
    pub(super) fn is_main_connecting(&self) -> bool {
        let since = self.main.new_since;
        since.is_some_and(|since| since.elapsed() < LONGEST_BEGINNING)
    }

    /// Whether there is a client that may have to ask soon.
    pub(super) fn is_any_beginning(&self) -> bool {
        [&self.main, &self.replay]
            .into_iter()
            .any(Spare::is_beginning)
    }

    /// The main client is of no use any more. Returns whether a new one may be: it is not the second time
    /// within seconds.
    pub(super) fn may_replace_main(&mut self) -> bool {
        let was_lately = |last: Instant| last.elapsed() < REPLACEMENT_PAUSE;
        if self.last_replacement.is_some_and(was_lately) {
            return false;
        }
        self.last_replacement = Some(Instant::now());
        true
    }

    /// The next main client is a new one. This one has nothing on its way, or is of no use.
    pub(super) fn close_main(&mut self) {
        close(&mut self.main);
        if std::mem::take(&mut self.shrinks_main) {
            self.make_batches_smaller();
        }
    }

    pub(super) fn close_replay(&mut self) {
        close(&mut self.replay);
    }

    pub(super) fn close_alone(&mut self) {
        close(&mut self.alone);
    }

    /// Closes what had nothing to do for long; `alone` and `replay` say which of those are idle.
    pub(super) fn close_idle(&mut self, alone: bool, replay: bool) {
        for (idle, spare) in [(alone, &mut self.alone), (replay, &mut self.replay)] {
            if idle && spare.last_used.is_some_and(|last| last.elapsed() > IDLE) {
                close(spare);
            }
        }
    }

    pub(super) fn main_topic_count(&self) -> usize {
        self.main.topic_count()
    }

    pub(super) fn alone_topic_count(&self) -> usize {
        self.alone.topic_count()
    }

    pub(super) fn replay_topic_count(&self) -> usize {
        self.replay.topic_count()
    }

    /// The cluster does not take idempotent producers. Returns whether that is news; then the main
    /// client has to be replaced.
    pub(super) fn give_up_idempotence(&mut self) -> bool {
        self.close_prepared();
        std::mem::take(&mut self.idempotent) && self.config.idempotent
    }

    /// The next main client gets smaller batches, if they can be. Returns whether they can.
    pub(super) fn shrink_main(&mut self) -> bool {
        self.shrinks_main |= self.can_be_smaller();
        self.shrinks_main
    }

    pub(super) fn can_be_smaller(&self) -> bool {
        self.config.batch_size > self.config.least_batch_size
    }

    /// Smaller batches for clients that are made from now on: their size is for life.
    pub(super) fn make_batches_smaller(&mut self) {
        self.close_prepared();
        let config = &mut self.config;
        config.batch_size = (config.batch_size / STEP).max(config.least_batch_size);
        // The last one counts; a user's own is not touched, since it is the least at the same time.
        let size = config.batch_size.to_string();
        config.properties.push(("batch.size".into(), size));
        info!(
            bytes = config.batch_size,
            "batches are smaller from now on, because one was too large for its topic"
        );
    }
}

#[derive(Clone, Copy)]
enum Use {
    Main,
    Alone,
    Replay,
}
