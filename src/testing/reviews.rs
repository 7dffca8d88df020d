//! Whose the bearer tokens are, and who may request tokens of which RealtimeToken.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

use super::request::Request;

#[derive(Default)]
pub(super) struct Reviews {
    /// User and audiences of each token. Without audiences it is of an authenticator that doesn't know them, which states
    /// none.
    tokens: HashMap<String, (String, Vec<String>)>,
    /// User, namespace and name.
    allowed: HashSet<[String; 3]>,
}

impl Reviews {
    pub(super) fn add_token(&mut self, token: &str, username: &str, audiences: &[&str]) {
        let audiences = audiences.iter().map(|audience| (*audience).to_owned()).collect();
        self.tokens.insert(token.to_owned(), (username.to_owned(), audiences));
    }

    pub(super) fn remove_token(&mut self, token: &str) {
        self.tokens.remove(token);
    }

    pub(super) fn allow(&mut self, username: &str, namespace: &str, name: &str, allowed: bool) {
        let right = [username, namespace, name].map(str::to_owned);
        if allowed {
            self.allowed.insert(right);
        } else {
            self.allowed.remove(&right);
        }
    }

    pub(super) fn answer(&self, request: &Request) -> Value {
        let mut review = request.body.clone();
        review["status"] = match request.resource {
            "tokenreviews" => self.token(&review["spec"]),
            _ => self.access(&review["spec"]),
        };
        review
    }

    fn token(&self, spec: &Value) -> Value {
        let token = spec["token"].as_str().unwrap_or_default();
        let asked = spec["audiences"].as_array().cloned().unwrap_or_default();
        let known = self.tokens.get(token).map(|(username, audiences)| {
            let common: Vec<&String> = audiences.iter().filter(|own| asked.contains(&json!(own))).collect();
            (username, common, audiences.is_empty())
        });
        match known {
            Some((username, audiences, knows_none)) if knows_none || !audiences.is_empty() => json!({
                "authenticated": true, "audiences": audiences,
                "user": {
                    "username": username, "uid": format!("uid of {username}"), "groups": ["system:authenticated"],
                    "extra": {"authentication.kubernetes.io/pod-name": ["web-0"]},
                },
            }),
            _ => json!({"user": {}, "error": "[invalid bearer token, token audiences don't match]"}),
        }
    }

    fn access(&self, spec: &Value) -> Value {
        let of = &spec["resourceAttributes"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let right = [&spec["user"], &of["namespace"], &of["name"]].map(text);
        let is_ours = of["verb"] == "create"
            && of["group"] == "realtime-token.dev"
            && of["resource"] == "realtimetokens"
            && of["subresource"] == "token";
        json!({"allowed": is_ours && self.allowed.contains(&right)})
    }
}
