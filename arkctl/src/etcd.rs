//! The part of etcd's v3 KV protocol that arkctl needs: a transaction that puts keys which must not
//! exist, and otherwise reads them. Messages hold only the used fields; numbers are those of etcd's
//! API.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use bytes::Bytes;
use prost::Message;
use tokio::time::timeout;
use tonic::Request;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic_prost::ProstCodec;

/// Maximum puts, and bytes of their values, per transaction: below etcd's defaults of 128 and 1.5
/// MiB.
const BATCH: (usize, usize) = (100, 1 << 20);
/// Deadline of a transaction.
const TXN_TIMEOUT: Duration = Duration::from_secs(60);

/// A key and its value.
pub(crate) type Pair = (String, Bytes);

/// A client of etcd.
#[derive(Clone, Debug)]
pub(crate) struct Etcd(Channel);

/// Result of creating some pairs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Created {
    pub(crate) new: usize,
    /// Keys that existed with the same value.
    pub(crate) present: usize,
}

#[derive(Clone, PartialEq, Message)]
struct Put {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct Range {
    #[prost(string, tag = "1")]
    key: String,
}

#[derive(Clone, PartialEq, Message)]
struct RequestOp {
    #[prost(oneof = "Operation", tags = "1, 2")]
    request: Option<Operation>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Operation {
    #[prost(message, tag = "1")]
    Range(Range),
    #[prost(message, tag = "2")]
    Put(Put),
}

/// The condition that a key's create revision is 0: it does not exist.
#[derive(Clone, PartialEq, Message)]
struct Compare {
    /// 0 is EQUAL.
    #[prost(int32, tag = "1")]
    result: i32,
    /// 1 is CREATE.
    #[prost(int32, tag = "2")]
    target: i32,
    #[prost(string, tag = "3")]
    key: String,
    #[prost(int64, optional, tag = "5")]
    create_revision: Option<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct Txn {
    #[prost(message, repeated, tag = "1")]
    compare: Vec<Compare>,
    #[prost(message, repeated, tag = "2")]
    success: Vec<RequestOp>,
    #[prost(message, repeated, tag = "3")]
    failure: Vec<RequestOp>,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(bytes = "bytes", tag = "5")]
    value: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct RangeResponse {
    #[prost(message, repeated, tag = "2")]
    kvs: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ResponseOp {
    #[prost(message, optional, tag = "1")]
    range: Option<RangeResponse>,
}

#[derive(Clone, PartialEq, Message)]
struct TxnResponse {
    #[prost(bool, tag = "2")]
    succeeded: bool,
    #[prost(message, repeated, tag = "3")]
    responses: Vec<ResponseOp>,
}

impl Etcd {
    /// Connects to `http://HOST:PORT`, or to `https://HOST:PORT` with authority, certificate and
    /// key.
    pub(crate) async fn connect(address: &str, files: [&Option<PathBuf>; 3]) -> Result<Self> {
        let named = || format!("--etcd {address}");
        let mut endpoint = Endpoint::from_shared(address.to_owned())
            .with_context(named)?
            .connect_timeout(Duration::from_secs(5))
            .timeout(TXN_TIMEOUT);
        match files {
            [Some(ca), Some(cert), Some(key)] => {
                let read = |path: &PathBuf| {
                    std::fs::read(path).with_context(|| path.display().to_string())
                };
                let tls = ClientTlsConfig::new()
                    .ca_certificate(Certificate::from_pem(read(ca)?))
                    .identity(Identity::from_pem(read(cert)?, read(key)?));
                endpoint = endpoint.tls_config(tls).with_context(named)?;
            }
            [None, None, None] if address.starts_with("http://") => {}
            _ => bail!("--etcd https://… needs --etcd-ca, --etcd-cert and --etcd-key"),
        }
        // The timeout of the endpoint covers neither the TLS handshake nor that of HTTP/2.
        let connected = timeout(TXN_TIMEOUT, endpoint.connect()).await;
        let connected = connected.with_context(|| {
            let seconds = TXN_TIMEOUT.as_secs();
            format!("--etcd {address}: no connection within {seconds} s")
        })?;
        Ok(Self(connected.with_context(named)?))
    }

    /// Returns a message for each key that exists with another value.
    pub(crate) async fn conflicts(&self, pairs: &[Pair]) -> Result<Vec<String>> {
        let (mut others, mut rest) = (Vec::new(), pairs);
        while !rest.is_empty() {
            let (batch, behind) = rest.split_at(batch_of(rest));
            rest = behind;
            if self.txn(batch, Vec::new()).await?.succeeded {
                continue;
            }
            // One of the keys exists: check them one by one.
            for pair in batch {
                let reply = self.txn(std::slice::from_ref(pair), Vec::new()).await?;
                if !reply.succeeded && !is_there(reply, pair) {
                    others.push(other(pair));
                }
            }
        }
        Ok(others)
    }

    /// Creates keys that must not exist, or must have the same value.
    pub(crate) async fn create(
        &self,
        pairs: &[Pair],
        mut done: impl FnMut(&[Pair]),
    ) -> Result<Created> {
        let mut created = Created::default();
        let mut rest = pairs;
        while !rest.is_empty() {
            let (batch, behind) = rest.split_at(batch_of(rest));
            rest = behind;
            if self.txn(batch, puts(batch)).await?.succeeded {
                created.new += batch.len();
            } else {
                // One of the keys exists: create them one by one.
                for pair in batch {
                    self.create_one(pair, &mut created).await?;
                }
            }
            done(batch);
        }
        Ok(created)
    }

    async fn create_one(&self, pair: &Pair, created: &mut Created) -> Result<()> {
        let pairs = std::slice::from_ref(pair);
        let reply = self.txn(pairs, puts(pairs)).await?;
        if reply.succeeded {
            created.new += 1;
            return Ok(());
        }
        if !is_there(reply, pair) {
            bail!("{}: not overwritten", other(pair));
        }
        created.present += 1;
        Ok(())
    }

    /// Runs `success` if none of the keys exists, and otherwise reads the first.
    async fn txn(&self, pairs: &[Pair], success: Vec<RequestOp>) -> Result<TxnResponse> {
        let absent = |(key, _): &Pair| Compare {
            result: 0,
            target: 1,
            key: key.clone(),
            create_revision: Some(0),
        };
        let first = &pairs.first().context("an empty transaction")?.0;
        let read = Range { key: first.clone() };
        let request = Txn {
            compare: pairs.iter().map(absent).collect(),
            success,
            // If there are several keys, the caller checks them one by one.
            failure: vec![RequestOp {
                request: Some(Operation::Range(read)),
            }],
        };
        let mut grpc = Grpc::new(self.0.clone());
        grpc.ready().await.context("etcd")?;
        let path = PathAndQuery::from_static("/etcdserverpb.KV/Txn");
        let codec = ProstCodec::<Txn, TxnResponse>::default();
        let reply = grpc.unary(Request::new(request), path, codec).await;
        let reply = reply.map_err(|status| anyhow!("etcd, {first}: {}", status.message()))?;
        Ok(reply.into_inner())
    }
}

fn puts(pairs: &[Pair]) -> Vec<RequestOp> {
    let put = |(key, value): &Pair| Put {
        key: key.clone(),
        value: value.clone(),
    };
    let puts = pairs.iter().map(put).map(|put| RequestOp {
        request: Some(Operation::Put(put)),
    });
    puts.collect()
}

/// Whether the key of a pair was found with the same value.
fn is_there(reply: TxnResponse, pair: &Pair) -> bool {
    let mut responses = reply.responses.into_iter();
    let found = responses.find_map(|response| response.range);
    let found = found.and_then(|range| range.kvs.into_iter().next());
    // kube-apiserver ends stored values with a newline.
    found.is_some_and(|found| found.value.trim_ascii_end() == &pair.1[..])
}

fn other(pair: &Pair) -> String {
    format!("{} exists and is another object", pair.0)
}

/// Returns how many of the pairs fit in a transaction; at least one.
fn batch_of(pairs: &[Pair]) -> usize {
    let (count, limit) = BATCH;
    let mut bytes = 0;
    let fits = pairs.iter().take(count).take_while(|(key, value)| {
        bytes += key.len() * 2 + value.len();
        bytes <= limit
    });
    fits.count().max(1)
}

#[cfg(test)]
mod tests {
    use super::{Pair, batch_of};

    #[test]
    fn etcd_batches_respect_limits() {
        let pair = |bytes: usize| -> Pair { ("k".to_owned(), vec![0; bytes].into()) };
        for (pairs, expected) in [
            (vec![pair(10); 250], 100),
            (vec![pair(400_000); 5], 2),
            (vec![pair(2 << 20); 5], 1),
            (vec![pair(1)], 1),
        ] {
            assert_eq!(batch_of(&pairs), expected);
        }
    }
}
