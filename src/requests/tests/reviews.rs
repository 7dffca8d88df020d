//! What the API server says of callers, and what holds while it says nothing.

use std::time::Duration;

use super::*;
use crate::requests::reviews::{KEEP, KEEP_INVALID};
use crate::testing::Fault;

fn optional() -> Value {
    json!({"subject": "Optional"})
}

#[tokio::test(start_paused = true)]
async fn without_an_answer_of_the_api_server_there_is_no_token() {
    let world = World::new(optional()).await;
    world.api.go_away();
    let away = world.ask(Value::Null).await;
    assert_eq!((away.problem(), away.retry_after()), ((503, "ApiServerUnavailable"), 1));
    world.api.recover();
    assert_eq!(world.ask(Value::Null).await.status, 201, "a failure is not kept");
    world.api.go_away();
    assert_eq!(world.ask(Value::Null).await.status, 201, "an answer is");
    tokio::time::sleep(KEEP).await;
    assert_eq!(world.ask(Value::Null).await.problem(), (503, "ApiServerUnavailable"));
    for code in [403, 429, 500] {
        world.api.recover();
        tokio::time::sleep(KEEP).await;
        world
            .api
            .refuse_as(code, |request| request.resource == "tokenreviews", "no");
        assert_eq!(world.ask(Value::Null).await.status, 503, "{code}");
        world.api.recover();
        world.ask(Value::Null).await;
        tokio::time::sleep(KEEP).await;
        world
            .api
            .refuse_as(code, |request| request.resource == "subjectaccessreviews", "no");
        assert_eq!(world.ask(Value::Null).await.status, 503, "{code}");
    }
    assert_eq!(world.provider.count(), 2 + 3);
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_hangs_is_given_up_in_five_seconds() {
    let world = World::new(optional()).await;
    world
        .api
        .fail_nth_of(|request| request.resource == "tokenreviews", 1, Fault::Hang);
    let began = tokio::time::Instant::now();
    assert_eq!(world.ask(Value::Null).await.problem(), (503, "ApiServerUnavailable"));
    assert!(began.elapsed() <= Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_away_bites_within_ten_seconds() {
    let world = World::new(optional()).await;
    assert_eq!(world.ask(Value::Null).await.status, 201);
    world.api.allow_requests(USER, "shop", "voice", false);
    tokio::time::sleep(KEEP).await;
    assert_eq!(world.ask(Value::Null).await.problem(), (403, "Forbidden"));
    world.api.allow_requests(USER, "shop", "voice", true);
    tokio::time::sleep(KEEP).await;
    assert_eq!(world.ask(Value::Null).await.status, 201);
    world.api.remove_bearer_token(BEARER);
    tokio::time::sleep(KEEP).await;
    assert_eq!(world.ask(Value::Null).await.problem(), (401, "Unauthenticated"));
    world.api.add_bearer_token(BEARER, USER, &["realtime-token.dev"]);
    tokio::time::sleep(KEEP_INVALID).await;
    assert_eq!(world.ask(Value::Null).await.status, 201);
}

/// Its `exp` is read, so that an answer holds no longer than the bearer token.
#[tokio::test(start_paused = true)]
async fn a_bearer_token_that_ends_is_asked_about_again() {
    use base64::Engine as _;
    let world = World::new(optional()).await;
    let end = crate::clock::now().as_second() + 4;
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(format!("{{\"exp\":{end}}}"));
    let bearer = format!("eyJhbGciOiJSUzI1NiJ9.{claims}.c2ln");
    world.api.add_bearer_token(&bearer, USER, &["realtime-token.dev"]);
    assert_eq!(world.ask_as(&bearer).await.status, 201);
    world.api.remove_bearer_token(&bearer);
    assert_eq!(world.ask_as(&bearer).await.status, 201);
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(world.ask_as(&bearer).await.problem(), (401, "Unauthenticated"));
}

#[tokio::test(start_paused = true)]
async fn equal_questions_at_a_time_are_one_even_if_the_first_caller_hangs_up() {
    let world = Arc::new(World::new(optional()).await);
    let ask = || {
        let world = Arc::clone(&world);
        tokio::spawn(async move { world.ask(Value::Null).await.status })
    };
    let first = ask();
    tokio::task::yield_now().await;
    let others: Vec<_> = (0..20).map(|_| ask()).collect();
    tokio::task::yield_now().await;
    first.abort();
    for other in others {
        assert_eq!(other.await.unwrap(), 201);
    }
    let reviews = (
        world.api.count("create", "tokenreviews"),
        world.api.count("create", "subjectaccessreviews"),
    );
    assert_eq!(reviews, (1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_address_that_guesses_bearer_tokens_is_no_longer_reviewed() {
    let world = World::new(optional()).await;
    let guess = async |n: u32| world.ask_as(&format!("guess-{n}")).await;
    for n in 0..20 {
        assert_eq!(guess(n).await.status, 401);
    }
    let limited = guess(20).await;
    assert_eq!(limited.problem(), (429, "TooManyRejectedTokens"));
    assert!((1..=2).contains(&limited.retry_after()));
    assert_eq!(world.api.count("create", "tokenreviews"), 20);
    let neighbour = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 8));
    let answer = world.request_from(neighbour, request(BEARER, Value::Null)).await;
    assert_eq!(answer.status, 201);
    // A bearer token that is known to be valid passes from there too.
    assert_eq!(world.ask(Value::Null).await.status, 201);
}

/// A caller that is gone costs as much as one that waits.
#[tokio::test(start_paused = true)]
async fn guesses_that_hang_up_are_counted() {
    for pause in [Duration::ZERO, Duration::from_millis(1)] {
        let world = Arc::new(World::new(optional()).await);
        for n in 0..300 {
            let guess = format!("guess-{n}");
            let world = Arc::clone(&world);
            let guessing = tokio::spawn(async move { world.ask_as(&guess).await });
            tokio::task::yield_now().await;
            tokio::time::sleep(pause).await;
            guessing.abort();
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        let reviews = world.api.count("create", "tokenreviews");
        assert!((1..=20).contains(&reviews), "{reviews} reviews");
    }
}

#[tokio::test(start_paused = true)]
async fn reviews_whose_callers_hung_up_take_places_of_their_address() {
    let world = Arc::new(World::new(optional()).await);
    let is_review = |request: &crate::testing::Request| request.resource == "tokenreviews";
    for nth in 1..=32 {
        world.api.fail_nth_of(is_review, nth, Fault::Hang);
    }
    let mut refused = 0;
    for n in 0..300 {
        let (world, guess) = (Arc::clone(&world), format!("guess-{n}"));
        let guessing = tokio::spawn(async move { world.ask_as(&guess).await.status });
        tokio::time::sleep(Duration::from_millis(1)).await;
        if guessing.is_finished() {
            refused += usize::from(guessing.await.unwrap() == 429);
        } else {
            guessing.abort();
        }
    }
    assert_eq!(refused, 300 - 256);
}

/// Behind a proxy all pods have one address.
#[tokio::test(start_paused = true)]
async fn guesses_from_the_same_address_lock_no_valid_token_out() {
    let world = World::new(optional()).await;
    assert_eq!(world.ask(Value::Null).await.status, 201);
    tokio::time::sleep(KEEP).await;
    for n in 0..20 {
        assert_eq!(world.ask_as(&format!("guess-{n}")).await.status, 401);
    }
    assert_eq!(world.ask_as("guess").await.status, 429);
    assert_eq!(world.ask(Value::Null).await.status, 201);
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_what_it_may_not_have_is_no_longer_reviewed() {
    let world = World::new(optional()).await;
    let of = |name: &str| {
        let (mut parts, body) = request(BEARER, Value::Null).into_parts();
        let path = format!("/v1alpha1/namespaces/shop/realtimetokens/{name}/token");
        parts.uri = path.parse().unwrap();
        Request::from_parts(parts, body)
    };
    assert_eq!(world.ask(Value::Null).await.status, 201);
    for n in 0..20 {
        let answer = world.request(of(&format!("random-{n}"))).await;
        assert_eq!(answer.problem(), (403, "Forbidden"));
    }
    let limited = world.request(of("random")).await;
    assert_eq!(limited.problem(), (429, "TooManyForbidden"));
    assert!((1..=2).contains(&limited.retry_after()));
    assert_eq!(world.api.count("create", "subjectaccessreviews"), 21);
    // What it may have it still gets, also when the right is reviewed again.
    tokio::time::sleep(KEEP).await;
    for n in 0..20 {
        world.request(of(&format!("other-{n}"))).await;
    }
    assert_eq!(world.ask(Value::Null).await.status, 201);
}

/// A request without the right takes no place of those with it.
#[tokio::test(start_paused = true)]
async fn requests_whose_right_is_not_known_take_no_place_of_their_caller() {
    let world = Arc::new(World::new(optional()).await);
    world.ask(Value::Null).await;
    let is_review = |request: &crate::testing::Request| request.resource == "subjectaccessreviews";
    world.api.fail_nth_of(is_review, 1, Fault::Slow(Duration::from_secs(4)));
    let asking: Vec<_> = (0..64)
        .map(|_| {
            let world = Arc::clone(&world);
            let (mut parts, body) = request(BEARER, Value::Null).into_parts();
            parts.uri = PATH.replace("voice", "random").parse().unwrap();
            tokio::spawn(async move { world.request(Request::from_parts(parts, body)).await.status })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(world.ask(Value::Null).await.status, 201);
    for asked in asking {
        assert_eq!(asked.await.unwrap(), 403);
    }
}

#[tokio::test(start_paused = true)]
async fn a_review_asks_for_this_right_and_no_other() {
    let world = World::new(optional()).await;
    world.ask(Value::Null).await;
    let requests = world.api.requests();
    let body = |resource: &str| {
        let mut matching = requests.iter().filter(|request| request.resource == resource);
        matching.next().unwrap().body["spec"].clone()
    };
    assert_eq!(
        body("tokenreviews"),
        json!({"token": BEARER, "audiences": ["realtime-token.dev"]})
    );
    let expected = json!({
        "user": USER, "uid": format!("uid of {USER}"), "groups": ["system:authenticated"],
        "extra": {"authentication.kubernetes.io/pod-name": ["web-0"]},
        "resourceAttributes": {
            "verb": "create", "group": "realtime-token.dev", "version": "v1alpha1", "resource": "realtimetokens",
            "subresource": "token", "namespace": "shop", "name": "voice",
        },
    });
    assert_eq!(body("subjectaccessreviews"), expected);
}

/// The right is known only after the watches have listed, which the request began before.
#[tokio::test(start_paused = true)]
async fn what_is_listed_during_the_reviews_is_found() {
    let api = cluster(json!({"subject": "Ignored"}));
    let is = |resource: &'static str| move |request: &crate::testing::Request| request.resource == resource;
    api.fail_nth_of(is("realtimetokens"), 1, Fault::Slow(Duration::from_secs(1)));
    api.fail_nth_of(is("subjectaccessreviews"), 1, Fault::Slow(Duration::from_secs(3)));
    let world = World::start(api, FakeProvider::new(SignedDuration::from_secs(600)));
    assert!(world.health.unready().is_some());
    world.ask(Value::Null).await.token();
}

#[tokio::test(start_paused = true)]
async fn before_the_watches_have_listed_it_is_not_ready() {
    let api = FakeApi::new();
    api.add_bearer_token(BEARER, USER, &["realtime-token.dev"]);
    api.allow_requests(USER, "shop", "voice", true);
    api.refuse_as(500, |request| request.verb == "list", "no");
    api.fail_nth_of(|request| request.resource == "realtimetokens", 1, Fault::Hang);
    let world = World::start(api, FakeProvider::new(SignedDuration::from_secs(600)));
    let answer = world.ask(Value::Null).await;
    assert_eq!((answer.problem(), answer.retry_after()), ((503, "NotReady"), 1));
    assert!(world.health.unready().is_some());
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(world.health.unready(), None);
    assert_eq!(world.ask(Value::Null).await.problem(), (404, "NotFound"));
}
