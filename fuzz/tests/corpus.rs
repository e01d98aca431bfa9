//! The corpus without a fuzzer, for machines that have no nightly Rust.

use std::fs;
use std::path::Path;

fn run(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        check(&fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 0);
}

#[test]
fn records() {
    run("record", kafka_publisher_fuzz::record);
}

#[test]
fn progress_files() {
    run("progress", kafka_publisher_fuzz::progress);
}
