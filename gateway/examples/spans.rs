//! Cost of the span of a request: `cargo run --release -p gateway --example spans [json]`. A get
//! takes about 80 µs of CPU time, of which the span may take 2 %.

#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::hint::black_box;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{Instrument as _, Span, field, info_span};

const REQUESTS: u32 = 300_000;
const ROUNDS: usize = 5;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let json = std::env::args().nth(1).as_deref() == Some("json");
    let format = if json {
        logs::Format::Json
    } else {
        logs::Format::Text
    };
    logs::init(&logs::Filter::default(), format);
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let began = Instant::now();
        for request in 0..REQUESTS {
            // The fields of `stack::span`.
            let span = info_span!(
                "request",
                audit_id = "0b5a2f2e-3b0c-4c1c-9e0f-2b0b5a2f2e3b",
                verb = "get",
                resource = "models",
                namespace = "default",
                name = "model-0001",
                user = field::Empty,
            );
            let handler = async {
                Span::current().record("user", "system:serviceaccount:ark-system:controller");
                black_box(request)
            };
            handler.instrument(span).await;
        }
        best = best.min(began.elapsed() / REQUESTS);
    }
    println!("{best:?} per request");
}
