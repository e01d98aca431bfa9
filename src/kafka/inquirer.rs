//! Questions to the cluster, on connections of their own: those of the producers may be busy for long
//! with what the question is about.

use std::collections::HashSet;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use super::{Client, Context, Described, Hooks, Tuning, config, describe_topics, redirect};
use crate::guard::guarded;
use crate::message::TopicId;
use crate::options::{Address, KafkaConfig};

/// So many brokers are asked one by one.
const MOST_BROKERS: usize = 16;
/// Of the way there and back.
const MEASUREMENTS: usize = 3;
/// How long one broker is waited for before the next is tried, too. It may be far away.
const STAGGER: Duration = Duration::from_millis(100);

/// What a question needs, on a thread that may block.
#[derive(Clone)]
pub struct Inquirer {
    pub config: KafkaConfig,
    pub hooks: Hooks,
    pub brokers: Vec<(i32, Address)>,
}

/// What was found out about the cluster.
pub struct Findings {
    pub at: Instant,
    pub described: Described,
    /// Brokers that did not answer.
    pub silent: HashSet<i32>,
}

impl From<Described> for Findings {
    /// Nobody was found to be silent.
    fn from(described: Described) -> Self {
        Findings {
            at: Instant::now(),
            described,
            silent: HashSet::new(),
        }
    }
}

impl Inquirer {
    fn client(&self, broker: Option<&Address>) -> Result<Client, String> {
        let context = Context::new(self.hooks.clone());
        let mut config = self.config.clone();
        if let Some(address) = broker {
            // The last one counts.
            let broker = address.to_string();
            config.properties.push(("bootstrap.servers".into(), broker));
        }
        config::client(&config, Tuning::Inquiry, context).map_err(|error| error.to_string())
    }

    /// Whether anybody answers.
    ///
    /// # Errors
    /// In words.
    pub fn is_there(&self, timeout: Duration) -> Result<(), String> {
        let client = self.client(None)?;
        if client.is_answered(timeout) {
            Ok(())
        } else {
            Err("no broker has answered".into())
        }
    }

    /// Asks the cluster for these topics, and each broker that is known whether it is there.
    ///
    /// # Errors
    /// In words, if the cluster does not answer.
    pub fn examine(
        &self,
        topics: Vec<(TopicId, Arc<str>)>,
        timeout: Duration,
    ) -> Result<Findings, String> {
        let asked = self.brokers.get(..MOST_BROKERS).unwrap_or(&self.brokers);
        thread::scope(|scope| {
            let answers: Vec<_> = asked
                .iter()
                .map(|(id, address)| {
                    let answers = move || match self.client(Some(address)) {
                        Ok(client) => client.is_answered(timeout),
                        Err(_) => false,
                    };
                    (*id, scope.spawn(answers))
                })
                .collect();
            let described = if topics.is_empty() {
                self.is_there(timeout).map(|()| Described::default())
            } else {
                let client = self.client(None)?;
                describe_topics(&client, topics, timeout)
            };
            let silent = answers
                .into_iter()
                .filter_map(|(id, answer)| (!answer.join().unwrap_or(false)).then_some(id))
                .collect::<HashSet<i32>>();
            let any_answered = silent.len() < asked.len();
            match described {
                Ok(described) => Ok(described),
                // The seeds are gone, and others are there.
                Err(_) if any_answered => Ok(Described::default()),
                Err(why) => Err(why),
            }
            .map(|described| Findings {
                at: Instant::now(),
                described,
                silent,
            })
        })
    }

    /// How long an answer takes on a connection that has nothing else to do, if one comes. Blocks.
    pub fn round_trip(&self, topic: (TopicId, Arc<str>), timeout: Duration) -> Option<Duration> {
        let client = self.client(None).ok()?;
        if !client.is_answered(timeout) {
            return None;
        }
        // The first one may have to connect to another broker.
        let times = (0..MEASUREMENTS).filter_map(|_| {
            let begin = Instant::now();
            let answer = describe_topics(&client, vec![topic.clone()], timeout);
            answer.is_ok().then(|| begin.elapsed())
        });
        times.min()
    }

    /// Whether any broker accepts a connection: the cheapest question there is. The next one is tried
    /// when the one before has refused, or has not answered for [`STAGGER`].
    pub fn knock(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let (sender, answers) = channel();
        let mut waiting = 0u32;
        for address in self.doors() {
            let address = match &self.hooks.redirect {
                Some(redirect) => redirect.redirect(&address),
                None => address,
            };
            let sender = sender.clone();
            let try_it = move || {
                let all = redirect::resolve_host(&address.host, address.port);
                // One that swallows packets leaves time for the others of its name.
                let each = timeout / u32::try_from(all.len().max(1)).unwrap_or(u32::MAX);
                let opened = all
                    .into_iter()
                    .any(|ip| TcpStream::connect_timeout(&ip, each).is_ok());
                // Nobody listens any more once another has opened.
                let _ = sender.send(opened);
            };
            let thread = thread::Builder::new().name("kafka-knock".into());
            if thread.spawn(|| guarded(try_it, |_| ())).is_ok() {
                waiting += 1;
            }
            match answers.recv_timeout(STAGGER) {
                Ok(true) => return true,
                Ok(false) => waiting -= 1,
                Err(_) => {}
            }
        }
        while waiting > 0 {
            match answers.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(true) => return true,
                Ok(false) => waiting -= 1,
                Err(_) => return false,
            }
        }
        false
    }

    /// The addresses of all brokers that are known, the user's own first.
    fn doors(&self) -> Vec<Address> {
        let seeds = self.config.seeds();
        let seeds = seeds.iter().filter_map(|seed| Address::parse(seed));
        let mut addresses: Vec<Address> = seeds.map(|(address, _)| address).collect();
        addresses.extend(self.brokers.iter().map(|(_, address)| address.clone()));
        let mut seen = HashSet::new();
        addresses.retain(|address| seen.insert(address.clone()));
        addresses.truncate(MOST_BROKERS);
        addresses
    }
}
