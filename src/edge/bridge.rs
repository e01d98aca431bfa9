//! Calls from our threads into JavaScript: the user's logger, partitioner and redirection, and the
//! news that nothing keeps the event loop busy any more.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ptr;
use std::rc::{Rc, Weak as RcWeak};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use napi::bindgen_prelude::*;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, sys};
use serde_json::json;
use tracing::Level;

use super::callbacks::Callbacks;
use super::lines::Lines;
use super::replies::Replies;
use crate::guard::guarded;
use crate::kafka::Redirect;
use crate::logging::{Sink, Stderr};
use crate::options::Address;
use crate::worker::{CustomPartitioner, EventLoop, PartitionJob, PartitionReply, Shared};

/// How long a broker's thread waits for the user's redirection function.
const REDIRECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Something to be done on the JS thread.
enum Task {
    Idle,
    Log,
    Fates,
    News,
    Token,
    Partition(Vec<PartitionJob>, PartitionReply),
    Redirect(Address, SyncSender<Address>),
}

type Tsfn = ThreadsafeFunction<Task, Unknown<'static>, (), Status, false, true>;

/// A way to the JS thread. It does not keep the event loop alive unless told to.
pub struct Bridge {
    tsfn: Tsfn,
    raw: sys::napi_threadsafe_function,
    lines: Arc<Lines>,
}

// SAFETY: a threadsafe function is called from any thread; `raw` is used on the JS thread only.
unsafe impl Send for Bridge {}
unsafe impl Sync for Bridge {}

/// The bridge's end on the JS thread.
pub struct Shore {
    callbacks: Callbacks,
    lines: Arc<Lines>,
    replies: Replies,
    /// Whether the event loop is kept alive.
    holds: Cell<bool>,
    /// Set as soon as it is made; it needs the bridge, too.
    shared: Arc<OnceLock<Weak<Shared>>>,
}

thread_local! {
    /// The shores of this thread's publishers, for the end of its environment.
    static SHORES: RefCell<Vec<RcWeak<Shore>>> = const { RefCell::new(Vec::new()) };
}

impl Bridge {
    /// Both ends. `shared` is set once there is one.
    pub fn new(
        env: &Env,
        callbacks: Callbacks,
        shared: Arc<OnceLock<Weak<Shared>>>,
    ) -> Result<(Arc<Self>, Rc<Shore>)> {
        let lines = Arc::new(Lines::default());
        let shore = Rc::new(Shore {
            callbacks,
            lines: Arc::clone(&lines),
            replies: Replies::default(),
            holds: Cell::new(false),
            shared,
        });
        SHORES.with_borrow_mut(|shores| {
            shores.retain(|shore| shore.strong_count() > 0);
            shores.push(Rc::downgrade(&shore));
        });
        let raw = Rc::new(Cell::new(ptr::null_mut()));
        let (raw_later, there) = (Rc::clone(&raw), Rc::clone(&shore));
        let tsfn = env
            .create_function::<(), Unknown<'static>>("kafkaPublisher", noop)?
            .build_threadsafe_function::<Task>()
            .weak::<true>()
            .build_callback(move |context| {
                guarded(
                    || there.obey(&context.env, raw_later.get(), context.value),
                    |_| (),
                );
                Ok(())
            })?;
        raw.set(tsfn.raw());
        let raw = tsfn.raw();
        Ok((Arc::new(Bridge { tsfn, raw, lines }), shore))
    }

    /// Returns whether the task will be done, unless the environment ends before.
    fn call(&self, task: Task) -> bool {
        self.tsfn
            .call(task, ThreadsafeFunctionCallMode::NonBlocking)
            == Status::Ok
    }

    /// Fates of messages are there to be fetched. Returns whether they will be.
    pub fn has_fates(&self) -> bool {
        self.call(Task::Fates)
    }

    /// The same of news.
    pub fn has_news(&self) -> bool {
        self.call(Task::News)
    }

    /// The user's function is to be asked for a token. Returns whether it will be.
    pub fn wants_token(&self) -> bool {
        self.call(Task::Token)
    }

    /// Keeps the event loop and the callbacks alive until [`EventLoop::may_end`]. On the JS thread.
    pub fn hold_loop(&self, env: sys::napi_env, shared: &Shared, shore: &Shore) {
        if !shore.holds.replace(true) && !self.tsfn.aborted() {
            shared.holds_loop.store(true, Ordering::Release);
            shore.callbacks.hold();
            // SAFETY: on the JS thread, with a function that was not aborted.
            unsafe { sys::napi_ref_threadsafe_function(env, self.raw) };
        }
    }

    /// For a hold that turned out to be for nothing. On the JS thread.
    pub fn release_if_idle(&self, env: &Env, shared: &Shared, shore: &Shore) {
        if !self.tsfn.aborted() {
            shore.release_if_idle(env, self.raw, shared);
        }
    }
}

impl Shore {
    pub fn holds(&self) -> bool {
        self.holds.get()
    }

    fn obey(&self, env: &Env, raw: sys::napi_threadsafe_function, task: Task) {
        match task {
            Task::Idle => {
                if let Some(shared) = self.shared() {
                    self.release_if_idle(env, raw, &shared);
                }
            }
            Task::Log => self.deliver_lines(),
            Task::Fates => self.deliver_fates(),
            Task::News => self.deliver_news(),
            Task::Token => self.callbacks.ask_for_token(),
            Task::Partition(jobs, reply) => self.partition(env, &jobs, reply),
            Task::Redirect(from, reply) => {
                // The broker's thread may have stopped waiting.
                let _ = reply.try_send(self.redirect(from));
            }
        }
    }

