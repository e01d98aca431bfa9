//! Messages from fallback files, on their way to Kafka: by a producer of their own, after live ones.
//!
//! The replayer reads and remembers; here is what it is allowed to ([`Permission`]), the hand-over to
//! librdkafka, and the verdicts. A message that is not delivered needs no other place: it is still in
//! its file. The oldest one is also the trial that ends an outage.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::types::RDKafkaErrorCode;
use tracing::{debug, error, warn};

use super::circuit::Way;
use super::outcomes::{Collected, Returned};
use super::{Signal, Worker};
use crate::fallback::{Command, Offer, Permission, Replayer, Verdicts};
use crate::kafka::{Outcome, Producer, Tuning, classify, describe};
use crate::message::{Amount, Batch, Record, TopicId, now_ms};
use crate::statistics::State;

/// Marks the sequence number of a message that comes from a file.
const REPLAYED: u64 = 1 << 43;
/// A producer that had nothing to do for so long is closed.
const PRODUCER_IDLE: Duration = Duration::from_secs(30);
/// The file that is being written is sealed after this, so that it can be replayed while Kafka is there…
const SEAL_AFTER: Duration = Duration::from_secs(1);
/// …but less often while a topic is in trouble, which would make one small file after the other.
const SEAL_AFTER_IN_TROUBLE: Duration = Duration::from_secs(60);
/// How long a trial may take where messages wait for ever (`message.timeout.ms: 0`).
const TRIAL_PATIENCE: Duration = Duration::from_secs(30);

/// Messages of a batch, numbered upwards.
struct Numbered {
    next_id: u64,
    batch: Batch,
    partitioned: bool,
}

/// The oldest message on disk is on its way, to find out whether Kafka takes it.
struct Trial {
    until: Instant,
    topic: Option<TopicId>,
}

pub(super) struct Replaying {
    replayer: Replayer,
    permission: Permission,
    producer: Option<Producer>,
    last_used: Instant,
    waiting: VecDeque<Numbered>,
    /// The number of the first message of the batch that is with the partitioner.
    at_partitioner: Option<u64>,
    on_its_way: Amount,
    verdicts: Verdicts,
    /// Topics whose messages the replayer holds back.
    halted: HashSet<TopicId>,
    /// Not answered, and maybe not by their topics' fault.
    suspects: Vec<(TopicId, RDKafkaErrorCode)>,
    /// So many messages of a topic go alone, because their batch was refused.
    alone: HashMap<TopicId, u64>,
    /// Topics that don't take the time at which their messages were queued.
    retimed: HashSet<TopicId>,
    trial: Option<Trial>,
}

impl Replaying {
    pub(super) fn new(replayer: Replayer) -> Self {
        Replaying {
            replayer,
            permission: Permission::Hold,
            producer: None,
            last_used: Instant::now(),
            waiting: VecDeque::new(),
            at_partitioner: None,
            on_its_way: Amount::default(),
            verdicts: Verdicts::default(),
            halted: HashSet::new(),
            suspects: Vec::new(),
            alone: HashMap::new(),
            retimed: HashSet::new(),
            trial: None,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.on_its_way.is_zero() && self.waiting.is_empty()
    }

    pub(super) fn take_suspects(&mut self) -> Vec<(TopicId, RDKafkaErrorCode)> {
        std::mem::take(&mut self.suspects)
    }

    fn return_one(&mut self, id: u64, topic: TopicId) {
        self.verdicts.returned.push(id);
        self.halted.insert(topic);
    }

    fn return_batch(&mut self, mut next_id: u64, batch: &Batch) {
        for (record, ..) in batch.remaining_messages() {
            self.return_one(next_id, record.topic);
            next_id += 1;
        }
    }

    fn return_waiting(&mut self) {
        for numbered in std::mem::take(&mut self.waiting) {
            self.return_batch(numbered.next_id, &numbered.batch);
        }
    }

    /// What was held back is read again with any new permission.
    fn grant(&mut self, permission: Permission) {
        self.permission = permission;
        self.halted.clear();
        self.replayer.command(Command::Grant(permission));
    }
}

pub(super) fn is_replayed(sequence: u64) -> bool {
    sequence & REPLAYED != 0
}

impl Worker {
    pub(super) fn hear_offer(&mut self, offer: Offer) {
        let Some(replay) = &mut self.replay else {
            return;
        };
        match offer {
            Offer::Found => self.connect(),
            Offer::Nothing => {
                if replay.trial.take().is_some() {
                    self.recover();
                }
            }
            Offer::Messages { first_id, batch } => {
                if replay.permission == Permission::Hold {
                    replay.return_batch(first_id, &batch);
                } else {
                    replay.waiting.push_back(Numbered {
                        next_id: first_id,
                        batch,
                        partitioned: false,
                    });
                }
            }
        }
    }

