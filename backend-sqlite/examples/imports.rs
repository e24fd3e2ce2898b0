//! Measures imports: records per second, in one call and in several.
//!
//! `cargo run --release -p backend-sqlite --example imports -- [DIRECTORY]`

#![expect(clippy::print_stdout, reason = "a measurement prints its result")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use backend_proto::v1::{Header, Index, Key, Record};
use backend_sqlite::{Options, SqliteDriver};
use bytes::Bytes;
use sidecar::driver::{Driver as _, ImportOptions, ImportPart};
use tokio::sync::mpsc;

const VALUE_BYTES: usize = 2600;
const RECORDS: i64 = 100_000;

/// Records per message: about 512 KiB.
const CHUNK: i64 = 180;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let scratch = tempfile::tempdir()?;
    let folder = std::env::args_os()
        .nth(1)
        .map_or_else(|| scratch.path().to_path_buf(), PathBuf::from);
    for (order, scattered) in [("in the order of keys", false), ("scattered", true)] {
        for of_call in [RECORDS, 10_000, 1000] {
            let (processor, written) = (processor_time()?, written()?);
            let took = measure(&folder, scattered, of_call).await?;
            let processor = (processor_time()? - processor).as_secs_f64();
            let written = (self::written()? - written) as f64;
            println!(
                "revisions {order}, {of_call} records a call: {:.0} per s; of each record \
                 {:.0} µs processor time, {:.1} KiB written",
                RECORDS as f64 / took,
                processor * 1e6 / RECORDS as f64,
                written / 1024.0 / RECORDS as f64,
            );
        }
    }
    Ok(())
}

/// Returns the seconds that an import of all records takes.
async fn measure(folder: &Path, scattered: bool, of_call: i64) -> anyhow::Result<f64> {
    let options = Options::new(folder.join(format!("{scattered}-{of_call}.db")));
    let driver = SqliteDriver::open(&options, Arc::new(|_| std::process::exit(3)))?;
    let started = Instant::now();
    for first in (0..RECORDS).step_by(of_call as usize) {
        let last = (first + of_call).min(RECORDS);
        let (sender, receiver) = mpsc::channel(2);
        let options = ImportOptions {
            source: Header {
                store_id: "measured".to_owned(),
                epoch: 1,
                revision: (1 << 40) + 8 * RECORDS,
                compact_revision: 1 << 40,
            },
            keep_epoch: true,
            more: last < RECORDS,
            discard: false,
        };
        let feed = async {
            for from in (first..last).step_by(CHUNK as usize) {
                let numbers = from..(from + CHUNK).min(last);
                let records = numbers.map(|number| record(number, scattered)).collect();
                let _ = sender.send(ImportPart::Records(records)).await;
            }
            let _ = sender.send(ImportPart::Done).await;
        };
        let (imported, ()) = tokio::join!(driver.import(options, receiver), feed);
        imported.map_err(|error| anyhow::anyhow!(error.message))?;
    }
    let took = started.elapsed().as_secs_f64();
    driver.close().await;
    std::fs::remove_file(&options.path)?;
    Ok(took)
}

fn record(number: i64, scattered: bool) -> Record {
    // 7919 is prime, so this visits every number once.
    let place = if scattered {
        number * 7919 % RECORDS
    } else {
        number
    };
    let revision = (1 << 40) + 8 * place + 1;
    Record {
        key: Some(Key {
            group: "ark.mckinsey.com".to_owned(),
            resource: "queries".to_owned(),
            namespace: "default".to_owned(),
            name: format!("query-{number:06}"),
        }),
        revision,
        create_revision: revision,
        value: Bytes::from(vec![b'a' + (number % 26) as u8; VALUE_BYTES]),
        index: Some(Index {
            uid: format!("{number:036}"),
            labels: [("team".to_owned(), "blue".to_owned())].into(),
            ..Index::default()
        }),
        created_at: Some(prost_types::Timestamp::default()),
        updated_at: Some(prost_types::Timestamp::default()),
        ..Record::default()
    }
}

/// Returns the CPU time of this process, from `/proc`, in ticks of 10 ms.
fn processor_time() -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split(' ').collect();
    let ticks = fields[12].parse::<u64>()? + fields[13].parse::<u64>()?;
    Ok(Duration::from_millis(ticks * 10))
}

/// Returns the bytes that this process wrote to files or the page cache.
fn written() -> anyhow::Result<u64> {
    let io = std::fs::read_to_string("/proc/self/io")?;
    let line = io.lines().find_map(|line| line.strip_prefix("wchar: "));
    Ok(line.unwrap_or("0").parse()?)
}