    fn shared(&self) -> Option<Arc<Shared>> {
        self.shared.get().and_then(Weak::upgrade)
    }

    /// Tells those who wait what became of their messages.
    pub fn deliver_fates(&self) {
        let told = self.shared().map(|shared| shared.fates.take());
        if let Some(told) = told.filter(|told| !told.is_empty()) {
            self.callbacks.settle(&told);
        }
    }

    pub fn deliver_news(&self) {
        let news = self.shared().map(|shared| shared.statistics.news.take());
        if let Some(news) = news.filter(|news| !news.is_empty()) {
            self.callbacks.tell(&news);
        }
    }

    fn release_if_idle(&self, env: &Env, raw: sys::napi_threadsafe_function, shared: &Shared) {
        if shared.in_memory() == 0 && self.holds.replace(false) {
            // What is told is told before it has left memory.
            self.deliver_fates();
            shared.holds_loop.store(false, Ordering::Release);
            self.callbacks.release();
            // SAFETY: on the JS thread; the caller's function is alive.
            unsafe { sys::napi_unref_threadsafe_function(env.raw(), raw) };
        }
    }

    /// Hands the lines that wait to the user's logger; those that it does not take go to stderr.
    pub fn deliver_lines(&self) {
        while let Some((level, text)) = self.lines.take() {
            let Err(failure) = self.callbacks.log(level, &text) else {
                continue;
            };
            Stderr::new("").write(level, &text);
            if let Some(failure) = failure {
                Stderr::new("").write(Level::WARN, &format!("the logger threw: {failure}"));
            }
        }
    }

    fn partition(&self, env: &Env, jobs: &[PartitionJob], reply: PartitionReply) {
        let messages = jobs.iter().map(|job| job.messages.len()).sum();
        let text = serde_json::Value::from_iter(jobs.iter().map(job_to_json)).to_string();
        let id = self.replies.owe(reply);
        let is_asked = Replies::function(env).is_ok_and(|reply| {
            self.callbacks
                .partition(id, &text, napi::JsValue::raw(&reply))
        });
        if !is_asked && let Some(reply) = Replies::take(id) {
            reply(
                vec![None; messages],
                Some("it could not be called".to_owned()),
            );
        }
    }

    fn redirect(&self, from: Address) -> Address {
        self.callbacks.redirect(&from).unwrap_or_else(|why| {
            let log = self.shared().map(|shared| shared.log.clone());
            tracing::dispatcher::with_default(&log.unwrap_or_default(), || {
                tracing::error!(
                    "brokerRedirection failed for {from} ({why}); it is not redirected"
                );
            });
            from
        })
    }
}

/// The environment of this thread is ending, but JavaScript still runs: its loggers get their last lines.
pub fn deliver_last_lines() {
    let shores = SHORES.with_borrow_mut(std::mem::take);
    for shore in shores.iter().filter_map(RcWeak::upgrade) {
        shore.deliver_lines();
    }
}

unsafe extern "C" fn noop(_: sys::napi_env, _: sys::napi_callback_info) -> sys::napi_value {
    ptr::null_mut()
}

fn job_to_json(job: &PartitionJob) -> serde_json::Value {
    let (keys, values): (Vec<_>, Vec<_>) = job
        .messages
        .iter()
        .map(|(key, value)| (String::from_utf8_lossy(key), String::from_utf8_lossy(value)))
        .unzip();
    let partitions: Vec<_> = job
        .partitions
        .iter()
        .map(|partition| {
            json!({
                "error": serde_json::Value::Null,
                "partitionId": partition.id,
                "leader": partition.leader,
                "replicas": partition.replicas,
                "isr": partition.isr,
            })
        })
        .collect();
    json!({ "topic": &*job.topic, "partitions": partitions, "keys": keys, "values": values })
}

/// `brokerRedirection` as a function. While the JS thread is busy, the last answer counts.
pub struct RedirectFunction {
    pub bridge: Arc<Bridge>,
    pub last: Mutex<HashMap<Address, Address>>,
}

impl Redirect for RedirectFunction {
    fn redirect(&self, address: &Address) -> Address {
        let (sender, receiver) = sync_channel(1);
        let asked = self.bridge.call(Task::Redirect(address.clone(), sender));
        let answer = if asked {
            receiver.recv_timeout(REDIRECT_TIMEOUT).ok()
        } else {
            None
        };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(to) = answer {
            last.insert(address.clone(), to.clone());
            return to;
        }
        last.get(address).unwrap_or(address).clone()
    }
}

/// The event loop, as the worker sees it.
pub struct JsEventLoop(pub Arc<Bridge>);

impl EventLoop for JsEventLoop {
    fn may_end(&self) {
        self.0.call(Task::Idle);
    }
}

/// The user's partitioner, as the worker sees it.
pub struct JsPartitioner(pub Arc<Bridge>);

impl CustomPartitioner for JsPartitioner {
    fn ask(&self, jobs: Vec<PartitionJob>, reply: PartitionReply) {
        // Not asked, the batch is given up when the retry window is over.
        self.0.call(Task::Partition(jobs, reply));
    }
}

/// The user's logger. What it can't be told any more goes to stderr.
pub struct JsSink(pub Arc<Bridge>);

impl Sink for JsSink {
    fn line(&self, level: Level, text: &str) {
        self.0.lines.push(level, text, || self.0.call(Task::Log));
    }

    fn close(&self) {
        self.0.lines.close();
    }
}
