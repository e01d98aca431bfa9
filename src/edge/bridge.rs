//! Calls from our threads into JavaScript: the user's logger, partitioner and redirection, and the
//! news that nothing keeps the event loop busy any more.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ptr;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use napi::bindgen_prelude::*;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, sys};
use serde_json::json;
use tracing::Level;

use super::callback::{self, Arguments};
use crate::kafka::Redirect;
use crate::logging::{Sink, Stderr, level_name};
use crate::options::Address;
use crate::worker::{Host, Partition, PartitionJob, PartitionReply, Shared};

/// How long a broker's thread waits for the user's redirection function.
const REDIRECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Something to be done on the JS thread.
enum Task {
    Idle,
    Log(Level, String),
    Partition(Vec<PartitionJob>, PartitionReply),
    Redirect(Address, SyncSender<Address>),
}

type Tsfn = ThreadsafeFunction<Task, Unknown<'static>, (), Status, false, true>;

/// `(level, clientId, text)`.
type LogFunction = FunctionRef<FnArgs<(String, String, String)>, Unknown<'static>>;
/// `(host, port)`, to an array of the same.
type RedirectionFunction = FunctionRef<FnArgs<(String, u32)>, Vec<serde_json::Value>>;

/// The user's functions, as `host.js` prepares them.
#[derive(Default)]
pub struct Functions {
    pub log: Option<LogFunction>,
    pub partition: Option<FunctionRef<FnArgs<(u32, Unknown<'static>)>, Unknown<'static>>>,
    pub redirect: Option<RedirectionFunction>,
}

/// A way to the JS thread. It does not keep the event loop alive unless told to.
pub struct Bridge {
    tsfn: Tsfn,
    raw: sys::napi_threadsafe_function,
}

// SAFETY: a threadsafe function is called from any thread; `raw` is used on the JS thread only.
unsafe impl Send for Bridge {}
unsafe impl Sync for Bridge {}

/// Whether the event loop is kept alive, known on the JS thread.
pub type Holds = Rc<Cell<bool>>;

impl Bridge {
    pub fn new(
        env: &Env,
        functions: Functions,
        client_id: String,
        shared: Arc<OnceLock<Weak<Shared>>>,
        holds: Holds,
    ) -> Result<Arc<Self>> {
        let noop = env.create_function::<(), Unknown<'static>>("kafkaPublisher", noop)?;
        let raw = Rc::new(Cell::new(ptr::null_mut()));
        let for_callback = Rc::clone(&raw);
        let tsfn = noop
            .build_threadsafe_function::<Task>()
            .weak::<true>()
            .build_callback(move |context| {
                let env = context.env;
                match context.value {
                    Task::Idle => {
                        if let Some(shared) = shared.get().and_then(Weak::upgrade) {
                            release_if_idle(&env, for_callback.get(), &shared, &holds);
                        }
                    }
                    Task::Log(level, text) => log(&env, &functions, level, &client_id, text),
                    Task::Partition(jobs, reply) => partition(&env, &functions, jobs, reply),
                    Task::Redirect(from, reply) => {
                    let to = redirect(&env, &functions, &from).unwrap_or_else(|error| {
                        let log = shared.get().and_then(Weak::upgrade).map(|shared| shared.log.clone());
                        tracing::dispatcher::with_default(&log.unwrap_or_default(), || {
                            let why = &error.reason;
                            tracing::error!("brokerRedirection failed for {from} ({why}); it is not redirected");
                        });
                        from
                    });
                    // The broker's thread may have stopped waiting.
                    let _ = reply.try_send(to);
                }
                }
                Ok(())
            })?;
        raw.set(tsfn.raw());
        let raw = tsfn.raw();
        Ok(Arc::new(Bridge { tsfn, raw }))
    }

    /// Returns whether the task will be done, unless the environment ends before.
    fn call(&self, task: Task) -> bool {
        self.tsfn
            .call(task, ThreadsafeFunctionCallMode::NonBlocking)
            == Status::Ok
    }

    /// Keeps the event loop alive until [`Host::idle`]. On the JS thread.
    pub fn hold_loop(&self, env: sys::napi_env, shared: &Shared, holds: &Holds) {
        if !holds.replace(true) && !self.tsfn.aborted() {
            shared.holds_loop.store(true, Ordering::Release);
            // SAFETY: on the JS thread, with a function that was not aborted.
            unsafe { sys::napi_ref_threadsafe_function(env, self.raw) };
        }
    }

