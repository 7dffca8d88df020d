use std::time::Duration;

use http::{Request, Response};
use kube::client::Body;
use tokio::sync::mpsc;
use tokio::time::{sleep, sleep_until};

use super::waiting::{OF_ALL, OF_NAMESPACE};
use super::*;

/// What was published: when, in milliseconds, and the reason.
#[derive(Clone, Default)]
struct Published(Arc<Mutex<Vec<(u128, String)>>>);

impl Published {
    /// Events of an API server on which each write takes this long, in the namespace "slow" only.
    fn start(&self, slow: Duration) -> Events {
        let (published, began) = (self.clone(), Instant::now());
        let service = tower::service_fn(move |request: Request<Body>| {
            let published = published.clone();
            async move {
                if request.uri().path().contains("/namespaces/slow/") {
                    sleep(slow).await;
                }
                let body = request.into_body().collect_bytes().await?;
                let event: serde_json::Value = serde_json::from_slice(&body).unwrap();
                let reason = event["reason"].as_str().unwrap().to_owned();
                published.0.lock().push((began.elapsed().as_millis(), reason));
                Ok::<_, kube::Error>(Response::new(Body::from(body)))
            }
        });
        Events::new(Client::new(service, "default"), None)
    }

    /// Waits until nothing is remembered of any namespace.
    async fn all(&self, events: &Events) -> Vec<(u128, String)> {
        while !events.0.waiting.lock().is_empty() {
            sleep(Duration::from_millis(50)).await; // paused time
        }
        self.0.lock().clone()
    }
}

fn about(namespace: &str) -> ObjectReference {
    ObjectReference {
        namespace: Some(namespace.to_owned()),
        ..ObjectReference::default()
    }
}

fn send(events: &Events, namespace: &str, count: usize) {
    for n in 0..count {
        events.normal(about(namespace), &format!("{namespace}{n}"), String::new());
    }
}

#[tokio::test]
async fn a_note_is_one_line_that_commands_no_terminal() {
    let (sender, mut notes) = mpsc::unbounded_channel();
    let service = tower::service_fn(move |request: Request<Body>| {
        let sender = sender.clone();
        async move {
            let body = request.into_body().collect_bytes().await?;
            let event: serde_json::Value = serde_json::from_slice(&body).unwrap();
            sender.send(event["note"].as_str().unwrap().to_owned()).unwrap();
            Ok::<_, kube::Error>(Response::new(Body::from(body)))
        }
    });
    let events = Events::new(Client::new(service, "default"), None);
    events.warning(about("a"), "InvalidSpec", "no \u{1b}[2J\nmodel \u{202e}x".to_owned());
    assert_eq!(notes.recv().await.unwrap(), "no \\u001b[2J\\nmodel \\u202ex");
}

#[tokio::test(start_paused = true)]
async fn a_burst_goes_out_at_once_and_the_rest_at_the_pace_of_its_namespace() {
    let published = Published::default();
    let events = published.start(Duration::ZERO);
    send(&events, "a", 45);
    let all = published.all(&events).await;
    assert_eq!(all.len(), 45);
    for (n, (time, reason)) in all.iter().enumerate() {
        assert_eq!(*reason, format!("a{n}"));
        assert_eq!(*time, 100 * (n as u128).saturating_sub(24), "{reason}");
    }
    // The burst is back by now.
    send(&events, "a", 25);
    let again = published.all(&events).await;
    assert_eq!(again[45].0, again[69].0);
}

#[tokio::test(start_paused = true)]
async fn a_namespace_with_many_or_slow_events_does_not_hold_up_another() {
    let published = Published::default();
    let events = published.start(Duration::from_secs(10));
    send(&events, "noisy", 200);
    send(&events, "slow", 2);
    send(&events, "quick", 2);
    let all = published.all(&events).await;
    let of = |namespace: &str| -> Vec<u128> {
        let own = all.iter().filter(|(_, reason)| reason.starts_with(namespace));
        own.map(|(time, _)| *time).collect()
    };
    assert_eq!(of("quick"), [0, 0]);
    assert_eq!(of("slow"), [10_000, 20_000]);
    assert_eq!(of("noisy").len(), 200);
}

#[tokio::test(start_paused = true)]
async fn the_overall_pace_is_shared_fairly() {
    let published = Published::default();
    let events = published.start(Duration::ZERO);
    for n in 0..10 {
        send(&events, &format!("noisy-{n}-"), 40);
    }
    sleep(Duration::from_secs(1)).await; // paused time
    send(&events, "quiet", 1);
    let all = published.all(&events).await;
    let at_once = all.iter().filter(|(time, _)| *time == 0);
    assert_eq!(at_once.count(), 100);
    let (quiet, _) = all.iter().find(|(_, reason)| reason == "quiet0").unwrap();
    assert!(*quiet <= 1000 + 11 * 50, "after all others once: {quiet}");
    assert_eq!(all.last().unwrap().0, 301 * 50);
}

