//! From `tracing` to the user's logger, or to stderr as the `debug` package writes it.
//!
//! Each publisher has a dispatcher of its own, set on its threads. A storm of one error is logged
//! once, and then how many were like it.

use std::collections::HashMap;
use std::fmt::{self, Debug, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Dispatch, Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, SubscriberExt};

use crate::stderr;

/// Lines alike are shown once in this time.
const STORM_WINDOW: Duration = Duration::from_secs(10);
/// Places that are told apart for that; beyond it, their topics are not.
const MAX_PLACES: usize = 512;

/// The target of changes of state: each is news, and never held back in a storm.
pub const STATE: &str = concat!(env!("CARGO_CRATE_NAME"), "::state");

/// Where lines go.
pub trait Sink: Send + Sync {
    fn line(&self, level: Level, text: &str);

    /// The environment of the user's logger is ending: what it was not told yet goes elsewhere.
    fn close(&self) {}
}

/// Makes a publisher's dispatcher. `log_level` is that of the options: 0 (nothing) to 5.
pub fn dispatcher(log_level: u8, sink: Box<dyn Sink>) -> Dispatch {
    let filter = match log_level {
        0 => LevelFilter::OFF,
        1 => LevelFilter::ERROR,
        2 => LevelFilter::WARN,
        3 => LevelFilter::INFO,
        4 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    // Other libraries in this process are none of this publisher's business.
    let own = Targets::new().with_target(env!("CARGO_CRATE_NAME"), filter);
    let storms = Storms {
        sink,
        shown: Mutex::default(),
    };
    Dispatch::new(tracing_subscriber::registry().with(SinkLayer { storms }.with_filter(own)))
}

/// Says how many lines were held back in storms that are over, or in all. Called now and then, and at
/// the end.
pub fn flush_suppressed(all: bool) {
    tracing::dispatcher::get_default(|dispatch| {
        if let Some(layer) = dispatch.downcast_ref::<SinkLayer>() {
            layer.storms.flush(all);
        }
    });
}

/// What the user's logger was not told yet goes to stderr, as all that follows.
pub fn close(dispatch: &Dispatch) {
    if let Some(layer) = dispatch.downcast_ref::<SinkLayer>() {
        layer.storms.sink.close();
    }
}

struct SinkLayer {
    storms: Storms,
}

impl<S: Subscriber> Layer<S> for SinkLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        let level = *event.metadata().level();
        // What is debugged is wanted whole.
        if event.metadata().target() == STATE || level > Level::INFO {
            self.storms.sink.line(level, &line.text());
        } else {
            self.storms.line(event.metadata().callsite(), level, line);
        }
    }
}

/// An event's message, and its fields as ` name=value`.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
    topic: String,
    /// Of lines that one place in the code logs: what tells them apart, as an error's code.
    kind: String,
}

impl Line {
    fn text(&self) -> String {
        format!("{}{}", self.message, self.fields)
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record(field, format_args!("{value}"));
    }
}

impl Line {
    fn record(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        let text = match field.name() {
            "message" => &mut self.message,
            "kind" => &mut self.kind,
            name => {
                if name == "topic" {
                    self.topic = value.to_string();
                }
                // Writing to a String does not fail.
                let _ = write!(self.fields, " {name}={value}");
                return;
            }
        };
        let _ = write!(text, "{value}");
    }
}

/// Holds back what was shown a moment ago. Lines are alike when they come from the same place in the
/// code, of the same kind (a field that is not shown) and about the same topic; not by their text, of
/// which users make as many as they like.
struct Storms {
    sink: Box<dyn Sink>,
    shown: Mutex<HashMap<Place, Shown>>,
}

/// Where a line comes from, and what it is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Place {
    callsite: Identifier,
    kind: String,
    /// None for all topics beyond those that are told apart.
    topic: Option<String>,
}

struct Shown {
    since: Instant,
    level: Level,
    suppressed: u64,
    last: String,
}

impl Storms {
    fn line(&self, callsite: Identifier, level: Level, line: Line) {
        let text = line.text();
        let mut place = Place {
            callsite,
            kind: line.kind,
            topic: Some(line.topic),
        };
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.len() >= MAX_PLACES && !shown.contains_key(&place) {
            shown.retain(|_, line| line.since.elapsed() < STORM_WINDOW || line.suppressed > 0);
            if shown.len() >= MAX_PLACES {
                place.topic = None;
            }
        }
        let suppressed = match shown.get_mut(&place) {
            Some(line) if line.since.elapsed() < STORM_WINDOW => {
                line.suppressed += 1;
                line.last = text;
                return;
            }
            Some(line) => {
                line.since = Instant::now();
                std::mem::take(&mut line.suppressed)
            }
            None => {
                let line = Shown {
                    since: Instant::now(),
                    level,
                    suppressed: 0,
                    last: String::new(),
                };
                shown.insert(place, line);
                0
            }
        };
        drop(shown);
        if suppressed > 0 {
            self.sink
                .line(level, &format!("{text} (and {suppressed} more like it)"));
        } else {
            self.sink.line(level, &text);
        }
    }

