//! Messages from fallback files, on their way to Kafka: by a producer of their own, after live ones.
//!
//! The replayer reads and remembers; here is what it is allowed to ([`Permission`]), the hand-over to
//! librdkafka, and the verdicts. A message that is not delivered needs no other place: it is still in
//! its file. The oldest one is also the trial that ends an outage.

mod sending;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::types::RDKafkaErrorCode;
use tracing::{debug, error};

use super::Worker;
use super::signals::Signal;
use super::troubles::Target;
use crate::fallback::{Command, Offer, Permission, Replayer, ReplayerParts, Verdicts};
use crate::kafka::{Ticket, describe};
use crate::message::{Amount, Batch, TopicId};

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

pub(super) struct Replaying {
    replayer: Replayer,
    permission: Permission,
    waiting: VecDeque<Numbered>,
    /// The number of the first message of the batch that is with the partitioner.
    at_partitioner: Option<u64>,
    on_its_way: Amount,
    /// When a report came, or the first message was handed over after all had been reported.
    last_report: Instant,
    verdicts: Verdicts,
    /// Topics whose messages the replayer holds back.
    halted: HashSet<TopicId>,
    /// Not answered, and maybe not by their topics' fault.
    suspects: Vec<(Target, RDKafkaErrorCode)>,
    /// So many messages of a topic go alone, because their batch was refused.
    alone: HashMap<TopicId, u64>,
    /// Topics that don't take the time at which their messages were queued.
    retimed: HashMap<TopicId, Instant>,
    /// How often messages were refused alone, and not said why, by what they are.
    tries: HashMap<u64, u32>,
    /// Nothing is handed over until all is reported: then batches become smaller.
    smaller_batches: bool,
}

impl Replaying {
    pub(super) fn new(replayer: Replayer) -> Self {
        Replaying {
            replayer,
            permission: Permission::Hold,
            waiting: VecDeque::new(),
            at_partitioner: None,
            on_its_way: Amount::default(),
            last_report: Instant::now(),
            verdicts: Verdicts::default(),
            halted: HashSet::new(),
            suspects: Vec::new(),
            alone: HashMap::new(),
            retimed: HashMap::new(),
            tries: HashMap::new(),
            smaller_batches: false,
        }
    }

    /// Nothing is with librdkafka.
    pub(super) fn has_landed(&self) -> bool {
        self.on_its_way.is_zero()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.on_its_way.is_zero() && self.waiting.is_empty()
    }

    /// How long nothing has been heard of what is on its way.
    pub(super) fn silence(&self, now: Instant) -> Duration {
        if self.on_its_way.is_zero() {
            return Duration::ZERO;
        }
        now.duration_since(self.last_report)
    }

    /// Whether it has to be looked at which topics' trouble may be over.
    pub(super) fn waits_for_topics(&self) -> bool {
        self.permission == Permission::Flow && !self.halted.is_empty()
    }

    pub(super) fn take_suspects(&mut self) -> Vec<(Target, RDKafkaErrorCode)> {
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

    /// Tells the replayer what has become of messages since. Returns whether there was anything to tell.
    fn tell_verdicts(&mut self) -> bool {
        if self.verdicts.is_empty() {
            return false;
        }
        let verdicts = std::mem::take(&mut self.verdicts);
        self.replayer.command(Command::Verdicts(verdicts));
        true
    }

    /// What was held back is read again with any new permission. Verdicts from before come first: a
    /// message handed back holds its topic back until then, and for ever if the replayer hears of it
    /// only afterwards.
    fn permit(&mut self, permission: Permission) {
        self.tell_verdicts();
        self.permission = permission;
        self.halted.clear();
    }

    fn grant(&mut self, permission: Permission) {
        self.permit(permission);
        self.replayer.command(Command::Grant(permission));
    }
}

impl Worker {
    pub(super) fn start_replayer(&mut self) {
        if !self.config.fallback.replay.enabled {
            return;
        }
        let parts = ReplayerParts {
            config: self.config.fallback.replay,
            instance: Arc::clone(&self.instance),
            topics: Arc::clone(&self.shared.topics),
            statistics: Arc::clone(&self.shared.statistics),
            share: self.shared.inbox.limits().replay,
            single_topic: self.partitioning.is_some(),
        };
        let send = self.signals.sender();
        let offers = Box::new(move |offer| send(Signal::Offer(offer)));
        match Replayer::start(parts, offers, self.shared.log.clone()) {
            Ok(replayer) => self.replay = Some(Replaying::new(replayer)),
            Err(error) => error!(%error, "fallback files can't be replayed"),
        }
    }

