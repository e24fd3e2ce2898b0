//! Measures writes through the socket: throughput, latency and CPU time of the server.
//!
//! `cargo run --release -p backend-sqlite --example socket -- PID /path/to/socket`

#![expect(clippy::print_stdout, reason = "a measurement prints its result")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use backend_proto::v1::backend_client::BackendClient;
use backend_proto::v1::op::Action;
use backend_proto::v1::{Key, Op, WriteRequest};
use bytes::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    anyhow::ensure!(arguments.len() == 3, "usage: socket PID /path/to/socket");
    let socket = PathBuf::from(&arguments[2]);
    let connect = move |_| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    };
    let channel = Endpoint::from_static("http://localhost")
        .connect_with_connector(tower::service_fn(connect))
        .await?;
    let client = BackendClient::new(channel);
    for (clients, writes) in [(1, 1000), (16, 500), (64, 250)] {
        let (started, before) = (Instant::now(), processor_time(&arguments[1])?);
        let mut tasks = JoinSet::new();
        for number in 0..clients {
            tasks.spawn(create(
                client.clone(),
                format!("c{clients}-{number}"),
                writes,
            ));
        }
        let mut latencies = Vec::new();
        while let Some(done) = tasks.join_next().await {
            latencies.extend(done??);
        }
        let (elapsed, used) = (started.elapsed(), processor_time(&arguments[1])? - before);
        latencies.sort();
        let count = latencies.len();
        println!(
            "{clients} clients: {:.0} creates per s, p50 {:.2} ms, p99 {:.2} ms, \
             {:.0} µs of the server's processor time each",
            count as f64 / elapsed.as_secs_f64(),
            latencies[count / 2].as_secs_f64() * 1e3,
            latencies[count * 99 / 100].as_secs_f64() * 1e3,
            used.as_secs_f64() * 1e6 / count as f64,
        );
    }
    Ok(())
}

async fn create(
    mut client: BackendClient<Channel>,
    prefix: String,
    writes: usize,
) -> anyhow::Result<Vec<Duration>> {
    let mut latencies = Vec::with_capacity(writes);
    for number in 0..writes {
        let op = Op {
            op_id: Bytes::copy_from_slice(uuid::Uuid::new_v4().as_bytes()),
            action: Action::Create.into(),
            key: Some(Key {
                group: "ark.mckinsey.com".to_owned(),
                resource: "queries".to_owned(),
                namespace: "default".to_owned(),
                name: format!("{prefix}-{}-{number}", uuid::Uuid::new_v4()),
            }),
            value: Bytes::from(vec![b'v'; 2600]),
            ..Op::default()
        };
        let started = Instant::now();
        client.write(WriteRequest { ops: vec![op] }).await?;
        latencies.push(started.elapsed());
    }
    Ok(latencies)
}

/// Returns the CPU time of a process, from `/proc`, in ticks of 10 ms.
fn processor_time(pid: &str) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split(' ').collect();
    let ticks = fields[12].parse::<u64>()? + fields[13].parse::<u64>()?;
    Ok(Duration::from_millis(ticks * 10))
}
