//! The calls of `ark.backend.v1`. The status of a failed call names the call and its request, and
//! the last request of a case is kept for the message of its failure.

use std::sync::Arc;

use backend_proto::v1::backend_client::BackendClient;
use backend_proto::v1::{
    CompactRequest, CompactResponse, CurrentRevisionRequest, CurrentRevisionResponse,
    DescribeRequest, DescribeResponse, ExportRequest, ExportResponse, FenceRequest, FenceResponse,
    GetRequest, GetResponse, HealthRequest, HealthResponse, ImportRequest, ImportResponse,
    ListRequest, ListResponse, WatchRequest, WatchResponse, WriteRequest, WriteResponse,
};
use parking_lot::Mutex;
use prost::Message;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{IntoRequest, IntoStreamingRequest, Response, Status, Streaming};

use crate::text;

/// Metadata key of a failed call's text, added to its status on this side.
const CALL: &str = "conformance-call-bin";

/// The last request that the clients of a case sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastCall(Arc<Mutex<Option<Sent>>>);

/// A sent request, printed only if it is needed.
#[derive(Clone, Debug)]
struct Sent {
    rpc: &'static str,
    request: Option<Request>,
}

/// A request whose text can be made later: cloning one shares its values.
type Request = Arc<dyn Printable>;

trait Printable: Send + Sync + std::fmt::Debug {
    fn encoded(&self) -> Vec<u8>;
}

impl<T: Message + std::fmt::Debug> Printable for T {
    fn encoded(&self) -> Vec<u8> {
        self.encode_to_vec()
    }
}

/// The calls on one connection.
#[derive(Clone, Debug)]
pub(crate) struct Calls {
    client: BackendClient<Channel>,
    last: LastCall,
}

/// Returns the text of the call that failed with a status, if it was made by [`Calls`].
pub(crate) fn call_of(status: &Status) -> Option<String> {
    let text = status.metadata().get_bin(CALL)?.to_bytes().ok()?;
    String::from_utf8(text.to_vec()).ok()
}

// === impl LastCall ===

impl LastCall {
    /// Returns the text of the last request.
    pub(crate) fn text(&self) -> Option<String> {
        let sent = self.0.lock().clone();
        sent.map(|sent| sent.text())
    }

    fn note(&self, rpc: &'static str, request: Option<Request>) -> Sent {
        let sent = Sent { rpc, request };
        *self.0.lock() = Some(sent.clone());
        sent
    }
}

// === impl Sent ===

impl Sent {
    fn text(&self) -> String {
        match &self.request {
            Some(request) => text::call(self.rpc, &request.encoded()),
            None => self.rpc.to_owned(),
        }
    }

    fn named<T>(&self, answer: Result<T, Status>) -> Result<T, Status> {
        answer.map_err(|mut status| {
            let text = MetadataValue::from_bytes(self.text().as_bytes());
            status.metadata_mut().insert_bin(CALL, text);
            status
        })
    }
}

// === impl Calls ===

macro_rules! calls {
    ($($name:ident, $rpc:literal, $request:ty, $response:ty;)+) => {
        $(
            pub(crate) async fn $name(
                &mut self,
                request: impl IntoRequest<$request>,
            ) -> Result<Response<$response>, Status> {
                let request = request.into_request();
                let sent = self.last.note($rpc, Some(Arc::new(request.get_ref().clone())));
                sent.named(self.client.$name(request).await)
            }
        )+
    };
}

impl Calls {
    pub(crate) const fn new(client: BackendClient<Channel>, last: LastCall) -> Self {
        Self { client, last }
    }

    calls! {
        describe, "Describe", DescribeRequest, DescribeResponse;
        write, "Write", WriteRequest, WriteResponse;
        get, "Get", GetRequest, GetResponse;
        list, "List", ListRequest, Streaming<ListResponse>;
        watch, "Watch", WatchRequest, Streaming<WatchResponse>;
        current_revision, "CurrentRevision", CurrentRevisionRequest, CurrentRevisionResponse;
        compact, "Compact", CompactRequest, CompactResponse;
        export, "Export", ExportRequest, Streaming<ExportResponse>;
        fence, "Fence", FenceRequest, FenceResponse;
        health, "Health", HealthRequest, HealthResponse;
    }

    pub(crate) async fn import(
        &mut self,
        request: impl IntoStreamingRequest<Message = ImportRequest>,
    ) -> Result<Response<ImportResponse>, Status> {
        let sent = self.last.note("Import", None);
        sent.named(self.client.import(request).await)
    }
}