    pub(super) fn hear_offer(&mut self, offer: Offer) {
        let Some(replay) = &mut self.replay else {
            return;
        };
        match offer {
            Offer::Found => self.connect(),
            Offer::Nothing => {
                if self.phase.is_trying() {
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
        busy |= replay.tell_verdicts();
        self.shared.statistics.set_replaying(replay.on_its_way);
        busy
    }

    fn check_permission(&mut self) {
        let is_ending = self.ending.is_some();
        let Some(replay) = &mut self.replay else {
            return;
        };
        let permission = if is_ending {
            Permission::Hold
        } else if self.phase.is_publishing() {
            Permission::Flow
        } else if self.phase.is_trying() {
            Permission::One
        } else {
            Permission::Hold
        };
        if permission == replay.permission {
            return;
        }
        replay.return_waiting();
        if permission == Permission::Hold
            && !is_ending
            && let Some(producer) = self.producers.open_replay()
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
        self.phase.begin_trial(Instant::now() + window);
        replay.permit(Permission::One);
        let grant = replay.replayer.commander();
        // First the file that is being written, which may hold the oldest.
        self.writer
            .seal(move || grant(Command::Grant(Permission::One)));
    }

    fn check_trial(&mut self) {
        let now = Instant::now();
        if self.phase.trial().is_some_and(|trial| trial.until <= now) {
            self.trial_failed(RDKafkaErrorCode::MessageTimedOut);
        }
    }

    /// No answer about the message. If the cluster still answers, it was its topic's trouble.
    fn trial_failed(&mut self, code: RDKafkaErrorCode) {
        let Some(trial) = self.phase.end_trial() else {
            return;
        };
        debug!(
            "the oldest message on disk was not delivered ({})",
            describe(code)
        );
        if let Some(target) = trial.of {
            self.are_troubled(vec![(target, code)]);
        }
        self.probing.is_to_look_again();
    }

    /// Kafka has said something about a message from a file.
    fn replay_was_answered(&mut self, id: u64) {
        self.cluster.has_answered();
        self.was_answered(Ticket::file(id));
        if self.phase.is_trying() {
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
        // Verdicts that were given before come first.
        replay.tell_verdicts();
        let (troubles, replayer) = (&self.troubles, &replay.replayer);
        replay.halted.retain(|topic| {
            let waits = troubles.is_topic_shut(*topic, now);
            if !waits {
                replayer.command(Command::Resume(*topic));
            }
            waits
        });
    }

    /// While Kafka is there, what was written to file is sealed soon, and so replayed.
    fn seal_for_replay(&mut self) {
        if !self.phase.is_publishing() {
            return;
        }
        let Some(since) = self.writer.unsealed_since() else {
            return;
        };
        // A topic whose messages are in sealed files already has its trial from there.
        let is_held_back = self.replay.as_ref().is_some_and(|r| !r.halted.is_empty());
        let patience = if is_held_back && self.troubles.is_any_open() {
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
        replay.tell_verdicts();
        replay.replayer.command(Command::Close);
        if !replay.replayer.has_ended() {
            return false;
        }
        replay.replayer.join();
        self.shared.statistics.set_replaying(Amount::default());
        true
    }
}
