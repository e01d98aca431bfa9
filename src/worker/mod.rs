//! The worker: the one thread that holds the producer and decides, for each message, Kafka or file.
//!
//! It does its work in turns: what was asked of it, what came back, what time has brought, what is
//! in the inbox. Between two turns it naps for a millisecond while there is traffic, and sleeps
//! until it is woken when there is none. Nothing in a turn blocks: what would (metadata requests,
//! flushing, destroying a client) runs on a thread of its own and comes back as a [`Signal`].
//!
//! Where things are:
//! - A message's way: [`routing`] from the inbox, with the user's partitioner by [`partitioning`]; librdkafka
//!   has it ([`flight`], [`outstanding`]); [`reports`] says what came back, and [`verdict`] what follows;
//!   [`taking`] takes back what is overdue, and [`handed_back`] sorts it.
//! - What is known: [`cluster`] (what Kafka has said lately, and how fast: [`pulse`]), [`troubles`] (circuits
//!   of topics and partitions), [`sizes`].
//! - The course of an outage: [`phase`] (what can be together), [`states`] (the transitions), [`overdue`],
//!   [`inquiry`], [`probing`], [`trial`], [`reaching`].
//! - Files: [`replay`] decides, [`files`] carries out.
//! - [`producers`] owns all clients; [`ending`] is the end; [`shared`], [`signals`] and [`waiters`] are the
//!   contact with other threads.

mod cluster;
mod collected;
mod ending;
mod files;
mod flight;
mod forgetting;
mod handed_back;
mod inquiry;
mod outstanding;
mod overdue;
mod partitioning;
mod phase;
mod probing;
mod producers;
mod pulse;
mod reaching;
mod replay;
mod reports;
mod routing;
mod shared;
mod signals;
mod sizes;
mod spare;
mod spreading;
mod states;
mod taking;
mod trial;
mod troubles;
mod verdict;
mod waiters;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::fallback::{Instance, Writer};
use crate::fates::Fate;
use crate::guard::guarded;
use crate::kafka::{Fleet, Hooks, Partitioner, Ticket};
use crate::message::{Amount, Batch, Reason, TopicId, Waiter};
use crate::options::Config;
use crate::statistics::Place;

use cluster::Cluster;
use ending::Ending;
use flight::Flight;
use forgetting::Forgetting;
use handed_back::HandedBack;
use inquiry::Asked;
use partitioning::Partitioning;
pub use partitioning::{CustomPartitioner, PartitionJob, PartitionReply};
use phase::Phase;
use probing::Probing;
use producers::Producers;
use replay::Replaying;
pub use shared::{Request, Settle, Shared};
use signals::{Signal, Signals};
use sizes::RefusedSizes;
use spreading::Spreading;
use taking::Pause;
use troubles::Troubles;
use waiters::Waiters;

/// How long the worker naps between two turns while there is traffic.
const NAP: Duration = Duration::from_millis(1);
/// Longest time between two turns: log storms end and time-outs are seen by then.
const TICK: Duration = Duration::from_millis(200);

/// How long a trial may take, beside its retry window.
const TRIAL_GRACE: Duration = Duration::from_secs(3);

/// A batch that was taken from the inbox, and has to wait.
struct Held {
    batch: Batch,
    /// It was handed over once, and has been waiting for Kafka since then.
    since: Option<Instant>,
}

/// The event loop of JavaScript, as the worker sees it.
pub trait EventLoop: Send {
    /// Nothing is in memory any more.
    fn may_end(&self);
}

/// What the worker is started with.
pub struct Parts {
    pub config: Config,
    pub shared: Arc<Shared>,
    pub producer: Fleet,
    pub writer: Writer,
    pub instance: Arc<Instance>,
    pub hooks: Hooks,
    pub partitioner: Option<Box<dyn CustomPartitioner>>,
    pub event_loop: Box<dyn EventLoop>,
}

pub struct Worker {
    config: Config,
    shared: Arc<Shared>,
    signals: Signals,
    waiters: Waiters,

