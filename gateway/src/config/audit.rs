//! Flags of the audit, with kube-apiserver's names and defaults.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Error;
use crate::audit::backend::log::{self, Rotation};
use crate::audit::backend::webhook;
use crate::audit::backend::{Delivery, LogPath, Mode, Options, Throttle, Truncate};
use crate::request::deadline::parse_go_duration;

/// Audit.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Audit")]
pub struct AuditFlags {
    /// Policy (audit.k8s.io/v1) that decides which requests are recorded; none are without it.
    #[arg(long, env = "ARK_AUDIT_POLICY_FILE", value_name = "FILE")]
    pub audit_policy_file: Option<PathBuf>,

    /// Log.
    #[command(flatten)]
    pub log: LogFlags,

    /// Webhook.
    #[command(flatten)]
    pub webhook: WebhookFlags,
}

/// Flags of the log.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Audit log")]
pub struct LogFlags {
    /// File of the audit log, with one JSON object per line; `-` is standard output.
    #[arg(long, env = "ARK_AUDIT_LOG_PATH", value_name = "FILE")]
    pub audit_log_path: Option<PathBuf>,

    /// Format of the audit log.
    #[arg(long, env = "ARK_AUDIT_LOG_FORMAT", value_name = "FORMAT", default_value = "json", value_parser = ["json"])]
    pub audit_log_format: String,

    /// API version of the events in the log.
    #[arg(long, env = "ARK_AUDIT_LOG_VERSION", value_name = "VERSION", default_value = "audit.k8s.io/v1", value_parser = ["audit.k8s.io/v1"])]
    pub audit_log_version: String,

    /// Days for which old audit logs are kept; 0 is unlimited.
    #[arg(
        long,
        env = "ARK_AUDIT_LOG_MAXAGE",
        value_name = "DAYS",
        default_value_t = 366
    )]
    pub audit_log_maxage: u64,

    /// Number of old audit logs that are kept; 0 is unlimited.
    #[arg(
        long,
        env = "ARK_AUDIT_LOG_MAXBACKUP",
        value_name = "N",
        default_value_t = 100
    )]
    pub audit_log_maxbackup: usize,

    /// Size at which the audit log is rotated, MiB; 0 does not rotate it.
    #[arg(
        long,
        env = "ARK_AUDIT_LOG_MAXSIZE",
        value_name = "MIB",
        default_value_t = 100
    )]
    pub audit_log_maxsize: u64,

    /// Compress old audit logs with gzip.
    #[arg(long, env = "ARK_AUDIT_LOG_COMPRESS", action = clap::ArgAction::Set, default_value_t = false, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub audit_log_compress: bool,

    /// Whether responses wait until their events are in the log. With `batch` they do not, and
    /// events are lost if the buffer is full.
    #[arg(
        long,
        env = "ARK_AUDIT_LOG_MODE",
        value_name = "MODE",
        default_value = "blocking"
    )]
    pub audit_log_mode: Mode,

    /// Events in the buffer of the log, in mode `batch`.
    #[arg(long, env = "ARK_AUDIT_LOG_BATCH_BUFFER_SIZE", value_name = "N", default_value_t = BUFFER)]
    pub audit_log_batch_buffer_size: usize,

    /// Events that are written to the log at once, in mode `batch`.
    #[arg(long, env = "ARK_AUDIT_LOG_BATCH_MAX_SIZE", value_name = "N", default_value_t = MAX_BATCH)]
    pub audit_log_batch_max_size: usize,

    /// How long the log waits for a batch of that size, in mode `batch`.
    #[arg(long, env = "ARK_AUDIT_LOG_BATCH_MAX_WAIT", value_name = "DURATION", default_value = "0s", value_parser = parse_go_duration)]
    pub audit_log_batch_max_wait: Duration,

    /// Limit the batches per second of the log, in mode `batch`.
    #[arg(long, env = "ARK_AUDIT_LOG_BATCH_THROTTLE_ENABLE", action = clap::ArgAction::Set, default_value_t = false, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub audit_log_batch_throttle_enable: bool,

    /// Average number of batches per second of the log, in mode `batch`.
    #[arg(long, env = "ARK_AUDIT_LOG_BATCH_THROTTLE_QPS", value_name = "N", default_value_t = QPS)]
    pub audit_log_batch_throttle_qps: f32,

    /// Largest number of batches of the log at a time, in mode `batch`.
    #[arg(long, env = "ARK_AUDIT_LOG_BATCH_THROTTLE_BURST", value_name = "N", default_value_t = BURST)]
    pub audit_log_batch_throttle_burst: u32,

    /// Limit the size of events in the log.
    #[arg(long, env = "ARK_AUDIT_LOG_TRUNCATE_ENABLED", action = clap::ArgAction::Set, default_value_t = false, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub audit_log_truncate_enabled: bool,

    /// Largest event in the log, bytes; a larger one loses its bodies.
    #[arg(long, env = "ARK_AUDIT_LOG_TRUNCATE_MAX_EVENT_SIZE", value_name = "BYTES", default_value_t = MAX_EVENT_BYTES)]
    pub audit_log_truncate_max_event_size: usize,

    /// Largest batch for the log, bytes.
    #[arg(long, env = "ARK_AUDIT_LOG_TRUNCATE_MAX_BATCH_SIZE", value_name = "BYTES", default_value_t = MAX_BATCH_BYTES)]
    pub audit_log_truncate_max_batch_size: usize,
}