    /// One turn. Returns whether there was anything to do.
    pub(super) fn replay(&mut self) -> bool {
        if self.replay.is_none() {
            return false;
        }
        self.check_permission();
        self.check_trial();
        self.resume_topics();
        let mut busy = self.hand_replayed_over();
        self.seal_for_replay();
        let Some(replay) = &mut self.replay else {
            return busy;
        };
        if !replay.verdicts.is_empty() {
            busy = true;
            let verdicts = std::mem::take(&mut replay.verdicts);
            replay.replayer.command(Command::Verdicts(verdicts));
        }
        self.shared.statistics.set_replaying(replay.on_its_way);
        if replay.is_idle() && replay.last_used.elapsed() > PRODUCER_IDLE {
            self.close_replay_producer();
        }
        busy
    }

    fn check_permission(&mut self) {
        let state = self.state;
        let is_ending = self.ending.is_some();
        let Some(replay) = &mut self.replay else {
            return;
        };
        let permission = match state {
            _ if is_ending => Permission::Hold,
            State::Publishing => Permission::Flow,
            State::FallingBack if replay.trial.is_some() => Permission::One,
            _ => Permission::Hold,
        };
        if permission == replay.permission {
            return;
        }
        replay.return_waiting();
        if permission == Permission::Hold
            && !is_ending
            && let Some(producer) = &replay.producer
        {
            producer.purge();
        }
        replay.grant(permission);
    }

    /// Kafka answers: does it take a message, the oldest one on disk?
    pub(super) fn begin_trial(&mut self) {
        let window = self.config.retry_window.unwrap_or(TRIAL_PATIENCE);
        let Some(replay) = &mut self.replay else {
            return self.recover();
        };
        replay.trial = Some(Trial {
            until: Instant::now() + window,
            topic: None,
        });
        replay.permission = Permission::One;
        replay.halted.clear();
        let grant = replay.replayer.commander();
        // First the file that is being written, which may hold the oldest.
        self.writer
            .seal(move || grant(Command::Grant(Permission::One)));
    }

    fn check_trial(&mut self) {
        let now = Instant::now();
        let Some(replay) = &mut self.replay else {
            return;
        };
        if replay
            .trial
            .as_ref()
            .is_some_and(|trial| trial.until <= now)
        {
            self.trial_failed(RDKafkaErrorCode::MessageTimedOut);
        }
    }

    /// No answer about the message. If the cluster still answers, it was its topic's trouble.
    fn trial_failed(&mut self, code: RDKafkaErrorCode) {
        let trial = self.replay.as_mut().and_then(|replay| replay.trial.take());
        let Some(trial) = trial else {
            return;
        };
        debug!(
            "the oldest message on disk was not delivered ({})",
            describe(code)
        );
        if let Some(topic) = trial.topic {
            self.topic_is_troubled(topic, code);
        }
        self.probing.trial_failed();
    }

