//! A publisher, as `index.js` makes and calls it: the class `KafkaPublisher` is there.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use napi::bindgen_prelude::*;
use napi::{Env, Unknown};
use napi_derive::napi;

use crate::edge::bridge::{Bridge, JsEventLoop, JsPartitioner, JsSink, RedirectFunction, Shore};
use crate::edge::callback;
use crate::edge::callbacks::{Callbacks, Kept};
use crate::edge::deferred::Deferred;
use crate::edge::queue::Queue;
use crate::edge::{exit, token, value};
use crate::fallback::{Instance, Writer, WriterParts};
use crate::guard::guarded;
use crate::inbox::{Inbox, Limits};
use crate::kafka::{Fleet, Hooks, Redirect, Tokens, Tuning};
use crate::logging::{self, Stderr};
use crate::message::Topics;
use crate::options::{Config, Redirection};
use crate::statistics::{ReplayGauges, ReplayState, Statistics};
use crate::worker::{Parts, Request, Settle, Shared, Worker};
use crate::{snapshot, stderr};

/// What the publisher's object in JavaScript holds.
pub struct Publisher {
    shared: Arc<Shared>,
    bridge: Arc<Bridge>,
    shore: Rc<Shore>,
    queue: Rc<Queue>,
    tokens: Option<Arc<Tokens>>,
    directory: String,
}

impl Drop for Publisher {
    /// Nobody can call `end()` any more; the worker ends by itself, and loses nothing.
    fn drop(&mut self) {
        guarded(
            || self.shared.request(Request::End(Box::new(|_| {}), None)),
            |_| (),
        );
    }
}

/// Starts a publisher, whose Kafka client begins to connect at once. `callbacks` are the functions in
/// `options`, as `lib/callbacks.js` prepares them.
///
/// # Errors
/// Names the option that is wrong, what it got and what it takes.
#[napi(namespace = "publisher", skip_typescript)]
#[cfg_attr(test, allow(dead_code))]
pub fn start(
    env: &Env,
    options: Unknown<'_>,
    callbacks: Object<'_>,
) -> Result<External<Publisher>> {
    guarded(|| Publisher::start(env, options, &callbacks), bug).map(External::new)
}

/// `queueText` and `queueRecord`, with the publisher that they belong to.
#[napi(namespace = "publisher", skip_typescript)]
#[cfg_attr(test, allow(dead_code))]
pub fn queue_functions<'env>(
    env: &'env Env,
    publisher: &External<Publisher>,
) -> Result<Vec<Unknown<'env>>> {
    // SAFETY: on the JS thread.
    let functions = unsafe { callback::queue_functions(env.raw(), &publisher.queue) };
    let functions = functions.ok_or_else(|| reason("there is no memory for a function"))?;
    // SAFETY: just made, in this scope.
    let unknown = |function| unsafe { Unknown::from_raw_unchecked(env.raw(), function) };
    Ok(functions.map(unknown).into())
}

#[napi(namespace = "publisher", skip_typescript)]
#[cfg_attr(test, allow(dead_code))]
pub fn init<'env>(
    env: &'env Env,
    publisher: &External<Publisher>,
    object: Object<'_>,
    number: u32,
) -> Result<Object<'env>> {
    publisher.promise(env, &object, |settle| Request::Init(settle, number))
}

/// `oauthToken()` has answered: JSON, as `lib/token.js` has it.
#[napi(namespace = "publisher", skip_typescript)]
#[cfg_attr(test, allow(dead_code))]
pub fn token_came(publisher: &External<Publisher>, answer: String) {
    guarded(|| publisher.token_came(&answer), |_| ());
}

/// `init()` or `drained()` of this number is not waited for any more; its promise is settled.
#[napi(namespace = "publisher", skip_typescript)]
#[cfg_attr(test, allow(dead_code))]
pub fn forget(publisher: &External<Publisher>, number: u32) {
    guarded(|| publisher.shared.request(Request::Forget(number)), |_| ());
}

/// A line for the log.
#[napi(namespace = "publisher", skip_typescript)]
#[cfg_attr(test, allow(dead_code))]
pub fn warn(publisher: &External<Publisher>, text: String) {
    let log =
        || tracing::dispatcher::with_default(&publisher.shared.log, || tracing::warn!("{text}"));
    guarded(log, |_| ());
}

#[napi(namespace = "publisher", skip_typescript)]
#[cfg_attr(test, allow(dead_code))]
pub fn end<'env>(
    env: &'env Env,
    publisher: &External<Publisher>,
    object: Object<'_>,
    timeout_ms: Option<f64>,
) -> Result<Object<'env>> {
    publisher.shared.inbox.close();
    // What is too much for a duration is for ever, nearly.
    let patience = timeout_ms.map(|ms| Duration::from_millis(ms.min(f64::from(u32::MAX)) as u64));
    publisher.promise(env, &object, |settle| Request::End(settle, patience))
}