    phase: Phase,
    probing: Probing,
    asked: Asked,
    ending: Option<Ending>,

    /// Taken from the inbox, and not handed on yet: librdkafka's share of the memory was used up, or it
    /// has to give up what it holds.
    held_back: VecDeque<Held>,
    /// When nothing was handed over for the last time.
    pause: Option<Pause>,
    partitioning: Option<Partitioning>,
    flight: Flight,
    handed_back: HandedBack,

    cluster: Cluster,
    troubles: Troubles,
    /// Trials whose success the main client does not see; the next one will.
    waiting_for_successor: Vec<Ticket>,
    sizes: RefusedSizes,
    spreading: Spreading,
    forgetting: Forgetting,

    producers: Producers,
    writer: Writer,
    instance: Arc<Instance>,
    replay: Replaying,
}

impl Worker {
    pub fn new(parts: Parts) -> Self {
        let config = parts.config;
        let troubles = Troubles::new(
            config.probe,
            Partitioner::of(&config.kafka),
            config.retry_window.unwrap_or(ending::PATIENCE) + TRIAL_GRACE,
        );
        let producers = Producers::new(
            config.kafka.clone(),
            parts.producer,
            parts.hooks,
            Arc::clone(&parts.shared.inbox),
        );
        Worker {
            phase: Phase::Created,
            producers,
            flight: Flight::default(),
            cluster: Cluster::new(config.retry_window),
            troubles,
            waiting_for_successor: Vec::new(),
            sizes: RefusedSizes::new(config.kafka.compresses),
            spreading: Spreading::new(Partitioner::of(&config.kafka)),
            probing: Probing::default(),
            asked: Asked::default(),
            partitioning: parts.partitioner.map(Partitioning::new),
            forgetting: Forgetting::default(),
            held_back: VecDeque::new(),
            pause: None,
            handed_back: HandedBack::default(),
            ending: None,
            waiters: Waiters::new(parts.event_loop),
            signals: Signals::new(Arc::clone(&parts.shared)),
            config,
            shared: parts.shared,
            writer: parts.writer,
            instance: parts.instance,
            replay: Replaying::off(),
        }
    }