    /// Kafka has said something about a message from a file.
    fn replay_was_answered(&mut self, sequence: u64) {
        self.last_answer = Some(Instant::now());
        self.topic_answered(sequence);
        let trial = self.replay.as_mut().and_then(|replay| replay.trial.take());
        if trial.is_some() {
            self.recover();
        }
    }

    /// Topics whose trouble may be over are read again.
    fn resume_topics(&mut self) {
        let Some(replay) = &mut self.replay else {
            return;
        };
        if replay.permission != Permission::Flow || replay.halted.is_empty() {
            return;
        }
        let now = Instant::now();
        let (circuits, replayer) = (&self.circuits, &replay.replayer);
        // Verdicts that were given before come first.
        if !replay.verdicts.is_empty() {
            let verdicts = std::mem::take(&mut replay.verdicts);
            replayer.command(Command::Verdicts(verdicts));
        }
        replay.halted.retain(|topic| {
            let waits = circuits.way(*topic, now) == Way::File;
            if !waits {
                replayer.command(Command::Resume(*topic));
            }
            waits
        });
    }

    /// Hands messages to librdkafka while live ones leave room.
    fn hand_replayed_over(&mut self) -> bool {
        let mut busy = false;
        while self.live_leaves_room() {
            let Some(mut numbered) = self
                .replay
                .as_mut()
                .and_then(|replay| replay.waiting.pop_front())
            else {
                break;
            };
            busy = true;
            if let Some(stage) = &self.partitioning
                && !numbered.partitioned
            {
                let is_free = stage.is_idle();
                if let Some(replay) = &mut self.replay {
                    if is_free {
                        replay.at_partitioner = Some(numbered.next_id);
                        self.partition_replayed(numbered.batch);
                    } else {
                        replay.waiting.push_front(numbered);
                    }
                }
                return is_free;
            }
            let (now, now_ms) = (Instant::now(), now_ms());
            while let Some((record, key, value)) = numbered.batch.peek() {
                if !self.produce_replayed(numbered.next_id, *record, key, value, now, now_ms) {
                    if let Some(replay) = &mut self.replay {
                        replay.waiting.push_front(numbered);
                    }
                    return busy;
                }
                numbered.next_id += 1;
                numbered.batch.advance();
            }
        }
        busy
    }

    fn live_leaves_room(&self) -> bool {
        self.held_back.is_empty()
            && self.purging.is_none()
            && self.shared.inbox.held().cost() <= self.shared.inbox.limits().low
    }

    /// Returns `false` when librdkafka has no room.
    fn produce_replayed(
        &mut self,
        id: u64,
        mut record: Record,
        key: &[u8],
        value: &[u8],
        now: Instant,
        now_ms: i64,
    ) -> bool {
        let size = Amount::of_one(key.len() + value.len());
        let (topic, sequence) = (record.topic, id | REPLAYED);
        let way = self.circuits.way(topic, now);
        let shared = Arc::clone(&self.shared);
        let is_large = self.may_be_too_large(topic, size.bytes);
        let Some(replay) = &mut self.replay else {
            return true;
        };
        if way == Way::File && replay.trial.is_none() {
            replay.return_one(id, topic);
            return true;
        }
        if let Some(trial) = &mut replay.trial {
            trial.topic = Some(topic);
        }
        if replay.retimed.contains(&topic) {
            record.timestamp = 0;
        }
        replay.last_used = Instant::now();
        let alone = replay
            .alone
            .get_mut(&topic)
            .map(|left| *left -= 1)
            .is_some()
            || is_large;
        replay.alone.retain(|_, left| *left > 0);
        let producer = if alone {
            self.solo()
        } else {
            self.replay_producer()
        };
        let produced = match producer {
            Some(producer) => {
                let name = || shared.topics.name(topic);
                producer.produce_at(&record, name, key, value, sequence, now_ms)
            }
            None => Err(RDKafkaErrorCode::Fail),
        };
        match produced {
            Ok(()) => {
                if way == Way::Trial {
                    self.circuits.begin_trial(topic, sequence);
                }
                if let Some(replay) = &mut self.replay {
                    replay.on_its_way.add(size);
                }
                true
            }
            Err(RDKafkaErrorCode::QueueFull) => false,
            Err(code) => {
                self.replay_failed(id, topic, code, size, alone);
                true
            }
        }
    }

