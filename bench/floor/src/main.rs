//! librdkafka's own rate: the messages that the Node.js contenders publish, from Rust, with nothing
//! in between. Keyed, copied, acknowledged by all replicas.
//!
//! Settings come as `name=value` arguments, messages as lines `key TAB value` of a file. The result
//! goes to standard output as one line of JSON.

mod options;
mod producer;
mod usage;

use std::time::Instant;

use options::Options;
use producer::Producer;

fn main() {
    let options = Options::read(std::env::args().skip(1)).unwrap_or_else(|error| {
        eprintln!("floor: {error}");
        std::process::exit(2);
    });
    let producer = Producer::new(&options);
    producer.publish(&options.messages, options.warm_up);
    producer.flush();

    let cpu = usage::cpu_us();
    let begin = Instant::now();
    producer.publish(&options.messages, options.count);
    producer.flush();
    let seconds = begin.elapsed().as_secs_f64();
    let count = options.count as f64;
    println!(
        r#"{{"sent":{},"seconds":{seconds},"perSecond":{},"cpuUs":{},"peakRss":{}}}"#,
        options.warm_up + options.count,
        count / seconds,
        (usage::cpu_us() - cpu) / count,
        usage::peak_rss(),
    );
}
