//! The one thread that reads fallback files and removes them: messages come out, verdicts on them go
//! in. A disk that hangs hangs this thread and nothing else.

mod pinned;
mod protocol;
mod reading;
mod thread;

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use tracing::error;

#[cfg(test)]
pub use self::protocol::Offers;
#[cfg(not(test))]
use self::protocol::Offers;
pub use self::protocol::{Command, Offer, Permission, ReplayerParts, Verdicts};
#[cfg(test)]
pub use self::thread::Replay;
#[cfg(not(test))]
use self::thread::Replay;

/// The worker's end of the replayer thread.
pub struct Replayer {
    commands: Sender<Command>,
    thread: Option<JoinHandle<()>>,
}

impl Replayer {
    pub fn start(parts: ReplayerParts, offers: Offers, log: tracing::Dispatch) -> io::Result<Self> {
        let (commands, receiver) = channel();
        let thread = Builder::new().name("kafka-replay".into()).spawn(move || {
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