    fn replay_producer(&mut self) -> Option<&mut Producer> {
        let replay = self.replay.as_mut()?;
        if replay.producer.is_none() {
            let inbox = Arc::clone(&self.shared.inbox);
            let tuning = match self.tuning {
                Tuning::Plain => Tuning::ReplayPlain,
                _ => Tuning::Replay,
            };
            match Producer::new(&self.config.kafka, tuning, self.redirect.clone(), inbox) {
                Ok(producer) => replay.producer = Some(producer),
                Err(error) => error!(%error, "fallback files can't be replayed"),
            }
        }
        replay.producer.as_mut()
    }

    fn close_replay_producer(&mut self) {
        if let Some(producer) = self
            .replay
            .as_mut()
            .and_then(|replay| replay.producer.take())
        {
            // Destroying a client waits for its threads.
            tokio::task::spawn_blocking(move || drop(producer));
        }
    }

    /// Serves the reports of the replay's own producer.
    pub(super) fn poll_replay(&mut self) -> bool {
        let mut collected = Collected::default();
        let producer = self
            .replay
            .as_ref()
            .and_then(|replay| replay.producer.as_ref());
        let Some(producer) = producer else {
            return false;
        };
        let any = producer.poll(&mut collected);
        let fatal = producer.fatal_error();
        self.replay_delivered(&collected.replayed, collected.replayed_amount);
        for returned in collected.failed {
            self.replay_returned(&returned, false);
        }
        if let Some((code, text)) = fatal {
            let nothing_owed = self.replay.as_ref().is_none_or(|r| r.on_its_way.is_zero());
            if nothing_owed {
                warn!(
                    "librdkafka gave up replaying ({}: {text}); its producer is made anew",
                    describe(code)
                );
                self.close_replay_producer();
            } else if let Some(producer) = self.replay.as_ref().and_then(|r| r.producer.as_ref()) {
                producer.purge();
            }
        }
        any
    }

    pub(super) fn replay_delivered(&mut self, sequences: &[u64], amount: Amount) {
        for sequence in sequences {
            if let Some(replay) = &mut self.replay {
                replay.verdicts.delivered.push(sequence & !REPLAYED);
            }
            self.replay_was_answered(*sequence);
        }
        if let Some(replay) = &mut self.replay {
            replay.on_its_way.subtract(amount);
        }
        if !sequences.is_empty() {
            self.probing.succeeded();
        }
    }

    /// A message from a file that was not delivered. `alone`: it was no part of a batch.
    pub(super) fn replay_returned(&mut self, returned: &Returned, alone: bool) {
        let amount = returned.amount();
        if let Some(replay) = &mut self.replay {
            replay.on_its_way.subtract(amount);
        }
        let alone = alone || amount.bytes > self.config.kafka.batch_size;
        let id = returned.sequence & !REPLAYED;
        self.replay_failed(id, returned.record.topic, returned.code, amount, alone);
    }

