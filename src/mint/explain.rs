//! What a mint would send or sign, for people to read: nothing is sent, and the key isn't in it.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD as BASE64, URL_SAFE_NO_PAD};
use http::header::{CONTENT_LENGTH, USER_AGENT};
use jiff::Timestamp;
use reqwest::Url;
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};

use super::client::{AGENT, no_origin};
use super::request::{Body, component};
use super::{Answer, Ask, Credential, EndpointPolicy, Mint, Request, Step, To};
use crate::providers::Provider;
use crate::token::MintError;

/// Stands for the access token that the first of two requests would bring.
const ACCESS_TOKEN: &str = "ACCESS_TOKEN";

/// A credential of placeholders, for an explanation without the key. Where the token is signed with a private key
/// they won't do: [`explain`] then refuses them as it would a wrong key.
pub(crate) fn placeholders(provider: &dyn Provider) -> Credential {
    let secret_fields = provider.secret_fields().iter();
    Credential::new(secret_fields.map(|field| (field.key, placeholder(field.env).into())))
}

/// The requests of a mint, or header and claims of a token that is signed here, each value of the credential replaced
/// by the name of its environment variable. Random ids are zeros.
pub(crate) fn explain(
    ask: &Ask,
    credential: &Credential,
    endpoints: &EndpointPolicy,
    now: Timestamp,
) -> Result<String, MintError> {
    let provider = ask.block.provider();
    let endpoint = endpoints.check(&provider.endpoint())?;
    let mint = Mint {
        expiration: ask.expiration,
        credential,
        namespace: &ask.namespace,
        subject: ask.subject.as_deref(),
        ask: Some(ask),
        now,
        nonce: [0; 16],
    };
    let names = Names::of(provider, credential, mint.subject);
    let first = match provider.start(&mint)? {
        Step::Done(answer) => return Ok(signed(&answer, &names)),
        Step::Send(request) => request,
    };
    let target = |request: &Request| match &request.to {
        To::Endpoint => endpoint.clone().ok_or_else(no_origin),
        To::Service { origin, built_in, .. } => Ok(endpoints.check_service(origin, *built_in)?),
    };
    // A mint of two requests asks for an access token first.
    let reply = json!({"access_token": placeholder(ACCESS_TOKEN), "expires_in": 3600, "token_type": "Bearer"});
    let second = match provider.read(&mint, 0, reply.to_string().as_bytes()) {
        Ok(Step::Send(request)) => Some(request),
        Ok(Step::Done(_)) | Err(_) => None,
    };
    let explanation = request(&target(&first)?, &first, &names);
    let Some(second) = second else {
        return Ok(explanation);
    };
    let next = request(&target(&second)?, &second, &names);
    Ok(format!(
        "# 1 of 2: for an access token\n{explanation}\n# 2 of 2: with that token\n{next}"
    ))
}

fn request(origin: &Url, request: &Request, names: &Names<'_>) -> String {
    let url = format!(
        "{}{}",
        origin.as_str().trim_end_matches('/'),
        names.given(&request.path)
    );
    let mut explanation = format!("{} {url}\n", request.method);
    let mut headers: Vec<(&str, String)> = request
        .headers
        .iter()
        .map(|(name, value)| {
            let text = String::from_utf8_lossy(value.as_bytes());
            (name.as_str(), names.header(&text, value.is_sensitive()))
        })
        .collect();
    headers.push((USER_AGENT.as_str(), AGENT.to_owned()));
    // The length of a body would reveal that of the key.
    if request.body == Body::Empty {
        headers.push((CONTENT_LENGTH.as_str(), "0".to_owned()));
    }
    headers.sort_unstable();
    for (name, value) in headers {
        let _ = writeln!(explanation, "{name}: {value}");
    }
    if !request.bytes().is_empty() {
        let body = String::from_utf8_lossy(request.bytes());
        let _ = writeln!(explanation, "\n{}", names.given(&body));
    }
    explanation
}

