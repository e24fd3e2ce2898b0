//! A proxy between the suite and the model that injects one fault.
//!
//! It implements the protocol like any driver; each [`Fault`] changes the responses in one way.

mod faults;
mod moves;
mod restarts;
mod streams;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use backend_proto::limits::MAX_MESSAGE_BYTES;
use backend_proto::v1::backend_client::BackendClient;
use backend_proto::v1::backend_server::{Backend, BackendServer};
use backend_proto::v1::health_response::State;
use backend_proto::v1::{
    CompactRequest, CompactResponse, CurrentRevisionRequest, CurrentRevisionResponse,
    DescribeRequest, DescribeResponse, ExportRequest, ExportResponse, FenceRequest, FenceResponse,
    GetRequest, GetResponse, HealthRequest, HealthResponse, ImportRequest, ImportResponse,
    ListRequest, ListResponse, WatchRequest, WatchResponse, WriteRequest, WriteResponse,
};
use conformance::empty::{EmptyStore, EmptyStores, Situation};
use conformance::restart::Restarts;
use conformance::{Check, Endpoint, ModelDriver};
use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status, Streaming};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::health_server::HealthServer;

pub(crate) use self::faults::Fault;
use crate::faulty_driver::FaultyDriver;
use crate::served::Served;

/// The model behind a faulty proxy, each on its own socket.
pub(crate) struct Mutant {
    folder: TempDir,
    model: Served,
    proxy: FaultyProxy,
    stop: CancellationToken,
    server: JoinSet<()>,
}

/// Empty stores with a fault.
pub(crate) struct Empty(pub(crate) Fault);

impl Empty {
    async fn store(&self, situation: Option<Situation>) -> EmptyStore {
        let mutant = Mutant::start_in(self.0, situation).await;
        let endpoint = mutant.endpoint();
        let mutant = Arc::new(Restarting::new(mutant));
        EmptyStore::new(endpoint, Arc::clone(&mutant)).restartable(mutant)
    }
}

#[async_trait]
impl EmptyStores for Empty {
    async fn serve(&self) -> Result<EmptyStore, String> {
        Ok(self.store(None).await)
    }

    async fn serve_in(&self, situation: Situation) -> Check<EmptyStore> {
        Ok(self.store(Some(situation)).await)
    }
}

/// A mutant whose proxy is killed and started again; the model is its disk.
pub(crate) struct Restarting(Mutex<Option<Mutant>>);

impl Restarting {
    pub(crate) fn new(mutant: Mutant) -> Self {
        Self(Mutex::new(Some(mutant)))
    }

    pub(crate) async fn stop(&self) {
        if let Some(mutant) = self.0.lock().await.take() {
            mutant.stop().await;
        }
    }
}

#[async_trait]
impl Restarts for Restarting {
    async fn restart(&self) -> Result<(), String> {
        let mut mutant = self.0.lock().await;
        let running = mutant.as_mut().ok_or("the mutant has stopped")?;
        running.restart().await;
        Ok(())
    }
}

/// The time at which the first model of the process asked for it.
fn frozen() -> SystemTime {
    static START: OnceLock<SystemTime> = OnceLock::new();
    *START.get_or_init(SystemTime::now)
}

impl Mutant {
    pub(crate) async fn start(fault: Fault) -> Self {
        Self::start_in(fault, None).await
    }

    async fn start_in(fault: Fault, situation: Option<Situation>) -> Self {
        let mut model = match fault {
            Fault::IgnoresTheClock => ModelDriver::with_clock(|| SystemTime::UNIX_EPOCH),
            Fault::FrozenClock => ModelDriver::with_clock(frozen),
            _ => ModelDriver::new(),
        };
        let mut events = None;
        match situation {
            Some(Situation::SmallDisk(mib)) => model = model.with_room((mib << 20) as usize),
            Some(Situation::ShortRetention(kept)) => events = Some(kept),
            None => {}
        }
        let driver = FaultyDriver {
            keeps_no_events: fault == Fault::KeepsNoEvents,
            no_request_limits: fault == Fault::NoRequestLimits,
            ..FaultyDriver::new(model)
        };
        let model = Served::keeping(Arc::new(driver), events).await;
        let folder = tempfile::tempdir().expect("temporary directory");
        let proxy = FaultyProxy {
            fault,
            model: model.endpoint().client(),
            probes: HealthClient::new(model.endpoint().channel()),
            count: Arc::new(AtomicU64::new(0)),
            restarted: Arc::default(),
        };
        let mut mutant = Self {
            folder,
            model,
            proxy,
            stop: CancellationToken::new(),
            server: JoinSet::new(),
        };
        mutant.serve();
        mutant
    }