#[napi(namespace = "publisher", skip_typescript)]
#[cfg_attr(test, allow(dead_code))]
pub fn drained<'env>(
    env: &'env Env,
    publisher: &External<Publisher>,
    object: Object<'_>,
    number: u32,
) -> Result<Object<'env>> {
    publisher.promise(env, &object, |settle| Request::Drained(settle, number))
}

#[napi(namespace = "publisher", skip_typescript)]
#[cfg_attr(test, allow(dead_code))]
pub fn queued(publisher: &External<Publisher>) -> f64 {
    guarded(|| publisher.shared.in_memory() as f64, |_| f64::NAN)
}

/// From here on `callbacks.news` is called with what happens.
#[napi(namespace = "publisher", skip_typescript)]
#[cfg_attr(test, allow(dead_code))]
pub fn listen(publisher: &External<Publisher>) {
    let teller = Arc::clone(&publisher.bridge);
    let listen = || {
        let news = &publisher.shared.statistics.news;
        news.listen(move || teller.has_news());
    };
    guarded(listen, |_| ());
}

/// All counts at one moment, as JSON.
#[napi(namespace = "publisher", skip_typescript)]
#[cfg_attr(test, allow(dead_code))]
pub fn statistics(publisher: &External<Publisher>) -> Result<String> {
    let shared = &publisher.shared;
    let report = || {
        let latency = shared.statistics.latency();
        Ok(snapshot::json(&shared.inbox, latency, &publisher.directory).to_string())
    };
    guarded(report, bug)
}

#[napi(namespace = "publisher", skip_typescript)]
#[cfg_attr(test, allow(dead_code))]
pub fn reset_statistics(publisher: &External<Publisher>) {
    guarded(|| publisher.shared.inbox.reset_statistics(), |_| ());
}

/// `queue()` could not do its work for `count` messages: JavaScript's stack was at its end, most likely.
#[napi(namespace = "publisher", skip_typescript)]
#[cfg_attr(test, allow(dead_code))]
pub fn queue_failed(env: &Env, publisher: &External<Publisher>, count: u32, why: String) {
    let refuse = || {
        for _ in 0..count {
            publisher.queue.failed(env.raw(), &why);
        }
    };
    guarded(refuse, |_| ());
}

/// `queue()` was called on something that is no publisher: there is nobody to count the message.
#[napi(namespace = "publisher", skip_typescript)]
#[cfg_attr(test, allow(dead_code))]
pub fn lost(why: String) {
    stderr::rare_error(&format!(
        "message discarded: queue() was not called on a KafkaPublisher ({why})"
    ));
}

impl Publisher {
    fn start(env: &Env, options: Unknown<'_>, callbacks: &Object<'_>) -> Result<Self> {
        let config = read_config(options)?;
        let callbacks = Callbacks::new(env, callbacks, config.client_id.clone())?;
        let (has_logger, has_partitioner) = (callbacks.has_logger(), callbacks.has_partitioner());
        let late = Arc::new(OnceLock::new());
        let (bridge, shore) = Bridge::new(env, callbacks, Arc::clone(&late))?;
        let sink: Box<dyn logging::Sink> = if has_logger {
            Box::new(JsSink(Arc::clone(&bridge)))
        } else {
            Box::new(Stderr::new(&std::env::var("DEBUG").unwrap_or_default()))
        };
        let shared = Arc::new(share(&config, logging::dispatcher(config.log_level, sink)));
        // The bridge was made first, because the logger needs it.
        let _ = late.set(Arc::downgrade(&shared));
        let teller = Arc::clone(&bridge);
        shared.fates.fetched_by(move || teller.has_fates());

        let default_topic = config.default_topic.as_deref();
        let default_topic = default_topic.map(|name| shared.topics.intern(name));
        let queue = Queue::new(
            Arc::clone(&shared),
            (Arc::clone(&bridge), Rc::clone(&shore)),
            config.key_encoding,
            default_topic,
        );
        let directory = config.fallback.directory.display().to_string();
        let partitioner =
            has_partitioner.then(|| Box::new(JsPartitioner(Arc::clone(&bridge))) as Box<_>);
        let hooks = hooks(&config, &bridge);
        let tokens = hooks.tokens.clone();
        let inbox = Arc::clone(&shared.inbox);
        let tuning = Tuning::Live { idempotent: true };
        let producer = Fleet::new(&config.kafka, tuning, &hooks, &inbox, 1).map_err(reason)?;
        let (writer, instance) = start_writer(&config, &shared)?;
        log_warnings(&config, &shared);
        exit::watch(env, &shared)?;
        let worker = Worker::new(Parts {
            config,
            shared: Arc::clone(&shared),
            producer,
            writer,
            instance,
            hooks,
            partitioner,
            event_loop: Box::new(JsEventLoop(Arc::clone(&bridge))),
        });
        std::thread::Builder::new()
            .name("kafka-publisher".into())
            .spawn(move || worker.run())
            .map_err(reason)?;
        Ok(Publisher {
            shared,
            bridge,
            shore,
            queue: Rc::new(queue),
            tokens,
            directory,
        })
    }