/// The parts of a JWT without its signature; of any other token only that there is one.
fn signed(answer: &Answer, names: &Names<'_>) -> String {
    let mut explanation = "signed here, nothing is sent\n".to_owned();
    let token = answer.value.expose_secret();
    let parts: Vec<Map<String, Value>> = token
        .split('.')
        .take(2)
        .filter_map(|part| {
            let part = URL_SAFE_NO_PAD.decode(part).ok()?;
            serde_json::from_slice(&part).ok()
        })
        .collect();
    if let [header, claims] = parts.as_slice() {
        for (name, part) in [("header", header), ("claims", claims)] {
            let part = Value::from(part.clone()).to_string();
            let _ = writeln!(explanation, "{name}: {}", names.given(&part));
        }
    } else {
        explanation += "The token is no JWT, so there are no claims to show.\n";
    }
    if !answer.outputs.is_empty() {
        let keys: Vec<_> = answer.outputs.keys().map(AsRef::as_ref).collect();
        let _ = writeln!(explanation, "further keys of the Secret: {}", keys.join(", "));
    }
    explanation
}

/// Survives every encoding unchanged.
fn placeholder(name: &str) -> String {
    format!("zz{name}zz")
}

/// What to show in place of what is sent.
struct Names<'a> {
    /// Every spelling of a value of the credential, and what to show for it; longest first.
    spellings: Vec<(String, String)>,
    /// Who the token is for: no secret to those who named it.
    subject: Option<&'a str>,
}

impl<'a> Names<'a> {
    fn of(provider: &dyn Provider, credential: &Credential, subject: Option<&'a str>) -> Self {
        let mut names = vec![(placeholder(ACCESS_TOKEN), format!("<{ACCESS_TOKEN}>"))];
        for field in provider.secret_fields() {
            let Some(value) = credential.get(field) else {
                continue;
            };
            let value = value.expose_secret();
            let shown = format!("<{}>", field.env);
            let in_form = component(value).replace("%20", "+");
            let in_json = Value::from(value).to_string();
            let spellings = [
                value.to_owned(),
                component(value),
                in_form,
                in_json.trim_matches('"').to_owned(),
                BASE64.encode(value),
            ];
            names.extend(
                spellings
                    .into_iter()
                    .filter(|it| !it.is_empty())
                    .map(|it| (it, shown.clone())),
            );
        }
        names.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
        Self {
            spellings: names,
            subject,
        }
    }

    /// A text with names in place of values.
    fn given(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (value, shown) in &self.spellings {
            text = text.replace(value, shown);
        }
        text
    }