    fn serve(&mut self) {
        let socket = Self::at(self.folder.path());
        self.stop = CancellationToken::new();
        let served = serve(self.proxy.clone(), socket, self.stop.clone());
        self.server.spawn(served);
    }

    fn at(folder: &Path) -> PathBuf {
        folder.join("s")
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::unix(&Self::at(self.folder.path()))
    }

    /// Ends the proxy with all its connections, and starts it again.
    async fn restart(&mut self) {
        self.server.shutdown().await;
        std::fs::remove_file(Self::at(self.folder.path())).expect("a socket");
        self.proxy.restart().await.expect("the model answers");
        self.serve();
    }

    pub(crate) async fn stop(mut self) {
        // Stop the model first, so that the proxy's streams end.
        self.model.stop().await;
        self.stop.cancel();
        while let Some(ended) = self.server.join_next().await {
            ended.expect("the proxy");
        }
    }
}

fn serve(
    proxy: FaultyProxy,
    socket: PathBuf,
    stop: CancellationToken,
) -> impl Future<Output = ()> + Send + 'static {
    // Bind before the future runs, so that clients can connect at once.
    let listener = UnixListener::bind(socket).expect("bind");
    let fault = proxy.fault;
    let probes = (fault != Fault::NoProbes).then(|| HealthServer::new(proxy.clone()));
    let service = BackendServer::new(proxy)
        .max_decoding_message_size(match fault {
            Fault::SmallRequests => 4 << 20,
            _ => MAX_MESSAGE_BYTES,
        })
        .max_encoding_message_size(match fault {
            Fault::LargeResponses => usize::MAX,
            _ => MAX_MESSAGE_BYTES,
        });
    async move {
        let incoming = UnixListenerStream::new(listener);
        let mut server = Server::builder();
        if fault == Fault::ShortConnections {
            server = server.max_connection_age(Duration::from_secs(1));
        }
        server
            .add_service(service)
            .add_optional_service(probes)
            .serve_with_incoming_shutdown(incoming, stop.cancelled_owned())
            .await
            .expect("served");
    }
}

/// The proxy.
#[derive(Clone)]
pub(crate) struct FaultyProxy {
    fault: Fault,
    model: BackendClient<Channel>,
    probes: HealthClient<Channel>,
    count: Arc<AtomicU64>,
    restarted: Arc<AtomicBool>,
}

type Answer<T> = Result<Response<T>, Status>;
type Messages<T> = BoxStream<'static, Result<T, Status>>;

impl FaultyProxy {
    /// Whether to inject the fault now: true for every `nth` call.
    fn every(&self, nth: u64) -> bool {
        self.count.fetch_add(1, Ordering::Relaxed) % nth == nth - 1
    }

    /// Passes an error of the model on, without its details if that is the fault.
    fn pass(&self, status: &Status) -> Status {
        match self.fault {
            Fault::UntypedErrors => Status::new(status.code(), status.message()),
            _ => Status::with_details(
                status.code(),
                status.message(),
                status.details().to_vec().into(),
            ),
        }
    }

    fn passed<T>(&self, answer: Answer<T>) -> Answer<T> {
        match answer {
            Ok(response) => Ok(Response::new(response.into_inner())),
            Err(status) => Err(self.pass(&status)),
        }
    }

    /// Maps each message of a stream to any number of messages by `change`.
    fn changed<T: Send + 'static>(
        &self,
        answer: Answer<Streaming<T>>,
        change: impl Fn(&Self, T) -> Vec<T> + Send + 'static,
    ) -> Answer<Messages<T>> {
        let proxy = self.clone();
        let stream = answer.map_err(|status| self.pass(&status))?.into_inner();
        let messages = stream.flat_map(move |message| {
            futures_util::stream::iter(match message {
                Ok(message) => change(&proxy, message)
                    .into_iter()
                    .map(Ok)
                    .collect::<Vec<_>>(),
                Err(status) => vec![Err(proxy.pass(&status))],
            })
        });
        Ok(Response::new(messages.boxed()))
    }
}

