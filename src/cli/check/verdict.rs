//! What the answer to a ServiceAccount's token says of the operator that gave it. An operator has each token reviewed by
//! the API server whose RealtimeTokens it watches: if it knows a token of this cluster, it watches this cluster.

use serde::Deserialize;

/// No RealtimeToken of this name is expected, nor a right to ask it.
const MISSING_NAME: &str = "none-of-this-name";
/// The characters of a problem's detail that are repeated. Of an answer that isn't the operator's nothing is.
const MOST_DETAIL: usize = 600;

/// The URL of a RealtimeToken that doesn't exist; `url` may be that of one that does.
pub(in crate::cli) fn url_of_missing_token(url: &str, namespace: &str) -> String {
    let base = url.split("/v1alpha1/").next().unwrap_or(url);
    let base = base.trim_end_matches('/');
    format!("{base}/v1alpha1/namespaces/{namespace}/realtimetokens/{MISSING_NAME}/token")
}

/// What the operator says of a request that it refuses. An API server, which may stand there in its place, has no
/// `detail`.
#[derive(Debug, Deserialize, PartialEq, Eq)]
pub struct Problem {
    reason: String,
    detail: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let line = |c: char| if c.is_control() { ' ' } else { c };
        let detail: String = self.detail.chars().map(line).take(MOST_DETAIL).collect();
        let reason: String = self.reason.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
        write!(f, "{reason}: {detail}")
    }
}

/// What a refusal says.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) enum Verdict {
    /// The token is one of this cluster to the operator, and it refused as it should.
    WatchesThisCluster(Problem),
    /// The operator doesn't know the token.
    DoesNotKnowTheToken(Problem),
    /// An operator's refusal for another reason.
    Unclear(Problem),
    /// Not an answer of the operator.
    NoOperator,
}

impl Verdict {
    pub(in crate::cli) fn of(status: u16, body: &[u8]) -> Self {
        let Ok(problem) = serde_json::from_slice::<Problem>(body) else {
            return Self::NoOperator;
        };
        match (status, &*problem.reason) {
            // 404: the ServiceAccount has the right to ask any RealtimeToken.
            (403, "Forbidden") | (404, "NotFound") => Self::WatchesThisCluster(problem),
            (401, _) => Self::DoesNotKnowTheToken(problem),
            _ => Self::Unclear(problem),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn verdict(status: u16, reason: &str) -> Verdict {
        Verdict::of(
            status,
            json!({"reason": reason, "detail": "why"}).to_string().as_bytes(),
        )
    }

    fn problem(reason: &str) -> Problem {
        Problem {
            reason: reason.to_owned(),
            detail: "why".to_owned(),
        }
    }

    #[test]
    fn who_knows_the_token_watches_this_cluster() {
        for (status, reason) in [(403, "Forbidden"), (404, "NotFound")] {
            assert_eq!(verdict(status, reason), Verdict::WatchesThisCluster(problem(reason)));
        }
        let unknown = verdict(401, "Unauthenticated");
        assert_eq!(unknown, Verdict::DoesNotKnowTheToken(problem("Unauthenticated")));
    }

    /// The path is read before the token, and without an API server nothing is known of it.
    #[test]
    fn other_refusals_say_nothing_of_the_cluster() {
        for (status, reason) in [
            (404, "NoSuchPath"),
            (405, "MethodNotAllowed"),
            (429, "TooManyRejectedTokens"),
            (503, "ApiServerUnavailable"),
            (201, "Forbidden"),
        ] {
            assert_eq!(verdict(status, reason), Verdict::Unclear(problem(reason)));
        }
    }

    #[test]
    fn an_api_server_or_a_proxy_is_no_operator() {
        let api_server = json!({
            "kind": "Status", "status": "Failure", "message": "forbidden: User \"system:anonymous\"",
            "reason": "Forbidden", "details": {}, "code": 403,
        });
        assert_eq!(Verdict::of(403, api_server.to_string().as_bytes()), Verdict::NoOperator);
        assert_eq!(Verdict::of(403, b"<html>"), Verdict::NoOperator);
        assert_eq!(Verdict::of(401, b""), Verdict::NoOperator);
    }

    #[test]
    fn the_url_of_one_that_does_not_exist() {
        let of_none = "https://a.example/v1alpha1/namespaces/shop/realtimetokens/none-of-this-name/token";
        for url in [
            "https://a.example",
            "https://a.example/",
            "https://a.example/v1alpha1/namespaces/apps/realtimetokens/voice/token",
        ] {
            assert_eq!(url_of_missing_token(url, "shop"), of_none);
        }
    }
}
