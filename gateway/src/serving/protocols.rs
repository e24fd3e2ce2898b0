//! HTTP/1.1 and HTTP/2 as they are spoken here, and what bounds the abuse of each.
//!
//! | abuse of HTTP/2 | bound |
//! |---|---|
//! | rapid reset (CVE-2023-44487) | `max_pending_accept_reset_streams`, streams that were reset before they were served, then GOAWAY; clients without a valid certificate have one request per connection anyway |
//! | malformed frames that are answered with resets | `max_local_error_reset_streams`, then GOAWAY |
//! | CONTINUATION flood, HPACK bomb | `max_header_list_size`: h2 counts the frames of a header block, and what they decode to |
//! | many headers | `max_header_list_size`: 431 |
//! | SETTINGS, PING floods | h2 reads no further frame before the acknowledgement of the last one was written |
//! | DATA without bytes | h2's `data_frame_budget`, by default 100 empty frames, then GOAWAY |
//! | bodies that nobody reads | the windows |
//! | an unfinished preface, PING alone | [`Clock`](super::activity::Clock) |
//! | windows of zero or one byte | the deadline of the request; SEND_BUFFER bounds what waits meanwhile |

use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioTimer;

use super::bounds::{HEAD_BYTES, HEADERS, UNAUTHENTICATED_HEAD_BYTES};
use super::tasks::Tasks;

/// HTTP/2 connections without traffic are asked whether they still live, so that watchers behind a dead
/// network do not stay for ever.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Streams of a connection: Go's default, a quarter of kube-apiserver's. One whose response is not read costs
/// 5 KiB, and a hundred connections of them must stay below 256 MiB. Go clients, such as kube-apiserver,
/// open another connection beyond that.
const MAX_STREAMS: u32 = 250;
/// What clients may send before it is read: kube-apiserver's `resourceBody99Percentile` for a stream, Go's
/// default for a connection. It is in memory before anybody has asked for it.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
/// Unsent bytes hyper keeps per stream: bounds what a slow watcher holds.
const SEND_BUFFER: usize = 128 << 10;
/// Streams before authentication: the connection ends after the first one, but others may have been
/// opened meanwhile.
const UNAUTHENTICATED_STREAMS: u32 = 8;
/// The window of a stream and of a connection before authentication; HTTP/2's own default.
const UNAUTHENTICATED_WINDOW: u32 = 65_535;
/// Streams that a client reset before they were served; h2's default.
const RESET_STREAMS: usize = 20;
/// Streams that were reset because of what the client sent on them; h2's default.
const ERROR_STREAMS: usize = 1_024;

/// The settings of HTTP/1.1. Its timeouts are in [`Clock`](super::activity::Clock).
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

/// The settings of HTTP/2.
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
