//! The part of etcd's v3 KV protocol that arkctl needs: a transaction that puts keys which must not
//! exist, and otherwise reads them; reads of a prefix; and a transaction that changes keys which must
//! be as they were read. Messages hold only the used fields; numbers are those of etcd's API.

mod messages;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use bytes::Bytes;
use tokio::time::timeout;
use tonic::Request;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic_prost::ProstCodec;

use crate::args;

use self::messages::{
    Compare, DeleteRange, Operation, Put, Range, RangeResponse, RequestOp, Txn, TxnResponse,
};

/// Maximum puts, and bytes of their values, per transaction: below etcd's defaults of 128 and 1.5
/// MiB.
const BATCH: (usize, usize) = (100, 1 << 20);
/// Deadline of a transaction.
const TXN_TIMEOUT: Duration = Duration::from_secs(60);

/// Keys per page of a read.
const PAGE: i64 = 100;
/// Maximum size of a response in bytes: a page of values of 1.5 MiB each.
const MAX_RESPONSE: usize = 256 << 20;

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

/// A key as it was read.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) key: String,
    pub(crate) value: Bytes,
    /// Revision of the change that wrote the value.
    pub(crate) mod_revision: i64,
}

/// A change of a key that must not have changed since it was read.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) key: String,
    /// [`Found::mod_revision`]; 0 if the key must not exist.
    pub(crate) expected: i64,
    /// The new value; `None` deletes the key.
    pub(crate) value: Option<Bytes>,
}

impl args::Etcd {
    /// Connects to an address with the files of these flags.
    ///
    /// # Errors
    /// If a file cannot be read, or etcd does not respond.
    pub(crate) async fn connect(&self, address: &str) -> Result<Etcd> {
        Etcd::connect(address, [&self.etcd_ca, &self.etcd_cert, &self.etcd_key]).await
    }
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

    /// Reads a key.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<Found>> {
        let range = Range {
            key: key.to_owned(),
            ..Range::default()
        };
        Ok(self.range(range).await?.found()?.into_iter().next())
    }

    /// Reads all keys that begin with `prefix`, which ends with a slash, in the order of keys. Keys
    /// that change meanwhile are as old or as new as their page.
    pub(crate) async fn prefix(
        &self,
        prefix: &str,
        mut each: impl FnMut(Found) -> Result<()>,
    ) -> Result<()> {
        let end = prefix
            .strip_suffix('/')
            .with_context(|| format!("{prefix}: a prefix ends with a slash"))?;
        // The byte that follows a slash.
        let end = format!("{end}0");
        let mut from = prefix.to_owned();
        loop {
            let range = Range {
                key: from,
                range_end: end.clone(),
                limit: PAGE,
            };
            let page = self.range(range).await?;
            let more = page.more;
            let mut last = None;
            for found in page.found()? {
                last = Some(found.key.clone());
                each(found)?;
            }
            match last {
                // The smallest key after it.
                Some(last) if more => from = format!("{last}\0"),
                _ => return Ok(()),
            }
        }
    }

    async fn range(&self, range: Range) -> Result<RangeResponse> {
        let key = range.key.clone();
        let path = PathAndQuery::from_static("/etcdserverpb.KV/Range");
        self.call(path, range, &key).await
    }

    /// Makes changes, in transactions of a bounded size each of which is made completely or not at
    /// all.
    ///
    /// # Errors
    /// If a key has changed since it was read; earlier transactions stay.
    pub(crate) async fn change(
        &self,
        changes: &[Change],
        mut done: impl FnMut(&[Change]),
    ) -> Result<()> {
        let mut rest = changes;
        while !rest.is_empty() {
            let sizes = rest.iter().map(|it| {
                let value = it.value.as_ref().map_or(0, Bytes::len);
                it.key.len() * 2 + value
            });
            let (batch, behind) = rest.split_at(fitting(sizes));
            rest = behind;
            let request = Txn {
                compare: batch.iter().map(Change::condition).collect(),
                success: batch.iter().map(Change::operation).collect(),
                failure: Vec::new(),
            };
            let first = batch.first().map_or("", |it| &it.key);
            let path = PathAndQuery::from_static("/etcdserverpb.KV/Txn");
            let reply: TxnResponse = self.call(path, request, first).await?;
            if !reply.succeeded {
                bail!(
                    "etcd: {first} or one of the {} keys after it has changed since it was read: \
                     something still writes to the CRDs. Stop it, and repeat the command",
                    batch.len() - 1
                );
            }
            done(batch);
        }
        Ok(())
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
            mod_revision: None,
        };
        let first = &pairs.first().context("an empty transaction")?.0;
        let read = Range {
            key: first.clone(),
            ..Range::default()
        };
        let request = Txn {
            compare: pairs.iter().map(absent).collect(),
            success,
            // If there are several keys, the caller checks them one by one.
            failure: vec![RequestOp {
                request: Some(Operation::Range(read)),
            }],
        };
        let path = PathAndQuery::from_static("/etcdserverpb.KV/Txn");
        self.call(path, request, first).await
    }

    async fn call<Q, A>(&self, path: PathAndQuery, request: Q, key: &str) -> Result<A>
    where
        Q: prost::Message + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        let mut grpc = Grpc::new(self.0.clone()).max_decoding_message_size(MAX_RESPONSE);
        grpc.ready().await.context("etcd")?;
        let codec = ProstCodec::<Q, A>::default();
        let reply = grpc.unary(Request::new(request), path, codec).await;
        let reply = reply.map_err(|status| anyhow!("etcd, {key}: {}", status.message()))?;
        Ok(reply.into_inner())
    }
}

impl Change {
    fn condition(&self) -> Compare {
        Compare {
            result: 0,
            target: 2,
            key: self.key.clone(),
            create_revision: None,
            mod_revision: Some(self.expected),
        }
    }

    fn operation(&self) -> RequestOp {
        let key = self.key.clone();
        let operation = match &self.value {
            Some(value) => Operation::Put(Put {
                key,
                value: value.clone(),
            }),
            None => Operation::DeleteRange(DeleteRange { key }),
        };
        RequestOp {
            request: Some(operation),
        }
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
    fitting(pairs.iter().map(|(key, value)| key.len() * 2 + value.len()))
}

/// Returns how many operations of these sizes fit in a transaction; at least one.
fn fitting(sizes: impl Iterator<Item = usize>) -> usize {
    let (count, limit) = BATCH;
    let mut bytes = 0;
    let fits = sizes.take(count).take_while(|size| {
        bytes += size;
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
