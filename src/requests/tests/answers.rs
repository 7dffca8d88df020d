//! Every answer, and in what order the checks are made.

use std::time::Duration;

use super::*;
use crate::clock::now;
use crate::testing::MintFault;

pub(super) fn optional() -> Value {
    json!({"subject": "Optional", "overridable": ["expirationSeconds"]})
}

#[tokio::test(start_paused = true)]
async fn a_caller_with_the_right_gets_a_token_of_its_own() {
    let world = World::new(optional()).await;
    let first = world.ask(Value::Null).await;
    let second = world.ask(Value::Null).await;
    assert_eq!([first.token(), second.token()], ["token-1", "token-2"]);
    let keys: Vec<&String> = first.body.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["provider", "token", "expiresAt", "config"]);
    assert_eq!(first.body["provider"], "openai");
    let left = first.body["expiresAt"].as_i64().unwrap() - now().as_millisecond();
    assert!((598_000..=600_000).contains(&left), "{left}");
    for (header, value) in [
        ("content-type", "application/json"),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(first.headers[header], value);
    }
    assert_eq!(
        world.metric("requests_total{namespace=\"shop\",name=\"voice\",outcome=\"ok\"}"),
        2.0
    );
    assert_eq!(world.metric("request_duration_seconds_count{source=\"minted\"}"), 2.0);
    // One review of the bearer token, one of the right, one read of the key.
    let reviews = (
        world.api.count("create", "tokenreviews"),
        world.api.count("create", "subjectaccessreviews"),
    );
    assert_eq!(reviews, (1, 1));
    assert_eq!(world.api.count("get", "secrets"), 1);
}

