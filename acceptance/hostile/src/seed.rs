//! The initial objects of every server under attack. They are stored once and copied as files, so
//! that the suite replaces a compromised server within a second.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use http::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::client::{Connection, Request};
use crate::kinds;
use crate::neighbour;
use crate::server::{Server, Setup};
use crate::tls::{Identity, Protocol, Target};

/// Objects for selectors and lists.
pub(crate) const BULK: usize = 10_000;
/// Namespace of the bulk objects.
pub(crate) const BULK_NAMESPACE: &str = "bulk";
/// Namespace of the objects that attackers change.
pub(crate) const NAMESPACE: &str = "attack";
/// Name of a large object in [`NAMESPACE`], requested by clients that do not read.
pub(crate) const LARGE: &str = "large";
/// Size of the large object.
pub(crate) const LARGE_BYTES: usize = 1_500_000;
/// Name of a small object of each kind in [`NAMESPACE`].
pub(crate) const SMALL: &str = "small";

/// Connections that store the objects.
const LANES: usize = 24;
const TIMEOUT: Duration = Duration::from_secs(60);

/// A data directory with the objects, and its copies.
pub(crate) struct Seed {
    root: tempfile::TempDir,
    copies: usize,
}

impl Seed {
    /// Starts a server, stores the objects and stops it.
    pub(crate) fn store() -> Result<Self> {
        // A short prefix: the path contains the driver's socket, and Unix socket paths have at most
        // 107 bytes.
        let root = tempfile::Builder::new().prefix("ark-h-").tempdir()?;
        let folder = root.path().join("seed");
        std::fs::create_dir(&folder)?;
        std::fs::write(folder.join("kinds.yaml"), kinds::manifests())?;
        let server = Server::start(&folder, Setup::Standard)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(store_objects(&server.target))?;
        server.stop()?;
        Ok(Self { root, copies: 0 })
    }

    /// Starts a server on a copy of the objects.
    pub(crate) fn server(&mut self, setup: Setup) -> Result<Server> {
        self.copies += 1;
        let folder = self.root.path().join(self.copies.to_string());
        copy(&self.root.path().join("seed"), &folder)?;
        Server::start(&folder, setup)
    }
}

/// Copies the data directory without the lock and the ballast; the server creates both.
fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir(to)?;
    for entry in std::fs::read_dir(from)? {
        let path = entry?.path();
        let name = PathBuf::from(path.file_name().unwrap_or_default());
        if path.is_dir() && name != Path::new("run") {
            copy(&path, &to.join(name))?;
        } else if path.is_file() && !path.to_string_lossy().ends_with(".ballast") {
            std::fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}

async fn store_objects(target: &Target) -> Result<()> {
    let mut objects: Vec<(String, Value)> = (0..neighbour::OBJECTS)
        .map(|n| form(neighbour::NAMESPACE, &format!("form-{n:02}")))
        .collect();
    objects.push(form(NAMESPACE, SMALL));
    objects.push(blob(NAMESPACE, SMALL, json!({"items": [1, 2, 3]})));
    objects.push(blob(
        NAMESPACE,
        LARGE,
        json!({"data": "x".repeat(LARGE_BYTES)}),
    ));
    objects.extend((0..BULK).map(|n| {
        let spec = json!({"data": "some text of an object", "number": n});
        blob(BULK_NAMESPACE, &format!("blob-{n:05}"), spec)
    }));
    let objects = std::sync::Arc::new(parking_lot::Mutex::new(objects));
    let mut lanes = JoinSet::new();
    for _ in 0..LANES {
        let (target, objects) = (target.clone(), objects.clone());
        lanes.spawn(async move {
            let mut connection = Connection::open(
                &target,
                neighbour::ADDRESS,
                Identity::Admin,
                Protocol::Http1,
            )
            .await?;
            while let Some((path, object)) = take(&objects) {
                let request =
                    Request::send(Method::POST, path, "application/json", object.to_string());
                let response = connection.call(&request, TIMEOUT).await?;
                ensure!(
                    response.status == 201,
                    "{}: {}",
                    request.path,
                    response.describe()
                );
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = lanes.join_next().await {
        ended??;
    }
    Ok(())
}

fn take(objects: &parking_lot::Mutex<Vec<(String, Value)>>) -> Option<(String, Value)> {
    objects.lock().pop()
}

fn form(namespace: &str, name: &str) -> (String, Value) {
    let object = json!({
        "apiVersion": "hostile.example.com/v1", "kind": "Form", "metadata": {"name": name},
        "spec": {"color": "red", "replicas": 1, "tags": ["a", "b"], "parts": [{"name": "a"}]},
    });
    (kinds::collection(namespace, "forms"), object)
}

fn blob(namespace: &str, name: &str, spec: Value) -> (String, Value) {
    let mut object = json!({
        "apiVersion": "hostile.example.com/v1", "kind": "Blob",
        "metadata": {"name": name, "labels": {"app": "hostile", "name": name}},
    });
    object["spec"] = spec;
    (kinds::collection(namespace, "blobs"), object)
}
