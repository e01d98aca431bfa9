//! The class `KafkaPublisher`: construction, and what is not `queue()`'s.

use std::cell::Cell;
use std::collections::HashMap;
use std::ptr;
use std::rc::Rc;
use std::sync::{Arc, Mutex, OnceLock};

use napi::bindgen_prelude::*;
use napi::{Env, Property, sys};
use napi_derive::napi;

use crate::edge::bridge::{
    self, Bridge, Functions, Holds, JsHost, JsPartition, JsSink, RedirectFunction,
};
use crate::edge::callback::{self, Form};
use crate::edge::deferred::Deferred;
use crate::edge::json::Json;
use crate::edge::queue::Queue;
use crate::edge::{exit, value};
use crate::fallback::{Instance, Writer, WriterParts};
use crate::inbox::{Inbox, Limits};
use crate::kafka::{Producer, Redirect, Tuning};
use crate::logging::{self, Stderr};
use crate::message::Topics;
use crate::options::{Config, Redirection};
use crate::report;
use crate::statistics::{ReplayGauges, ReplayState, Statistics};
use crate::worker::{Command, Parts, Settle, Shared, Worker};

/// Publishes to Kafka in the background, and to a file while Kafka is away.
#[napi]
pub struct KafkaPublisher {
    shared: Arc<Shared>,
    queue: Rc<Queue>,
    directory: String,
}

#[napi]
impl KafkaPublisher {
    /// Makes a publisher and its Kafka client, which begins to connect at once. Nothing is awaited.
    ///
    /// Throws an `Error` that names the option, what it got and what it takes, when an option is
    /// wrong. `options` is copied: later changes to it have no effect.
    #[napi(constructor)]
    pub fn new(
        env: Env,
        #[napi(ts_arg_type = "KafkaPublisherOptions")] options: Unknown<'_>,
    ) -> Result<Self> {
        let Host {
            functions,
            json,
            is_logger,
        } = prepare_host(&env, options)?;
        let values = value::from_js(options)?;
        let config =
            Config::read(&values, is_logger, &|name| std::env::var(name).ok()).map_err(reason)?;
        let (has_logger, has_partitioner) =
            (functions.log.is_some(), functions.partition.is_some());

        let late = Arc::new(OnceLock::new());
        let holds: Holds = Rc::new(Cell::new(false));
        let bridge = Bridge::new(
            &env,
            functions,
            config.client_id.clone(),
            Arc::clone(&late),
            Rc::clone(&holds),
        )?;
        let sink: Box<dyn logging::Sink> = if has_logger {
            Box::new(JsSink(Arc::clone(&bridge)))
        } else {
            Box::new(Stderr::new(&std::env::var("DEBUG").unwrap_or_default()))
        };
        let log = logging::dispatcher(config.log_level, sink);

        let statistics = Arc::new(Statistics::default());
        if config.fallback.replay.enabled {
            statistics.set_replay(ReplayGauges {
                state: ReplayState::Idle,
                ..ReplayGauges::default()
            });
        }
        let inbox = Arc::new(Inbox::new(
            Limits::new(config.max_buffered_bytes).gathering(config.gathering),
            Arc::clone(&statistics),
        ));
        let topics = Arc::new(Topics::default());
        let default_topic = config
            .default_topic
            .as_deref()
            .map(|name| topics.intern(name));
        let shared = Arc::new(Shared::new(
            Arc::clone(&inbox),
            Arc::clone(&statistics),
            Arc::clone(&topics),
            log.clone(),
        ));
        // The bridge was made first, because the logger needs it.
        let _ = late.set(Arc::downgrade(&shared));

        let redirect: Option<Arc<dyn Redirect>> = match &config.kafka.redirection {
            Redirection::None => None,
            Redirection::Map(map) => Some(Arc::new(map.clone())),
            Redirection::Function => Some(Arc::new(RedirectFunction {
                bridge: Arc::clone(&bridge),
                last: Mutex::new(HashMap::new()),
            })),
        };
        let producer = Producer::new(
            &config.kafka,
            Tuning::Live { idempotent: true },
            redirect.clone(),
            Arc::clone(&inbox),
        )
        .map_err(reason)?;
        let instance = Arc::new(Instance::new(
            config.fallback.directory.clone(),
            config.fallback.modes,
            Arc::clone(&statistics),
        ));
        let parts = WriterParts {
            config: config.fallback.clone(),
            encoding: config.key_encoding,
            instance: Arc::clone(&instance),
            topics,
            inbox,
            statistics,
        };
        let writer = Writer::start(parts, log.clone()).map_err(reason)?;
        tracing::dispatcher::with_default(&log, || {
            for warning in &config.warnings {
                tracing::warn!("{warning}");
            }
        });

        let directory = config.fallback.directory.display().to_string();
        let queue = Rc::new(Queue::new(
            Arc::clone(&shared),
            (Arc::clone(&bridge), holds),
            json,
            config.key_encoding,
            default_topic,
        ));
        exit::watch(&env, &shared)?;
        let worker = Worker::new(Parts {
            config,
            shared: Arc::clone(&shared),
            producer,
            writer,
            instance,
            redirect,
            partition: has_partitioner.then(|| Box::new(JsPartition(Arc::clone(&bridge))) as _),
            host: Box::new(JsHost(bridge)),
        });
        std::thread::Builder::new()
            .name("kafka-publisher".into())
            .spawn(move || worker.run())
            .map_err(reason)?;
        Ok(KafkaPublisher {
            shared,
            queue,
            directory,
        })
    }

