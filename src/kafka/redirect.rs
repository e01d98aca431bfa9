//! `brokerRedirection`: librdkafka resolves a broker's name through this.

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;

use rdkafka::bindings as rd;

use super::Context;
use crate::options::Address;

#[cfg(unix)]
use libc::{addrinfo, freeaddrinfo, getaddrinfo};
#[cfg(windows)]
use winsock::{addrinfo, freeaddrinfo, getaddrinfo};

/// What `libc` has for other systems only.
#[cfg(windows)]
mod winsock {
    use std::ffi::{c_char, c_int};

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
        self.get(address).unwrap_or(address).clone()
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
    // SAFETY: librdkafka gives valid pointers, and the context that `Client` keeps alive; what is
    // freed here was made by `getaddrinfo` below.
    unsafe {
        if node.is_null() && service.is_null() {
            freeaddrinfo(*result);
            *result = ptr::null_mut();
            return 0;
        }
        let context = &*context.cast::<Context>();
        let redirected = context.redirect.as_ref().and_then(|redirect| {
            let host = CStr::from_ptr(node).to_str().ok()?.to_owned();
            let port = CStr::from_ptr(service).to_str().ok()?.parse().ok()?;
            let address = redirect.redirect(&Address { host, port });
            Some((
                CString::new(address.host).ok()?,
                CString::new(address.port.to_string()).ok()?,
            ))
        });
        match redirected {
            Some((node, service)) => getaddrinfo(node.as_ptr(), service.as_ptr(), hints, result),
            None => getaddrinfo(node, service, hints, result),
        }
    }
}
