//! Types and texts of the Kubernetes API, without input or output.

pub mod continue_token;
pub mod field;
pub mod go_text;
pub mod gvk;
pub mod media_type;
pub mod meta;
pub mod names;
pub mod options;
pub mod protobuf;
pub mod request_info;
pub mod resource_version;
pub mod revision;
pub mod selector;
pub mod status;
pub mod table;
pub mod time;
pub mod version_order;