    /// Resolves when Kafka has answered for the first time.
    ///
    /// Need not be awaited, nor called: `queue()` works before, and messages wait for Kafka no longer
    /// than the retry window before they go to file. It waits for ever by default, keeping the event
    /// loop alive; with `retryOptions.retries` it rejects after so many tries. `end()` resolves it.
    #[napi(ts_return_type = "Promise<void>")]
    pub fn init(&self, env: &Env) -> Result<Object<'static>> {
        self.promise(env, Command::Init)
    }

    /// Ends the publisher: accepts nothing any more, gives Kafka the retry window to acknowledge what
    /// is in memory, writes the rest to the fallback file, and closes.
    ///
    /// Resolves when every message is accounted for; a second call resolves, too. It never rejects.
    /// Where messages wait for ever (`message.timeout.ms: 0`), Kafka is given 30 s.
    #[napi(ts_return_type = "Promise<void>")]
    pub fn end(&self, env: &Env) -> Result<Object<'static>> {
        self.shared.inbox.close();
        self.promise(env, Command::End)
    }

    /// Resolves when there is room in memory again, after `queue()` has returned `false`.
    #[napi(ts_return_type = "Promise<void>")]
    pub fn drained(&self, env: &Env) -> Result<Object<'static>> {
        self.promise(env, Command::Drained)
    }

    /// The number of messages in memory: not acknowledged, not in a file, not discarded.
    #[napi]
    pub fn queued(&self) -> f64 {
        self.shared.in_memory() as f64
    }

    /// All counts at one moment, as plain JSON.
    #[napi(ts_return_type = "KafkaPublisherStatistics")]
    pub fn get_statistics(&self) -> serde_json::Value {
        report::statistics(
            &self.shared.inbox,
            self.shared.statistics.latency(),
            &self.directory,
        )
    }

    /// Sets all counters to zero. What is in memory and on disk stays counted.
    #[napi]
    pub fn reset_statistics(&self) {
        self.shared.inbox.reset_statistics();
    }
}

impl KafkaPublisher {
    fn promise(
        &self,
        env: &Env,
        command: impl FnOnce(Settle) -> Command,
    ) -> Result<Object<'static>> {
        let (deferred, promise) = Deferred::<()>::new(env)?;
        self.shared.command(command(Box::new(move |result| {
            deferred.settle(result.map_err(Error::from_reason));
        })));
        // SAFETY: returned to JavaScript before this scope ends.
        Ok(Object::from_raw(env.raw(), napi::JsValue::raw(&promise)))
    }
}

