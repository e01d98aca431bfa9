//! The edge to JavaScript: its values as ours, and our calls into it.

pub mod bridge;
pub mod callback;
pub mod callbacks;
pub mod deferred;
pub mod exit;
mod lines;
pub mod queue;
mod registration;
mod replies;
pub mod text;
pub mod token;
pub mod value;