    /// A header. One that carries a key in no spelling that is known here isn't shown at all.
    fn header(&self, text: &str, sensitive: bool) -> String {
        let encoded = text.strip_prefix("Basic ").unwrap_or_default();
        // A key that is the pair in base64 already.
        if let Some((_, shown)) = self.spellings.iter().find(|(value, _)| value == encoded) {
            return format!("Basic {shown}");
        }
        if let Ok(pair) = BASE64.decode(encoded)
            && !pair.is_empty()
        {
            let pair = self.given(&String::from_utf8_lossy(&pair));
            return format!("Basic base64({pair})");
        }
        let shown = self.given(text);
        if sensitive && shown == text && self.subject != Some(text) {
            return "<hidden>".to_owned();
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{LiveKit, OpenAi};
    use crate::providers::Block;
    use jiff::SignedDuration;

    fn ask(block: Block) -> Ask {
        Ask {
            block,
            expiration: SignedDuration::from_secs(600),
            namespace: "apps".to_owned(),
            subject: None,
            of_caller: false,
        }
    }

    fn deepgram() -> Ask {
        ask(Block::Deepgram(Box::default()))
    }

    fn explanation(ask: &Ask, credential: &Credential) -> String {
        let endpoints = EndpointPolicy::default();
        explain(ask, credential, &endpoints, Timestamp::UNIX_EPOCH).unwrap()
    }

    #[test]
    fn a_request_as_it_would_be_sent() {
        let ask = deepgram();
        let expected = format!(
            "POST https://api.deepgram.com/v1/auth/grant\naccept: application/json\nauthorization: Token \
             <DEEPGRAM_API_KEY>\ncontent-type: application/json\nuser-agent: {AGENT}\n\n{{\"ttl_seconds\":600}}\n"
        );
        assert_eq!(explanation(&ask, &placeholders(ask.block.provider())), expected);
        let real = Credential::new([("api-key", "canary-key".into())]);
        assert_eq!(explanation(&ask, &real), expected, "the real key looks the same");
    }

    /// The user of `mint --subject` named it.
    #[test]
    fn a_subject_is_shown_where_it_goes() {
        let block: OpenAi = serde_json::from_value(json!({"model": "m"})).unwrap();
        let mut ask = ask(Block::OpenAi(Box::new(block)));
        ask.block.name_subject("u_5f3a").unwrap();
        ask.subject = Some("u_5f3a".into());
        let shown = explanation(&ask, &placeholders(ask.block.provider()));
        assert!(shown.contains("\nopenai-safety-identifier: u_5f3a\n"), "{shown}");
        let names = Names::of(ask.block.provider(), &Credential::default(), Some("u_5f3a"));
        assert_eq!(names.header("drowssap u_5f3a", true), "<hidden>");
    }

    #[test]
    fn a_token_that_is_signed_here_shows_its_claims_and_no_signature() {
        let block: LiveKit = serde_json::from_value(json!({"identity": "u", "url": "wss://lk.example"})).unwrap();
        let ask = ask(Block::LiveKit(Box::new(block)));
        let expected = "signed here, nothing is sent\nheader: {\"alg\":\"HS256\"}\nclaims: \
                        {\"iss\":\"<LIVEKIT_API_KEY>\",\"exp\":600,\"nbf\":0,\"sub\":\"u\",\
                        \"jti\":\"00000000-0000-4000-8000-000000000000\"}\nfurther keys of the Secret: url\n";
        assert_eq!(explanation(&ask, &placeholders(ask.block.provider())), expected);
    }

    #[test]
    fn an_endpoint_must_be_allowed_here_too() {
        let block = serde_json::from_value(json!({"endpoint": "https://gw.example"})).unwrap();
        let ask = ask(Block::Deepgram(Box::new(block)));
        let error = explain(
            &ask,
            &placeholders(ask.block.provider()),
            &EndpointPolicy::default(),
            Timestamp::UNIX_EPOCH,
        )
        .unwrap_err();
        assert!(error.to_string().contains("--allow-endpoint"), "{error}");
    }

    #[test]
    fn no_spelling_of_a_value_gets_through() {
        let ask = deepgram();
        let value = "ca na/ry+\"key";
        let names = Names::of(
            ask.block.provider(),
            &Credential::new([("api-key", value.into())]),
            None,
        );
        for text in [
            value.to_owned(),
            component(value),
            component(value).replace("%20", "+"),
            json!({"key": value}).to_string(),
            BASE64.encode(value),
        ] {
            let shown = names.given(&text);
            assert!(shown.contains("<DEEPGRAM_API_KEY>"), "{shown}");
            assert!(!shown.contains("ry"), "{shown}");
        }
        let basic = format!("Basic {}", BASE64.encode(format!("user:{value}")));
        assert_eq!(names.header(&basic, true), "Basic base64(user:<DEEPGRAM_API_KEY>)");
        assert_eq!(names.header("Strange kanari", true), "<hidden>");
        let whole = BASE64.encode("id:secret");
        let names = Names::of(
            ask.block.provider(),
            &Credential::new([("api-key", whole.clone().into())]),
            None,
        );
        assert_eq!(
            names.header(&format!("Basic {whole}"), true),
            "Basic <DEEPGRAM_API_KEY>"
        );
    }
}