    /// Runs on a thread of its own until the publisher has ended.
    pub fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let _log = tracing::dispatcher::set_default(&shared.log);
        self.start_replayer();
        match tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
        {
            Ok(runtime) => {
                let panicked = guarded(
                    || {
                        runtime.block_on(self.take_turns());
                        false
                    },
                    |_| true,
                );
                if panicked {
                    // What is left unsettled then, is settled when the worker is dropped.
                    guarded(|| self.give_up(), |_| ());
                }
                // What is still blocked in a call to a hung broker is not waited for.
                runtime.shutdown_background();
            }
            Err(error) => tracing::error!(%error, "the worker could not start"),
        }
        drop(self);
        shared.set_ended();
        // Requests that came in between see `ended`, or are found here.
        for request in shared.take_requests() {
            shared.request(request);
        }
    }

    async fn take_turns(&mut self) {
        let mut last_tick = Instant::now();
        loop {
            let busy = self.turn();
            if self.phase.is_ended() {
                return;
            }
            if last_tick.elapsed() > Duration::from_secs(1) {
                crate::logging::flush_suppressed(false);
                last_tick = Instant::now();
            }
            if let Some(time) = self.gathers_for() {
                self.shared.inbox.nap(time).await;
                continue;
            }
            // With more in the inbox than can be moved now, looking again at once would be of no use.
            if busy || !self.shared.inbox.held().is_zero() {
                self.shared.inbox.nap(NAP).await;
            } else {
                tokio::select! {
                    () = self.shared.inbox.sleep() => {}
                    () = tokio::time::sleep(self.until_next_turn()) => self.shared.inbox.awake(),
                }
            }
        }
    }

    /// Something to wait for makes the worker look again soon; nothing, hardly ever.
    fn until_next_turn(&self) -> Duration {
        let is_short = self.phase.is_taking() || self.ending.is_some();
        if is_short || self.producers.is_any_beginning() && !self.flight.is_empty() {
            return NAP * 5;
        }
        let idle = self.flight.is_empty()
            && self.held_back.is_empty()
            && self.replay.is_idle()
            && !self.is_partitioning();
        let until_probe = self.probing.next_in();
        // Sealed for whom, if nobody replays?
        let seals = self.replay.is_on()
            && self.phase.is_publishing()
            && self.writer.unsealed_since().is_some();
        let longest = match (idle && !seals, self.replay.waits_for_topics()) {
            (false, _) => TICK / 4,
            (true, true) => TICK,
            (true, false) => TICK * 25,
        };
        until_probe.min(longest)
    }

    /// Returns whether anything was done.
    fn turn(&mut self) -> bool {
        let mut busy = false;
        for request in self.shared.take_requests() {
            busy = true;
            self.obey(request);
        }
        while let Some(signal) = self.signals.next() {
            busy = true;
            self.hear(signal);
        }
        busy |= self.poll_reports();
        self.check_time();
        self.check_knowledge();
        self.check_renewal();
        busy |= self.route();
        busy |= self.replay();
        self.close_clients_that_are_of_no_use();
        self.forget_topics();
        self.check_ending();
        self.waiters.tell(&self.shared, self.phase.is_ended());
        busy
    }

    fn check_time(&mut self) {
        let now = Instant::now();
        self.check_taking(now);
        self.check_probes(now);
        self.check_overdue(now);
        self.check_partitioning();
        self.hasten_new_clients(now);
        self.check_spreading(now);
    }

    fn obey(&mut self, request: Request) {
        match request {
            Request::Init(settle, number) => {
                if self.phase.is_publishing() || self.ending.is_some() {
                    settle(Ok(()));
                } else {
                    self.waiters.for_kafka(settle, number);
                    self.connect();
                }
            }
            Request::Drained(settle, number) => self.waiters.for_room(settle, number),
            Request::Forget(number) => self.waiters.forget(number),
            Request::End(settle, patience) => {
                let usual = self.config.retry_window.unwrap_or(ending::PATIENCE);
                self.begin_end(Some(settle), patience.unwrap_or(usual));
            }
            Request::Exit => self.begin_end(None, ending::EXIT_FLUSH),
        }
    }

    fn hear(&mut self, signal: Signal) {
        match signal {
            Signal::Answer(answer) => self.cluster_answered(answer),
            Signal::Found {
                findings,
                decides,
                round_trip,
            } => {
                self.cluster.was_measured(round_trip);
                self.found(findings, decides);
            }
            Signal::Measured(round_trip) => self.cluster.was_measured(round_trip),
            Signal::Offer(offer) => self.hear_offer(offer),
            Signal::Reached { ticket, by_main } => self.was_reached(ticket, by_main),
            Signal::FleetIsReady => self.fleet_is_ready(),
            Signal::Partitions { ticket, described } => {
                self.partitions_are_known(ticket, described);
            }
            Signal::Partitioned {
                ticket,
                partitions,
                failure,
            } => self.batch_is_partitioned(ticket, &partitions, failure),
        }
    }

    fn discard(
        &mut self,
        from: Place,
        reason: Reason,
        amount: Amount,
        (topic, waiter): (TopicId, Waiter),
        why: &str,
    ) {
        let fate = || Fate::Discarded(reason, format!("{} ({why})", reason.sentence()));
        self.shared.fates.tell(waiter, fate);
        let topic = self.shared.topics.name(topic);
        tracing::error!(%topic, bytes = amount.bytes, "message discarded: {} ({why})", reason.sentence());
        self.shared.statistics.errors(
            format!("discarded: {} ({why})", reason.sentence()),
            amount.messages,
        );
        self.shared.statistics.discard(from, reason, amount, &topic);
    }
}
