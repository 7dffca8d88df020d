//! The configured rate of each credential.

use super::*;

/// Defaults count as if they were written: the key of a Secret is one, whoever names it.
#[test]
fn a_credential_has_the_lowest_of_each_number_of_all_limits() {
    let provider = |secret: &str, key: Option<&str>, limit: Option<(i64, i64)>| {
        let mut spec = lent();
        spec["credentials"] = json!({"secretRef": {"name": secret, "key": key}});
        if let Some((requests_per_minute, burst)) = limit {
            spec["rateLimit"] = json!({"requestsPerMinute": requests_per_minute, "burst": burst});
        }
        super::provider(&spec)
    };
    let providers = [
        provider("shared", Some("api-key"), Some((60, 20))),
        provider("shared", None, Some((600, 5))),
        provider("shared", None, None),
        provider("shared", Some("other"), Some((1, 1))),
        provider("alone", None, Some((30, 10))),
        provider("free", None, None),
    ];
    let limits = rate_limits(&providers, "operator");
    let of = |name: &str, key: &str| {
        let (namespace, name, key) = ("operator".into(), name.into(), key.into());
        let limit = limits.get(&CredentialRef::Key(KeyRef { namespace, name, key }));
        limit.map(|limit| (limit.requests_per_minute, limit.burst))
    };
    assert_eq!(of("shared", "api-key"), Some((60, 5)));
    assert_eq!(of("shared", "other"), Some((1, 1)));
    assert_eq!(of("alone", "api-key"), Some((30, 10)));
    assert_eq!((of("free", "api-key"), limits.len()), (None, 3));
}