    /// For a hold that turned out to be for nothing. On the JS thread.
    pub fn release_if_idle(&self, env: &Env, shared: &Shared, holds: &Holds) {
        if !self.tsfn.aborted() {
            release_if_idle(env, self.raw, shared, holds);
        }
    }
}

fn release_if_idle(env: &Env, raw: sys::napi_threadsafe_function, shared: &Shared, holds: &Holds) {
    if shared.in_memory() == 0 && holds.replace(false) {
        shared.holds_loop.store(false, Ordering::Release);
        // SAFETY: on the JS thread; the caller's function is alive.
        unsafe { sys::napi_unref_threadsafe_function(env.raw(), raw) };
    }
}

unsafe extern "C" fn noop(_: sys::napi_env, _: sys::napi_callback_info) -> sys::napi_value {
    ptr::null_mut()
}

fn log(env: &Env, functions: &Functions, level: Level, client_id: &str, text: String) {
    let Some(function) = &functions.log else {
        return;
    };
    let arguments = (
        level_name(level).to_owned(),
        client_id.to_owned(),
        text.clone(),
    );
    let called = function
        .borrow_back(env)
        .and_then(|function| function.call(arguments.into()));
    if let Err(error) = called {
        Stderr::new("").line(level, &text);
        Stderr::new("").line(Level::WARN, &format!("the logger threw: {}", error.reason));
    }
}

thread_local! {
    /// Replies that the partitioners of this thread owe, by number.
    static OWED: RefCell<(u32, HashMap<u32, PartitionReply>)> = RefCell::default();
}

fn partition(env: &Env, functions: &Functions, jobs: Vec<PartitionJob>, reply: PartitionReply) {
    let messages = jobs.iter().map(|job| job.messages.len()).sum();
    let id = OWED.with_borrow_mut(|(next, owed)| {
        *next = next.wrapping_add(1);
        owed.insert(*next, reply);
        *next
    });
    let called = functions
        .partition
        .as_ref()
        .ok_or_else(|| Error::from_reason("there is no partitioner"))
        .and_then(|function| {
            let jobs: Vec<serde_json::Value> = jobs.into_iter().map(job_to_json).collect();
            let jobs = env.to_js_value(&jobs)?;
            // SAFETY: used in this scope only; the type asks for 'static.
            let jobs: Unknown<'static> =
                unsafe { Unknown::from_raw_unchecked(env.raw(), napi::JsValue::raw(&jobs)) };
            function.borrow_back(env)?.call((id, jobs).into())
        });
    if let Err(error) = called
        && let Some(reply) = OWED.with_borrow_mut(|(_, owed)| owed.remove(&id))
    {
        reply(vec![None; messages], Some(error.reason.clone()));
    }
}

fn job_to_json(job: PartitionJob) -> serde_json::Value {
    let (keys, values): (Vec<_>, Vec<_>) = job
        .messages
        .iter()
        .map(|(key, value)| {
            (
                String::from_utf8_lossy(key).into_owned(),
                String::from_utf8_lossy(value).into_owned(),
            )
        })
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

/// `reply(id, partitions, failure)`, which `host.js` calls when the partitioner is through.
pub fn reply_function(env: &Env) -> Result<Function<'_, (), Unknown<'static>>> {
    env.create_function("reply", reply)
}

unsafe extern "C" fn reply(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: within this callback; the values are alive until it returns.
    unsafe {
        let Some((arguments, ..)) = callback::call_info(env, info) else {
            return ptr::null_mut();
        };
        let Arguments {
            values: [id, partitions, failure],
            ..
        } = arguments;
        let read = || -> Result<(u32, Vec<Option<i32>>, Option<String>)> {
            Ok((
                u32::from_napi_value(env, id)?,
                Vec::<Option<i32>>::from_napi_value(env, partitions)?,
                Option::<String>::from_napi_value(env, failure)?,
            ))
        };
        if let Ok((id, partitions, failure)) = read()
            && let Some(reply) = OWED.with_borrow_mut(|(_, owed)| owed.remove(&id))
        {
            reply(partitions, failure);
        }
    }
    ptr::null_mut()
}

fn redirect(env: &Env, functions: &Functions, from: &Address) -> Result<Address> {
    let wrong = || Error::from_reason("it returned no { host, port }");
    let function = functions
        .redirect
        .as_ref()
        .ok_or_else(wrong)?
        .borrow_back(env)?;
    let answer = function.call((from.host.clone(), u32::from(from.port)).into())?;
    let host = answer
        .first()
        .and_then(|host| host.as_str())
        .ok_or_else(wrong)?;
    let port = answer
        .get(1)
        .and_then(serde_json::Value::as_u64)
        .ok_or_else(wrong)?;
    Ok(Address {
        host: host.to_owned(),
        port: u16::try_from(port).map_err(|_| wrong())?,
    })
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

/// The JS side, as the worker sees it.
pub struct JsHost(pub Arc<Bridge>);

impl Host for JsHost {
    fn idle(&self) {
        self.0.call(Task::Idle);
    }
}

/// The user's partitioner, as the worker sees it.
pub struct JsPartition(pub Arc<Bridge>);

impl Partition for JsPartition {
    fn ask(&self, jobs: Vec<PartitionJob>, reply: PartitionReply) {
        // Not asked, the batch is given up when the retry window is over.
        self.0.call(Task::Partition(jobs, reply));
    }
}

/// The user's logger. What it can't be told any more goes to stderr.
pub struct JsSink(pub Arc<Bridge>);

impl Sink for JsSink {
    fn line(&self, level: Level, text: &str) {
        if super::exit::is_leaving() || !self.0.call(Task::Log(level, text.to_owned())) {
            Stderr::new("").line(level, text);
        }
    }
}
