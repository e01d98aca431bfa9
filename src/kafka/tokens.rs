//! OAUTHBEARER tokens from the user's own function: one for all clients of a publisher.
//!
//! Librdkafka asks when a client begins, and when four fifths of a token's life are over, on a thread of the
//! client's own. Nothing waits there: the function is asked, and what it answers is given to the clients that
//! want it.

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_void};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::bindings as rd;

use super::{Client, Context};
use crate::guard::guarded;
use crate::message::now_ms;

/// A function that does not answer is asked again after this.
const PATIENCE: Duration = Duration::from_secs(30);
/// One that has failed, not before this.
const PAUSE: Duration = Duration::from_secs(1);

/// As the user's function gives it.
#[derive(Clone, Debug)]
pub struct Token {
    pub value: CString,
    pub principal: CString,
    /// In milliseconds since the Unix epoch.
    pub expires_ms: i64,
    /// Names and values, one after the other.
    pub extensions: Vec<CString>,
}

#[derive(Default)]
struct State {
    /// Those that live, and whether they wait for a token.
    clients: HashMap<usize, bool>,
    /// The last one, and when it is to be replaced, in milliseconds since the Unix epoch.
    token: Option<(Token, i64)>,
    asked: Option<Instant>,
    failed: Option<(Instant, CString)>,
}

/// Asks the user's function for a token. Returns whether it will be asked.
pub type Ask = Box<dyn Fn() -> bool + Send + Sync>;

pub struct Tokens {
    state: Mutex<State>,
    ask: Ask,
}

/// What became of a token that was given to a client.
type Given = Result<(), String>;

impl Tokens {
    pub fn new(ask: Ask) -> Self {
        Tokens {
            state: Mutex::default(),
            ask,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on until [`Tokens::forget`] the client gets tokens.
    pub(super) fn register(&self, client: &Client) {
        self.lock()
            .clients
            .insert(client.native_ptr() as usize, false);
    }

    /// Before the client is destroyed.
    pub(super) fn forget(&self, client: &Client) {
        self.lock().clients.remove(&(client.native_ptr() as usize));
    }

    /// A client wants a token.
    fn wanted(&self, client: *mut rd::rd_kafka_t) {
        let mut state = self.lock();
        let Some(waits) = state.clients.get_mut(&(client as usize)) else {
            return;
        };
        *waits = true;
        let now = now_ms();
        let known = state.token.as_ref().filter(|(_, until)| now < *until);
        if known.is_some_and(|(token, _)| give(client, token).is_ok()) {
            state.clients.insert(client as usize, false);
            return;
        }
        let lately = |at: Instant, time| at.elapsed() < time;
        if let Some((at, why)) = &state.failed
            && lately(*at, PAUSE)
        {
            // Librdkafka wants one again soon.
            fail(client, why);
            return;
        }
        if state.asked.is_some_and(|at| lately(at, PATIENCE)) {
            return;
        }
        state.asked = Some(Instant::now());
        drop(state);
        (self.ask)();
    }

    /// The user's function has given a token.
    ///
    /// # Errors
    /// What is wrong with it, in librdkafka's words.
    pub fn came(&self, token: Token) -> Given {
        let mut state = self.lock();
        state.asked = None;
        let waiting: Vec<usize> = waiting(&state).collect();
        for client in waiting {
            if let Err(why) = give(client as *mut rd::rd_kafka_t, &token) {
                drop(state);
                self.failed(&why);
                return Err(why);
            }
            state.clients.insert(client, false);
        }
        let now = now_ms();
        let until = now + (token.expires_ms - now) / 10 * 7;
        state.failed = None;
        state.token = Some((token, until));
        Ok(())
    }

    /// The user's function has failed: librdkafka wants a token again after a while.
    pub fn failed(&self, why: &str) {
        let mut state = self.lock();
        state.asked = None;
        let why = CString::new(why.replace('\0', " ")).unwrap_or_default();
        for client in waiting(&state) {
            fail(client as *mut rd::rd_kafka_t, &why);
        }
        state.failed = Some((Instant::now(), why));
    }
}

fn waiting(state: &State) -> impl Iterator<Item = usize> {
    let clients = state.clients.iter();
    clients
        .filter(|(_, waits)| **waits)
        .map(|(client, _)| *client)
}

/// To a client that is registered, while the state is locked.
fn give(client: *mut rd::rd_kafka_t, token: &Token) -> Given {
    let mut extensions: Vec<*const c_char> =
        token.extensions.iter().map(|it| it.as_ptr()).collect();
    let mut text = [0 as c_char; 512];
    // SAFETY: the client lives: it is forgotten, under the lock, before it is destroyed. All texts are
    // valid for the call, which copies them; at most `len` bytes are written, NUL included.
    let code = unsafe {
        rd::rd_kafka_oauthbearer_set_token(
            client,
            token.value.as_ptr(),
            token.expires_ms,
            token.principal.as_ptr(),
            extensions.as_mut_ptr(),
            extensions.len(),
            text.as_mut_ptr(),
            text.len(),
        )
    };
    if code == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Ok(());
    }
    // SAFETY: a text that ends with NUL.
    let text = unsafe { CStr::from_ptr(text.as_ptr()) };
    Err(text.to_string_lossy().into_owned())
}

fn fail(client: *mut rd::rd_kafka_t, why: &CStr) {
    // SAFETY: as for `give`.
    unsafe { rd::rd_kafka_oauthbearer_set_token_failure(client, why.as_ptr()) };
}

pub(super) fn install(conf: *mut rd::rd_kafka_conf_t) {
    // SAFETY: the caller's configuration is valid, and `Client::new` makes its opaque the context.
    unsafe { rd::rd_kafka_conf_set_oauthbearer_token_refresh_cb(conf, Some(refresh)) };
}

/// Called on a thread of the client's.
unsafe extern "C" fn refresh(
    client: *mut rd::rd_kafka_t,
    _config: *const c_char,
    context: *mut c_void,
) {
    // SAFETY: the context that `Client` keeps alive.
    let context = unsafe { &*context.cast::<Context>() };
    if let Some(tokens) = &context.hooks.tokens {
        guarded(|| tokens.wanted(client), |_| ());
    }
}