    fn replay_failed(
        &mut self,
        id: u64,
        topic: TopicId,
        code: RDKafkaErrorCode,
        size: Amount,
        alone: bool,
    ) {
        let outcome = classify(code);
        let lately = self.was_answered_lately();
        let Some(replay) = &mut self.replay else {
            return;
        };
        match outcome {
            Outcome::TooLarge if !alone => *replay.alone.entry(topic).or_default() += 1,
            Outcome::Neighbour if !alone => *replay.alone.entry(topic).or_default() += 1,
            Outcome::Refused | Outcome::TooLarge | Outcome::Neighbour => {
                replay.verdicts.rejected.push((id, describe(code)));
                if outcome == Outcome::TooLarge {
                    self.remember_too_large(topic, size.bytes);
                }
                return self.replay_was_answered(id | REPLAYED);
            }
            Outcome::Time if replay.retimed.insert(topic) => {
                warn!(topic = %self.shared.topics.name(topic), "the topic does not take the time at which messages were queued; they get the time of now");
            }
            Outcome::Topic | Outcome::Time => {
                replay.return_one(id, topic);
                let was_trial = replay.trial.take().is_some();
                self.topic_is_troubled(topic, code);
                if was_trial {
                    self.recover();
                }
                return;
            }
            Outcome::Cluster if replay.trial.is_some() => {
                replay.return_one(id, topic);
                return self.trial_failed(code);
            }
            Outcome::Cluster if lately => {
                replay.return_one(id, topic);
                return self.topic_is_troubled(topic, code);
            }
            Outcome::Cluster => {
                replay.suspects.push((topic, code));
                replay.return_one(id, topic);
                return self.inquire();
            }
            Outcome::Fatal | Outcome::Purged => {}
        }
        replay.return_one(id, topic);
    }

    /// What the partitioner was asked about is ready. Returns it if it is not from a file.
    pub(super) fn partitioned_for_replay(&mut self, batch: Batch) -> Option<Batch> {
        match &mut self.replay {
            Some(replay) => match replay.at_partitioner.take() {
                Some(next_id) => {
                    replay.waiting.push_front(Numbered {
                        next_id,
                        batch,
                        partitioned: true,
                    });
                    None
                }
                None => Some(batch),
            },
            None => Some(batch),
        }
    }

    /// What the partitioner was asked about has no partition. Returns it if it is not from a file.
    pub(super) fn unpartitioned_for_replay(&mut self, batch: Batch) -> Option<Batch> {
        match &mut self.replay {
            Some(replay) => match replay.at_partitioner.take() {
                Some(next_id) => {
                    replay.return_batch(next_id, &batch);
                    None
                }
                None => Some(batch),
            },
            None => Some(batch),
        }
    }

    /// While Kafka is there, what was written to file is sealed soon, and so replayed.
    fn seal_for_replay(&mut self) {
        if self.state != State::Publishing {
            return;
        }
        let Some(since) = self.writer.unsealed_since() else {
            return;
        };
        let patience = if self.circuits.is_any_open() {
            SEAL_AFTER_IN_TROUBLE
        } else {
            SEAL_AFTER
        };
        if since.elapsed() >= patience {
            self.seal();
        }
    }

    /// Seals the current file, and tells the replayer.
    pub(super) fn seal(&mut self) {
        match &self.replay {
            Some(replay) => {
                let tell = replay.replayer.commander();
                self.writer.seal(move || tell(Command::Sealed));
            }
            None => self.writer.seal(|| {}),
        }
    }

    /// The publisher ends: the replayer writes down where it is. Returns whether it has.
    pub(super) fn close_replay(&mut self) -> bool {
        let Some(replay) = &mut self.replay else {
            return true;
        };
        let verdicts = std::mem::take(&mut replay.verdicts);
        if !verdicts.is_empty() {
            replay.replayer.command(Command::Verdicts(verdicts));
        }
        replay.replayer.command(Command::Close);
        if !replay.replayer.has_ended() {
            return false;
        }
        replay.replayer.join();
        self.shared.statistics.set_replaying(Amount::default());
        true
    }
}

/// The callback for what a replayer offers.
pub(super) fn offers(
    signals: std::sync::mpsc::Sender<Signal>,
    inbox: Arc<crate::inbox::Inbox>,
) -> Box<dyn Fn(Offer) + Send> {
    Box::new(move |offer| {
        // Nobody listens any more after the end.
        let _ = signals.send(Signal::Offer(offer));
        inbox.wake();
    })
}
