//! May this user do this? The answer is a [`Permit`], and handlers demand one.

pub mod impersonation;

use std::sync::Arc;

use api_types::request_info::RequestInfo;

use crate::request::User;

/// Paths everybody may `GET`, as probes do; exactly these, nothing below them.
pub const ALWAYS_ALLOWED_PATHS: [&str; 3] = ["/healthz", "/livez", "/readyz"];

/// Proof that a request was authorized. Only this module makes one, so a handler that takes a
/// `Permit` cannot be reached past authorization.
#[derive(Debug, Clone)]
pub struct Permit {
    user: Arc<User>,
}

/// Decides by group alone: `system:masters` may do everything, nobody else anything but probe.
#[derive(Debug, Clone, Copy, Default)]
pub struct Authorizer;

/// A refusal: the parts of the 403 answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// Group of the resource asked for; empty when the path is no resource.
    pub group: String,
    /// The resource asked for; empty when the path is no resource.
    pub resource: String,
    /// Name of the object asked for; empty when there is none.
    pub name: String,
    /// kube-apiserver's sentence about who may not do what.
    pub sentence: String,
}

impl Permit {
    /// The user the permit was given to.
    pub fn user(&self) -> &User {
        &self.user
    }
}

impl Authorizer {
    /// Decides about one request.
    ///
    /// # Errors
    /// The refusal, in kube-apiserver's words.
    pub fn authorize(&self, user: Arc<User>, info: &RequestInfo) -> Result<Permit, Denied> {
        let probe = !info.is_resource_request && ALWAYS_ALLOWED_PATHS.contains(&&*info.path);
        if user.is_master() || probe {
            return Ok(Permit { user });
        }
        Err(Denied {
            group: info.group.clone(),
            resource: info.resource.clone(),
            name: info.name.clone(),
            sentence: sentence(&user, info.verb.as_str(), info),
        })
    }
}

fn sentence(user: &User, verb: &str, info: &RequestInfo) -> String {
    let name = &user.name;
    sanitized(if info.is_resource_request {
        let slash = if info.subresource.is_empty() { "" } else { "/" };
        let resource = format!("{}{slash}{}", info.resource, info.subresource);
        let place = match info.namespace.as_str() {
            "" => "at the cluster scope".to_owned(),
            namespace => format!("in the namespace {namespace:?}"),
        };
        let group = &info.group;
        format!("User {name:?} cannot {verb} resource {resource:?} in API group {group:?} {place}")
    } else {
        format!("User {name:?} cannot {verb} path {:?}", info.path)
    })
}

/// The sentence repeats what the client sent; a browser must not take it for markup.
fn sanitized(sentence: String) -> String {
    if !sentence.contains(['&', '<', '>']) {
        return sentence;
    }
    sentence
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::user::MASTERS_GROUP;

    fn check(groups: &[&str], request: &str, expected: Result<(), &str>) {
        let (method, path) = request.split_once(' ').unwrap();
        let info = RequestInfo::parse(method, path, None).unwrap();
        let user = User::new("bob", groups.iter().map(|&group| group.to_owned()));
        let got = Authorizer.authorize(Arc::new(user), &info);
        let got = got.map(|_| ()).map_err(|denied| denied.sentence);
        assert_eq!(got, expected.map_err(str::to_owned), "{request}");
    }

    #[test]
    fn masters_may_do_everything_and_others_may_probe() {
        check(&[MASTERS_GROUP], "DELETE /apis/g/v1/foos", Ok(()));
        check(&[], "GET /readyz", Ok(()));
        check(
            &[],
            "GET /readyz/ping",
            Err("User \"bob\" cannot get path \"/readyz/ping\""),
        );
        check(
            &["dev"],
            "GET /nope",
            Err("User \"bob\" cannot get path \"/nope\""),
        );
        check(
            &[],
            "GET /<b>",
            Err("User \"bob\" cannot get path \"/&lt;b&gt;\""),
        );
        check(
            &[],
            "PUT /apis/x.io/v1/namespaces/d/foos/n/status",
            Err(
                "User \"bob\" cannot update resource \"foos/status\" in API group \"x.io\" \
                 in the namespace \"d\"",
            ),
        );
        check(
            &[],
            "GET /apis/x.io/v1/foos",
            Err(
                "User \"bob\" cannot list resource \"foos\" in API group \"x.io\" at the cluster scope",
            ),
        );
    }
}
