//! Measures writes of a driver: latency, throughput and CPU time, without kit and transport.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use backend_proto::v1::op::Action;
use backend_proto::v1::{Index, Key, Op};
use bytes::Bytes;
use sidecar::Driver;

const VALUE_BYTES: usize = 2600;
const WRITES: usize = 20_000;

/// Measures an empty store and passes each line of the result to `tell`.
///
/// # Errors
/// If a write fails.
pub async fn writes(driver: &dyn Driver, mut tell: impl FnMut(String)) -> Result<()> {
    for (action, batch) in [
        (Action::Create, 1),
        (Action::Create, 16),
        (Action::Create, 64),
        (Action::Update, 1),
        (Action::Update, 64),
        (Action::Delete, 64),
    ] {
        tell(measure(driver, action, batch).await?);
    }
    Ok(())
}

async fn measure(driver: &dyn Driver, action: Action, batch: usize) -> Result<String> {
    let writes = if batch == 1 { WRITES / 20 } else { WRITES };
    let (started, processor) = (Instant::now(), processor_time()?);
    let mut slowest = Duration::ZERO;
    for first in (0..writes).step_by(batch) {
        let ops = (first..first + batch).map(|number| op(action, batch, number));
        let one = Instant::now();
        driver
            .commit(ops.collect())
            .await
            .map_err(|error| anyhow!(error.message))?;
        slowest = slowest.max(one.elapsed());
    }
    let (elapsed, processor) = (started.elapsed(), processor_time()? - processor);
    let each = |time: Duration| time.as_secs_f64() * 1e6 / writes as f64;
    Ok(format!(
        "{action:?} in batches of {batch}: {:.0} per s, {:.0} µs processor time per write, \
         batch {:.2} ms on average, {:.2} ms at worst",
        writes as f64 / elapsed.as_secs_f64(),
        each(processor),
        each(elapsed) * batch as f64 / 1e3,
        slowest.as_secs_f64() * 1e3,
    ))
}

fn op(action: Action, batch: usize, number: usize) -> Op {
    // Spread keys over the key space, as real object names are.
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

/// Returns the CPU time of this process, from `/proc`, in ticks of 10 ms.
fn processor_time() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split(' ').collect();
    let ticks = fields[12].parse::<u64>()? + fields[13].parse::<u64>()?;
    Ok(Duration::from_millis(ticks * 10))
}
