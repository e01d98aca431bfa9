//! How librdkafka resolves a broker's name: through `brokerRedirection`, and never for long. Its thread
//! would wait for a name server that hangs, and meanwhile hand none of its messages back.

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::net::{SocketAddr, ToSocketAddrs};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use rdkafka::bindings as rd;

use super::Context;
use crate::guard::guarded;
use crate::options::Address;

#[cfg(unix)]
use libc::{EAI_FAIL, addrinfo, freeaddrinfo, getaddrinfo};
#[cfg(windows)]
use winsock::{EAI_FAIL, addrinfo, freeaddrinfo, getaddrinfo};

/// How long a name is looked up.
const PATIENCE: Duration = Duration::from_secs(1);
/// So many look-ups may hang at the same time.
const MOST_AT_WORK: usize = 64;

/// What `libc` has for other systems only.
#[cfg(windows)]
mod winsock {
    use std::ffi::{c_char, c_int};

    /// The look-up failed, and will again.
    pub const EAI_FAIL: c_int = 11003;

    /// Only ever behind a pointer: made by `getaddrinfo`, read by librdkafka.
    #[repr(C)]
    #[allow(non_camel_case_types)]
    pub struct addrinfo {
        _private: [u8; 0],
    }

    #[link(name = "ws2_32")]
    unsafe extern "system" {
        pub fn getaddrinfo(
            node: *const c_char,
            service: *const c_char,
            hints: *const addrinfo,
            result: *mut *mut addrinfo,
        ) -> c_int;
        pub fn freeaddrinfo(list: *mut addrinfo);
    }
}

/// Says where a broker really is. Called on librdkafka's threads, one per broker.
pub trait Redirect: Send + Sync {
    fn redirect(&self, address: &Address) -> Address;
}

impl Redirect for HashMap<Address, Address> {
    fn redirect(&self, address: &Address) -> Address {
        // The keys are in lower case; brokers may announce themselves in any.
        let lower = Address {
            host: address.host.to_ascii_lowercase(),
            port: address.port,
        };
        self.get(&lower).unwrap_or(address).clone()
    }
}

type ResolveCallback = unsafe extern "C" fn(
    *const c_char,
    *const c_char,
    *const addrinfo,
    *mut *mut addrinfo,
    *mut c_void,
) -> c_int;

// Missing in rdkafka-sys's bindings, present in the library that it builds.
unsafe extern "C" {
    fn rd_kafka_conf_set_resolve_cb(
        conf: *mut rd::rd_kafka_conf_t,
        callback: Option<ResolveCallback>,
    );
}

pub fn install(conf: *mut rd::rd_kafka_conf_t) {
    // SAFETY: the caller's configuration is valid, and `Client::new` makes its opaque the context.
    unsafe { rd_kafka_conf_set_resolve_cb(conf, Some(resolve)) };
}

/// As librdkafka asks for it: `getaddrinfo`, or, with neither node nor service, `freeaddrinfo`.
unsafe extern "C" fn resolve(
    node: *const c_char,
    service: *const c_char,
    hints: *const addrinfo,
    result: *mut *mut addrinfo,
    context: *mut c_void,
) -> c_int {
    // SAFETY: librdkafka's own arguments.
    let work = || unsafe { resolve_redirected(node, service, hints, result, context) };
    guarded(work, |_| EAI_FAIL)
}

