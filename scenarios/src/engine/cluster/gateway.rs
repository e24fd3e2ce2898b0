//! The gateway and its driver as processes of this machine.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

use super::super::certificates::{Authority, Subject};
use super::super::client::Client;
use super::super::kubeconfig::Kubeconfig;
use super::super::process::{Process, tail};
use super::control_plane::replace;
use super::install::{NAMESPACE, SERVICE};

const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How a gateway is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Path of ark-apiserver; the drivers are beside it.
    pub program: PathBuf,
    /// Manifests of the served kinds besides Ark's.
    pub resources: PathBuf,
    /// Kubeconfig of its service account.
    pub kubeconfig: PathBuf,
    /// Where it listens.
    pub address: SocketAddr,
    /// Database of the driver; without one, a SQLite file.
    pub dsn: Option<String>,
    /// Path and query of the chart's readiness probe.
    pub readiness_probe: String,
}

/// Where the serving certificate comes from.
#[derive(Clone, Copy, Debug)]
pub enum Certificate<'a> {
    /// The files of [`Gateway::write_certificate`].
    Files,
    /// The gateway, by these arguments of the chart.
    SelfManaged(&'a [String]),
}

/// A driver and, when it is started, the gateway.
#[derive(Debug)]
pub struct Gateway {
    /// How it is started.
    pub options: Options,
    server: Option<Process>,
    driver: Process,
    folder: PathBuf,
}

impl Gateway {
    /// Starts the driver, and writes a serving certificate of `authority`.
    ///
    /// # Errors
    /// If the driver cannot be started.
    pub fn start_driver(options: Options, authority: &Authority, folder: &Path) -> Result<Self> {
        let driver = driver(&options, folder)?;
        let gateway = Self {
            options,
            server: None,
            driver,
            folder: folder.to_owned(),
        };
        gateway.write_certificate(authority)?;
        Ok(gateway)
    }

    /// Starts the gateway, which must not run.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start_server(&mut self) -> Result<()> {
        self.start_server_with(Certificate::Files)
    }

    /// The same, with a choice of the serving certificate.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start_server_with(&mut self, certificate: Certificate<'_>) -> Result<()> {
        let options = &self.options;
        let mut command = Command::new(&options.program);
        command
            .args(["serve", "--backend"])
            .arg(socket(&self.folder))
            .arg(format!("--bind-address={}", options.address.ip()))
            .arg(format!("--secure-port={}", options.address.port()))
            .arg("--kubeconfig")
            .arg(&options.kubeconfig)
            .arg("--resources")
            .arg(&options.resources)
            .stdout(std::process::Stdio::null());
        match certificate {
            Certificate::Files => command
                .arg("--tls-cert-file")
                .arg(self.folder.join("serving.crt"))
                .arg("--tls-private-key-file")
                .arg(self.folder.join("serving.key")),
            Certificate::SelfManaged(arguments) => command.args(arguments),
        };
        let log = self.folder.join("gateway.log");
        self.server = Some(Process::start("ark-apiserver", &mut command, &log)?);
        Ok(())
    }

    /// Stops the gateway and waits.
    pub async fn stop_server(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.stop().await;
        }
    }

    /// Kills the gateway.
    ///
    /// # Errors
    /// If it cannot be killed.
    pub async fn kill_server(&mut self) -> Result<()> {
        match self.server.take() {
            Some(mut server) => server.kill().await,
            None => Ok(()),
        }
    }

    /// The driver.
    #[must_use]
    pub fn driver(&self) -> &Process {
        &self.driver
    }

    /// Kills the driver.
    ///
    /// # Errors
    /// If it cannot be killed.
    pub async fn kill_driver(&mut self) -> Result<()> {
        self.driver.kill().await
    }

    /// Starts the driver again after [`Self::kill_driver`].
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn restart_driver(&mut self) -> Result<()> {
        self.driver = driver(&self.options, &self.folder)?;
        Ok(())
    }

    /// Replaces the serving certificate by one of `authority`. The gateway reads the files again
    /// within half a minute.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write_certificate(&self, authority: &Authority) -> Result<()> {
        let hosts = [
            format!("{SERVICE}.{NAMESPACE}.svc"),
            self.options.address.ip().to_string(),
        ];
        let pair = authority.issue(&Subject {
            name: SERVICE,
            hosts: &hosts,
            ..Subject::default()
        })?;
        replace(&self.folder.join("serving-ca.crt"), &authority.pem())?;
        replace(&self.folder.join("serving.key"), &pair.key)?;
        replace(&self.folder.join("serving.crt"), &pair.certificate)
    }

    /// A kubeconfig of the gateway's own port, past the aggregator, with a client certificate if
    /// `certificate` is not empty.
    ///
    /// # Errors
    /// If the authority cannot be read.
    pub fn direct(&self, certificate: &str, key: &str) -> Result<Kubeconfig> {
        let ca = self.folder.join("serving-ca.crt");
        Ok(Kubeconfig {
            server: format!("https://{}", self.options.address),
            tls_server_name: None,
            ca: std::fs::read(&ca).with_context(|| ca.display().to_string())?,
            certificate: certificate.into(),
            key: key.into(),
            token: None,
        })
    }

    /// Waits until the gateway's readiness probe succeeds.
    ///
    /// # Errors
    /// If the gateway or the driver ends, or the time is over.
    pub async fn ready(&mut self) -> Result<()> {
        let client = Client::new(&self.direct("", "")?, false)?;
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            for process in self.server.iter_mut().chain([&mut self.driver]) {
                if let Some(failure) = process.failure() {
                    return Err(failure);
                }
            }
            if self.probe(&client).await.is_ok_and(|ready| ready) {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "the gateway is not ready after {START_TIMEOUT:?}:\n{}",
                tail(&self.folder.join("gateway.log"))
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Whether the kubelet's readiness probe succeeds now.
    ///
    /// # Errors
    /// If the gateway does not respond.
    pub async fn is_ready(&self) -> Result<bool> {
        self.probe(&Client::new(&self.direct("", "")?, false)?)
            .await
    }

    async fn probe(&self, client: &Client) -> Result<bool> {
        let path = &self.options.readiness_probe;
        let response = client.send("GET", path, &[], bytes::Bytes::new()).await?;
        Ok(response.status().is_success())
    }

    /// The reason why a process has ended; `None` while both run.
    pub fn failure(&mut self) -> Option<String> {
        let mut all = self.server.iter_mut().chain([&mut self.driver]);
        all.find_map(Process::ended)
    }

    /// The processes in the order in which they must be stopped.
    #[must_use]
    pub fn into_processes(self) -> Vec<Process> {
        self.server.into_iter().chain([self.driver]).collect()
    }
}

fn socket(folder: &Path) -> String {
    format!("unix://{}", folder.join("backend.sock").display())
}

fn driver(options: &Options, folder: &Path) -> Result<Process> {
    let (name, log) = match options.dsn {
        None => ("backend-sqlite", folder.join("backend-sqlite.log")),
        Some(_) => ("backend-postgres", folder.join("backend-postgres.log")),
    };
    let mut command = Command::new(options.program.with_file_name(name));
    command
        .args(["--listen", &socket(folder)])
        .stdout(std::process::Stdio::null());
    match &options.dsn {
        None => command.arg("--path").arg(folder.join("ark.db")),
        Some(dsn) => command.env("ARK_BACKEND_POSTGRES_DSN", dsn),
    };
    Process::start(name, &mut command, &log)
}