    fn token_came(&self, answer: &str) {
        let Some(tokens) = &self.tokens else {
            return;
        };
        let given = match token::read(answer) {
            Ok(token) => tokens.came(token),
            Err(why) => {
                tokens.failed(&why);
                Err(why)
            }
        };
        let Err(why) = given else {
            return;
        };
        let text = format!("oauthToken failed: {why}");
        self.shared.statistics.error(text.clone());
        tracing::dispatcher::with_default(&self.shared.log, || {
            tracing::error!(kind = "oauthToken", "{text}; it is asked again");
        });
    }

    fn promise<'env>(
        &self,
        env: &'env Env,
        object: &Object<'_>,
        request: impl FnOnce(Settle) -> Request,
    ) -> Result<Object<'env>> {
        // What was logged before the promise is settled, the user's logger has got by then. Until then
        // the publisher stays, even if nobody but the promise knows of it.
        let (shore, kept) = (Rc::clone(&self.shore), Kept::new(env, object)?);
        let before = move || {
            let _ = &kept;
            shore.deliver_lines();
            shore.deliver_fates();
            shore.deliver_news();
        };
        let (deferred, promise) = Deferred::<()>::new(env, before)?;
        let mut promised = Promised(Some(deferred));
        let settle = move |result: std::result::Result<(), String>| {
            promised.settle(result.map_err(Error::from_reason));
        };
        guarded(|| self.shared.request(request(Box::new(settle))), |_| ());
        Ok(promise)
    }
}

/// What is odd about the options.
fn log_warnings(config: &Config, shared: &Shared) {
    tracing::dispatcher::with_default(&shared.log, || {
        for warning in &config.warnings {
            tracing::warn!(kind = warning.as_str(), "{warning}");
        }
    });
}

/// A promise that is settled at the latest when nobody is left who could.
struct Promised(Option<Deferred<()>>);

impl Promised {
    fn settle(&mut self, result: Result<()>) {
        if let Some(deferred) = self.0.take() {
            deferred.settle(result);
        }
    }
}

impl Drop for Promised {
    fn drop(&mut self) {
        self.settle(Ok(()));
    }
}

fn read_config(options: Unknown<'_>) -> Result<Config> {
    let values = value::from_js(options)?;
    Config::read(&values, &|name| std::env::var(name).ok()).map_err(reason)
}

fn share(config: &Config, log: tracing::Dispatch) -> Shared {
    let statistics = Arc::new(Statistics::default());
    if config.fallback.replay.enabled {
        statistics.set_replay(ReplayGauges {
            state: ReplayState::Idle,
            ..ReplayGauges::default()
        });
    }
    let limits = Limits::new(config.max_buffered_bytes).gathering(config.gathering);
    let inbox = Arc::new(Inbox::new(limits, Arc::clone(&statistics)));
    Shared::new(inbox, statistics, Arc::new(Topics::default()), log)
}

fn hooks(config: &Config, bridge: &Arc<Bridge>) -> Hooks {
    let asker = Arc::clone(bridge);
    let ask = Box::new(move || asker.wants_token());
    Hooks {
        redirect: redirect(config, bridge),
        tokens: config.kafka.has_tokens.then(|| Arc::new(Tokens::new(ask))),
    }
}

fn redirect(config: &Config, bridge: &Arc<Bridge>) -> Option<Arc<dyn Redirect>> {
    match &config.kafka.redirection {
        Redirection::None => None,
        Redirection::Map(map) => Some(Arc::new(map.clone())),
        Redirection::Function => Some(Arc::new(RedirectFunction {
            bridge: Arc::clone(bridge),
            last: Mutex::new(HashMap::new()),
        })),
    }
}

fn start_writer(config: &Config, shared: &Shared) -> Result<(Writer, Arc<Instance>)> {
    let instance = Arc::new(Instance::new(
        config.fallback.directory.clone(),
        config.fallback.modes,
        Arc::clone(&shared.statistics),
    ));
    let parts = WriterParts {
        config: config.fallback.clone(),
        encoding: config.key_encoding,
        instance: Arc::clone(&instance),
        topics: Arc::clone(&shared.topics),
        inbox: Arc::clone(&shared.inbox),
        statistics: Arc::clone(&shared.statistics),
        fates: Arc::clone(&shared.fates),
    };
    let writer = Writer::start(parts, shared.log.clone()).map_err(reason)?;
    Ok((writer, instance))
}

fn reason(error: impl std::fmt::Display) -> Error {
    Error::from_reason(error.to_string())
}

fn bug<T>(why: &str) -> Result<T> {
    Err(reason(format!("a bug in kafka-publisher: {why}")))
}