    fn flush(&self, all: bool) {
        let mut lines = Vec::new();
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        for line in shown.values_mut() {
            if line.suppressed > 0 && (all || line.since.elapsed() >= STORM_WINDOW) {
                line.since = Instant::now();
                lines.push((
                    line.level,
                    std::mem::take(&mut line.last),
                    std::mem::take(&mut line.suppressed),
                ));
            }
        }
        drop(shown);
        for (level, text, suppressed) in lines {
            self.sink.line(
                level,
                &format!("{text} ({suppressed} like it were not shown)"),
            );
        }
    }
}

/// Stderr, as the `debug` package writes it: errors and warnings always, the rest where `DEBUG`
/// names its namespace (`kafka-publisher:*`, `*,-kafka-publisher:debug`).
pub struct Stderr {
    info: bool,
    debug: bool,
}

impl Stderr {
    /// `debug` is the environment variable `DEBUG`.
    pub fn new(debug: &str) -> Self {
        Stderr {
            info: is_enabled(debug, "kafka-publisher:info"),
            debug: is_enabled(debug, "kafka-publisher:debug"),
        }
    }
}

impl Stderr {
    /// Writes a line, if lines of its level are shown. Never waits.
    pub fn write(&self, level: Level, text: &str) {
        let shown = match level {
            Level::ERROR | Level::WARN => true,
            Level::INFO => self.info,
            _ => self.debug,
        };
        if shown {
            stderr::line(&level_name(level).to_ascii_lowercase(), text);
        }
    }
}

impl Sink for Stderr {
    fn line(&self, level: Level, text: &str) {
        self.write(level, text);
    }
}

/// As no-kafka's logger names levels.
pub fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARN",
        Level::INFO => "INFO",
        Level::DEBUG => "DEBUG",
        Level::TRACE => "TRACE",
    }
}

fn is_enabled(debug: &str, namespace: &str) -> bool {
    let mut enabled = false;
    for pattern in debug
        .split([',', ' '])
        .filter(|pattern| !pattern.is_empty())
    {
        match pattern.strip_prefix('-') {
            Some(pattern) if matches(pattern, namespace) => return false,
            Some(_) => {}
            None => enabled |= matches(pattern, namespace),
        }
    }
    enabled
}

/// Whether `pattern`, in which `*` stands for anything, matches the whole of `text`.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|text| {
            (0..=text.len())
                .filter(|at| text.is_char_boundary(*at))
                .any(|at| matches(rest, &text[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    struct Kept(Arc<Mutex<Vec<String>>>);

    impl Sink for Kept {
        fn line(&self, level: Level, text: &str) {
            self.0.lock().unwrap().push(format!("{level} {text}"));
        }
    }

    fn logged(log_level: u8, log: impl FnOnce()) -> Vec<String> {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let dispatch = dispatcher(log_level, Box::new(Kept(Arc::clone(&lines))));
        tracing::dispatcher::with_default(&dispatch, log);
        let lines = lines.lock().unwrap();
        lines.clone()
    }

    #[test]
    fn a_storm_is_one_line() {
        let lines = logged(5, || {
            for (i, topic) in (0..1001).map(|i| (i, if i < 1000 { "a" } else { "b" })) {
                tracing::error!(topic, "broker {i} is down");
            }
            tracing::warn!("something else");
            tracing::info!(target: STATE, "Kafka answers again");
            tracing::info!(target: STATE, "Kafka answers again");
        });
        assert_eq!(
            lines,
            [
                "ERROR broker 0 is down topic=a",
                "ERROR broker 1000 is down topic=b",
                "WARN something else",
                "INFO Kafka answers again",
                "INFO Kafka answers again"
            ]
        );
    }

    #[test]
    fn texts_and_topics_that_users_make_up_are_no_news() {
        let lines = logged(5, || {
            for i in 0..5000 {
                tracing::error!("it threw '{}'", "x".repeat(i));
            }
            for i in 0..5000 {
                tracing::error!(topic = format!("t{i}"), "no such topic");
            }
            for kind in ["badKey", "badValue", "badKey"] {
                tracing::error!(kind, "discarded");
            }
        });
        assert!(lines.len() <= MAX_PLACES + 4, "{}", lines.len());
        let discarded = lines.iter().filter(|line| **line == "ERROR discarded");
        assert_eq!(discarded.count(), 2);
    }

    #[test]
    fn the_level_decides() {
        let log = || {
            tracing::error!("e");
            tracing::warn!("w");
            tracing::info!("i");
        };
        assert_eq!(logged(0, log), [""; 0]);
        assert_eq!(logged(2, log), ["ERROR e", "WARN w"]);
        assert_eq!(logged(3, log).len(), 3);
    }

    #[test]
    fn debug_names_namespaces() {
        for (debug, expected) in [
            ("", false),
            ("kafka-publisher:*", true),
            ("*", true),
            ("other,kafka-publisher:info", true),
            ("kafka-publisher", false),
            ("*,-kafka-publisher:info", false),
            ("*:info", true),
        ] {
            assert_eq!(
                is_enabled(debug, "kafka-publisher:info"),
                expected,
                "{debug:?}"
            );
        }
    }
}
