//! What is sent to each cloud, what is read from its replies, and what is said of its refusals.

use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::*;
use crate::mint::expiry::Clocks;

const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJl";

fn subject() -> SubjectToken {
    SubjectToken {
        value: TOKEN.into(),
        subject: "system:serviceaccount:shop:voice".to_owned(),
        audience: "aud-1".to_owned(),
    }
}

fn openai() -> Exchange {
    let block = json!({"identityProviderId": "idp_1", "serviceAccountId": "sa_1"});
    Exchange::OpenAi(serde_json::from_value(block).unwrap())
}

fn azure() -> Exchange {
    Exchange::Azure(
        serde_json::from_value(json!({"tenantId": "contoso.onmicrosoft.com", "clientId": "app-1"})).unwrap(),
    )
}

const PROVIDER: &str = "projects/123/locations/global/workloadIdentityPools/pool/providers/cluster";

fn google(more: Value) -> Exchange {
    let mut block = json!({"workloadIdentityProvider": PROVIDER});
    block.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Exchange::Google(serde_json::from_value(block).unwrap())
}

fn impersonating() -> Exchange {
    google(json!({"serviceAccountEmail": "voice@p.iam.gserviceaccount.com"}))
}

/// Origin, path and body of a request.
fn sent(request: &Request) -> (String, &str, String) {
    let To::Service { origin, built_in, .. } = &request.to else {
        panic!("to nowhere");
    };
    assert!(built_in);
    let body = String::from_utf8(request.bytes().to_vec()).unwrap();
    (origin.clone(), &request.path, body)
}

#[test]
fn openai_takes_json() {
    let exchange = openai();
    let request = wire(&exchange).start(&subject());
    let (origin, path, body) = sent(&request);
    assert_eq!((origin.as_str(), path), ("https://auth.openai.com", "/oauth/token"));
    assert_eq!(request.headers["content-type"], "application/json");
    assert_eq!(
        serde_json::from_str::<Value>(&body).unwrap(),
        json!({
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "subject_token": TOKEN,
            "identity_provider_id": "idp_1",
            "service_account_id": "sa_1",
        })
    );
}

#[test]
fn entra_takes_a_client_assertion() {
    let exchange = azure();
    let request = wire(&exchange).start(&subject());
    let (origin, path, body) = sent(&request);
    assert_eq!(origin, "https://login.microsoftonline.com");
    assert_eq!(path, "/contoso.onmicrosoft.com/oauth2/v2.0/token");
    assert_eq!(request.headers["content-type"], "application/x-www-form-urlencoded");
    assert_eq!(
        body,
        format!(
            "client_id=app-1&scope=https%3A%2F%2Fcognitiveservices.azure.com%2F.default\
             &client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer\
             &client_assertion={TOKEN}&grant_type=client_credentials"
        )
    );
}

#[test]
fn google_takes_the_token_and_then_impersonates() {
    let exchange = impersonating();
    let request = wire(&exchange).start(&subject());
    let (origin, path, body) = sent(&request);
    assert_eq!((origin.as_str(), path), ("https://sts.googleapis.com", "/v1/token"));
    assert!(
        !request.headers.contains_key("authorization"),
        "Google refuses one here"
    );
    let audience = format!("%2F%2Fiam.googleapis.com%2F{}", PROVIDER.replace('/', "%2F"));
    assert_eq!(
        body,
        format!(
            "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&audience={audience}\
             &scope=https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fcloud-platform\
             &requested_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token\
             &subject_token={TOKEN}&subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Ajwt"
        )
    );
    let federated = br#"{"access_token": "ya29.federated", "expires_in": 3599, "token_type": "Bearer"}"#;
    let Ok(Step::Send(next)) = wire(&exchange).read(0, federated) else {
        panic!("no second request");
    };
    let (origin, path, body) = sent(&next);
    assert_eq!(origin, "https://iamcredentials.googleapis.com");
    assert_eq!(
        path,
        "/v1/projects/-/serviceAccounts/voice%40p.iam.gserviceaccount.com:generateAccessToken"
    );
    assert_eq!(next.headers["authorization"], "Bearer ya29.federated");
    assert!(next.headers["authorization"].is_sensitive());
    assert_eq!(
        serde_json::from_str::<Value>(&body).unwrap(),
        json!({"scope": ["https://www.googleapis.com/auth/cloud-platform"], "lifetime": "3600s"})
    );
    let reply = br#"{"accessToken": "ya29.voice", "expireTime": "2026-11-29T04:00:00Z"}"#;
    let Ok(Step::Done(answer)) = wire(&exchange).read(1, reply) else {
        panic!("no token");
    };
    assert_eq!(answer.value.expose_secret(), "ya29.voice");
    assert_eq!(answer.expiry, Expiry::At("2026-11-29T04:00:00Z".parse().unwrap()));
}