/// Flags of the webhook.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Audit webhook")]
pub struct WebhookFlags {
    /// Kubeconfig of a server that receives audit events.
    #[arg(long, env = "ARK_AUDIT_WEBHOOK_CONFIG_FILE", value_name = "FILE")]
    pub audit_webhook_config_file: Option<PathBuf>,

    /// Pause before the first retry of a failed request.
    #[arg(long, env = "ARK_AUDIT_WEBHOOK_INITIAL_BACKOFF", value_name = "DURATION", default_value = "10s", value_parser = parse_go_duration)]
    pub audit_webhook_initial_backoff: Duration,

    /// API version of the events that the webhook receives.
    #[arg(long, env = "ARK_AUDIT_WEBHOOK_VERSION", value_name = "VERSION", default_value = "audit.k8s.io/v1", value_parser = ["audit.k8s.io/v1"])]
    pub audit_webhook_version: String,

    /// Whether responses wait until the webhook has their events. With `batch` they do not, and
    /// events are lost if the buffer is full.
    #[arg(
        long,
        env = "ARK_AUDIT_WEBHOOK_MODE",
        value_name = "MODE",
        default_value = "batch"
    )]
    pub audit_webhook_mode: Mode,

    /// Events in the buffer of the webhook, in mode `batch`.
    #[arg(long, env = "ARK_AUDIT_WEBHOOK_BATCH_BUFFER_SIZE", value_name = "N", default_value_t = BUFFER)]
    pub audit_webhook_batch_buffer_size: usize,

    /// Events that the webhook receives at once, in mode `batch`.
    #[arg(long, env = "ARK_AUDIT_WEBHOOK_BATCH_MAX_SIZE", value_name = "N", default_value_t = MAX_BATCH)]
    pub audit_webhook_batch_max_size: usize,

    /// How long the webhook waits for a batch of that size, in mode `batch`.
    #[arg(long, env = "ARK_AUDIT_WEBHOOK_BATCH_MAX_WAIT", value_name = "DURATION", default_value = "30s", value_parser = parse_go_duration)]
    pub audit_webhook_batch_max_wait: Duration,

    /// Limit the batches per second of the webhook, in mode `batch`.
    #[arg(long, env = "ARK_AUDIT_WEBHOOK_BATCH_THROTTLE_ENABLE", action = clap::ArgAction::Set, default_value_t = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub audit_webhook_batch_throttle_enable: bool,

    /// Average number of batches per second of the webhook, in mode `batch`.
    #[arg(long, env = "ARK_AUDIT_WEBHOOK_BATCH_THROTTLE_QPS", value_name = "N", default_value_t = QPS)]
    pub audit_webhook_batch_throttle_qps: f32,

    /// Largest number of batches of the webhook at a time, in mode `batch`.
    #[arg(long, env = "ARK_AUDIT_WEBHOOK_BATCH_THROTTLE_BURST", value_name = "N", default_value_t = BURST)]
    pub audit_webhook_batch_throttle_burst: u32,

    /// Limit the size of events and batches that the webhook receives.
    #[arg(long, env = "ARK_AUDIT_WEBHOOK_TRUNCATE_ENABLED", action = clap::ArgAction::Set, default_value_t = false, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub audit_webhook_truncate_enabled: bool,

    /// Largest event that the webhook receives, bytes; a larger one loses its bodies.
    #[arg(long, env = "ARK_AUDIT_WEBHOOK_TRUNCATE_MAX_EVENT_SIZE", value_name = "BYTES", default_value_t = MAX_EVENT_BYTES)]
    pub audit_webhook_truncate_max_event_size: usize,

    /// Largest batch that the webhook receives, bytes; a larger one is split.
    #[arg(long, env = "ARK_AUDIT_WEBHOOK_TRUNCATE_MAX_BATCH_SIZE", value_name = "BYTES", default_value_t = MAX_BATCH_BYTES)]
    pub audit_webhook_truncate_max_batch_size: usize,
}

