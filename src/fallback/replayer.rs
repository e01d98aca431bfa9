//! The replayer's thread, as the worker sees it: messages come out, verdicts on them go in.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tracing::error;

use super::instance::Instance;
use super::replay::Replay;
use crate::message::{Batch, TopicId, Topics};
use crate::options::ReplayConfig;
use crate::statistics::Statistics;

/// What the worker lets the replayer do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Kafka is away: nothing is read.
    Hold,
    /// The oldest message, to find out whether Kafka takes it.
    One,
    /// Everything.
    Flow,
}

/// What became of messages, by their numbers. Each number gets one verdict.
#[derive(Debug, Default)]
pub struct Verdicts {
    pub delivered: Vec<u64>,
    /// Refused for good, and why.
    pub rejected: Vec<(u64, String)>,
    /// Not delivered: their topics wait until [`Command::Resume`] or a new permission.
    pub returned: Vec<u64>,
}

impl Verdicts {
    pub fn is_empty(&self) -> bool {
        self.delivered.is_empty() && self.rejected.is_empty() && self.returned.is_empty()
    }
}

pub enum Command {
    Grant(Permission),
    Verdicts(Verdicts),
    /// This topic's trouble may be over.
    Resume(TopicId),
    /// The writer has sealed a file.
    Sealed,
    Close,
}

/// What the replayer has for the worker.
pub enum Offer {
    /// Messages, numbered upwards from `first_id`.
    Messages { first_id: u64, batch: Batch },
    /// There are files to replay. Told once, at the start.
    Found,
    /// With [`Permission::One`]: there is no message on disk.
    Nothing,
}

pub type Offers = Box<dyn Fn(Offer) + Send>;

/// What a replayer is started with.
pub struct ReplayerParts {
    pub config: ReplayConfig,
    pub instance: Arc<Instance>,
    pub topics: Arc<Topics>,
    pub statistics: Arc<Statistics>,
    /// Memory for what is on its way, in bytes of [`crate::message::Amount::cost`].
    pub share: u64,
    /// Batches are of one topic each.
    pub single_topic: bool,
}

/// The worker's end of the replayer thread. A disk that hangs hangs that thread and nothing else.
pub struct Replayer {
    commands: Sender<Command>,
    thread: Option<JoinHandle<()>>,
}

impl Replayer {
    pub fn start(parts: ReplayerParts, offers: Offers, log: tracing::Dispatch) -> io::Result<Self> {
        let (commands, receiver) = channel();
        let thread = thread::Builder::new()
            .name("kafka-replay".into())
            .spawn(move || {
                let _log = tracing::dispatcher::set_default(&log);
                run(Replay::new(parts), &receiver, &offers);
            })?;
        Ok(Replayer {
            commands,
            thread: Some(thread),
        })
    }

    /// A replayer that has died is seen by [`Replayer::has_ended`].
    pub fn command(&self, command: Command) {
        let _ = self.commands.send(command);
    }

    /// Gives commands from another thread.
    pub fn commander(&self) -> impl Fn(Command) + Send + 'static {
        let commands = self.commands.clone();
        move |command| {
            let _ = commands.send(command);
        }
    }

    pub fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for the thread's end, after [`Command::Close`].
    pub fn join(&mut self) {
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            error!("the replayer panicked");
        }
    }
}

/// Whatever wakes the thread up, it looks for more to do; `step` says for how long there is nothing.
fn run(mut replay: Replay, commands: &Receiver<Command>, offers: &Offers) {
    replay.look_around(offers);
    let mut wait = Duration::ZERO;
    loop {
        let mut next = match commands.recv_timeout(wait) {
            Ok(command) => Some(command),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Command::Close),
        };
        while let Some(command) = next {
            match command {
                Command::Grant(permission) => replay.grant(permission),
                Command::Verdicts(verdicts) => replay.hear(verdicts),
                Command::Resume(topic) => replay.resume(topic),
                // `step` looks for it.
                Command::Sealed => {}
                Command::Close => return replay.close(),
            }
            next = match commands.try_recv() {
                Ok(command) => Some(command),
                Err(TryRecvError::Empty) => None,
                Err(TryRecvError::Disconnected) => Some(Command::Close),
            };
        }
        wait = replay.step(offers);
    }
}
