//! A Status as JSON, its fields in the order of Go's struct.

use kube_json::ObjectWriter;

use super::{Details, Status};

impl Status {
    /// The compact document, without a trailing newline.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256 + self.message.len());
        self.write(&mut out);
        out
    }

    /// Appends the compact document.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut status = ObjectWriter::begin(out);
        status.string("kind", "Status");
        status.string("apiVersion", "v1");
        let mut metadata = status.object("metadata");
        metadata.string_unless_empty("continue", &self.continue_token);
        metadata.end();
        status.string("status", if self.success { "Success" } else { "Failure" });
        status.string_unless_empty("message", &self.message);
        status.string_unless_empty("reason", self.reason_text());
        if let Some(details) = &self.details {
            let mut object = status.object("details");
            details.write(&mut object);
            object.end();
        }
        if self.code != 0 {
            status.integer("code", i64::from(self.code));
        }
        status.end();
    }
}

impl Details {
    fn write(&self, out: &mut ObjectWriter<'_>) {
        out.string_unless_empty("name", &self.name);
        out.string_unless_empty("group", &self.group);
        out.string_unless_empty("kind", &self.kind);
        out.string_unless_empty("uid", &self.uid);
        if !self.causes.is_empty() {
            out.objects("causes", &self.causes, |cause, object| {
                object.string_unless_empty("reason", &cause.reason);
                object.string_unless_empty("message", &cause.message);
                object.string_unless_empty("field", &cause.field);
            });
        }
        if self.retry_after_seconds > 0 {
            out.integer("retryAfterSeconds", i64::from(self.retry_after_seconds));
        }
    }
}
