//! Spans of requests, as a collector receives them.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::audit::server::{Audited, EVERYTHING, request};
use crate::writes::server::thing;

/// A collector of OTLP that keeps the messages.
struct Collector {
    messages: Arc<Mutex<Vec<u8>>>,
    config: tempfile::NamedTempFile,
    _running: JoinSet<()>,
}

impl Collector {
    async fn start(samples_per_million: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let config = tempfile::NamedTempFile::new().unwrap();
        let text = format!(
            "apiVersion: apiserver.config.k8s.io/v1\nkind: TracingConfiguration\nendpoint: \
             {address}\nsamplingRatePerMillion: {samples_per_million}\n"
        );
        std::fs::write(config.path(), text).unwrap();
        let messages = Arc::new(Mutex::new(Vec::new()));
        let mut running = JoinSet::new();
        let serving = Arc::clone(&messages);
        running.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let messages = Arc::clone(&serving);
                connections.spawn(async move {
                    let service =
                        service_fn(move |request| receive(Arc::clone(&messages), request));
                    let builder = auto::Builder::new(TokioExecutor::new());
                    let _ = builder
                        .serve_connection(TokioIo::new(socket), service)
                        .await;
                });
            }
        });
        Self {
            messages,
            config,
            _running: running,
        }
    }

    fn flag(&self) -> String {
        format!("--tracing-config-file {}", self.config.path().display())
    }

    /// How often the messages contain these bytes.
    fn count(&self, bytes: &[u8]) -> usize {
        memchr::memmem::find_iter(&self.messages.lock(), bytes).count()
    }
}

async fn receive(
    messages: Arc<Mutex<Vec<u8>>>,
    request: Request<Incoming>,
) -> Result<
    Response<StreamBody<impl futures_util::Stream<Item = Result<Frame<Bytes>, Infallible>>>>,
    Infallible,
> {
    let path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    assert_eq!(request.uri().path(), path);
    let body = request.into_body().collect().await.unwrap().to_bytes();
    messages.lock().extend_from_slice(&body);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    // An empty message, uncompressed.
    let frames = [
        Frame::data(Bytes::from_static(&[0; 5])),
        Frame::trailers(trailers),
    ];
    let body = StreamBody::new(futures_util::stream::iter(frames.map(Ok)));
    let mut response = Response::new(body);
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert("content-type", grpc);
    Ok(response)
}

#[tokio::test(flavor = "multi_thread")]
async fn request_and_its_write_are_spans_of_the_trace_of_the_client() {
    let collector = Collector::start(0).await;
    let server = Audited::new(EVERYTHING, &collector.flag()).await;
    let mut create = request("POST things", thing("x", 1));
    let parent =
        HeaderValue::from_static("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    create.headers_mut().insert("traceparent", parent);
    let response = server.admin.send(create).await;
    assert_eq!(response.status(), 201);
    drop(response);
    // Without a parent, and a share of 0.
    assert_eq!(server.request("GET things", "").await.0, 200);
    server.stop_process().await;
    let name = "POST /apis/example.com/v1/namespaces/{:namespace}/things";
    assert_eq!(collector.count(name.as_bytes()), 1);
    assert_eq!(collector.count(b"ark.backend.v1.Backend/Write"), 1);
    let trace = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes();
    assert_eq!(collector.count(&trace), 2);
    assert_eq!(collector.count(b"http.request.method"), 1);
    assert_eq!(collector.count(b"audit-id"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_served_while_the_collector_is_away() {
    let collector = Collector::start(1_000_000).await;
    let flag = collector.flag();
    let Collector {
        config, _running, ..
    } = collector;
    drop(_running);
    let server = Audited::new(EVERYTHING, &flag).await;
    for _ in 0..10 {
        assert_eq!(server.request("GET things", "").await.0, 200);
    }
    server.stop_process().await;
    drop(config);
}