impl Drop for KafkaPublisher {
    /// Nobody can call `end()` any more; the worker ends by itself, and loses nothing.
    fn drop(&mut self) {
        self.shared.command(Command::End(Box::new(|_| {})));
    }
}

fn reason(error: impl std::fmt::Display) -> Error {
    Error::from_reason(error.to_string())
}

/// What `host.js` makes of the user's options.
struct Host {
    functions: Functions,
    json: Json,
    /// The option `logger` is a logger itself, not settings for one.
    is_logger: bool,
}

fn prepare_host(env: &Env, options: Unknown<'_>) -> Result<Host> {
    let make: Function<'_, FnArgs<(Unknown<'_>, Unknown<'_>)>, Object<'_>> =
        env.run_script(include_str!("edge/host.js"))?;
    let reply = bridge::reply_function(env)?;
    let host = make.call((options, napi::JsValue::to_unknown(&reply)).into())?;
    let mut functions = Functions::default();
    if let Some(log) = host.get::<Function<'_, _, _>>("log")? {
        functions.log = Some(log.create_ref()?);
    }
    if let Some(partition) = host.get::<Function<'_, _, _>>("partition")? {
        functions.partition = Some(partition.create_ref()?);
    }
    if let Some(redirect) = host.get::<Function<'_, _, _>>("redirect")? {
        functions.redirect = Some(redirect.create_ref()?);
    }
    let safely: Unknown<'_> = host.get_named_property("stringifySafely")?;
    // SAFETY: on the JS thread, in the scope of `safely`.
    let json = unsafe { Json::new(env, napi::JsValue::raw(&safely)) }?;
    let is_logger = host.get_named_property("isLogger")?;
    Ok(Host {
        functions,
        json,
        is_logger,
    })
}

/// The publisher that a method of the class was called on.
///
/// # Safety
/// `this` is the receiver of a method of the class.
unsafe fn publisher<'a>(env: sys::napi_env, this: sys::napi_value) -> Option<&'a KafkaPublisher> {
    let mut publisher = ptr::null_mut();
    // SAFETY: V8 has checked that `this` is an instance of the class (a class's methods have a
    // signature), so what it wraps, if anything, is a `KafkaPublisher`, alive as long as `this` is.
    unsafe {
        let wrapped = sys::napi_unwrap(env, this, &mut publisher);
        let publisher = publisher.cast::<KafkaPublisher>().as_ref();
        publisher.filter(|_| wrapped == sys::Status::napi_ok)
    }
}

/// `queue(key, message, [topic])`: whether there is room for more.
unsafe extern "C" fn queue(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: within the callback, a method of the class.
    unsafe {
        let room = callback::call_info(env, info).is_some_and(|(arguments, this, _)| {
            publisher(env, this)
                .is_some_and(|publisher| publisher.queue.push(env, &arguments, Form::Value))
        });
        callback::boolean(env, room)
    }
}

/// `bindText()`: this publisher's `queueText`, for index.js.
unsafe extern "C" fn bind_text(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: within the callback, a method of the class.
    unsafe {
        callback::call_info(env, info)
            .and_then(|(_, this, _)| publisher(env, this))
            .and_then(|publisher| callback::text_function(env, Rc::clone(&publisher.queue)))
            .unwrap_or_default()
    }
}

napi::ctor::declarative::ctor! {
    /// Adds `queue` and `bindText` to the class that the macro above defines: as raw callbacks, because
    /// the wrapper that the macro generates costs 200 ns a call.
    #[ctor(unsafe)]
    fn register_methods() {
        let named = |name: &str, method| {
            Property::new().with_utf8_name(name).map(|property| property.with_method(method))
        };
        let methods = [named("queue", queue), named("bindText", bind_text)];
        napi::__private::register_class(
            std::any::TypeId::of::<KafkaPublisher>(),
            None,
            "KafkaPublisher\0",
            methods.into_iter().flatten().collect(),
            false,
        );
    }
}
