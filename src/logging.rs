//! From `tracing` to the user's logger, or to stderr as the `debug` package writes it.
//!
//! Each publisher has a dispatcher of its own, set on its threads. A storm of one error is logged
//! once, and then how many were like it. Lines are alike when they differ in digits only.

use std::collections::HashMap;
use std::fmt::{Debug, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Dispatch, Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, SubscriberExt};

/// Lines alike are shown once in this time.
const STORM_WINDOW: Duration = Duration::from_secs(10);
/// Kinds of lines that are remembered for that.
const MAX_KINDS: usize = 512;

/// The target of changes of state: each is news, and never held back in a storm.
pub const STATE: &str = concat!(env!("CARGO_CRATE_NAME"), "::state");

/// Where lines go.
pub trait Sink: Send + Sync {
    fn line(&self, level: Level, text: &str);
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
        kinds: Mutex::default(),
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

struct SinkLayer {
    storms: Storms,
}

impl<S: Subscriber> Layer<S> for SinkLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        let level = *event.metadata().level();
        if event.metadata().target() == STATE {
            self.storms.sink.line(level, &line.text());
        } else {
            self.storms.line(level, &line);
        }
    }
}

/// An event's message, and its fields as ` name=value`.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
    topic: String,
}

impl Line {
    fn text(&self) -> String {
        format!("{}{}", self.message, self.fields)
    }

    /// What lines alike have in common: all but digits; and one topic's trouble is not another's.
    fn kind(&self) -> String {
        self.message
            .chars()
            .filter(|c| !c.is_ascii_digit())
            .chain(self.topic.chars())
            .collect()
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a String does not fail.
        if field.name() == "topic" {
            self.topic = format!("{value:?}");
        }
        let _ = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            write!(self.fields, " {}={value:?}", field.name())
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "topic" {
            value.clone_into(&mut self.topic);
        }
        let _ = write!(self.fields, " {}={value}", field.name());
    }
}

struct Storms {
    sink: Box<dyn Sink>,
    kinds: Mutex<HashMap<(Level, String), Kind>>,
}

struct Kind {
    shown: Instant,
    suppressed: u64,
    last: String,
}

impl Storms {
    fn line(&self, level: Level, line: &Line) {
        let (kind, text) = ((level, line.kind()), line.text());
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let suppressed = match kinds.get_mut(&kind) {
            Some(known) if known.shown.elapsed() < STORM_WINDOW => {
                known.suppressed += 1;
                known.last = text;
                return;
            }
            Some(known) => {
                known.shown = Instant::now();
                std::mem::take(&mut known.suppressed)
            }
            None => {
                if kinds.len() >= MAX_KINDS {
                    kinds.retain(|_, known| {
                        known.shown.elapsed() < STORM_WINDOW || known.suppressed > 0
                    });
                }
                if kinds.len() < MAX_KINDS {
                    kinds.insert(
                        kind,
                        Kind {
                            shown: Instant::now(),
                            suppressed: 0,
                            last: String::new(),
                        },
                    );
                }
                0
            }
        };
        drop(kinds);
        if suppressed > 0 {
            self.sink
                .line(level, &format!("{text} (and {suppressed} more like it)"));
        } else {
            self.sink.line(level, &text);
        }
    }

    fn flush(&self, all: bool) {
        let mut lines = Vec::new();
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        for ((level, _), known) in kinds.iter_mut() {
            if known.suppressed > 0 && (all || known.shown.elapsed() >= STORM_WINDOW) {
                known.shown = Instant::now();
                lines.push((
                    *level,
                    std::mem::take(&mut known.last),
                    std::mem::take(&mut known.suppressed),
                ));
            }
        }
        drop(kinds);
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

impl Sink for Stderr {
    fn line(&self, level: Level, text: &str) {
        let shown = match level {
            Level::ERROR | Level::WARN => true,
            Level::INFO => self.info,
            _ => self.debug,
        };
        if shown {
            let time = humantime::format_rfc3339_millis(SystemTime::now());
            eprintln!(
                "{time} kafka-publisher:{} {text}",
                level_name(level).to_ascii_lowercase()
            );
        }
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
            for i in 0..1000 {
                tracing::error!(topic = "a", "broker {i} is down");
            }
            tracing::error!(topic = "b", "broker 7 is down");
            tracing::warn!("something else");
            tracing::info!(target: STATE, "Kafka answers again");
            tracing::info!(target: STATE, "Kafka answers again");
        });
        assert_eq!(
            lines,
            [
                "ERROR broker 0 is down topic=a",
                "ERROR broker 7 is down topic=b",
                "WARN something else",
                "INFO Kafka answers again",
                "INFO Kafka answers again"
            ]
        );
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