/// # Safety
/// With the arguments that librdkafka gives to [`resolve`].
unsafe fn resolve_redirected(
    node: *const c_char,
    service: *const c_char,
    hints: *const addrinfo,
    result: *mut *mut addrinfo,
    context: *mut c_void,
) -> c_int {
    // SAFETY: librdkafka gives valid pointers, and the context that `Client` keeps alive; what is
    // freed here was made by `getaddrinfo` below.
    unsafe {
        if node.is_null() && service.is_null() {
            freeaddrinfo(*result);
            *result = ptr::null_mut();
            return 0;
        }
        let context = &*context.cast::<Context>();
        let redirected = context.hooks.redirect.as_ref().and_then(|redirect| {
            let host = CStr::from_ptr(node).to_str().ok()?.to_owned();
            let port = CStr::from_ptr(service).to_str().ok()?.parse().ok()?;
            let address = redirect.redirect(&Address { host, port });
            Some((
                CString::new(address.host).ok()?,
                CString::new(address.port.to_string()).ok()?,
            ))
        });
        match redirected {
            Some((node, service)) => look_up(&node, &service, hints, result),
            None if node.is_null() || service.is_null() => {
                getaddrinfo(node, service, hints, result)
            }
            None => look_up(CStr::from_ptr(node), CStr::from_ptr(service), hints, result),
        }
    }
}

/// `getaddrinfo`, for no longer than [`PATIENCE`].
///
/// # Safety
/// As for `getaddrinfo`.
#[cfg(unix)]
unsafe fn look_up(
    node: &CStr,
    service: &CStr,
    hints: *const addrinfo,
    result: *mut *mut addrinfo,
) -> c_int {
    /// A list that nobody else has.
    struct Owned(*mut addrinfo);
    // SAFETY: see above.
    unsafe impl Send for Owned {}
    impl Drop for Owned {
        fn drop(&mut self) {
            if !self.0.is_null() {
                // SAFETY: made by `getaddrinfo`, freed once.
                unsafe { freeaddrinfo(self.0) };
            }
        }
    }
    // SAFETY: the caller's pointers are valid; hints have no pointers that are set.
    unsafe {
        let hints = hints.as_ref().map(|hints| {
            (
                hints.ai_flags,
                hints.ai_family,
                hints.ai_socktype,
                hints.ai_protocol,
            )
        });
        let (node, service) = (node.to_owned(), service.to_owned());
        let found = bounded(move || {
            let mut list = ptr::null_mut();
            let mut copy: addrinfo = std::mem::zeroed();
            if let Some((flags, family, kind, protocol)) = hints {
                copy.ai_flags = flags;
                copy.ai_family = family;
                copy.ai_socktype = kind;
                copy.ai_protocol = protocol;
            }
            let code = getaddrinfo(node.as_ptr(), service.as_ptr(), &raw const copy, &mut list);
            (code, Owned(list))
        });
        match found {
            Some((code, list)) => {
                *result = list.0;
                std::mem::forget(list);
                code
            }
            None => libc::EAI_AGAIN,
        }
    }
}

#[cfg(windows)]
unsafe fn look_up(
    node: &CStr,
    service: &CStr,
    hints: *const addrinfo,
    result: *mut *mut addrinfo,
) -> c_int {
    // SAFETY: as the caller says.
    unsafe { getaddrinfo(node.as_ptr(), service.as_ptr(), hints, result) }
}

/// The addresses of a host; none if that takes longer than [`PATIENCE`].
pub fn resolve_host(host: &str, port: u16) -> Vec<SocketAddr> {
    let host = host.to_owned();
    bounded(move || {
        (host.as_str(), port)
            .to_socket_addrs()
            .map_or(Vec::new(), Iterator::collect)
    })
    .unwrap_or_default()
}

/// Does what may hang on a thread of its own, which is left to itself if it does.
fn bounded<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    static AT_WORK: AtomicUsize = AtomicUsize::new(0);
    if AT_WORK.fetch_add(1, Ordering::Relaxed) >= MOST_AT_WORK {
        AT_WORK.fetch_sub(1, Ordering::Relaxed);
        return None;
    }
    let (sender, receiver) = channel();
    let spawned = thread::Builder::new()
        .name("kafka-resolve".into())
        .spawn(move || {
            let _ = sender.send(work());
            AT_WORK.fetch_sub(1, Ordering::Relaxed);
        });
    if spawned.is_err() {
        AT_WORK.fetch_sub(1, Ordering::Relaxed);
        return None;
    }
    receiver.recv_timeout(PATIENCE).ok()
}
