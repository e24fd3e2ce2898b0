//! What a write costs: latency, throughput and processor time of the driver alone.
//!
//! `cargo run --release -p backend-sqlite --example writes -- [DIRECTORY]`

#![expect(clippy::print_stdout, reason = "a measurement prints its result")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backend_proto::v1::op::Action;
use backend_proto::v1::{Index, Key, Op};
use backend_sqlite::{Options, SqliteDriver};
use bytes::Bytes;
use sidecar::driver::Driver as _;

const VALUE_BYTES: usize = 2600;
const WRITES: usize = 20_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let scratch = tempfile::tempdir()?;
    let folder = std::env::args_os()
        .nth(1)
        .map_or_else(|| scratch.path().to_path_buf(), PathBuf::from);
    let options = Options::new(folder.join("measure.db"));
    let driver = SqliteDriver::open(&options, Arc::new(|_| std::process::exit(3)))?;
    for (action, batch) in [
        (Action::Create, 1),
        (Action::Create, 16),
        (Action::Create, 64),
        (Action::Update, 64),
        (Action::Delete, 64),
    ] {
        measure(&driver, action, batch).await?;
    }
    driver.close().await;
    Ok(())
}

async fn measure(driver: &SqliteDriver, action: Action, batch: usize) -> anyhow::Result<()> {
    let writes = if batch == 1 { WRITES / 20 } else { WRITES };
    let (begun, processor) = (Instant::now(), processor_time()?);
    let mut slowest = Duration::ZERO;
    for first in (0..writes).step_by(batch) {
        let ops = (first..first + batch).map(|number| op(action, batch, number));
        let one = Instant::now();
        driver
            .commit(ops.collect())
            .await
            .map_err(|error| anyhow::anyhow!(error.message))?;
        slowest = slowest.max(one.elapsed());
    }
    let (elapsed, processor) = (begun.elapsed(), processor_time()? - processor);
    let each = |time: Duration| time.as_secs_f64() * 1e6 / writes as f64;
    println!(
        "{action:?} in batches of {batch}: {:.0} per s, {:.0} µs processor time per write, \
         batch {:.2} ms on average, {:.2} ms at worst",
        writes as f64 / elapsed.as_secs_f64(),
        each(processor),
        each(elapsed) * batch as f64 / 1e3,
        slowest.as_secs_f64() * 1e3,
    );
    Ok(())
}

fn op(action: Action, batch: usize, number: usize) -> Op {
    // Spread over the key space, as names of real objects are.
    let spread = (number * 2_654_435_761) % 4_294_967_296;
    let batch = if action == Action::Create { batch } else { 64 };
    Op {
        op_id: Bytes::copy_from_slice(uuid::Uuid::new_v4().as_bytes()),
        action: action.into(),
        key: Some(Key {
            group: "ark.mckinsey.com".to_owned(),
            resource: "queries".to_owned(),
            namespace: "default".to_owned(),
            name: format!("query-{spread:08x}-{batch}-{number}"),
        }),
        value: Bytes::from(vec![b'a' + action as u8; VALUE_BYTES]),
        index: Some(Index {
            uid: uuid::Uuid::new_v4().to_string(),
            labels: [("team".to_owned(), "blue".to_owned())].into(),
            ..Index::default()
        }),
        ..Op::default()
    }
}

/// Processor time of this process so far, from `/proc`, in ticks of 10 ms.
fn processor_time() -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split(' ').collect();
    let ticks = fields[12].parse::<u64>()? + fields[13].parse::<u64>()?;
    Ok(Duration::from_millis(ticks * 10))
}
