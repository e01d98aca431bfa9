//! Messages from fallback files, on their way to Kafka: by a producer of their own, after live ones.
//!
//! The replayer reads and remembers; here is what it is allowed to ([`Permission`]), the hand-over to
//! librdkafka, and the verdicts. A message that is not delivered needs no other place: it is still in
//! its file. The oldest one is also the trial that ends an outage. What follows for others than these
//! messages is the worker's to do ([`Action`]).

mod failing;
mod sending;

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use rdkafka::types::RDKafkaErrorCode;
use tracing::error;

use super::collected::Collected;
use super::phase::Phase;
use super::producers::Producers;
use super::troubles::{Target, Troubles};
use crate::fallback::{Command, Offer, Permission, Replayer, ReplayerParts, Verdicts};
use crate::kafka::Ticket;
use crate::message::{Amount, Batch, TopicId};

pub(super) use sending::{Context, Progress};

/// Messages of a batch, numbered upwards.
struct Numbered {
    next_id: u64,
    batch: Batch,
    partitioned: bool,
}

/// What follows for the worker.
pub(super) enum Action {
    /// There are files: is Kafka there?
    Connect,
    /// There is nothing on disk to try Kafka with.
    Recover,
    /// These messages of one topic need their partitions.
    Partition(Batch),
    /// Kafka will never take this message; because of its size, if there is one.
    Rejected {
        ticket: Ticket,
        too_large: Option<(TopicId, u64)>,
    },
    /// Kafka has answered, and this message is to be sent in another way.
    GoesAgain(Ticket),
    /// This message stays in its file, and nobody is blamed.
    Stays(Ticket),
    Trouble(Target, RDKafkaErrorCode),
    TrialFailed(RDKafkaErrorCode),
    /// Nothing was heard: of the cluster, or of a topic?
    Inquire,
}

pub(super) struct Replaying {
    /// Unless `fallback.replay` is off.
    replayer: Option<Replayer>,
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
    /// Nothing is handed over until all is reported: then the client is replaced.
    renewal: Option<Renewal>,
}

/// Why the client has to be replaced: what it was made for, or knows, is for life.
enum Renewal {
    SmallerBatches,
    NewClient,
}

impl Replaying {
    /// One that replays nothing.
    pub(super) fn off() -> Self {
        Replaying {
            replayer: None,
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
            renewal: None,
        }
    }

    pub(super) fn start(
        parts: ReplayerParts,
        offers: Box<dyn Fn(Offer) + Send>,
        log: tracing::Dispatch,
    ) -> Self {
        let replayer = Replayer::start(parts, offers, log)
            .inspect_err(|error| error!(%error, "fallback files can't be replayed"));
        Replaying {
            replayer: replayer.ok(),
            ..Replaying::off()
        }
    }

    pub(super) fn is_on(&self) -> bool {
        self.replayer.is_some()
    }

    /// Nothing is with librdkafka.
    pub(super) fn has_landed(&self) -> bool {
        self.on_its_way.is_zero()
    }

