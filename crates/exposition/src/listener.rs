//! A listener that serves metrics over plain HTTP.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::Format;

/// Longest connection. Prometheus connects again.
const CONNECTION: Duration = Duration::from_secs(5);
/// Concurrent connections. A further one ends the oldest, so that clients that send or read nothing
/// do not lock Prometheus out: its request takes milliseconds.
const CONNECTIONS: usize = 16;
/// Pause after a failed accept, as when the process has no more descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `GET /metrics` until `stop` is cancelled; `render` returns the metrics in a format.
///
/// The listener has no encryption and asks for no credentials: bind it to an address that only
/// monitoring reaches.
pub async fn serve<R>(listener: TcpListener, render: R, stop: CancellationToken)
where
    R: Fn(Format) -> String + Clone + Send + Sync + 'static,
{
    let mut connections = JoinSet::new();
    // Oldest first; at most CONNECTIONS.
    let mut open = VecDeque::with_capacity(CONNECTIONS);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    open.retain(|it: &AbortHandle| !it.is_finished());
                    if open.len() >= CONNECTIONS
                        && let Some(oldest) = open.pop_front()
                    {
                        oldest.abort();
                    }
                    open.push_back(connections.spawn(connection(stream, render.clone())));
                }
                Err(error) => {
                    tracing::debug!(%error, "cannot accept a connection for metrics");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

async fn connection<R>(stream: TcpStream, render: R)
where
    R: Fn(Format) -> String + Clone + Send + Sync + 'static,
{
    let respond = move |request| {
        let response = respond(&request, &render);
        async { Ok::<_, Infallible>(response) }
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service_fn(respond));
    // A slow or disconnected client is not an error of this process.
    let _ = timeout(CONNECTION, connection).await;
}

fn respond<B>(request: &Request<B>, render: &impl Fn(Format) -> String) -> Response<Full<Bytes>> {
    let empty = |status| {
        let mut response = Response::new(Full::default());
        *response.status_mut() = status;
        response
    };
    if request.uri().path() != "/metrics" {
        return empty(StatusCode::NOT_FOUND);
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = empty(StatusCode::METHOD_NOT_ALLOWED);
        let allowed = HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(ALLOW, allowed);
        return response;
    }
    let format = Format::negotiate(request.headers().get(http::header::ACCEPT));
    let mut response = Response::new(Full::from(render(format)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, format.content_type());
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn request(address: std::net::SocketAddr, head: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        response
    }

    #[tokio::test]
    async fn only_metrics_are_served() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let render = |format| format!("{format:?}\n");
        let mut server = JoinSet::new();
        server.spawn(serve(listener, render, stop.clone()));

        let text = request(address, "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        assert!(text.contains("content-type: text/plain; version=0.0.4"));
        assert!(text.ends_with("\r\n\r\nText\n"), "{text}");
        let head =
            "GET /metrics?x=1 HTTP/1.1\r\nhost: x\r\naccept: application/openmetrics-text\r\n\r\n";
        let text = request(address, head).await;
        assert!(text.ends_with("\r\n\r\nOpenMetrics\n"), "{text}");
        let text = request(address, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(text.starts_with("HTTP/1.1 404"), "{text}");
        let text = request(address, "POST /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(text.starts_with("HTTP/1.1 405"), "{text}");
        // Connections without a whole request do not lock others out.
        let mut idle = Vec::new();
        for _ in 0..3 * CONNECTIONS {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream
                .write_all(b"GET /metrics HTTP/1.1\r\n")
                .await
                .unwrap();
            idle.push(stream);
        }
        let response = request(address, "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n");
        let text = timeout(CONNECTION / 5, response).await.expect("at once");
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");

        stop.cancel();
        server.join_next().await.unwrap().unwrap();
    }
}
