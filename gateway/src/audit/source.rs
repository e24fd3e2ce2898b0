//! The addresses that a request came from, as `SourceIPs` of `k8s.io/apimachinery`.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
/// Addresses of one request. Clients choose the header; kube-apiserver has no limit.
const MAX_ADDRESSES: usize = 64;

/// `X-Forwarded-For`, then `X-Real-Ip`, then the peer of the connection.
pub(super) fn addresses(headers: &HeaderMap, peer: IpAddr) -> Vec<IpAddr> {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let forwarded = text(&FORWARDED_FOR).unwrap_or_default().split(',');
    let forwarded = forwarded.filter_map(|part| part.trim().parse().ok());
    let mut addresses: Vec<IpAddr> = forwarded.take(MAX_ADDRESSES).collect();
    if let Some(real) = text(&REAL_IP).and_then(|text| text.parse().ok())
        && !addresses.contains(&real)
    {
        addresses.push(real);
    }
    let peer = peer.to_canonical();
    if addresses.last() != Some(&peer) {
        addresses.push(peer);
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(headers: &[(HeaderName, &str)], expected: &[&str]) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(name, value.parse().unwrap());
        }
        let found = addresses(&map, "::ffff:10.0.0.9".parse().unwrap());
        let found: Vec<String> = found.iter().map(IpAddr::to_string).collect();
        assert_eq!(found, expected, "{headers:?}");
    }

    #[test]
    fn source_addresses_follow_kube_apiserver() {
        check(&[], &["10.0.0.9"]);
        check(
            &[(FORWARDED_FOR, "1.1.1.1, x, 2.2.2.2")],
            &["1.1.1.1", "2.2.2.2", "10.0.0.9"],
        );
        check(&[(FORWARDED_FOR, "10.0.0.9")], &["10.0.0.9"]);
        check(
            &[(FORWARDED_FOR, "1.1.1.1"), (REAL_IP, "1.1.1.1")],
            &["1.1.1.1", "10.0.0.9"],
        );
        check(&[(REAL_IP, "fd00::1")], &["fd00::1", "10.0.0.9"]);
        let many = "1.1.1.1,".repeat(1_000);
        let mut map = HeaderMap::new();
        map.insert(FORWARDED_FOR, many.parse().unwrap());
        assert_eq!(
            addresses(&map, [10, 0, 0, 9].into()).len(),
            MAX_ADDRESSES + 1
        );
    }
}