/// Defaults of both backends: `pkg/server/options/audit.go` of `k8s.io/apiserver`.
const BUFFER: usize = 10_000;
const MAX_BATCH: usize = 400;
const QPS: f32 = 10.0;
const BURST: u32 = 15;
const MAX_EVENT_BYTES: usize = 100 << 10;
const MAX_BATCH_BYTES: usize = 10 << 20;

impl AuditFlags {
    /// The policy and the backends.
    ///
    /// # Errors
    /// If a number is 0 or two do not fit together.
    pub fn options(&self) -> Result<Options, Error> {
        Ok(Options {
            policy: self.audit_policy_file.clone(),
            log: self.log.options()?,
            webhook: self.webhook.options()?,
        })
    }
}

impl LogFlags {
    fn options(&self) -> Result<Option<log::Options>, Error> {
        let Some(path) = &self.audit_log_path else {
            return Ok(None);
        };
        let path = if path == Path::new("-") {
            LogPath::Stdout
        } else {
            LogPath::File(path.as_path().into())
        };
        let delivery = Delivery {
            mode: self.audit_log_mode,
            buffer: self.audit_log_batch_buffer_size,
            max_batch: self.audit_log_batch_max_size,
            max_wait: self.audit_log_batch_max_wait,
            throttle: self.audit_log_batch_throttle_enable.then_some(Throttle {
                qps: self.audit_log_batch_throttle_qps,
                burst: self.audit_log_batch_throttle_burst,
            }),
        };
        let truncate = self.audit_log_truncate_enabled.then_some(Truncate {
            max_event: self.audit_log_truncate_max_event_size,
            max_batch: self.audit_log_truncate_max_batch_size,
        });
        check("log", delivery, truncate)?;
        Ok(Some(log::Options {
            path,
            rotation: Rotation {
                max_size: self.audit_log_maxsize,
                max_backups: self.audit_log_maxbackup,
                max_age: self.audit_log_maxage,
                compress: self.audit_log_compress,
            },
            delivery,
            truncate,
        }))
    }
}

impl WebhookFlags {
    fn options(&self) -> Result<Option<webhook::Options>, Error> {
        let Some(kubeconfig) = &self.audit_webhook_config_file else {
            return Ok(None);
        };
        let delivery = Delivery {
            mode: self.audit_webhook_mode,
            buffer: self.audit_webhook_batch_buffer_size,
            max_batch: self.audit_webhook_batch_max_size,
            max_wait: self.audit_webhook_batch_max_wait,
            throttle: self
                .audit_webhook_batch_throttle_enable
                .then_some(Throttle {
                    qps: self.audit_webhook_batch_throttle_qps,
                    burst: self.audit_webhook_batch_throttle_burst,
                }),
        };
        let truncate = self.audit_webhook_truncate_enabled.then_some(Truncate {
            max_event: self.audit_webhook_truncate_max_event_size,
            max_batch: self.audit_webhook_truncate_max_batch_size,
        });
        check("webhook", delivery, truncate)?;
        Ok(Some(webhook::Options {
            kubeconfig: kubeconfig.clone(),
            initial_backoff: self.audit_webhook_initial_backoff,
            delivery,
            truncate,
        }))
    }
}

fn check(
    backend: &'static str,
    delivery: Delivery,
    truncate: Option<Truncate>,
) -> Result<(), Error> {
    let positive = |flag: &str, positive: bool| {
        let problem = || Error::Audit(format!("--audit-{backend}-{flag} must be positive"));
        positive.then_some(()).ok_or_else(problem)
    };
    positive("batch-buffer-size", delivery.buffer > 0)?;
    positive("batch-max-size", delivery.max_batch > 0)?;
    if let Some(throttle) = delivery.throttle {
        positive("batch-throttle-qps", throttle.qps > 0.0)?;
        positive("batch-throttle-burst", throttle.burst > 0)?;
    }
    if let Some(truncate) = truncate {
        positive("truncate-max-event-size", truncate.max_event > 0)?;
        if truncate.max_batch < truncate.max_event {
            return Err(Error::Audit(format!(
                "--audit-{backend}-truncate-max-batch-size must not be below \
                 --audit-{backend}-truncate-max-event-size"
            )));
        }
    }
    Ok(())
}
