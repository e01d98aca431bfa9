//! The edge to JavaScript: its values as ours, and our calls into it.

pub mod bridge;
pub mod callback;
pub mod deferred;
pub mod exit;
pub mod json;
pub mod queue;
mod registration;
pub mod value;
