//! What holds of every fleet: at any time, and once it has settled.

use super::*;

impl Fleet {
    pub(super) fn assert_no_status_claims_too_much(&self) {
        for token in self.api.list("realtimetokens") {
            let (name, status) = (token["metadata"]["name"].as_str().unwrap(), &token["status"]);
            let is_connection = token["spec"]["target"]["content"] == "Connection";
            if status["conditions"][0]["status"] != "True" || is_connection {
                continue;
            }
            let namespace = token["metadata"]["namespace"].as_str().unwrap();
            let secret = self.api.get("secrets", namespace, name);
            let secret = secret.unwrap_or_else(|| panic!("{name} is Ready without a Secret"));
            let claimed: Timestamp = status["usableUntil"].as_str().unwrap().parse().unwrap();
            let held = usable_until(&secret).unwrap_or_else(|| panic!("{name} is Ready without a token"));
            assert!(held >= claimed, "{name}: the status says {claimed}, the Secret {held}");
            assert!(held > now(), "{name} is Ready with a token that has ended");
        }
    }

    /// The Secret holds a token with life left, and the status says so and nothing else.
    #[track_caller]
    pub(super) fn assert_settled(&self, name: &str, context: &str) {
        let secret = self
            .secret(name)
            .unwrap_or_else(|| panic!("{context}: no Secret {name}"));
        let until = usable_until(&secret).unwrap_or_else(|| panic!("{context}: no token in Secret {name}"));
        assert!(
            until > now() + SignedDuration::from_secs(90),
            "{context}: {name} ends at {until}"
        );
        let status = self.status(name);
        let (ready, _) = self.condition(name, ConditionType::Ready);
        let renewing = self.condition(name, ConditionType::Renewing);
        assert_eq!(ready, "True", "{context}: {status:?}");
        assert_eq!(
            renewing,
            ("False".into(), "AwaitingRenewal".into()),
            "{context}: {status:?}"
        );
        let failures = (
            status.failed_mint_attempts,
            status.failed_write_attempts,
            status.next_attempt_time,
        );
        assert_eq!(failures, (None, None, None), "{context}");
        assert_eq!(status.revision, revision(&secret), "{context}");
    }
}
