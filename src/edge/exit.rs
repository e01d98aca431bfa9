//! The end of the process or of its JS environment: what is in memory goes to Kafka or to file
//! before it is over, within a bounded time.

use std::cell::RefCell;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use napi::{Env, Result};

use crate::worker::{Command, Shared};

/// How long a process that ends may be held up, for all its publishers together.
const PATIENCE: Duration = Duration::from_secs(8);

thread_local! {
    /// The publishers of this thread's environment, and whether its hook is set.
    static LIVE: RefCell<Live> = const { RefCell::new(Live { publishers: Vec::new(), hooked: false }) };
}

struct Live {
    publishers: Vec<Weak<Shared>>,
    hooked: bool,
}

/// Remembers a publisher until it has ended.
pub fn watch(env: &Env, shared: &Arc<Shared>) -> Result<()> {
    LIVE.with_borrow_mut(|live| {
        live.publishers.retain(|publisher| {
            publisher
                .upgrade()
                .is_some_and(|shared| !shared.wait_for_end(Duration::ZERO))
        });
        live.publishers.push(Arc::downgrade(shared));
        if !live.hooked {
            env.add_env_cleanup_hook((), |()| leave())?;
            live.hooked = true;
        }
        Ok(())
    })
}

fn leave() {
    let publishers = LIVE.with_borrow_mut(|live| {
        live.hooked = false;
        std::mem::take(&mut live.publishers)
    });
    let deadline = Instant::now() + PATIENCE;
    let publishers: Vec<_> = publishers.iter().filter_map(Weak::upgrade).collect();
    for shared in &publishers {
        shared.command(Command::Exit);
    }
    for shared in &publishers {
        let left = deadline.saturating_duration_since(Instant::now());
        if !shared.wait_for_end(left) {
            tracing::dispatcher::with_default(&shared.log, || {
                let (_, held, counts) = shared.inbox.snapshot();
                let messages = held.messages
                    + counts.worker.messages
                    + counts.flight.messages
                    + counts.writer.messages;
                tracing::error!(
                    "the process ends with {messages} messages that could neither be published nor written"
                );
            });
        }
    }
}