#[tokio::test(start_paused = true)]
async fn warnings_come_first_within_their_namespace() {
    let published = Published::default();
    let events = published.start(Duration::ZERO);
    events.normal(about("a"), "Normal", String::new());
    events.warning(about("a"), "Warning", String::new());
    let reasons = published.all(&events).await.into_iter().map(|(_, reason)| reason);
    assert_eq!(reasons.collect::<Vec<_>>(), ["Warning", "Normal"]);
}

#[tokio::test(start_paused = true)]
async fn a_full_namespace_drops_events_and_still_takes_warnings() {
    let published = Published::default();
    let events = published.start(Duration::ZERO);
    send(&events, "a", OF_NAMESPACE + 5);
    events.warning(about("a"), "Warning", String::new());
    send(&events, "b", 1);
    let all = published.all(&events).await;
    assert_eq!(all.len(), OF_NAMESPACE + 2);
    assert_eq!(all[0].1, "Warning");
    assert_eq!(all.last().unwrap().1, format!("a{}", OF_NAMESPACE - 1));
}

/// A provider's outage makes one Event in each namespace at once.
#[tokio::test(start_paused = true)]
async fn each_of_many_namespaces_has_its_event_and_none_has_many_then() {
    let published = Published::default();
    let events = published.start(Duration::ZERO);
    for n in 0..OF_ALL + 1000 {
        send(&events, &format!("namespace-{n}-"), 2);
    }
    let all = published.all(&events).await;
    let firsts = all.iter().filter(|(_, reason)| reason.ends_with("-0"));
    assert_eq!(firsts.count(), OF_ALL + 1000);
    assert_eq!(all.len(), OF_ALL + 1000 + OF_ALL / 2);
}

#[tokio::test(start_paused = true)]
async fn normal_events_take_no_warnings_place() {
    let published = Published::default();
    let events = published.start(Duration::ZERO);
    for n in 0..OF_ALL / 2 {
        send(&events, &format!("namespace-{n}-"), 2);
    }
    for _ in 0..20 {
        events.warning(about("a"), "KeyRejected", String::new());
    }
    let all = published.all(&events).await;
    let warnings = all.iter().filter(|(_, reason)| reason == "KeyRejected");
    assert_eq!(warnings.count(), 20);
}

/// An Event of a namespace that is about to be forgotten is published all the same.
#[tokio::test(start_paused = true)]
async fn nothing_is_kept_of_an_idle_namespace_and_nothing_is_lost_at_its_end() {
    let published = Published::default();
    let events = published.start(Duration::ZERO);
    let began = Instant::now();
    for n in 0..50 {
        send(&events, "a", 1);
        sleep_until(began + Duration::from_millis(100 * (n + 1))).await; // when the burst is back
    }
    assert_eq!(published.all(&events).await.len(), 50);
}

#[tokio::test(start_paused = true)]
async fn a_repeated_event_is_counted_and_only_so_many_are_remembered() {
    let published: Arc<Mutex<Vec<(http::Method, String)>>> = Arc::default();
    let service = {
        let published = Arc::clone(&published);
        tower::service_fn(move |request: Request<Body>| {
            let published = Arc::clone(&published);
            async move {
                let method = request.method().clone();
                let body = request.into_body().collect_bytes().await?;
                let event: serde_json::Value = serde_json::from_slice(&body).unwrap();
                published
                    .lock()
                    .push((method, event["reason"].as_str().unwrap().to_owned()));
                Ok::<_, kube::Error>(Response::new(Body::from(body)))
            }
        })
    };
    let events = Events::new(Client::new(service, "default"), None);
    let others = REMEMBERED as usize - 2;
    send(&events, "again", 1);
    send(&events, "again", 1);
    send(&events, "other", others / 2);
    send(&events, "others", others / 2);
    send(&events, "again", 1);
    while !events.0.waiting.lock().is_empty() {
        sleep(Duration::from_millis(50)).await; // paused time
    }
    send(&events, "again", 1);
    while !events.0.waiting.lock().is_empty() {
        sleep(Duration::from_millis(50)).await;
    }
    let published = published.lock();
    let methods: Vec<_> = published
        .iter()
        .filter(|it| it.1 == "again0")
        .map(|it| it.0.as_str())
        .collect();
    assert_eq!(methods, ["POST", "PATCH", "PATCH", "POST"]);
    assert_eq!(published.len(), others + 4);
}