#[test]
fn a_token_without_a_usable_end_is_refused() {
    for exchange in [openai(), azure(), google(json!({}))] {
        let read = |reply: Value| wire(&exchange).read(0, reply.to_string().as_bytes());
        let Ok(Step::Done(answer)) = read(json!({"access_token": "at-1", "expires_in": 3600, "token_type": "Bearer"}))
        else {
            panic!("{exchange:?}: no token");
        };
        assert_eq!(answer.expiry, Expiry::After(SignedDuration::from_secs(3600)));
        for unusable in [
            json!({"expires_in": 3600}),
            json!({"access_token": "", "expires_in": 3600}),
            json!({"access_token": "at-1"}),
            json!({"access_token": "at-1", "expires_in": 0}),
            json!({"access_token": "at-1", "expires_in": "soon"}),
        ] {
            assert!(read(unusable.clone()).is_err(), "{exchange:?}: {unusable}");
        }
    }
    assert!(wire(&impersonating()).read(1, br#"{"accessToken": "at-1"}"#).is_err());
}

fn refused(exchange: &Exchange, nth: usize, status: u16, body: &str, built_in: bool) -> MintError {
    let reply = Reply {
        status: StatusCode::from_u16(status).unwrap(),
        headers: HeaderMap::new(),
        body: body.as_bytes().to_vec(),
        clocks: Clocks::new(Timestamp::UNIX_EPOCH, std::time::Duration::ZERO, None),
        responder: Responder {
            name: "Microsoft Entra".to_owned(),
            built_in,
        },
    };
    read(wire(exchange), nth, &subject(), &reply).unwrap_err()
}

#[test]
fn a_refusal_names_what_to_check() {
    let entra = r#"{"error": "invalid_client", "error_description": "AADSTS70021: No matching federated identity record found for presented assertion. Assertion Issuer: 'canary'."}"#;
    let error = refused(&azure(), 0, 401, entra, true);
    assert_eq!(error.reason(), crate::api::Reason::CredentialRejected);
    assert_eq!(
        error.to_string(),
        "Microsoft Entra answered 401 (invalid_client, AADSTS70021) to the exchange of the ServiceAccount's token. \
         Check workloadIdentity.azure: app-1 in the tenant contoso.onmicrosoft.com needs a federated credential with \
         the cluster's issuer, the subject system:serviceaccount:shop:voice and the audience aud-1."
    );
    let error = refused(&openai(), 0, 400, r#"{"error": "invalid_grant"}"#, true).to_string();
    assert!(
        error.contains("workloadIdentity.openai: the provider idp_1") && error.contains("use sa_1"),
        "{error}"
    );
    let error = refused(&impersonating(), 0, 400, r#"{"error": "invalid_target"}"#, true).to_string();
    assert!(error.contains("workloadIdentity.google:"), "{error}");
    let error = refused(
        &impersonating(),
        1,
        403,
        r#"{"error": {"status": "PERMISSION_DENIED"}}"#,
        true,
    )
    .to_string();
    assert!(
        error.contains("google.serviceAccountEmail") && error.contains("workloadIdentityUser"),
        "{error}"
    );
}

#[test]
fn trouble_of_the_exchange_is_not_the_identitys() {
    use crate::api::Reason;
    for (status, body, reason) in [
        (503, "", Reason::ProviderUnavailable),
        (429, "", Reason::RateLimited),
        (403, "<html>blocked</html>", Reason::MintFailed),
        (302, "", Reason::MintFailed),
    ] {
        assert_eq!(refused(&openai(), 0, status, body, true).reason(), reason, "{status}");
    }
}

/// Neither the ServiceAccount's token nor what a foreign endpoint says.
#[test]
fn no_text_holds_a_part_of_the_token() {
    let echo = format!(r#"{{"error": "{TOKEN}", "error_description": "{TOKEN} is canary"}}"#);
    for exchange in [openai(), azure(), impersonating()] {
        for (status, built_in) in [(400, true), (401, true), (403, false), (500, true), (429, false)] {
            let text = refused(&exchange, 0, status, &echo, built_in).to_string();
            assert!(!text.contains("eyJ") && !text.contains("canary"), "{text}");
        }
        let foreign = refused(&exchange, 0, 401, r#"{"error": "inside_word"}"#, false).to_string();
        assert!(!foreign.contains("inside_word"), "{foreign}");
        let request = wire(&exchange).start(&subject());
        assert!(!format!("{request:?} {:?}", subject()).contains("eyJ"));
    }
}
