//! Ids of resources that have or had records.

use std::collections::HashMap;

use backend_proto::v1::Key;
use parking_lot::Mutex;
use tokio_postgres::types::Type;

use crate::connection::{Connection, READ_TIMEOUT, Statement};
use crate::error::Error;

/// Cache of ids. Within an epoch, ids are never changed or reused. A new epoch clears the cache,
/// because the restored database may lack an id or assign it to another resource.
#[derive(Debug, Default)]
pub(crate) struct Resources(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Epoch of the connection that the ids were read on.
    epoch: i64,
    ids: HashMap<(String, String), i32>,
}

static ADD: Statement = Statement {
    text: "INSERT INTO ark.resource (api_group, resource) VALUES ($1, $2) ON CONFLICT DO NOTHING",
    types: &[Type::TEXT, Type::TEXT],
};

static FIND: Statement = Statement {
    text: "SELECT id FROM ark.resource WHERE api_group = $1 AND resource = $2",
    types: &[Type::TEXT, Type::TEXT],
};

static ALL: Statement = Statement {
    text: "SELECT api_group, resource FROM ark.resource ORDER BY api_group, resource",
    types: &[],
};

impl Resources {
    /// Returns the id of a resource, if it is cached for the connection's epoch.
    pub(crate) fn known(
        &self,
        connection: &Connection,
        group: &str,
        resource: &str,
    ) -> Option<i32> {
        let name = (group.to_owned(), resource.to_owned());
        let known = self.0.lock();
        let current = known.epoch == connection.epoch();
        known.ids.get(&name).copied().filter(|_| current)
    }

    fn learn(&self, connection: &Connection, name: (String, String), id: i32) {
        let mut known = self.0.lock();
        if known.epoch != connection.epoch() {
            *known = Known {
                epoch: connection.epoch(),
                ids: HashMap::new(),
            };
        }
        known.ids.insert(name, id);
    }

    /// Returns the id of a resource that has or had records.
    pub(crate) async fn find(
        &self,
        connection: &Connection,
        group: &str,
        resource: &str,
    ) -> Result<Option<i32>, Error> {
        let known = self.known(connection, group, resource);
        // PostgreSQL text cannot hold a zero byte, so no such resource exists.
        if known.is_some() || group.contains('\0') || resource.contains('\0') {
            return Ok(known);
        }
        let rows = connection
            .query(&FIND, &[&group, &resource], READ_TIMEOUT)
            .await?;
        let id = rows.first().map(|row| row.get(0));
        if let Some(id) = id {
            self.learn(connection, (group.to_owned(), resource.to_owned()), id);
        }
        Ok(id)
    }

    /// Returns the id of a key's resource; a new resource gets its id in a separate transaction.
    pub(crate) async fn id(&self, connection: &Connection, key: &Key) -> Result<i32, Error> {
        let (group, resource) = (key.group.as_str(), key.resource.as_str());
        if let Some(id) = self.find(connection, group, resource).await? {
            return Ok(id);
        }
        connection
            .query(&ADD, &[&group, &resource], READ_TIMEOUT)
            .await?;
        let id = self.find(connection, group, resource).await?;
        id.ok_or_else(|| Error::Corrupt("a resource lost its id".to_owned()))
    }

    /// Returns group and plural of every resource, in key order.
    pub(crate) async fn all(connection: &Connection) -> Result<Vec<(String, String)>, Error> {
        let rows = connection.query(&ALL, &[], READ_TIMEOUT).await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }
}
