//! Why the API server refuses a write, where something particular helps.

use kube::core::Status;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The Secret has `immutable: true`.
    Immutable,
    QuotaExceeded,
    NamespaceTerminating,
    /// RBAC.
    Forbidden,
    /// The admission plugin OwnerReferencesPermissionEnforcement wants the right to delete.
    OwnerNeedsDelete,
    /// An admission webhook or policy, which the message names.
    Denied,
    Other,
}

impl Refusal {
    pub(super) fn of(status: &Status) -> Self {
        let causes = status.details.iter().flat_map(|details| &details.causes);
        let has_cause = |wanted: &str| causes.clone().any(|cause| cause.reason == wanted);
        let says = |words: &str| status.message.contains(words);
        if has_cause("NamespaceTerminating") {
            Self::NamespaceTerminating
        } else if says("field is immutable when `immutable` is set") {
            Self::Immutable
        } else if says("exceeded quota: ") || says("failed quota: ") {
            Self::QuotaExceeded
        } else if says("cannot set an ownerRef on a resource you can't delete") {
            Self::OwnerNeedsDelete
        } else if says("admission webhook") || says("denied request: ") {
            Self::Denied
        } else if status.code == 403 && says(" cannot ") && says(" resource \"secrets\"") {
            Self::Forbidden
        } else {
            Self::Other
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The API server's own sentences, as version 1.34 writes them.
    #[test]
    fn each_refusal_by_its_words() {
        let terminating = r#"secrets "voice" is forbidden: unable to create new content in namespace shop because it is being terminated"#;
        let cases = [
            (
                422,
                r#"Secret "voice" is invalid: data: Forbidden: field is immutable when `immutable` is set"#,
                Refusal::Immutable,
            ),
            (
                403,
                r#"secrets "voice" is forbidden: exceeded quota: few, requested: secrets=1, used: secrets=2, limited: secrets=2"#,
                Refusal::QuotaExceeded,
            ),
            (
                403,
                r#"secrets is forbidden: User "system:serviceaccount:rto:rto" cannot create resource "secrets" in API group "" in the namespace "shop""#,
                Refusal::Forbidden,
            ),
            (
                403,
                r#"secrets "voice" is forbidden: cannot set an ownerRef on a resource you can't delete: , <nil>"#,
                Refusal::OwnerNeedsDelete,
            ),
            (
                400,
                r#"admission webhook "validate.kyverno.svc-fail" denied the request: no"#,
                Refusal::Denied,
            ),
            (
                422,
                r#"secrets "voice" is forbidden: ValidatingAdmissionPolicy 'ban' with binding 'ban' denied request: no"#,
                Refusal::Denied,
            ),
            (
                422,
                r#"Secret "voice" is invalid: metadata.labels: Invalid value"#,
                Refusal::Other,
            ),
            (403, terminating, Refusal::NamespaceTerminating),
        ];
        for (code, message, expected) in cases {
            let causes = match expected {
                Refusal::NamespaceTerminating => {
                    json!([{"reason": "NamespaceTerminating", "field": "metadata.namespace"}])
                }
                _ => json!([]),
            };
            let status = json!({"code": code, "message": message, "details": {"causes": causes}});
            assert_eq!(
                Refusal::of(&serde_json::from_value(status).unwrap()),
                expected,
                "{message}"
            );
        }
    }
}