    pub(super) fn on_its_way(&self) -> Amount {
        self.on_its_way
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

    /// Whether there are topics whose messages wait in their files.
    pub(super) fn holds_back(&self) -> bool {
        !self.halted.is_empty()
    }

    /// Forgets the other topics.
    pub(super) fn retain(&mut self, is_known: impl Fn(TopicId) -> bool) {
        self.halted.retain(|topic| is_known(*topic));
        self.alone.retain(|topic, _| is_known(*topic));
        self.retimed.retain(|topic, _| is_known(*topic));
    }

    /// Whether it has to be looked at which topics' trouble may be over.
    pub(super) fn waits_for_topics(&self) -> bool {
        self.permission == Permission::Flow && self.holds_back()
    }

    pub(super) fn take_suspects(&mut self) -> Vec<(Target, RDKafkaErrorCode)> {
        std::mem::take(&mut self.suspects)
    }

    pub(super) fn hear(&mut self, offer: Offer, phase: &Phase) -> Option<Action> {
        match offer {
            Offer::Found => return Some(Action::Connect),
            Offer::Nothing => return phase.is_trying().then_some(Action::Recover),
            Offer::Messages { first_id, batch } if self.permission == Permission::Hold => {
                self.return_batch(first_id, &batch);
            }
            Offer::Messages { first_id, batch } => self.waiting.push_back(Numbered {
                next_id: first_id,
                batch,
                partitioned: false,
            }),
        }
        None
    }

    /// Messages were delivered.
    pub(super) fn delivered(&mut self, collected: &Collected) {
        self.verdicts.delivered.extend(&collected.replayed);
        self.reported(collected.replayed_amount);
    }

    fn reported(&mut self, amount: Amount) {
        self.on_its_way.subtract(amount);
        self.last_report = Instant::now();
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

    fn command(&self, command: Command) {
        if let Some(replayer) = &self.replayer {
            replayer.command(command);
        }
    }

    /// Sends a command later, from anywhere.
    fn commander(&self) -> impl FnOnce(Command) + Send + 'static {
        let commander = self.replayer.as_ref().map(Replayer::commander);
        move |command| {
            if let Some(commander) = commander {
                commander(command);
            }
        }
    }

    /// Tells the replayer what has become of messages since. Returns whether there was anything to tell.
    pub(super) fn tell_verdicts(&mut self) -> bool {
        if self.verdicts.is_empty() {
            return false;
        }
        let verdicts = std::mem::take(&mut self.verdicts);
        self.command(Command::Verdicts(verdicts));
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

    pub(super) fn check_permission(
        &mut self,
        phase: &Phase,
        is_ending: bool,
        producers: &Producers,
    ) {
        let permission = if is_ending {
            Permission::Hold
        } else if phase.is_publishing() {
            Permission::Flow
        } else if phase.is_trying() {
            Permission::One
        } else {
            Permission::Hold
        };
        if permission == self.permission {
            return;
        }
        self.return_waiting();
        if permission == Permission::Hold
            && !is_ending
            && let Some(producer) = producers.open_replay()
        {
            producer.purge();
        }
        self.permit(permission);
        self.command(Command::Grant(permission));
    }

    /// The oldest message on disk may be sent. Returns what tells the replayer so.
    pub(super) fn permit_one(&mut self) -> impl FnOnce() + Send + 'static {
        self.permit(Permission::One);
        let command = self.commander();
        move || command(Command::Grant(Permission::One))
    }

    /// Topics whose trouble may be over are read again.
    pub(super) fn resume_topics(&mut self, troubles: &Troubles) {
        if !self.waits_for_topics() {
            return;
        }
        let now = Instant::now();
        // Verdicts that were given before come first.
        self.tell_verdicts();
        let mut halted = std::mem::take(&mut self.halted);
        halted.retain(|topic| {
            let waits = troubles.is_topic_shut(*topic, now);
            if !waits {
                self.command(Command::Resume(*topic));
            }
            waits
        });
        self.halted = halted;
    }

    /// What tells the replayer that the file that was being written is sealed.
    pub(super) fn on_sealed(&self) -> impl FnOnce() + Send + 'static {
        let command = self.commander();
        move || command(Command::Sealed)
    }

    /// What the partitioner was asked about is ready. Returns it if it is not from a file.
    pub(super) fn partitioned(&mut self, batch: Batch) -> Option<Batch> {
        let Some(next_id) = self.at_partitioner.take() else {
            return Some(batch);
        };
        self.waiting.push_front(Numbered {
            next_id,
            batch,
            partitioned: true,
        });
        None
    }

    /// What the partitioner was asked about has no partition. Returns it if it is not from a file.
    pub(super) fn unpartitioned(&mut self, batch: Batch) -> Option<Batch> {
        let Some(next_id) = self.at_partitioner.take() else {
            return Some(batch);
        };
        self.return_batch(next_id, &batch);
        None
    }

    /// The publisher ends: the replayer writes down where it is. Returns whether it has.
    pub(super) fn close(&mut self) -> bool {
        self.tell_verdicts();
        self.command(Command::Close);
        let Some(replayer) = &mut self.replayer else {
            return true;
        };
        if !replayer.has_ended() {
            return false;
        }
        replayer.join();
        true
    }
}
