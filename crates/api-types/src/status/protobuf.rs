//! A Status as a protobuf message of `meta/v1`.

use super::{Details, Status};
use crate::protobuf::{self, Writer};

impl Status {
    /// Appends the document in Kubernetes' protobuf envelope.
    pub fn write_protobuf(&self, out: &mut Vec<u8>) {
        protobuf::document("v1", "Status", out, |status| {
            status.message(1, |metadata| {
                metadata.string(1, "");
                metadata.string(2, "");
                metadata.string(3, &self.continue_token);
            });
            status.string(2, if self.success { "Success" } else { "Failure" });
            status.string(3, &self.message);
            status.string(4, self.reason_text());
            if let Some(details) = &self.details {
                status.message(5, |message| details.write_protobuf(message));
            }
            status.integer(6, i64::from(self.code));
        });
    }
}

impl Details {
    fn write_protobuf(&self, details: &mut Writer<'_>) {
        details.string(1, &self.name);
        details.string(2, &self.group);
        details.string(3, &self.kind);
        for cause in &self.causes {
            details.message(4, |message| {
                message.string(1, &cause.reason);
                message.string(2, &cause.message);
                message.string(3, &cause.field);
            });
        }
        details.integer(5, i64::from(self.retry_after_seconds));
        details.string(6, &self.uid);
    }
}