#[tokio::test(start_paused = true)]
async fn without_a_valid_bearer_token_nothing_is_told() {
    let world = World::new(optional()).await;
    world
        .api
        .add_bearer_token("of the API server", USER, &["https://kubernetes.default.svc"]);
    let plain = |path: &str| Request::post(path.to_owned());
    let none = world.request(plain(PATH).body(Body::empty()).unwrap()).await;
    assert_eq!(none.problem(), (401, "Unauthenticated"));
    assert!(none.headers["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
    for header in ["Basic d2ViOndlYg==", "Bearer", "Bearer ", "Bearer a b", "bearer-of-web"] {
        let request = plain(PATH).header("authorization", header).body(Body::empty()).unwrap();
        assert_eq!(
            world.request(request).await.problem(),
            (401, "Unauthenticated"),
            "{header}"
        );
    }
    assert_eq!(world.api.count("create", "tokenreviews"), 0, "none of them is a token");
    world.api.add_bearer_token("of whatever audience", USER, &[]);
    for bearer in ["unknown", "of the API server", "of whatever audience"] {
        assert_eq!(
            world.ask_as(bearer).await.problem(),
            (401, "Unauthenticated"),
            "{bearer}"
        );
    }
    let twice = request(BEARER, Value::Null);
    let (mut parts, body) = twice.into_parts();
    parts.headers.append("authorization", "Bearer other".parse().unwrap());
    let twice = Request::from_parts(parts, body);
    assert_eq!(world.request(twice).await.problem(), (401, "Unauthenticated"));
    assert_eq!(world.provider.count(), 0);
    assert_eq!(
        world.metric("requests_total{namespace=\"\",name=\"\",outcome=\"Unauthenticated\"}"),
        10.0
    );
}

#[tokio::test(start_paused = true)]
async fn without_the_right_it_can_not_be_told_what_exists() {
    let world = World::new(optional()).await;
    let stranger = "system:serviceaccount:other:web";
    world
        .api
        .add_bearer_token("stranger", stranger, &["realtime-token.dev"]);
    let of = |name: &str, bearer: &str| {
        let path = format!("/v1alpha1/namespaces/shop/realtimetokens/{name}/token");
        let (mut parts, body) = request(bearer, json!({"subject": 1})).into_parts();
        parts.uri = path.parse().unwrap();
        Request::from_parts(parts, body)
    };
    let there = world.request(of("voice", "stranger")).await;
    let absent = world.request(of("absent", "stranger")).await;
    assert_eq!(there.problem(), (403, "Forbidden"));
    let same_words = there.body.to_string().replace("voice", "absent");
    assert_eq!(same_words, absent.body.to_string());
    assert!(
        there.body["detail"]
            .as_str()
            .unwrap()
            .contains("resources: [realtimetokens/token]"),
        "{there:?}"
    );

    // With the right: the same words for one that does not exist and one without requests.
    for name in ["absent", "silent"] {
        world.api.allow_requests(USER, "shop", name, true);
    }
    world.api.create(json!({
        "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken",
        "metadata": {"name": "silent", "namespace": "shop"},
        "spec": {"openai": {"model": "m"}, "credentials": {"secretRef": {"name": "openai"}}},
    }));
    let absent = world.request(of("absent", BEARER)).await;
    let silent = world.request(of("silent", BEARER)).await;
    assert_eq!(absent.problem(), (404, "NotFound"));
    assert_eq!(
        absent.body.to_string().replace("absent", "silent"),
        silent.body.to_string()
    );
    assert_eq!(world.provider.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn method_path_and_body_are_checked() {
    let world = World::new(optional()).await;
    let with = |method: &str, path: &str| {
        let request = Request::builder().method(method).uri(path);
        request.header("authorization", format!("Bearer {BEARER}"))
    };
    let get = world.request(with("GET", PATH).body(Body::empty()).unwrap()).await;
    assert_eq!(get.problem(), (405, "MethodNotAllowed"));
    assert_eq!(get.headers["allow"], "POST");
    let elsewhere = world
        .request(with("POST", "/metrics").body(Body::empty()).unwrap())
        .await;
    assert_eq!(elsewhere.problem(), (404, "NoSuchPath"));
    let untyped = world.request(with("POST", PATH).body("{}".into()).unwrap()).await;
    assert_eq!(untyped.problem(), (415, "UnsupportedMediaType"));
    let long = request(BEARER, json!("x".repeat(65 << 10)));
    assert_eq!(world.request(long).await.problem(), (413, "BodyTooLarge"));
    assert_eq!(world.ask(json!([])).await.problem(), (400, "MalformedRequest"));
    let slow = Body::from_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let slow = with("POST", PATH).body(slow).unwrap();
    assert_eq!(world.request(slow).await.problem(), (408, "BodyTooSlow"));
    assert_eq!(world.provider.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_suspended_realtime_token_gives_none() {
    let world = World::new(optional()).await;
    world.edit(json!({"spec": {"suspend": true}}));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.ask(Value::Null).await.problem(), (409, "Suspended"));
    world.edit(json!({"spec": {"suspend": false}}));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.ask(Value::Null).await.token(), "token-1");
    world.api.delete("realtimetokens", "shop", "voice");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.ask(Value::Null).await.problem(), (404, "NotFound"));
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(
        !world.metrics.render().contains("name=\"voice\",outcome"),
        "its series are gone"
    );
}

#[tokio::test(start_paused = true)]
async fn subjects_are_wanted_counted_and_limited() {
    let world = World::new(json!({"rateLimit": {"requestsPerMinute": 60, "burst": 5}})).await;
    assert_eq!(world.ask(Value::Null).await.problem(), (422, "SubjectRequired"));
    assert_eq!(world.ask(json!({"subject": "ü"})).await.status, 422);
    for _ in 0..3 {
        assert_eq!(world.ask(json!({"subject": "a"})).await.status, 201);
    }
    let limited = world.ask(json!({"subject": "a"})).await;
    assert_eq!(limited.problem(), (429, "RateLimited"));
    assert!((9..=10).contains(&limited.retry_after()), "{limited:?}");
    assert!(limited.body["detail"].as_str().unwrap().contains("subjectRateLimit"));
    assert_eq!(world.ask(json!({"subject": "b"})).await.status, 201);
    let limited = world.ask(json!({"subject": "c"})).await;
    assert_eq!((limited.problem(), limited.retry_after()), ((429, "RateLimited"), 1));
    assert!(limited.body["detail"].as_str().unwrap().contains("requests.rateLimit"));
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(world.ask(json!({"subject": "a"})).await.status, 201);
}

#[tokio::test(start_paused = true)]
async fn a_field_that_is_not_listed_is_refused_by_name() {
    let world = World::new(optional()).await;
    let refused = world.ask(json!({"overrides": {"suspend": true}})).await;
    assert_eq!(refused.problem(), (403, "NotOverridable"));
    assert!(
        refused.body["detail"].as_str().unwrap().starts_with("suspend "),
        "{refused:?}"
    );
    let invalid = world.ask(json!({"overrides": {"expirationSeconds": 1}})).await;
    assert_eq!(invalid.problem(), (422, "InvalidSpec"));
    assert_eq!(
        world.ask(json!({"overrides": {"expirationSeconds": 60}})).await.status,
        201
    );
    assert_eq!(world.provider.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_service_account_can_not_take_all_requests() {
    let requests = json!({"subject": "Optional", "rateLimit": {"requestsPerMinute": 6000, "burst": 100}});
    let world = Arc::new(World::new(requests).await);
    world.provider.fail(MintFault::Hang);
    let asking: Vec<_> = (0..64)
        .map(|_| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { world.ask(Value::Null).await.status })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let one_more = world.ask(Value::Null).await;
    assert_eq!(
        (one_more.problem(), one_more.retry_after()),
        ((429, "TooManyRequests"), 1)
    );
    let counted = "requests_total{namespace=\"shop\",name=\"voice\",outcome=\"TooManyRequests\"}";
    assert_eq!(world.metric(counted), 1.0, "in the namespace of the RealtimeToken");
    world
        .api
        .add_bearer_token("other", "system:serviceaccount:shop:other", &["realtime-token.dev"]);
    assert_eq!(world.ask_as("other").await.problem(), (403, "Forbidden"));
    for asked in asking {
        let status = asked.await.unwrap();
        assert!([429, 504].contains(&status), "{status}");
    }
    world.provider.recover();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.ask(Value::Null).await.status, 201);
}

/// As the condition `Serving` says it.
#[tokio::test(start_paused = true)]
async fn a_field_that_does_not_exist_in_overridable_stops_plain_requests_too() {
    let world = World::new(json!({"subject": "Optional", "ready": 2})).await;
    world.ask(Value::Null).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.metric("request_pool_ready{"), 2.0);
    world.edit(json!({"spec": {"requests": {"overridable": ["openai.voise"]}}}));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.ask(Value::Null).await.problem(), (503, "InvalidSpec"));
    assert_eq!(world.metric("request_pool_ready{"), 0.0);
}

/// What the owner changes while a body is being sent holds for it.
#[tokio::test(start_paused = true)]
async fn a_realtime_token_that_is_suspended_during_the_body_gives_none() {
    let world = World::new(optional()).await;
    let body = futures::stream::once(async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        Ok::<_, std::io::Error>("{}")
    });
    let (parts, _) = request(BEARER, Value::Null).into_parts();
    let asked = world.request(Request::from_parts(parts, Body::from_stream(body)));
    let suspend = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        world.edit(json!({"spec": {"suspend": true}}));
    };
    let (answer, ()) = tokio::join!(asked, suspend);
    assert_eq!(answer.problem(), (409, "Suspended"));
    assert_eq!(world.provider.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_an_answer() {
    let world = World::new(optional()).await;
    let body = futures::stream::poll_fn(|_| -> std::task::Poll<Option<Result<Vec<u8>, std::io::Error>>> {
        panic!("by the test")
    });
    let (parts, _) = request(BEARER, Value::Null).into_parts();
    let answer = world.request(Request::from_parts(parts, Body::from_stream(body))).await;
    assert_eq!(answer.problem(), (500, "InternalError"));
    assert_eq!(world.metric("outcome=\"InternalError\""), 1.0);
    assert_eq!(world.ask(Value::Null).await.status, 201);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_stops_is_not_ready() {
    let world = World::new(optional()).await;
    assert_eq!(world.health.unready(), None);
    world.shutdown.cancel();
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(world.health.unready().as_deref(), Some("the end of this process"));
    assert_eq!(world.ask(Value::Null).await.status, 201, "it still answers");
}
