//! A client connection that owns its task.

use std::ops::Deref;

use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_postgres::{Client, NoTls};

use crate::DEADLINE;
use crate::error::{Error, Result};

/// A connection without TLS; closed when dropped.
#[derive(Debug)]
pub struct Session {
    client: Client,
    _connection: JoinSet<()>,
}

// === impl Session ===

impl Session {
    /// Connects.
    ///
    /// # Errors
    /// If the server rejects it, or does not respond within [`DEADLINE`].
    pub async fn connect(dsn: &str) -> Result<Self> {
        let connecting = timeout(DEADLINE, tokio_postgres::connect(dsn, NoTls)).await;
        let (client, connection) = connecting
            .map_err(|_| Error::DeadlineExceeded {
                what: format!("a connection to {dsn}"),
                waited: DEADLINE,
                last: "no answer".to_owned(),
            })?
            .map_err(Error::sql(format!("connecting to {dsn}")))?;
        let mut owner = JoinSet::new();
        owner.spawn(async move {
            // The client's next call returns the error.
            let _ = connection.await;
        });
        Ok(Self {
            client,
            _connection: owner,
        })
    }

    /// Connects for one query.
    pub(crate) async fn ask(dsn: &str, statement: &str) -> Result<Option<String>> {
        Self::connect(dsn).await?.text(statement).await
    }

    /// Returns the first non-null value in the first column, as text.
    ///
    /// # Errors
    /// If the server rejects the statement.
    pub async fn text(&self, statement: &str) -> Result<Option<String>> {
        let messages = self.simple_query(statement).await;
        let messages = messages.map_err(Error::sql(statement))?;
        Ok(messages.iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        }))
    }
}

impl Deref for Session {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}
