//! Settings of HTTP/1.1 and HTTP/2, and the limits against abuse.
//!
//! | abuse of HTTP/2 | bound |
//! |---|---|
//! | rapid reset (CVE-2023-44487) | `max_pending_accept_reset_streams`: streams reset before they were served, then GOAWAY; clients without a valid certificate have one request per connection |
//! | malformed frames that cause resets | `max_local_error_reset_streams`, then GOAWAY |
//! | CONTINUATION flood, HPACK bomb | `max_header_list_size`: h2 counts the frames of a header block, and what they decode to |
//! | many headers | `max_header_list_size`: 431 |
//! | SETTINGS, PING floods | h2 reads the next frame after it wrote the acknowledgement of the last one |
//! | DATA without bytes | h2's `data_frame_budget`, by default 100 empty frames, then GOAWAY |
//! | bodies that no handler reads | the receive windows |
//! | an unfinished preface, PING alone | [`Clock`](super::activity::Clock) |
//! | windows of zero or one byte | the deadline of the request; SEND_BUFFER bounds the buffered bytes |

use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioTimer;

use super::bounds::{HEAD_BYTES, HEADERS, UNAUTHENTICATED_HEAD_BYTES};
use super::tasks::Tasks;

/// Interval of HTTP/2 pings on connections without traffic, so that watchers behind a dead network
/// are detected.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Streams per connection: Go's default, a quarter of kube-apiserver's. A stream with an unread
/// response costs 5 KiB, and a hundred connections of them must stay below 256 MiB. Go clients,
/// such as kube-apiserver, open another connection beyond that.
const MAX_STREAMS: u32 = 250;
/// Receive window: kube-apiserver's `resourceBody99Percentile` per stream, Go's default per
/// connection. Clients may send this much before a handler reads, so it is in memory without a
/// request for it.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
/// Unsent bytes that hyper buffers per stream: bounds the memory of a slow watcher.
const SEND_BUFFER: usize = 128 << 10;
/// Streams before authentication. The connection closes after the first request, but a client may
/// open others meanwhile.
const UNAUTHENTICATED_STREAMS: u32 = 8;
/// Receive window of a stream and of a connection before authentication; the default of HTTP/2.
const UNAUTHENTICATED_WINDOW: u32 = 65_535;
/// Streams that a client may reset before they are served; h2's default.
const RESET_STREAMS: usize = 20;
/// Streams that may be reset because of invalid frames; h2's default.
const ERROR_STREAMS: usize = 1_024;

/// Settings of HTTP/1.1. Its timeouts are in [`Clock`](super::activity::Clock).
pub(super) fn http1(authenticated: bool) -> http1::Builder {
    let mut builder = http1::Builder::new();
    let head = if authenticated {
        HEAD_BYTES
    } else {
        UNAUTHENTICATED_HEAD_BYTES
    };
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_headers(HEADERS)
        .max_buf_size(head as usize);
    builder
}

/// Settings of HTTP/2.
pub(super) fn http2(authenticated: bool, tasks: Tasks) -> http2::Builder<Tasks> {
    let mut builder = http2::Builder::new(tasks);
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_pending_accept_reset_streams(RESET_STREAMS)
        .max_local_error_reset_streams(ERROR_STREAMS)
        .max_send_buf_size(SEND_BUFFER);
    if authenticated {
        builder
            .max_concurrent_streams(MAX_STREAMS)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(HEAD_BYTES);
    } else {
        builder
            .max_concurrent_streams(UNAUTHENTICATED_STREAMS)
            .initial_stream_window_size(UNAUTHENTICATED_WINDOW)
            .initial_connection_window_size(UNAUTHENTICATED_WINDOW)
            .max_header_list_size(UNAUTHENTICATED_HEAD_BYTES);
    }
    builder
}