#[tonic::async_trait]
impl Backend for FaultyProxy {
    type ListStream = Messages<ListResponse>;
    type WatchStream = Messages<WatchResponse>;
    type ExportStream = Messages<ExportResponse>;

    async fn describe(&self, request: Request<DescribeRequest>) -> Answer<DescribeResponse> {
        let mut answer = self.model.clone().describe(request.into_inner()).await;
        if let Ok(response) = &mut answer {
            self.lie_in_describe(response.get_mut());
        }
        self.passed(answer)
    }

    async fn write(&self, request: Request<WriteRequest>) -> Answer<WriteResponse> {
        let written = self.lie_in_write(request.into_inner()).await;
        self.passed(written.map(Response::new))
    }

    async fn get(&self, request: Request<GetRequest>) -> Answer<GetResponse> {
        let read = self.lie_in_get(request.into_inner()).await;
        self.passed(read.map(Response::new))
    }

    async fn list(&self, request: Request<ListRequest>) -> Answer<Self::ListStream> {
        let mut request = request.into_inner();
        let requested = request.revision;
        if self.fault == Fault::ListsThePresent {
            request.revision = 0;
        }
        if let Some(after) = &request.after
            && (self.fault == Fault::IgnoresAfter || self.starts_over_at(after).await?)
        {
            request.after = None;
        }
        let opened = self.model.clone().list(request).await;
        self.changed(opened, move |proxy, message| {
            proxy.lie_in_list(message, requested)
        })
    }

    async fn watch(&self, request: Request<WatchRequest>) -> Answer<Self::WatchStream> {
        let mut request = request.into_inner();
        let requested = request.start_revision;
        if self.fault == Fault::WatchesEverything {
            request.ranges.clear();
        }
        let mut opened = self.model.clone().watch(request.clone()).await;
        if let Err(status) = &opened
            && let Some(start) = self.moved_start(status)
        {
            request.start_revision = start;
            opened = self.model.clone().watch(request).await;
        }
        self.changed(opened, move |proxy, message| {
            proxy.lie_in_watch(message, requested)
        })
    }

    async fn current_revision(
        &self,
        request: Request<CurrentRevisionRequest>,
    ) -> Answer<CurrentRevisionResponse> {
        let mut answer = self
            .model
            .clone()
            .current_revision(request.into_inner())
            .await;
        if self.fault == Fault::LargeRevisions
            && let Ok(response) = &mut answer
            && let Some(header) = &mut response.get_mut().header
        {
            header.revision += 1 << 53;
        }
        if let Ok(response) = &mut answer {
            self.fault_in_header(&mut response.get_mut().header);
        }
        if self.fault == Fault::StaleCurrentRevision
            && let Ok(response) = &mut answer
            && let Some(header) = &mut response.get_mut().header
        {
            header.revision -= 1;
        }
        self.passed(answer)
    }

    async fn compact(&self, request: Request<CompactRequest>) -> Answer<CompactResponse> {
        self.passed(self.model.clone().compact(request.into_inner()).await)
    }

    async fn export(&self, request: Request<ExportRequest>) -> Answer<Self::ExportStream> {
        let mut request = request.into_inner();
        match self.fault {
            Fault::ExportsAnew => request.after = None,
            Fault::ExportsThePresent => request.revision = 0,
            Fault::UnwantedExportProgress => request.progress_interval_ms = 50,
            _ => {}
        }
        let opened = self.model.clone().export(request).await;
        self.changed(opened, |proxy, message| proxy.lie_in_export(message))
    }

    async fn import(&self, request: Request<Streaming<ImportRequest>>) -> Answer<ImportResponse> {
        let imported = self.lie_in_import(request.into_inner()).boxed().await;
        self.passed(imported)
    }

    async fn fence(&self, request: Request<FenceRequest>) -> Answer<FenceResponse> {
        let fenced = self.lie_in_fence(request.into_inner()).await;
        self.passed(fenced)
    }

    async fn health(&self, request: Request<HealthRequest>) -> Answer<HealthResponse> {
        if self.fault == Fault::SlowHealth {
            tokio::time::sleep(Duration::from_millis(1200)).await;
        }
        let mut answer = self.model.clone().health(request.into_inner()).await;
        if self.fault == Fault::HidesAFence
            && let Ok(response) = &mut answer
        {
            response.get_mut().set_state(State::Ready);
        }
        self.passed(answer)
    }
}
